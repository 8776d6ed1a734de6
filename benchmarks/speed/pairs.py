"""How long 6,000 pairs take from image files to a result: decoding, detection, embedding, intervals.

    FACEALIKE_LFW=lfw-deepfunneled FACEALIKE_LFW_PAIRS=pairs.txt python -m benchmarks.speed.pairs --write

`facealike evaluate default LFW --protocol lfw` in a fresh process, without a cache, on two cores.  Most of
LFW's people took part in the training of the shipped model, so the accuracy is marked as leaked and means
nothing; the time does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common.record import RESULTS, append_rows, circumstances

CSV = RESULTS / "pairs.csv"
CORES = 2


def evaluate(people: str, pairs: str, output: Path) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of all cores together, peak memory in MiB."""
    command = [
        sys.executable, "-m", "facealike", "evaluate", "default", people, "--protocol", "lfw",
        "--pairs", pairs, "--allow-overlap", "--json",
    ]  # fmt: skip
    started = time.perf_counter()
    with output.open("wb") as stdout:
        actions = [(os.POSIX_SPAWN_DUP2, stdout.fileno(), 1)]
        process = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"facealike evaluate ended with exit code {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    arguments = parser.parse_args()
    people, pairs = os.environ.get("FACEALIKE_LFW"), os.environ.get("FACEALIKE_LFW_PAIRS")
    if not people or not pairs:
        sys.exit("set FACEALIKE_LFW to the folder of LFW's people and FACEALIKE_LFW_PAIRS to pairs.txt")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # inherited by the process
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        wall, busy, memory = evaluate(people, pairs, output)
        pooled = json.loads(output.read_text("utf-8"))["pooled"]
    row = {
        **circumstances(), "cores": CORES, "pairs": pooled["pairs"], "failures": pooled["failures"],
        "seconds": round(wall, 1), "cpu_seconds": round(busy, 1), "peak_mib": round(memory),
        "load_average": round(os.getloadavg()[1], 1),
    }  # fmt: skip
    print(row)
    if arguments.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
