"""Where the data lie that some tests need: one place that decides whether such a test is skipped or fails.

The paths come from the environment.  Without them a test is skipped; where ``CI`` is set it fails, for a
test that is skipped in silence on every machine tests nothing (issue 19 E).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = {
    "FACEALIKE_LFW": "the folder of Labeled Faces in the Wild, one folder a person",
    "FACEALIKE_LFW_ARCHIVE": "lfw-deepfunneled.tgz",
    "FACEALIKE_LFW_PAIRS": "LFW's pairs.txt",
    "FACEALIKE_YUNET": "an ONNX file of YuNet",
    "FACEALIKE_FAIRFACE": "the folder of FairFace's train.csv and val.csv",
    "FACEALIKE_RETAIL0095": "the OpenVINO IR face-reidentification-retail-0095.xml",
    "FACEALIKE_SFACE": "OpenCV Zoo's SFace as a block-quantized ONNX file",
}
"""What each variable of the environment names."""

OPTIONAL_IN_CI = {"FACEALIKE_SFACE"}
"""Data that CI does not have."""


def in_ci() -> bool:
    """Whether this is a run of CI: ``CI`` is set to anything but nothing, 0 or false."""
    return os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no")


def data_path(name: str) -> str:
    """The path in the variable ``name``; without it the test is skipped, in CI it fails.

    A path that is set and leads nowhere fails everywhere.
    """
    path = os.environ.get(name)
    if path:
        if not Path(path).exists():
            pytest.fail(f"{name}={path}: nothing lies there; it should be {DATA[name]}", pytrace=False)
        return path
    reason = f"set {name} to {DATA[name]} to run this"
    if in_ci() and name not in OPTIONAL_IN_CI:
        pytest.fail(f"{reason}: in CI no test of data is skipped", pytrace=False)
    pytest.skip(reason)


def needs_data(*names: str) -> pytest.MarkDecorator:
    """A mark: the test needs the data of these variables, see ``data_path`` and ``conftest.py``."""
    assert set(names) <= set(DATA)
    return pytest.mark.needs_data(*names)
