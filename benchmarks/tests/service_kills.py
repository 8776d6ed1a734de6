"""Kill a service under concurrent enrollments many times: nothing acknowledged may be lost or there twice.

    python -m benchmarks.tests.service_kills --rounds 100 --clients 200 --write

Each round starts a service with a tiny model, enrolls from 200 connections, a person each request, and sends
SIGKILL after a random time.  Then the gallery is opened: every acknowledged person is there, with one
template, and the file is whole.  The first that is not ends the program.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances

sys.path.insert(0, str(ROOT / "tests"))

from support.enrollment_kills import rounds

CSV = RESULTS / "service_kills.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--clients", type=int, default=200, help="concurrent enrollments")
    parser.add_argument("--seed", type=int, default=0, help="of the times")
    parser.add_argument("--write", action="store_true", help="append the row to the results")
    options = parser.parse_args()
    load, start = round(os.getloadavg()[0], 1), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        killed = rounds(Path(folder), options.rounds, options.clients, options.seed)
    row = {
        **circumstances("fastapi", "uvicorn"), "load_before": load, "seed": options.seed,
        "rounds": options.rounds, "clients": options.clients, "acknowledged": killed.acknowledged,
        "enrolled": killed.enrolled, "lost": 0, "seconds": round(time.perf_counter() - start),
    }  # fmt: skip
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    if options.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
