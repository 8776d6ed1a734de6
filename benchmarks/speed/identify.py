"""How long `facealike identify PHOTO FOLDER` takes: the first call, which enrolls, and later ones.

    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.speed.identify --people 100 --write

The folder links to the first photos of the people of LFW who have two or more, one photo a person; the probe
is another photo of one of them, then of someone who is not enrolled.  Each call is a process of its own, with
a cache of its own for the gallery, so the first finds none.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common.record import RESULTS, append_rows, circumstances

CSV = RESULTS / "identify.csv"


def chosen(lfw: Path, people: int) -> tuple[list[Path], Path, Path]:
    """Return one photo of each of ``people`` people, another of the last, and one of somebody else."""
    several = [
        photos
        for folder in sorted(lfw.iterdir())
        if folder.is_dir() and len(photos := sorted(folder.glob("*.jpg"))) > 1
    ]
    if len(several) <= people:
        sys.exit(f"identify.py: {lfw} has {len(several)} people with two photos; ask for fewer than that")
    return [photos[0] for photos in several[:people]], several[people - 1][1], several[people][0]


def one_call(probe: Path, folder: Path, cache: Path) -> tuple[float, int]:
    """Return the seconds of a fresh process and its exit code: 0 match, 1 unknown or uncertain."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "facealike", "identify", str(probe), str(folder)],
        capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )  # fmt: skip
    if done.returncode not in (0, 1):
        sys.exit(f"identify.py: {done.stderr.strip()}")
    return time.perf_counter() - start, done.returncode


def measure(lfw: Path, people: int, runs: int) -> dict[str, object]:
    """Return the row of a folder of so many people."""
    photos, enrolled, other = chosen(lfw, people)
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch) / "people", Path(scratch) / "cache"
        for photo in photos:
            (folder / photo.parent.name).mkdir(parents=True)
            (folder / photo.parent.name / photo.name).symlink_to(photo.resolve())
        first, _ = one_call(enrolled, folder, cache)
        later = [one_call(enrolled, folder, cache) for _ in range(runs)]
        strangers = [one_call(other, folder, cache) for _ in range(runs)]
    times = [seconds for seconds, _ in (*later, *strangers)]
    return {
        **circumstances("numpy", "onnxruntime"),
        "people": people, "runs": len(times), "first_s": f"{first:.2f}",
        "later_median_s": f"{statistics.median(times):.2f}", "later_max_s": f"{max(times):.2f}",
        "enrolled": "match" if later[0][1] == 0 else "no match",
        "other": "match" if strangers[0][1] == 0 else "no match",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Time facealike identify on a folder of people.")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5, help="later calls with each of the two probes")
    parser.add_argument("--write", action="store_true", help=f"append the row to {CSV.name}")
    options = parser.parse_args()
    if "FACEALIKE_LFW" not in os.environ:
        parser.error("set FACEALIKE_LFW to the folder of LFW")
    row = measure(Path(os.environ["FACEALIKE_LFW"]), options.people, options.runs)
    print(row)
    if options.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
