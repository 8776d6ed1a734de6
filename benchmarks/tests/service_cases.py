"""Send thousands of requests that schemathesis makes from the OpenAPI document: none may get a 5xx.

    python -m benchmarks.tests.service_cases --cases 5000 --write

The service runs in this process, with a tiny model.  Half of the cases are valid by the document; half of
those have real photos.  The first 5xx ends the program with its request.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances

sys.path.insert(0, str(ROOT / "tests"))

from support.openapi_cases import send_cases
from support.service_app import running, service_model

CSV = RESULTS / "service_cases.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="append the row to the results")
    options = parser.parse_args()
    load, start = round(os.getloadavg()[0], 1), time.perf_counter()
    sent, number = dict[int, int](), options.seed
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), service_model(), processes=2) as client,
    ):
        while sum(sent.values()) < options.cases:
            left = max(200, options.cases - sum(sent.values()))
            for status, count in send_cases(client, left, number).items():
                sent[status] = sent.get(status, 0) + count
            number += 1
    row = {
        **circumstances("fastapi", "schemathesis"), "load_before": load, "seed": options.seed,
        "cases": sum(sent.values()), "status_5xx": 0,
        "statuses": " ".join(f"{status}:{count}" for status, count in sorted(sent.items())),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "seconds": round(time.perf_counter() - start),
    }  # fmt: skip
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    if options.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
