"""Measure face detectors on labeled photos that nobody made for the purpose, all in one run.

    python -m benchmarks.accuracy.real_photos REAL_PHOTOS --yunet yunet.onnx --write

``REAL_PHOTOS`` holds ``photos/`` and ``faces.csv`` with a row (photo, left, top, right, bottom) a face; a row
without a box is a photo without a face.  The rows of the default detector and of YuNet say

    found       labeled faces with a detection of their own: intersection over union of 0.4 or more
    false       detections that belong to no labeled face
    largest     photos with faces whose largest detection is a face of at least 0.9 of the largest one's area
    no face     photos without a face in which something is detected
    share       photos cut and enlarged to 1,000 pixels so that their largest face fills this share of the
                height; counted where the largest detection is that face
    turned      photos of one face, turned by so many degrees; counted where the largest detection is the face
    ms          the median milliseconds of a photo, one thread

A detector is run at its own confidence; ``--side`` is the longer side that a photo is reduced to.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from benchmarks.common.detectors import USUAL, with_settings
from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.detection.yunet import YuNetDetector
from facealike.imaging.boxes import iou
from facealike.imaging.read import read_image
from facealike.types import Face, Image

CSV = RESULTS / "real_photos.csv"
OVERLAP = 0.4  # the boxes of two detectors differ in how much of the forehead they take
NEARLY_LARGEST = 0.9  # of the area; closer than this the labels do not tell which face is larger
SHARES = (0.55, 0.65, 0.75, 0.85, 0.95)
TURNS = (90, 180, 270)
FRAME = 1000  # pixels, the height of a portrait whose face fills a share of it

Boxes = NDArray[np.float64]
Detect = Callable[[Image], Sequence[Face]]


@dataclass(frozen=True)
class Photo:
    """A photo and its labeled faces, (n, 4) as left, top, right, bottom in pixels."""

    name: str
    image: Image
    boxes: Boxes

    @property
    def areas(self) -> Boxes:
        return _areas(self.boxes)


def read_photos(folder: Path) -> list[Photo]:
    """Read ``photos/`` and ``faces.csv`` of ``folder``."""
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    with (folder / "faces.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found = boxes[row["photo"]]
            if row["left"]:
                found.append([float(row[side]) for side in ("left", "top", "right", "bottom")])
    return [
        Photo(name, read_image(folder / "photos" / name), np.array(found, dtype=np.float64).reshape(-1, 4))
        for name, found in sorted(boxes.items())
    ]


def matched(detected: Boxes, labeled: Boxes) -> NDArray[np.intp]:
    """The labeled face of each detection, -1 for none; (n,).  Each face is given once, best overlap first."""
    given = np.full(len(detected), -1, dtype=np.intp)
    overlap = iou(detected, labeled)
    for place in np.argsort(-overlap, axis=None, kind="stable"):
        mine, face = divmod(int(place), max(len(labeled), 1))
        if overlap[mine, face] < OVERLAP:
            break
        if given[mine] < 0 and face not in given:
            given[mine] = face
    return given


def _areas(boxes: Boxes) -> Boxes:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _boxes(faces: Sequence[Face]) -> Boxes:
    return np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4)


def largest_is_right(detected: Boxes, photo: Photo) -> bool:
    """Whether the largest detection is the largest labeled face, or one of nearly its area."""
    if not len(detected) or not len(photo.boxes):
        return False
    largest = detected[[_areas(detected).argmax()]]
    right = photo.areas >= NEARLY_LARGEST * photo.areas.max()
    return bool((iou(largest, photo.boxes)[0][right] >= OVERLAP).any())


def portrait(photo: Photo, share: float) -> Photo | None:
    """Cut ``photo`` so that its largest face has ``share`` of the height; None if the photo is too small."""
    if not len(photo.boxes):
        return None
    left, top, right, bottom = photo.boxes[photo.areas.argmax()]
    side = (bottom - top) / share
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    height, width = photo.image.shape[:2]
    x, y = float(np.clip(x, 0, max(width - side, 0))), float(np.clip(y, 0, max(height - side, 0)))
    if side > min(width, height):
        return None
    picture = PillowImage.fromarray(photo.image).resize(
        (FRAME, FRAME), PillowImage.Resampling.BICUBIC, box=(x, y, x + side, y + side)
    )
    face = (np.array([[left, top, right, bottom]]) - [x, y, x, y]) * (FRAME / side)
    return Photo(photo.name, np.asarray(picture), face)


def turned(photo: Photo, degrees: int) -> Photo | None:
    """Turn a photo of one face counterclockwise by a multiple of 90 degrees; None for other photos."""
    if len(photo.boxes) != 1:
        return None
    image, (left, top, right, bottom) = photo.image, photo.boxes[0]
    for _ in range(degrees // 90):
        width = image.shape[1]
        image = np.ascontiguousarray(np.rot90(image))
        left, top, right, bottom = top, width - right, bottom, width - left
    return Photo(photo.name, image, np.array([[left, top, right, bottom]]))


def measure(detect: Detect, photos: Sequence[Photo]) -> Iterator[tuple[str, int, int]]:
    """The rows of one detector: measure, its count, of how many."""
    found = false = largest = empty = 0
    seconds = []
    for photo in photos:
        started = time.perf_counter()
        boxes = _boxes(detect(photo.image))
        seconds.append(time.perf_counter() - started)
        given = matched(boxes, photo.boxes)
        found += int((given >= 0).sum())
        false += int((given < 0).sum())
        largest += largest_is_right(boxes, photo)
        empty += not len(photo.boxes) and len(boxes) > 0
    faces = sum(len(photo.boxes) for photo in photos)
    shown = sum(len(photo.boxes) > 0 for photo in photos)
    yield "found", found, faces
    yield "false", false, len(photos)
    yield "largest", largest, shown
    yield "no face", empty, len(photos) - shown
    for share in SHARES:
        yield f"share {share:.2f}", *_right(detect, [portrait(photo, share) for photo in photos])
    for degrees in TURNS:
        yield f"turned {degrees}", *_right(detect, [turned(photo, degrees) for photo in photos])
    yield "ms", round(1000 * float(np.median(seconds))), len(photos)


def _right(detect: Detect, photos: Sequence[Photo | None]) -> tuple[int, int]:
    tried = [photo for photo in photos if photo is not None]
    return sum(largest_is_right(_boxes(detect(photo.image)), photo) for photo in tried), len(tried)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="holds photos/ and faces.csv")
    parser.add_argument("--detector", type=Path, help="a YuNet-format file instead of the default detector")
    parser.add_argument("--confidence", type=float, default=USUAL.min_confidence, help="of that file")
    parser.add_argument("--yunet", type=Path, help="YuNet's own file, measured in the same run")
    parser.add_argument("--side", type=int, default=800, help="pixels, the longer side of a photo looked at")
    parser.add_argument(
        "--close-side", type=int, default=USUAL.close_side,
        help="pixels, the side of the second look at large faces",
    )  # fmt: skip
    parser.add_argument(
        "--without", action="append", default=[], metavar="PHOTO", help="leave this photo out"
    )
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    options = parser.parse_args()
    if options.without and options.write:
        parser.error("rows are of all photos; leave out --write, or --without")
    ours = with_settings(
        USUAL, options.detector, min_confidence=options.confidence, max_side=options.side,
        close_side=options.close_side,
    )  # fmt: skip
    detectors = {"default" if options.detector is None else options.detector.name: ours}
    if options.yunet:
        detectors["yunet"] = YuNetDetector(options.yunet, max_side=options.side, threads=1)
    photos = [photo for photo in read_photos(options.folder) if photo.name not in options.without]
    rows = []
    for name, detector in detectors.items():
        confidence = detector.spec["min_confidence"]
        for what, count, of in measure(detector.detect, photos):
            print(f"{name:10} {what:12} {count} of {of}", flush=True)
            rows.append({
                **circumstances("onnxruntime"), "detector": name, "confidence": confidence,
                "side": options.side, "close_side": detector.close_side or "", "measure": what,
                "count": count, "of": of,
            })  # fmt: skip
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
