"""The versions of Python and of the packages, and which extras are complete."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from .. import __version__
from .diagnosis import Finding

BASE = ("numpy", "onnxruntime", "pillow", "typer", "rich")

RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
"""Packages that all install the module ``onnxruntime``; two of them overwrite each other's files."""

EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
DEVELOPMENT = {"dev", "docs"}


def package_findings() -> Iterator[Finding]:
    """Examine the packages."""
    yield Finding("facealike", f"{__version__} on Python {platform.python_version()} ({sys.executable})")
    yield Finding("packages", ", ".join(f"{name} {found}" for name in BASE if (found := version(name))))
    runtimes = [name for name in RUNTIMES if version(name)]
    if len(runtimes) > 1:
        yield Finding(
            "onnxruntime", " and ".join(runtimes),
            f"{' and '.join(runtimes)} are both installed and overwrite each other's files",
            f"run: pip uninstall {' '.join(runtimes)}, and install the one that you want",
        )  # fmt: skip
    yield Finding("extras", extras())


def version(name: str) -> str | None:
    """Return the version of an installed package, None for one that is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def extras() -> str:
    """Return which extras of facealike are installed whole, and which are not."""
    try:
        needs = metadata.requires("facealike") or []
    except metadata.PackageNotFoundError:
        return "not known, as facealike runs from its sources"
    by_extra: dict[str, list[str]] = {}
    for need in needs:
        found = EXTRA.search(need)
        package = re.match(r"[\w.-]+", need)
        if found and package and found[1] not in DEVELOPMENT:
            by_extra.setdefault(found[1], []).append(package[0])
    there = [name for name, packages in by_extra.items() if all(map(version, packages))]
    missing = [name for name in by_extra if name not in there]
    return f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(missing) or 'none'}"
