"""How long all pairs of the photos of LFW take, and how much memory: 13,233 by 13,233 cached embeddings.

    python -m benchmarks.speed.all_pairs --write

The embeddings are random, 128 numbers each, for as many people and photos as LFW has; neither time nor
memory depends on their values.  Each run is a process of its own, which measures its own peak memory:
Python, NumPy and the embeddings included.  "pairs" is the comparison of all photos, "figures" AUC, EER
and the FNMR at every FMR supported, "intervals" those of all of them by 1,000 resamples of people.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from facealike.metrics.all_pairs import exhaustive

CSV = RESULTS / "all_pairs.csv"
DIMENSIONS = 128

# Photos a person -> people, of the 5,749 people of LFW.
PHOTOS = {
    1: 4069, 2: 779, 3: 291, 4: 187, 5: 112, 6: 55, 7: 39, 8: 33, 9: 26, 10: 15, 11: 16, 12: 10, 13: 11,
    14: 10, 15: 11, 16: 3, 17: 8, 18: 5, 19: 7, 20: 5, 21: 4, 22: 5, 23: 3, 24: 3, 25: 1, 26: 2, 27: 1,
    28: 2, 29: 2, 30: 2, 31: 2, 32: 3, 33: 3, 35: 1, 36: 1, 37: 1, 39: 2, 41: 2, 42: 2, 44: 1, 48: 1,
    49: 1, 52: 2, 53: 1, 55: 1, 60: 1, 71: 1, 77: 1, 109: 1, 121: 1, 144: 1, 236: 1, 530: 1,
}  # fmt: skip


def once() -> dict[str, float]:
    """One comparison of all photos in this process: seconds of each step, and peak memory in MiB."""
    rng = np.random.default_rng(0)
    sizes = np.repeat(list(PHOTOS), list(PHOTOS.values()))
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.normal(size=(len(sizes), DIMENSIONS)).astype(np.float32)
    rows = centres[labels] + 1.2 * rng.normal(size=(len(labels), DIMENSIONS)).astype(np.float32)
    del centres
    times = {}
    start = time.perf_counter()
    found = exhaustive(rows, labels)
    times["pairs"] = time.perf_counter() - start
    start = time.perf_counter()
    found.to_dict()
    times["figures"] = time.perf_counter() - start
    start = time.perf_counter()
    found.intervals()
    times["intervals"] = time.perf_counter() - start
    assert found.genuine + found.impostor == len(labels) * (len(labels) - 1) // 2
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    times["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the comparison of all pairs of LFW's photos.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--once", action="store_true", help="run in this process and print JSON")
    parser.add_argument("--write", action="store_true", help=f"append a row to {CSV.name}")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once()))
        return
    runs = []
    for _ in range(options.runs):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.speed.all_pairs", "--once"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        runs.append(json.loads(done.stdout))
    row: dict[str, object] = {
        **circumstances("numpy"),
        "photos": sum(size * people for size, people in PHOTOS.items()),
        "runs": options.runs,
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    for name in runs[0]:
        values = [run[name] for run in runs]
        row[f"{name} median"], row[f"{name} max"] = f"{np.median(values):.2f}", f"{max(values):.2f}"
        print(f"{name:<12} median {np.median(values):8.2f}  max {max(values):8.2f}")
    if options.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
