"""Measure face detectors on pictures built by script: every size and angle, drawn shapes, and no face at all.

    python -m benchmarks.accuracy.built_photos --photos LFW --scenery FOLDER --yunet yunet.onnx --write

``FOLDER`` holds pictures without people which the training never saw.  The rows of the default detector and
of YuNet, both measured in one run, say

    size          photos of LFW's test people pasted into scenery so that the face, the square root of its
                  box's area, has so many pixels; counted where one detection overlaps it (IoU of 0.4)
    share         the same, the face with so many hundredths of the height of a picture of 1,000 pixels
    roll          faces of 60, 120 and 240 pixels turned by so many degrees
    shapes        pictures of one drawn ellipse, ring, box, polygon, button or wheel; counted where something
                  is detected, and so below
    no face 400   scenery and its four quarters, reduced to so many pixels
    no face 800   ...
    no face 1600  ...

The truth is where YuNet finds the face in the photo as it is.  A detector is run at its own confidence.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from benchmarks.common.detectors import USUAL, with_settings
from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.datasets.people import People
from facealike.detection.select import select_faces
from facealike.detection.yunet import YuNetDetector
from facealike.imaging.boxes import iou
from facealike.imaging.geometry import fit_within
from facealike.imaging.read import read_image
from facealike.train.detector.command import images_in
from facealike.types import Box, Face, Image

CSV = RESULTS / "built_photos.csv"
SEED = 0
FRAMES = (320, 640)
SIZES = (12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)
SHARES = (0.35, 0.5, 0.65, 0.8, 0.95)
ROLLS = (15, 30, 45, 60, 90, 135, 180)
LOOKS = (400, 800, 1600)
SHAPES = 51
OVERLAP = 0.4

Detect = Callable[[Image], Sequence[Face]]
Placed = tuple[Image, NDArray[np.float64]]
"""A picture and the box of its face."""


def faces_of(folder: Path, yunet: YuNetDetector, count: int) -> list[tuple[Image, Box]]:
    """The first photo of each test person of LFW, and the box that YuNet finds there."""
    people = People.from_folder(folder).split("test")
    found, seen = [], set()
    for path in people.paths:
        if path.parent.name in seen:
            continue
        seen.add(path.parent.name)
        image = read_image(path)
        faces = yunet.detect(image)
        if faces:
            found.append((image, select_faces(faces, "central", image.shape)[0].box))
        if len(found) == count:
            break
    return found


def placed(
    rng: np.random.Generator, face: tuple[Image, Box], scene: Image, side: int, size: float, roll: float
) -> Placed:
    """A face of ``size`` pixels, turned by ``roll`` degrees, in a scene of ``side`` pixels."""
    image, box = face
    scale = size / math.sqrt(box.area)
    least = size * 0.75
    x, y = rng.uniform(least, side - least, 2) if side > 2 * least else np.full(2, side / 2)
    source = PillowImage.fromarray(image)
    shrink = max(1, int(1 / scale))
    source, factor = source.reduce(shrink), scale * shrink
    middle = np.array(box.center) / shrink
    angle = math.radians(roll)
    a, b = math.cos(angle) / factor, math.sin(angle) / factor
    matrix = (a, b, middle[0] - a * x - b * y, -b, a, middle[1] + b * x - a * y)
    kind, way = PillowImage.Transform.AFFINE, PillowImage.Resampling.BICUBIC
    layer = source.transform((side, side), kind, matrix, way)
    mask = PillowImage.new("L", source.size, 255).transform((side, side), kind, matrix)
    picture = PillowImage.fromarray(scene).resize((side, side), PillowImage.Resampling.BILINEAR)
    picture.paste(layer, (0, 0), mask)
    # The box of a turned face keeps its center; its sides take turns at 90 degrees.
    turned = abs(math.sin(angle)) > abs(math.cos(angle))
    w, h = (box.height, box.width) if turned else (box.width, box.height)
    return np.asarray(picture), np.array(
        [x - w * scale / 2, y - h * scale / 2, x + w * scale / 2, y + h * scale / 2]
    )


def scenes_of(folder: Path) -> list[Image]:
    """The pictures of a folder, at most 3,200 pixels."""
    return [fit_within(read_image(path), 3200)[0] for path in images_in(folder)]


def quarters(scene: Image) -> list[Image]:
    """A picture and its four quarters."""
    y, x = scene.shape[0] // 2, scene.shape[1] // 2
    return [scene, scene[:y, :x], scene[:y, x:], scene[y:, :x], scene[y:, x:]]


def shape(number: int) -> Image:
    """Drawing ``number``: one large plain shape on a plain ground; the first is the ellipse of issue 21."""
    rng = np.random.default_rng([SEED, 9, number])
    ground, ink, other = (tuple(rng.integers(0, 256, 3).tolist()) for _ in range(3))
    side = int(rng.choice([320, 500, 800]))
    if number == 0:
        picture = PillowImage.new("RGB", (400, 400), "white")
        ImageDraw.Draw(picture).ellipse([130, 116, 270, 284], fill=(224, 172, 140))
        return np.asarray(picture)
    picture = PillowImage.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    w = rng.uniform(0.15, 0.8) * side
    h = min(w * rng.uniform(0.8, 1.4), 0.9 * side)
    x, y = rng.uniform(0, side - w), rng.uniform(0, side - h)
    at = [x, y, x + w, y + h]
    kind = number % 6
    if kind == 0:
        draw.ellipse(at, fill=ink)
    elif kind == 1:
        draw.ellipse(at, outline=ink, width=int(w / 8))
    elif kind == 2:
        draw.rounded_rectangle(at, w / 5, fill=ink, outline=other, width=4)
    elif kind == 3:
        corners = rng.uniform([x, y], [x + w, y + h], (6, 2))
        draw.polygon([tuple(corner) for corner in corners.tolist()], fill=ink)
    elif kind == 4:  # a button: four holes
        draw.ellipse(at, fill=ink)
        for i, j in ((0.35, 0.35), (0.65, 0.35), (0.35, 0.65), (0.65, 0.65)):
            draw.ellipse(
                [x + w * (i - 0.06), y + h * (j - 0.06), x + w * (i + 0.06), y + h * (j + 0.06)], fill=other
            )
    else:  # a wheel: rings and spokes
        draw.ellipse(at, outline=ink, width=int(w / 10))
        for angle in np.arange(0, math.pi, math.pi / 5):
            dx, dy = w / 2 * math.cos(angle), h / 2 * math.sin(angle)
            draw.line([x + w / 2 - dx, y + h / 2 - dy, x + w / 2 + dx, y + h / 2 + dy], fill=ink, width=6)
    return np.asarray(picture)


def is_found(detect: Detect, picture: Placed) -> bool:
    """Whether one detection overlaps the face."""
    boxes = np.array([face.box for face in detect(picture[0])], dtype=np.float64).reshape(-1, 4)
    return bool((iou(boxes, picture[1][None]) >= OVERLAP).any())


def series(
    faces: Sequence[tuple[Image, Box]], scenes: Sequence[Image]
) -> Iterator[tuple[str, Iterator[Placed]]]:
    """The name and the pictures of each row with faces; every detector gets the same ones."""

    def of(number: int, sides: Sequence[int], sizes: Sequence[float], roll: float) -> Iterator[Placed]:
        for i, face in enumerate(faces):
            rng = np.random.default_rng([SEED, number, i])
            side = int(sides[i % len(sides)])
            scene = scenes[int(rng.integers(len(scenes)))]
            yield placed(rng, face, scene, side, sizes[i % len(sizes)], roll)

    for size in SIZES:
        yield (
            f"size {size}",
            of(size, [side for side in FRAMES if side > 1.5 * size], [size], 0),
        )
    for share in SHARES:
        yield f"share {share:.2f}", of(int(1000 * share), [1000], [1000 * share * 0.85], 0)
    for roll in ROLLS:
        yield f"roll {roll}", of(2000 + roll, [640], [60, 120, 240], roll)


def empty_series(scenes: Sequence[Image]) -> Iterator[tuple[str, Iterator[Image]]]:
    """The name and the pictures of each row without faces."""
    yield "shapes", (shape(number) for number in range(SHAPES))
    for look in LOOKS:
        yield f"no face {look}", (fit_within(part, look)[0] for scene in scenes for part in quarters(scene))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="LFW: a folder of people")
    parser.add_argument("--scenery", type=Path, required=True, help="pictures without people")
    parser.add_argument("--yunet", type=Path, required=True, help="YuNet's own file")
    parser.add_argument("--detector", type=Path, help="a YuNet-format file in place of the default one")
    parser.add_argument("--confidence", type=float, default=USUAL.min_confidence, help="of that file")
    parser.add_argument("--count", type=int, default=100, help="faces in each row")
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    options = parser.parse_args()
    yunet = YuNetDetector(options.yunet, threads=1)
    ours = with_settings(USUAL, options.detector, min_confidence=options.confidence)
    name = "default" if options.detector is None else options.detector.name
    detectors = {name: ours, "yunet": yunet}
    scenes = scenes_of(options.scenery)
    faces = faces_of(options.photos, yunet, options.count)
    rows = []
    for name, detector in detectors.items():
        counts = [
            (what, [is_found(detector.detect, each) for each in made]) for what, made in series(faces, scenes)
        ]
        large = with_settings(detector, max_side=LOOKS[-1])
        for what, pictures in empty_series(scenes):
            looked = large if what.endswith(str(LOOKS[-1])) else detector
            counts.append((what, [bool(looked.detect(picture)) for picture in pictures]))
        for what, hits in counts:
            print(f"{name:10} {what:14} {sum(hits)} of {len(hits)}", flush=True)
            rows.append({
                **circumstances("onnxruntime"), "detector": name,
                "confidence": detector.spec["min_confidence"], "seed": SEED, "measure": what,
                "count": sum(hits), "of": len(hits),
            })  # fmt: skip
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
