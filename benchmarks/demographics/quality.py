"""Whether the quality of a face depends on whose face it is: FairFace's validation faces, by race.

    python -m benchmarks.demographics.quality FAIRFACE --detector YUNET.onnx

FAIRFACE holds val.csv and val/.  FairFace's images are tight crops, so a black border is added for the
detector and taken away again before the face is judged.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from facealike import Box, Face, Quality, YuNetDetector, face_quality, read_image

BORDER = 30
FACES = 120  # drawn from each group


def judged(path: Path, detector: YuNetDetector) -> Quality | None:
    """The quality of the largest face in the photo; None where none is found."""
    image = read_image(path)
    faces = detector.detect(np.pad(image, ((BORDER, BORDER), (BORDER, BORDER), (0, 0))))
    if not faces:
        return None
    face = max(faces, key=lambda face: face.box.area)
    assert face.landmarks is not None
    box = Box(*(side - BORDER for side in face.box))
    landmarks = tuple((x - BORDER, y - BORDER) for x, y in face.landmarks)
    return face_quality(image, Face(box, face.confidence, landmarks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("fairface", type=Path)
    parser.add_argument("--detector", required=True)
    arguments = parser.parse_args()
    detector = YuNetDetector(arguments.detector, threads=1)
    groups: dict[str, list[str]] = {}
    with (arguments.fairface / "val.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            groups.setdefault(row["race"], []).append(row["file"])
    rng = np.random.default_rng(0)
    print("| group | faces | median score | poor | dark | lighting below 0.95 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for group, files in groups.items():
        drawn = rng.permutation(files)[:FACES]
        found = [quality for name in drawn if (quality := judged(arguments.fairface / name, detector))]
        shares = [
            np.mean([quality.poor for quality in found]),
            np.mean(["dark" in quality.reasons for quality in found]),
            np.mean([quality.parts["lighting"] < 0.95 for quality in found]),
        ]
        told = " | ".join(f"{share:.3f}" for share in shares)
        print(f"| {group} | {len(found)} | {np.median([q.score for q in found]):.3f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
