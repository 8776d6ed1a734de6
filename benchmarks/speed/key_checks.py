"""How long a check of an API key takes, valid or not: the time must not reveal which keys there are.

    python -m benchmarks.speed.key_checks --write

The kinds take turns, one check each, so that what else the machine does meets all of them.  "difference" is
of the medians, from that of the valid key; "spread" is half the interquartile range of the valid key's times.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.service.api_keys import KeyFile

CSV = RESULTS / "key_checks.csv"


def kinds(keys: KeyFile) -> dict[str, str]:
    """A valid key, and texts that are none."""
    valid, revoked = keys.add("valid", "read").key, keys.add("revoked", "read")
    keys.revoke(revoked.record.id)
    number, secret = valid.split("_", 2)[1:]
    return {
        "valid": valid,
        "revoked": revoked.key,
        "wrong secret": f"fa_{number}_{'A' * len(secret)}",
        "last character wrong": valid[:-1] + ("A" if valid[-1] != "A" else "B"),
        "unknown id": f"fa_{'0' * len(number)}_{secret}",
        "no key": "x" * len(valid),
    }


def measure(rounds: int, others: int) -> list[dict[str, object]]:
    """One row a kind of key."""
    with tempfile.TemporaryDirectory() as folder:
        keys = KeyFile(Path(folder) / "keys.json")
        for number in range(others):
            keys.add(f"other {number}", "read")
        asked = kinds(keys)
        times = np.zeros((rounds, len(asked)))
        order = np.random.default_rng(1)
        texts = list(asked.values())
        for row in times:
            for column in order.permutation(len(texts)):
                start = time.perf_counter_ns()
                keys.check(texts[column])
                row[column] = time.perf_counter_ns() - start
    medians = np.median(times, axis=0) / 1000
    low, high = np.percentile(times[:, 0], [25, 75]) / 1000
    return [
        {
            **circumstances(), "keys": others + 2, "rounds": rounds, "kind": kind,
            "median_us": round(float(median), 2), "difference_us": round(float(median - medians[0]), 2),
            "spread_us": round(float(high - low) / 2, 2),
        }
        for kind, median in zip(asked, medians, strict=True)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--others", type=int, default=100, help="other keys in the file")
    parser.add_argument("--write", action="store_true", help="append the rows to the results")
    options = parser.parse_args()
    rows = measure(options.rounds, options.others)
    for row in rows:
        print(
            ", ".join(f"{name}: {row[name]}" for name in ("kind", "median_us", "difference_us", "spread_us"))
        )
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
