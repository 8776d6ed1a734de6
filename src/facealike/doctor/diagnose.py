"""Examine everything that a comparison needs."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..imaging.formats import readable_extensions
from .diagnosis import Diagnosis, Finding
from .machine import machine_findings
from .packages import package_findings, version
from .running import running_findings


def diagnose(path: str | os.PathLike[str] | None = None, device: str = "auto") -> Diagnosis:
    """Examine the installation, the machine and a model.

    Args:
        path: A model file or the name of a stored model; None for the default model.
        device: Where the model is to run: ``auto``, ``cpu`` or ``cuda:N``.

    Examples:
        >>> diagnosis = diagnose()
        >>> diagnosis.healthy, [each.cure for each in diagnosis.problems]
        (True, [])
    """
    findings = (
        *package_findings(),
        *machine_findings(),
        Finding("photos", "reads " + ", ".join(sorted(readable_extensions()))),
        *_torch(),
        *running_findings(path, device),
    )
    return Diagnosis(findings)


def _torch() -> Iterator[Finding]:
    """Tell which device a training would use; torch is loaded only where it is installed."""
    installed = version("torch")
    if installed is None:
        yield Finding("torch", 'not installed; training needs it: pip install "facealike[train]"')
        return
    try:
        from ..train.lightning.trainer import choose_device

        _, _, name = choose_device("auto")
    except Exception as error:  # whatever a broken torch raises
        reason = (str(error).splitlines() or [""])[0]
        yield Finding(
            "torch", installed, f"torch {installed} is installed and cannot be loaded ({reason})",
            "install it again; nothing but training needs it",
        )  # fmt: skip
    else:
        yield Finding("torch", f"{installed}; training would run on {name}")
