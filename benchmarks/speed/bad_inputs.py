"""What a bad input costs: a cold `facealike compare` for every file of the tests' corpus.

    python -m benchmarks.speed.bad_inputs --write

Checks exit code 2 and one line on stderr for each, and reports the slowest and the largest process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common.record import PHOTOS, RESULTS, ROOT, append_rows, circumstances

sys.path.insert(0, str(ROOT / "tests"))

from support.corrupt_images import BadInput, make_bad_inputs

CSV = RESULTS / "bad_inputs.csv"


def cold(entry: BadInput, errors: Path) -> tuple[float, float, str]:
    """Seconds, peak memory in MiB and the sentence; SystemExit where the answer is not as promised."""
    started = time.perf_counter()
    with errors.open("wb") as stderr:
        command = [sys.executable, "-m", "facealike", "compare", entry.path, str(PHOTOS[0])]
        process = os.posix_spawn(
            sys.executable, command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, stderr.fileno(), 2)]
        )
        _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    text = errors.read_text("utf-8", "replace")
    if os.waitstatus_to_exitcode(status) != 2 or text.count("\n") != 1:
        sys.exit(f"{entry.name}: exit code {os.waitstatus_to_exitcode(status)}, stderr {text!r}")
    return seconds, usage.ru_maxrss / 1024, text.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = [entry for entry in make_bad_inputs(Path(folder) / "bad") if entry.argument]
        rows = [(*cold(entry, Path(folder) / "stderr"), entry.name) for entry in corpus]
    slowest, largest = max(rows), max(rows, key=lambda row: row[1])
    for seconds, memory, sentence, name in sorted(rows, reverse=True)[:5]:
        print(f"{seconds:.2f} s  {memory:.0f} MiB  {name}: {sentence}")
    row = {
        **circumstances(), "inputs": len(rows), "median_s": round(sorted(rows)[len(rows) // 2][0], 3),
        "slowest_s": round(slowest[0], 3), "slowest": slowest[3],
        "largest_mib": round(largest[1]), "largest": largest[3],
    }  # fmt: skip
    print(row)
    if arguments.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
