"""The name of the processor and the instructions it has, as Linux states them."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import NamedTuple

CPUINFO = Path("/proc/cpuinfo")


class Processor(NamedTuple):
    """``flags`` are the instructions, in Linux's words; empty where they are not known."""

    name: str
    flags: frozenset[str]


def read_processor(cpuinfo: Path = CPUINFO) -> Processor:
    """Return the first processor of a list like ``/proc/cpuinfo``; without one what Python knows of it."""
    name, flags = platform.processor() or platform.machine(), frozenset[str]()
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return Processor(name, flags)
    rows = [[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]
    name = next((value for key, value in rows if key == "model name"), name)
    flags = next((frozenset(value.split()) for key, value in rows if key in ("flags", "Features")), flags)
    return Processor(name, flags)
