"""How long `facealike compare A B` takes from a cold start, step by step.

    python -m benchmarks.speed.cold_start --write

Each run is a process of its own.  "process" is its wall-clock time, from before Python starts to
after it ends; "start" is what of it goes to Python and imports; the other steps are what the command
reports with --json.  The example photos are scaled to 250 x 250, the size of LFW, unless others are named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks.common.record import PHOTOS, RESULTS, append_rows, circumstances

CSV = RESULTS / "cold_start.csv"


def one_run(arguments: list[str]) -> tuple[dict[str, float], str]:
    """Milliseconds of each step of one fresh process, and the id of the model."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "facealike", "compare", *arguments], capture_output=True, text=True
    )
    spent = (time.perf_counter() - start) * 1000
    if done.returncode not in (0, 1):
        sys.exit(f"compare_cold_start.py: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    steps = result["milliseconds"]
    return {"process": spent, "start": spent - steps["total"], **steps}, result["model"]


def measure(photos: list[Path], model: str | None, runs: int) -> list[dict[str, object]]:
    """One row a step, the median and the maximum over ``runs`` processes."""
    arguments = [*map(str, photos), "--json", *(["--model", model] if model else [])]
    one_run(arguments)  # so that the disk's cache and .pyc files are as on any second use
    results = [one_run(arguments) for _ in range(runs)]
    fixed: dict[str, object] = {
        **circumstances("numpy", "onnxruntime", "pillow", "typer"),
        "model": results[0][1],
        "runs": runs,
    }
    rows = []
    for step in results[0][0]:
        times = [steps[step] for steps, _ in results]
        measured = {"median_ms": f"{statistics.median(times):.1f}", "max_ms": f"{max(times):.1f}"}
        rows.append({**fixed, "step": step, **measured})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Time facealike compare from a cold start.")
    parser.add_argument("photos", nargs="*", type=Path, help="two photos to compare as they are")
    parser.add_argument("--model", help="a .facealike file; by default the one that ships")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--write", action="store_true", help=f"append the rows to {CSV.name}")
    options = parser.parse_args()
    if len(options.photos) not in (0, 2) or options.runs < 1:
        parser.error("name two photos or none, and at least one run")
    with tempfile.TemporaryDirectory() as scratch:
        photos = options.photos
        if not photos:
            photos = [Path(scratch) / path.name for path in PHOTOS]
            for path, small in zip(PHOTOS, photos, strict=True):
                Image.open(path).resize((250, 250), Image.Resampling.LANCZOS).save(small, quality=95)
        rows = measure(photos, options.model, options.runs)
    for row in rows:
        print(f"{row['step']:<8}  median {row['median_ms']:>7} ms  max {row['max_ms']:>7} ms")
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
