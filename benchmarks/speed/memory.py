"""Whether memory stays flat while one process embeds a great many photos.

    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.speed.memory --write
    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.speed.memory --photos 20000 --detector yunet.onnx

Photos go through `Model.stream` one round after the other.  Every fiftieth is a JPEG of 12 megapixels, a PNG
of another size, a photo without a face or a damaged one.  The resident memory is noted a hundred times; the
vectors are not kept.  "settled" is its highest value in the second tenth of the run, when every kind of photo
has been met, "end" that in the last tenth; the run fails where "end" is more than 5 % above "settled".
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.common.record import PHOTOS, RESULTS, append_rows
from benchmarks.speed.throughput import beginning, load_model, photos_250, scaled

CSV = RESULTS / "memory.csv"
LEAST = 1000
FLAT = 1.05


def resident() -> float:
    """MiB of this process in memory now; its peak where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def odd_ones(folder: Path) -> list[Path]:
    """What a folder of real photos also holds."""
    made = [scaled(folder / "12mp.jpg", PHOTOS[0], (4000, 3000))]
    for i, size in enumerate(((640, 480), (333, 517), (1024, 768), (800, 1200))):
        path = folder / f"{i}.png"
        Image.open(PHOTOS[i % 2]).convert("RGB").resize(size).save(path)
        made.append(path)
    Image.new("RGB", (700, 500), (90, 90, 90)).save(folder / "nobody.jpg")
    (folder / "damaged.jpg").write_bytes(made[0].read_bytes()[:100_000])
    return [*made, folder / "nobody.jpg", folder / "damaged.jpg"]


def run(model: Any, paths: list[Path]) -> tuple[list[float], int, int]:
    """Resident MiB after every hundredth of the photos, and how many vectors and failures there were."""
    memory: list[float] = []
    vectors, failures, every = 0, 0, len(paths) // 100
    for done, row in enumerate(model.stream(paths, quality=False), start=1):
        vectors += len(row.faces)
        failures += row.error is not None
        if done % every == 0:
            memory.append(resident())
            if len(memory) % 10 == 0:
                print(f"{done:>7,} photos: {memory[-1]:.0f} MiB", flush=True)
    return memory, vectors, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--model", help="a .facealike file; by default the one that ships")
    parser.add_argument("--detector", help="a YuNet ONNX file, dlib or dlib-landmarks; else the model's own")
    parser.add_argument("--write", action="store_true", help=f"append a row to {CSV.name}")
    options = parser.parse_args()
    if options.photos < LEAST:
        parser.error(f"at least {LEAST} photos are needed to tell")
    load = os.getloadavg()[0]
    model = load_model(options.model, options.detector, 0)
    with tempfile.TemporaryDirectory() as folder:
        usual, odd = cycle(photos_250(Path(folder), 13_233)), cycle(odd_ones(Path(folder)))
        paths = [
            next(odd) if i % 50 == 49 else photo for i, photo in enumerate(islice(usual, options.photos))
        ]
        started = time.perf_counter()
        memory, vectors, failures = run(model, paths)
        seconds = time.perf_counter() - started
    settled, end = max(memory[10:20]), max(memory[90:])
    row = {
        **beginning(options, load),
        "photos": options.photos,
        "vectors": vectors,
        "failures": failures,
        "seconds": round(seconds),
        "settled_mib": round(settled, 1),
        "end_mib": round(end, 1),
        "most_mib": round(max(memory), 1),
        "growth_percent": round(100 * (end / settled - 1), 1),
    }
    print(row)
    if options.write:
        append_rows(CSV, [row])
    if end > FLAT * settled:
        sys.exit("memory.py: memory grew by more than 5 %")


if __name__ == "__main__":
    main()
