"""Are encodings that face_recognition stored still of use with the drop-in on dlib's network?

    facealike models add dlib
    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.peers.stored_encodings --photos 1000 --write

Each photo is encoded twice: as face_recognition does it (dlib's HOG detector with one enlargement, dlib's
five landmarks, its network), and by the drop-in.  The row has the distances between the two encodings of a
photo, and how often photos of one person or of two are told apart at 0.6 where both are encoded as
face_recognition does it, and where the second is encoded by the drop-in.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import facealike.compat.face_recognition as ours
from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.model_zoo.dlib_weights import WEIGHTS, package_file

CSV = RESULTS / "stored_encodings.csv"
FIVE = "shape_predictor_5_face_landmarks.dat"
TOLERANCE = 0.6


class Original:
    """What face_recognition does with a photo, by dlib alone."""

    def __init__(self) -> None:
        import dlib

        self._detect = dlib.get_frontal_face_detector()
        self._place = dlib.shape_predictor(str(package_file(FIVE)))
        self._network = dlib.face_recognition_model_v1(str(package_file(WEIGHTS)))

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """Return the encoding of the face in the middle, None where no face is found."""
        boxes = self._detect(image, 1)
        if not boxes:
            return None
        height, width = image.shape[:2]
        middle = [abs(b.center().x - width / 2) + abs(b.center().y - height / 2) for b in boxes]
        shape = self._place(image, boxes[int(np.argmin(middle))])
        return np.array(self._network.compute_face_descriptor(image, shape, 1))


def by_drop_in(image: np.ndarray) -> np.ndarray | None:
    """Return the same by the drop-in."""
    locations = ours.face_locations(image)
    if not locations:
        return None
    height, width = image.shape[:2]
    middle = [abs((t + b) - height) + abs((left + r) - width) for t, r, b, left in locations]
    return ours.face_encodings(image, [locations[int(np.argmin(middle))]])[0]


def measure(lfw: Path, count: int) -> dict[str, Any]:
    """Return the row for the first ``count`` photos of people who have several."""
    photos = [
        photo
        for folder in sorted(lfw.iterdir())
        if folder.is_dir() and len(found := sorted(folder.glob("*.jpg"))) > 1
        for photo in found[:2]
    ][:count]
    ours.use_model("dlib")
    original = Original()
    names, theirs, drop_in, missed = [], [], [], [0, 0]
    for photo in photos:
        image = np.ascontiguousarray(ours.load_image_file(photo))
        pair = original(image), by_drop_in(image)
        missed = [missed[0] + (pair[0] is None), missed[1] + (pair[1] is None)]
        if pair[0] is not None and pair[1] is not None:
            names.append(photo.parent.name)
            theirs.append(pair[0])
            drop_in.append(pair[1])
    a, b = np.array(theirs), np.array(drop_in)
    same = np.array(names)[:, None] == np.array(names)[None, :]
    upper = np.triu(np.ones_like(same), 1).astype(bool)
    own = np.linalg.norm(a - b, axis=1)
    row = {
        **circumstances("numpy", "onnxruntime"), "photos": len(photos), "compared": len(names),
        "missed_by_dlib": missed[0], "missed_by_drop_in": missed[1],
        "median_distance": f"{np.median(own):.3f}", "p99_distance": f"{np.quantile(own, 0.99):.3f}",
    }  # fmt: skip
    for name, other in (("dlib_dlib", a), ("dlib_drop_in", b), ("drop_in_drop_in", None)):
        left, right = (b, b) if other is None else (a, other)
        near = np.linalg.norm(left[:, None] - right[None], axis=2) <= TOLERANCE
        row[f"tmr_{name}"] = f"{near[same & upper].mean():.4f}"
        row[f"fmr_{name}"] = f"{near[~same & upper].mean():.5f}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare encodings of face_recognition and of the drop-in.")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help=f"append the row to {CSV.name}")
    options = parser.parse_args()
    if "FACEALIKE_LFW" not in os.environ:
        sys.exit("stored_encodings.py: set FACEALIKE_LFW to the folder of LFW")
    row = measure(Path(os.environ["FACEALIKE_LFW"]), options.photos)
    print(row)
    if options.write:
        append_rows(CSV, [row])


if __name__ == "__main__":
    main()
