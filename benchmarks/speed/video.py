"""Measure how many frames of a video are tracked a second, on clips of the example portraits.

    python -m benchmarks.speed.video --write

Two portraits move through eight seconds of 25 frames each.  Rows are the best of three runs of

    decode      every frame decoded and turned into RGB, nothing else
    track       ``track_faces`` at its default rate, without a gallery
    track all   ``track_faces`` of every frame
    annotate    ``annotate_video``: decode, draw and encode every frame

``frames_s`` counts the frames that were decoded, looked at or written, a second of work; ``realtime`` is how
many seconds of video a second of work does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from benchmarks.common.record import PHOTOS, RESULTS, append_rows, circumstances
from facealike.embedding.face_model import Model
from facealike.video.annotate import annotate_video
from facealike.video.frames import read_frames
from facealike.video.tracking import track_faces
from facealike.video.writing import written_video

CSV = RESULTS / "video_speed.csv"
SIZES = ((640, 360), (1280, 720), (1920, 1080))
SECONDS, RATE, RUNS = 8, 25, 3


def write_clip(path: Path, width: int, height: int) -> None:
    """Write a clip in which two portraits of half the height move."""
    side = height // 2
    portraits = [PillowImage.open(photo).convert("RGB").resize((side, side)) for photo in PHOTOS]
    scene = np.random.default_rng(0).integers(60, 180, (9, 16, 3), dtype=np.uint8)
    background = PillowImage.fromarray(scene).resize((width, height), PillowImage.Resampling.BICUBIC)
    with written_video(path, RATE) as add:
        for frame in range(SECONDS * RATE):
            picture, share = background.copy(), frame / (SECONDS * RATE)
            picture.paste(portraits[0], (round(0.3 * width * share), height // 4))
            picture.paste(portraits[1], (round(width * (0.7 - 0.2 * share)), height // 5))
            add(np.asarray(picture), frame / RATE)


def best(work: Callable[[], int]) -> tuple[int, float]:
    """Return what ``work`` counts, and the seconds of the quickest of three runs."""
    count, seconds = 0, float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        count = work()
        seconds = min(seconds, time.perf_counter() - start)
    return count, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    options = parser.parse_args()
    model, rows = Model.load(), []
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "clip.mp4", Path(folder) / "out.mp4"
        for width, height in SIZES:
            write_clip(path, width, height)
            tracks = track_faces(path, model)
            steps: dict[str, Callable[[], int]] = {
                "decode": lambda: sum(1 for _ in read_frames(path)),
                "track": lambda: track_faces(path, model).frames,
                "track all": lambda: track_faces(path, model, every=1).frames,
                "annotate": lambda found=tracks: annotate_video(path, found, out),  # type: ignore[misc]
            }
            for name, work in steps.items():
                count, seconds = best(work)
                row = {
                    "size": f"{width}x{height}", "step": name, "faces": 2, "frames": count,
                    "seconds": f"{seconds:.2f}", "frames_s": f"{count / seconds:.1f}",
                    "realtime": f"{SECONDS / seconds:.1f}",
                }  # fmt: skip
                print(row, flush=True)
                rows.append({**circumstances("onnxruntime", "av"), "model": model.id, **row})
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
