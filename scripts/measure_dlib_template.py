"""Where the five landmarks lie in a face chip of dlib: DLIB_CHIP_TEMPLATE of facealike.imaging.align.

    FACEALIKE_FAIRFACE=fairface-144 FACEALIKE_YUNET=yunet.onnx python scripts/measure_dlib_template.py

FairFace's photos of padding 0.25 are such chips, of another size.  The mean of YuNet's points over every
second one of its validation photos, in pixels of a 150 px chip.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from facealike.detection.select import select_faces
from facealike.detection.yunet import YuNetDetector
from facealike.errors import NoFaceFound
from facealike.imaging.align import DLIB_CHIP_SIZE, DLIB_CHIP_TEMPLATE
from facealike.imaging.read import read_image

EVERY = 2


def main() -> None:
    folder, weights = os.environ.get("FACEALIKE_FAIRFACE"), os.environ.get("FACEALIKE_YUNET")
    if not folder or not weights:
        sys.exit(
            "set FACEALIKE_FAIRFACE to the folder with FairFace's val and FACEALIKE_YUNET to the ONNX file"
        )
    photos = sorted(Path(folder, "val").glob("*.*"), key=lambda path: (len(path.name), path.name))[::EVERY]
    detector = YuNetDetector(weights, threads=1)
    points: list[np.ndarray] = []
    for photo in photos:
        image = read_image(photo)
        try:
            face = select_faces(detector.detect(image), "central", image.shape)[0]
        except NoFaceFound:
            continue
        # A chip of another size shares its edges with this one, not the centres of its pixels.
        points.append((np.array(face.landmarks) + 0.5) * (DLIB_CHIP_SIZE / image.shape[0]) - 0.5)
    mean, error = np.mean(points, axis=0), np.std(points, axis=0) / np.sqrt(len(points))
    print(f"{len(points):,} faces in {len(photos):,} photos; standard error at most {error.max():.2f}")
    print(np.round(mean, 3).tolist())
    print(f"largest difference from the constant: {np.abs(mean - DLIB_CHIP_TEMPLATE).max():.3f} px")


if __name__ == "__main__":
    main()
