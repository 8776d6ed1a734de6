"""The lowest versions that pyproject.toml states (issue 19 B6); ``make lowest`` installs and tries them."""

from __future__ import annotations

import re

from check_install import VERDICTS, lowest_versions
from support.paths import ROOT


def test_every_base_dependency_has_a_lowest_version_that_can_be_pinned() -> None:
    pins = dict(pin.split("==") for pin in lowest_versions((ROOT / "pyproject.toml").read_text("utf-8")))
    assert set(pins) == {"numpy", "onnxruntime", "pillow", "typer", "rich", "tomli"}
    # The default model is of IR version 10, which onnxruntime reads from 1.18 on.
    assert tuple(map(int, re.findall(r"\d+", pins["onnxruntime"])))[:2] >= (1, 18)


def test_ci_tries_them() -> None:
    assert "make lowest" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert set(VERDICTS.values()) == {0, 1}
