"""Common parts of the trainers' command lines (``python -m facealike.train.joint.run`` and others)."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import FacealikeError


def command_parser(documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser described by the first line of a module's docstring."""
    return argparse.ArgumentParser(description=(documentation or "").splitlines()[0])


def add_recipe_options(parser: argparse.ArgumentParser, base: Any, *names: str) -> None:
    """Add an option for each of the fields ``names`` of the recipe ``base``, with its type and default."""
    for name in names:
        default = getattr(base, name)
        parser.add_argument(f"--{name}", type=type(default), default=default)


@contextmanager
def one_sentence_errors(command: str) -> Iterator[None]:
    """End the process with one sentence on a FacealikeError, as the command line does."""
    try:
        yield
    except FacealikeError as error:
        sys.exit(f"{command}: {error}")


def log_line(text: str) -> None:
    """Print a line on stderr at once."""
    print(text, file=sys.stderr, flush=True)


def append_row(log: Path, names: Sequence[str], values: Sequence[float]) -> None:
    """Print a row of the training log and append it to the CSV file ``log``, which begins with ``names``."""
    row = [f"{value:.5g}" if isinstance(value, float) else str(value) for value in values]
    log_line("  ".join(f"{name} {value}" for name, value in zip(names, row, strict=True)))
    new = not log.exists()
    with log.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([list(names), row] if new else [row])
