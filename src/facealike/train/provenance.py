"""Provenance for model cards and benchmarks: commit, machine and versions."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path, PurePath

from .. import __version__
from ..utils.processor import read_processor


def command_line(program: Sequence[str], arguments: Sequence[str]) -> str:
    """Return a command as it was typed, without the folders of absolute paths: a card goes to other people.

    Args:
        program: The words that start the program.
        arguments: Its arguments; a path may follow ``=``.

    Examples:
        >>> command_line(["facealike", "train"], ["/data/people", "--set", "network.start=sface"])
        'facealike train people --set network.start=sface'
    """
    return shlex.join([*program, *map(_without_folder, arguments)])


def _without_folder(word: str) -> str:
    option, equals, value = word.rpartition("=")
    return option + equals + (PurePath(value).name if PurePath(value).is_absolute() else value)


def git_commit() -> str:
    """Return the commit of the source tree, with "-dirty" if it is changed, or "not a git checkout"."""
    folder = Path(__file__).parent
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "not a git checkout"
    return text


def machine() -> str:
    """Return processor, cores and operating system."""
    return f"{read_processor().name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def versions() -> dict[str, str]:
    """Return the versions of facealike, Python and the packages that training uses."""
    names = ("torch", "lightning", "pytorch-metric-learning", "onnxruntime", "numpy", "pillow", "dlib-bin")
    found = {"facealike": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
