"""The processor, the cores and the memory that this process may use."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..model_file.store import home_folder
from ..utils.ordered_threads import available_cores
from ..utils.processor import CPUINFO, read_processor
from .diagnosis import Finding

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")

WORTH_NAMING = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
)
"""Instructions that make the networks faster, as Linux names them."""

LEAST_MEMORY = 512 << 20
LEAST_SPACE = 200 << 20

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT")


def machine_findings() -> Iterator[Finding]:
    """Examine the machine."""
    yield processor()
    yield cores()
    yield memory()
    yield disk(home_folder())
    given = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    if given:
        yield Finding("thread variables", ", ".join(given))


def processor(cpuinfo: Path = CPUINFO) -> Finding:
    """Name the processor and the instructions that the networks profit from."""
    name, flags = read_processor(cpuinfo)
    if not flags:
        return Finding("processor", name)
    known = [flag for flag in WORTH_NAMING if flag in flags]
    value = f"{name}; {', '.join(known) or 'none of the instructions that networks profit from'}"
    if "sse2" in flags and "avx2" not in flags:
        return Finding(
            "processor", value, "this processor has no AVX2, so networks run several times slower",
            "use a machine with AVX2; a virtual machine may hide it",
        )  # fmt: skip
    return Finding("processor", value)


def cores(quota_file: Path = CPU_QUOTA) -> Finding:
    """Compare the cores that this process sees with those that a container lets it use."""
    seen = available_cores()
    try:
        quota, period = quota_file.read_text("utf-8").split()
        allowed = seen if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        allowed = seen
    if math.ceil(allowed) < seen:
        return Finding(
            "cores", f"{seen}, of which a container allows {allowed:g}",
            f"{seen} cores are seen and {allowed:g} may be used, so threads wait for each other",
            "give the container whole cores (--cpuset-cpus), or load models with "
            f"threads={math.ceil(allowed)}",
        )  # fmt: skip
    return Finding("cores", str(seen))


def memory(limit_file: Path = MEMORY_LIMIT) -> Finding:
    """Tell how much memory there is, within the limit of a container."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return Finding("memory", "not known")
    try:
        limit = limit_file.read_text("utf-8").strip()
        total = total if limit == "max" else min(total, int(limit))
    except (OSError, ValueError):
        pass
    value = f"{total / 2**30:.1f} GiB"
    if total < LEAST_MEMORY:
        return Finding("memory", value, f"there are only {value} of memory", "allow 512 MiB or more")
    return Finding("memory", value)


def disk(folder: Path) -> Finding:
    """Tell whether the folder of models and caches can be written and has room."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    name = "folder of models and caches"
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            name, str(folder), f"{there} cannot be written",
            "set FACEALIKE_HOME to a folder of yours",
        )  # fmt: skip
    free = shutil.disk_usage(there).free
    value = f"{folder}, {free / 2**30:.1f} GiB free"
    if free < LEAST_SPACE:
        return Finding(name, value, f"{there} has only {free / 2**20:.0f} MiB of free space", "make room")
    return Finding(name, value)
