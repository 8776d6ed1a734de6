"""Collect the places where a detector sees a face and its teacher sees none, for another round of training.

    python -m facealike.train.detector.hard_negatives --pool FOLDER --teacher yunet.onnx \\
        --detector detector.onnx

Hands, collars and hair are rare in pictures that are composed at random.  The command searches the images
of a pool (``pictures.Pool``) at several sizes and writes what is found into the pool; new pictures of it then
show such places, too.

Source: Sung and Poggio, "Example-based learning for view-based human face detection", PAMI 1998, which
calls this bootstrapping.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ...detection.yunet import YuNetDetector
from ...imaging.boxes import iou
from ...types import Image
from ...utils.atomic_write import write_bytes
from ..command import command_parser, one_sentence_errors
from .pictures import HARD_SIDE, Pool

SEEN = 0.3
"""Confidence of the detector from which on a place counts."""
UNSEEN = 0.1
"""Confidence of the teacher below which there is no face."""
SIDES = (160, 320, 640)
"""Sides to which images are resized, in pixels."""
SAME = 0.2
"""IoU above which two boxes are of one place."""
AROUND = 2.5
"""Side of what is stored, relative to the box."""

Boxes = NDArray[np.float64]
"""Left, top, right, bottom relative to the image's side; (n, 4)."""


def boxes_at(image: Image, detector: YuNetDetector, side: int) -> Boxes:
    """Return what a detector finds in a square image resized to ``side`` pixels."""
    picture = PillowImage.fromarray(image).resize((side, side), PillowImage.Resampling.BILINEAR)
    found = detector.detect(np.asarray(picture))
    return np.array([face.box for face in found], dtype=np.float64).reshape(-1, 4) / side


def hard_places(image: Image, detector: YuNetDetector, teacher: YuNetDetector) -> Boxes:
    """Return the boxes of a square image that the teacher sees at none of ``SIDES``, each place once."""
    seen = np.concatenate([boxes_at(image, detector, side) for side in SIDES])
    if not len(seen):
        return seen
    known = np.concatenate([boxes_at(image, teacher, side) for side in SIDES])
    kept: list[NDArray[np.float64]] = []
    for box in seen:
        others = np.concatenate([known, np.array(kept).reshape(-1, 4)])
        if not (iou(box[None], others) > SAME).any():
            kept.append(box)
    return np.array(kept).reshape(-1, 4)


def surroundings(image: Image, box: NDArray[np.float64]) -> Image:
    """Return the square around a relative box, within the image, ``HARD_SIDE`` pixels."""
    whole = image.shape[0]
    side = min(whole, max(8.0, AROUND * whole * float((box[2:] - box[:2]).max())))
    left, top = np.clip((box[:2] + box[2:]) / 2 * whole - side / 2, 0, whole - side)
    part = (float(left), float(top), float(left + side), float(top + side))
    picture = PillowImage.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((HARD_SIDE, HARD_SIDE), PillowImage.Resampling.BILINEAR, box=part))


def collect_hard(images: Iterable[Image], detector: YuNetDetector, teacher: YuNetDetector) -> Iterator[Image]:
    """Yield what surrounds each hard place of square images."""
    for image in images:
        for box in hard_places(np.asarray(image), detector, teacher):
            yield surroundings(np.asarray(image), box)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="the pool of a distillation")
    parser.add_argument("--teacher", type=Path, required=True, help="a YuNet-format ONNX")
    parser.add_argument("--detector", type=Path, required=True, help="the detector to improve")
    parser.add_argument("--limit", type=int, help="search at most so many photos")
    options = parser.parse_args(arguments)
    with one_sentence_errors("hard_negatives"):
        pool = Pool.open(options.pool)
        detector = YuNetDetector(options.detector, SEEN, threads=1)
        teacher = YuNetDetector(options.teacher, UNSEEN, threads=1)
        images = [*pool.photos[: options.limit], *pool.scenery]
        found = list(collect_hard(images, detector, teacher))
        if not found:
            print(f"{options.pool}: no hard place found, nothing is written", file=sys.stderr)
            return
        whole = io.BytesIO()
        np.save(whole, np.stack(found))
        write_bytes(options.pool / "hard.npy", whole.getvalue())
    print(f"{options.pool / 'hard.npy'}: {len(found)} places", file=sys.stderr)


if __name__ == "__main__":
    main()
