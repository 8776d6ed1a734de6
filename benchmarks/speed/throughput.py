"""How many photos a second, from the disk to the vector, and how long a single one takes.

    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.speed.throughput --write
    python -m benchmarks.speed.throughput --detector yunet.onnx --only bulk --write

"bulk" is `Model.stream` over photos of 250 x 250 pixels on two cores; "one photo" is detection, alignment
and embedding of such a photo in memory, one thread; "dlib" is the same photo by dlib alone, as the package
face_recognition does it (HOG detector with one enlargement, five landmarks, its ResNet); "1080p" and
"12 MP" are a photo of that size from its file, decoding included, one thread.  Without FACEALIKE_LFW the
example photos are scaled to 250 x 250 and repeated.  Each runs in a process of its own.  `--detector` puts
another detector under the shipped embedder: the time does not depend on whether the two were made for each
other.  The row states the load of the machine over the last minute before it began: a figure taken beside
other programs is no figure.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.common.record import PHOTOS, RESULTS, append_rows, circumstances

CSV = RESULTS / "throughput.csv"
CORES = 2
SIZES = {"1080p": (1920, 1080), "12 MP": (4000, 3000)}
WHAT = ("bulk", "one photo", "dlib", *SIZES)


def load_model(name: str | None, detector: str | None, threads: int) -> Any:
    from facealike.detection.registry import named_detector
    from facealike.detection.yunet import YuNetDetector
    from facealike.embedding.face_model import Model

    model = Model.load(name, device="cpu", threads=threads)
    if detector is not None:
        here = Path(detector).is_file()
        model.detector = YuNetDetector(detector, threads=threads) if here else named_detector(detector)
    return model


def photos_250(folder: Path, count: int) -> list[Path]:
    """``count`` photos of 250 x 250: LFW's own, else the examples, scaled and repeated."""
    lfw = os.environ.get("FACEALIKE_LFW")
    if lfw:
        return sorted(Path(lfw).glob("*/*.jpg"))[:count]
    made = [scaled(folder / path.name, path, (250, 250)) for path in PHOTOS]
    return [made[i % len(made)] for i in range(count)]


def scaled(target: Path, path: Path, size: tuple[int, int]) -> Path:
    """A JPEG of ``size`` that shows the photo as high as it is, on grey, with the noise of a sensor."""
    import numpy as np

    photo = Image.open(path).convert("RGB")
    width = round(photo.width * size[1] / photo.height)
    frame = Image.new("RGB", size, (120, 120, 120))
    frame.paste(photo.resize((width, size[1]), Image.Resampling.LANCZOS), ((size[0] - width) // 2, 0))
    noise = np.random.default_rng(0).normal(0, 3, (size[1], size[0], 1))
    noisy = np.clip(np.asarray(frame) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(target, quality=90)
    return target


def bulk(options: argparse.Namespace) -> dict[str, Any]:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    model = load_model(options.model, options.detector, 0)
    with tempfile.TemporaryDirectory() as folder:
        paths = photos_250(Path(folder), options.photos)
        list(model.stream(paths[:100], quality=False))  # sessions, disk cache
        wall, cpu = time.perf_counter(), time.process_time()
        rows = sum(len(row.faces) for row in model.stream(paths, quality=False))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "photos": len(paths), "vectors": rows, "cores": CORES, "photos_per_s": round(len(paths) / wall, 1),
        "median_ms": "", "cpu_ms": round(1000 * cpu / len(paths), 2),
    }  # fmt: skip


def single(options: argparse.Namespace) -> dict[str, Any]:
    """One thread: a photo in memory for "one photo", a file for the large ones."""
    from facealike.imaging.read import read_image

    os.environ["OMP_NUM_THREADS"] = "1"
    model = load_model(options.model, options.detector, 1)
    size = SIZES.get(options.once, (250, 250))
    with tempfile.TemporaryDirectory() as folder:
        path = scaled(Path(folder) / "photo.jpg", PHOTOS[0], size)
        source = path if options.once in SIZES else read_image(path)
        times, cpu = [], time.process_time()
        for run in range(options.runs + 3):
            if run == 3:
                times, cpu = [], time.process_time()
            start = time.perf_counter()
            (face,) = model.faces(source, quality=False)
            model.embed_crops(face.crop[None])
            times.append(time.perf_counter() - start)
        cpu = time.process_time() - cpu
    return {
        "photos": 1, "vectors": options.runs, "cores": 1, "photos_per_s": "",
        "median_ms": round(1000 * statistics.median(times), 2),
        "cpu_ms": round(1000 * cpu / options.runs, 2),
    }  # fmt: skip


def dlib_alone(options: argparse.Namespace) -> dict[str, Any]:
    import dlib

    from facealike.imaging.read import read_image
    from facealike.model_zoo.dlib_weights import find_dlib_weights

    weights = find_dlib_weights()
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(weights.with_name("shape_predictor_5_face_landmarks.dat")))
    network = dlib.face_recognition_model_v1(str(weights))
    with tempfile.TemporaryDirectory() as folder:
        photo = read_image(scaled(Path(folder) / "photo.jpg", PHOTOS[0], (250, 250)))
    times, vectors = [], 0
    for _ in range(options.runs // 5 + 2):
        start, cpu = time.perf_counter(), time.process_time()
        (box,) = detector(photo, 1)
        network.compute_face_descriptor(photo, landmarks(photo, box))
        times.append((time.perf_counter() - start, time.process_time() - cpu))
        vectors += 1
    wall, cpu = (1000 * statistics.median(column) for column in zip(*times[2:], strict=True))
    return {
        "photos": 1, "vectors": vectors - 2, "cores": 1, "photos_per_s": "",
        "median_ms": round(wall, 2), "cpu_ms": round(cpu, 2),
    }  # fmt: skip


def beginning(options: argparse.Namespace, load: float) -> dict[str, object]:
    """The columns that a row begins with: on what, under which ``load``, model and detector."""
    from facealike.embedding.face_model import Model

    return {
        **circumstances("onnxruntime", "pillow"),
        "load_before": f"{load:.1f}",
        "model": Model.load(options.model, device="cpu").id,
        "detector": Path(options.detector).name if options.detector else "its own",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", help="a .facealike file; by default the one that ships")
    parser.add_argument("--detector", help="a YuNet ONNX file, dlib or dlib-landmarks; else the model's own")
    parser.add_argument("--photos", type=int, default=2000, help="photos of the bulk run")
    parser.add_argument("--runs", type=int, default=50, help="repetitions of a single photo")
    parser.add_argument("--only", choices=WHAT, action="append", help="may be given several times")
    parser.add_argument("--once", choices=WHAT, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    options = parser.parse_args()
    if options.once:
        print(json.dumps({"bulk": bulk, "dlib": dlib_alone}.get(options.once, single)(options)))
        return
    rows = []
    here = [what for what in WHAT if what != "dlib" or importlib.util.find_spec("dlib")]
    for what in options.only or here:
        load = os.getloadavg()[0]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.speed.throughput", *sys.argv[1:], "--once", what],
            stdout=subprocess.PIPE,
            check=True,
        )
        rows.append({**beginning(options, load), "what": what, **json.loads(done.stdout)})
        print(rows[-1], flush=True)
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
