"""Where things lie in the repository, for tests wherever they lie themselves."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
"""The folder of the tests; a program that is run in it can import ``support``."""

ROOT = TESTS.parent
"""The root of the repository."""
