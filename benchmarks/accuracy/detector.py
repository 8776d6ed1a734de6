"""How well a YuNet-format detector finds faces, beside YuNet itself.

    python -m benchmarks.accuracy.detector DETECTOR --reference yunet.onnx --photos LFW \\
        --chips FAIRFACE/val --write

YuNet's faces are the truth; nobody has marked them by hand.  Its landmarks jump by several parts in a
hundred of the distance between the eyes when a photo is shifted by a few pixels, so the mean of eight looks
at other sizes and places is a truth, too ("steady"), against which YuNet's usual look is measured as
well.  The photos are of LFW's people who are not in
training, the chips FairFace's validation faces with a black border.  Measured are

    recall      the share of YuNet's main faces that the detector finds: overlap 0.5 or more
    right       the share of photos whose largest face is YuNet's largest, or whose central is its central
    landmarks   the mean distance of the five points from YuNet's, in parts of the distance between the eyes
    steady      the same from the mean of YuNet's eight looks
    extra       faces per photo where YuNet sees nothing at all, not even faintly
    false       faces per scene without a face (colours, textures, drawings, corners of test people's photos)
    roll, size  recall and landmarks of photos turned and scaled, the upright faces with the steady landmarks
                being the truth
    detect_ms   one photo of 250 x 250, one thread
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from benchmarks.common.detectors import USUAL, with_settings
from benchmarks.common.record import RESULTS, append_rows, commit, today
from facealike.datasets.people import People
from facealike.detection.select import select_faces
from facealike.detection.yunet import YuNetDetector
from facealike.imaging.boxes import iou
from facealike.imaging.read import read_image
from facealike.train.detector.backgrounds import background
from facealike.train.detector.photometric import augment_photometric
from facealike.train.detector.pseudo_labels import BORDER, FAINT, Sources, collect, detect_mirrored
from facealike.train.detector.scenes import move_boxes, move_points, similarity
from facealike.train.provenance import machine
from facealike.types import Face, Image

CSV = RESULTS / "detector.csv"
ROLLS = (-60, -45, -30, -20, -10, 0, 10, 20, 30, 45, 60)
SIZES = (10, 14, 20, 28, 40, 56, 80, 112, 160, 200, 240)
CANVAS = 256
LOOKS = (
    (0.6, 9), (0.8, 21), (1.0, 5), (1.3, 13),
    (0.7, 3), (0.9, 14), (1.15, 19), (1.45, 7), (0.65, 16), (0.85, 11), (1.07, 26), (1.2, 1),
)  # fmt: skip
"""Scales, and shifts in pixels, at which YuNet looks for a steady truth; each in the mirror, too."""
FEW = 4
"""The first of them, which are the truth where there are many faces; a mean of so few has an error of its
own, which counts as one of whoever is measured by it."""


@dataclass
class Tally:
    """What one detector scored: ``found`` of ``wanted``, and the landmark errors of those found."""

    wanted: int = 0
    found: int = 0
    errors: list[float] = field(default_factory=list)

    def add(self, faces: list[Face], box: NDArray[np.float64], points: NDArray[np.float64]) -> None:
        """Whether ``faces`` hold the true face, and how far its landmarks are off."""
        self.wanted += 1
        if not faces:
            return
        overlap = iou(np.array([face.box for face in faces]), box[None])[:, 0]
        best = int(overlap.argmax())
        if overlap[best] < 0.5:
            return
        self.found += 1
        apart = np.linalg.norm(np.array(faces[best].landmarks) - points, axis=1).mean()
        self.errors.append(float(apart / np.linalg.norm(points[1] - points[0])))

    @property
    def recall(self) -> float:
        return self.found / max(self.wanted, 1)

    @property
    def error(self) -> float:
        return float(np.mean(self.errors)) if self.errors else float("nan")


Row = tuple[str, str, str, int, float]
"""Detector ("ours" or "yunet"), measure, condition, number of trials, value."""


def _truth(face: Face) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array(face.box, dtype=np.float64), np.array(face.landmarks, dtype=np.float64)


def looks_at(
    image: Image, face: Face, yunet: YuNetDetector, looks: Sequence[tuple[float, int]]
) -> NDArray[np.float64]:
    """The landmarks of ``face`` by each of YuNet's ``looks`` and its mirror, (2 n, 5, 2); NaN if not seen."""
    height, width = image.shape[:2]
    box, all_points = np.array([face.box]), np.full((2 * len(looks), 5, 2), np.nan)
    for number, (scale, shift) in enumerate(looks):
        size = (round(scale * width), round(scale * height))
        picture = PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BILINEAR, reducing_gap=2)
        view = np.pad(np.asarray(picture), ((shift, 0), (shift, 0), (0, 0)))
        for mirror in (False, True):
            boxes, points, _ = detect_mirrored(view, yunet, mirror)
            if not len(boxes):
                continue
            overlap = iou((boxes - shift) / scale, box)[:, 0]
            if overlap.max() >= 0.5:
                all_points[2 * number + mirror] = (points[overlap.argmax()] - shift + 0.5) / scale - 0.5
    return all_points


def steady(said: NDArray[np.float64], face: Face) -> NDArray[np.float64]:
    """The mean of what looks said (n, 5, 2), (5, 2); of none, what ``face`` itself says."""
    seen_by = np.isfinite(said).all(axis=(1, 2))
    return said[seen_by].mean(axis=0) if seen_by.any() else np.array(face.landmarks, dtype=np.float64)


@dataclass
class Scores:
    """Ways to count the same faces: against YuNet's look, and both against the steady truth of ``looks``."""

    looks: Sequence[tuple[float, int]]
    plain: Tally = field(default_factory=Tally)
    few: Tally = field(default_factory=Tally)
    ours: Tally = field(default_factory=Tally)
    yunet: Tally = field(default_factory=Tally)

    def add(
        self, image: Image, face: Face, found: list[Face], known: list[Face], yunet: YuNetDetector
    ) -> None:
        box, points = _truth(face)
        self.plain.add(found, box, points)
        said = looks_at(image, face, yunet, self.looks)
        truth = steady(said, face)
        self.few.add(found, box, steady(said[: 2 * FEW], face))
        self.ours.add(found, box, truth)
        self.yunet.add(known, box, truth)

    def rows(self, name: str) -> list[Row]:
        rows: list[Row] = [("ours", "recall", name, self.plain.wanted, self.plain.recall)]
        for who, measure, tally in (
            ("ours", "landmarks", self.plain), ("ours", "steady", self.ours), ("yunet", "steady", self.yunet),
            ("ours", "eight looks", self.few),
        ):  # fmt: skip
            rows.append((who, measure, name, len(tally.errors), tally.error))
        return rows


def chips(paths: Iterable[Path], ours: YuNetDetector, yunet: YuNetDetector) -> list[Row]:
    scores, nothing = Scores(LOOKS[:FEW]), 0
    for path in paths:
        image = np.pad(read_image(path), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)))
        known = yunet.detect(image)
        if not known:
            nothing += 1
            continue
        scores.add(image, select_faces(known, "largest", image.shape)[0], ours.detect(image), known, yunet)
    seen_or_not = scores.plain.wanted + nothing
    return [*scores.rows("chips"), ("yunet", "none", "chips", seen_or_not, nothing / max(1, seen_or_not))]


def photos(
    paths: Iterable[Path], ours: YuNetDetector, yunet: YuNetDetector, faint: YuNetDetector
) -> list[Row]:
    scores, right, extra, n = Scores(LOOKS), {"largest": 0, "central": 0}, 0, 0
    for path in paths:
        image = read_image(path)
        known, found = yunet.detect(image), ours.detect(image)
        if not known:
            continue
        n += 1
        scores.add(image, select_faces(known, "central", image.shape)[0], found, known, yunet)
        for policy in right:
            if found:
                mine, its = (select_faces(f, policy, image.shape)[0].box for f in (found, known))  # type: ignore[arg-type]
                right[policy] += int(iou(np.array([mine]), np.array([its]))[0, 0] >= 0.5)
        suspected = np.array([face.box for face in faint.detect(image)]).reshape(-1, 4)
        boxes = np.array([face.box for face in found]).reshape(-1, 4)
        extra += int((iou(boxes, suspected).max(axis=1, initial=0) < 0.2).sum())
    return [
        *scores.rows("photos"),
        *(("ours", "right", policy, n, count / max(n, 1)) for policy, count in right.items()),
        ("ours", "extra", "photos", n, extra / max(n, 1)),
    ]


def false_alarms(
    sources: Sources, scenes: int, seed: int, ours: YuNetDetector, yunet: YuNetDetector
) -> list[Row]:
    counts = {"ours": 0, "yunet": 0}
    for i in range(scenes):
        rng = np.random.default_rng([seed, i])
        image = augment_photometric(rng, background(rng, sources, CANVAS))
        counts["ours"] += len(ours.detect(image))
        counts["yunet"] += len(yunet.detect(image))
    return [(name, "false", "scenes", scenes, count / scenes) for name, count in counts.items()]


def placed(image: Image, matrix: NDArray[np.float64]) -> Image:
    """``image`` through ``matrix`` on a black canvas."""
    inverse = np.linalg.inv(matrix[:, :2])
    offset = 0.5 - inverse @ (matrix[:, 2] + 0.5)
    picture = PillowImage.fromarray(image)
    shrink = int(1 / np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if shrink > 1:
        picture, inverse, offset = picture.reduce(shrink), inverse / shrink, offset / shrink
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    transform, bilinear = PillowImage.Transform.AFFINE, PillowImage.Resampling.BILINEAR
    return np.asarray(picture.transform((CANVAS, CANVAS), transform, coefficients, bilinear))


def curves(
    paths: Iterable[Path], ours: YuNetDetector, yunet: YuNetDetector, rolls: tuple[int, ...] = ROLLS,
    sizes: tuple[int, ...] = SIZES,
) -> list[Row]:  # fmt: skip
    """Recall and landmark error by roll, at the photo's own size, and by size, upright."""
    tallies = {
        (name, kind, value): Tally()
        for name in ("ours", "yunet")
        for kind, values in (("roll", rolls), ("size", sizes))
        for value in values
    }
    for path in paths:
        image = read_image(path)
        known = yunet.detect(image)
        if not known:
            continue
        face = select_faces(known, "central", image.shape)[0]
        box = np.array(face.box)
        points = steady(looks_at(image, face, yunet, LOOKS[:FEW]), face)
        centre, middle = tuple((box[:2] + box[2:]) / 2), (CANVAS / 2, CANVAS / 2)
        size = float(np.sqrt((box[2:] - box[:2]).prod()))
        for name, kind, value in tallies:
            if name != "ours":
                continue
            turn, scale = (value, 1.0) if kind == "roll" else (0, value / size)
            matrix = similarity(centre, middle, scale, turn, False)
            seen = placed(image, matrix)
            there, points_there = move_boxes(box[None], matrix)[0], move_points(points[None], matrix)[0]
            tallies["ours", kind, value].add(ours.detect(seen), there, points_there)
            tallies["yunet", kind, value].add(yunet.detect(seen), there, points_there)
    rows: list[Row] = []
    for (name, kind, value), tally in tallies.items():
        rows.append((name, f"recall by {kind}", str(value), tally.wanted, tally.recall))
        rows.append((name, f"landmarks by {kind}", str(value), len(tally.errors), tally.error))
    return rows


def speed(path: Path, ours: YuNetDetector, yunet: YuNetDetector, runs: int = 30) -> list[Row]:
    image = read_image(path)
    rows: list[Row] = []
    for name, detector in (("ours", ours), ("yunet", yunet)):
        detector.detect(image)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            detector.detect(image)
            times.append(1000 * (time.perf_counter() - start))
        rows.append((name, "detect_ms", f"{image.shape[1]}x{image.shape[0]}", runs, float(np.median(times))))
    return rows


def csv_rows(rows: list[Row], detectors: dict[str, YuNetDetector], seed: int) -> list[dict[str, object]]:
    """The rows as the CSV has them: circumstances and detector of each spelt out."""
    fixed = {"date": today(), "commit": commit(), "machine": machine(), "seed": seed}
    digests = {
        name: hashlib.sha256(detector.weights or b"").hexdigest()[:12] for name, detector in detectors.items()
    }
    return [
        {
            **fixed, "detector": name, "sha256": digests[name],
            "min_confidence": detectors[name].min_confidence, "measure": measure, "condition": condition,
            "n": n, "value": f"{value:.5f}",
        }
        for name, measure, condition, n, value in rows
    ]  # fmt: skip


TARGETS = (
    ("ours", "recall", "chips", ">= 0.99", "FairFace validation faces with border, found at overlap 0.5"),
    ("ours", "right", "central", ">= 0.999", "LFW photos, the central face is YuNet's central face"),
    ("ours", "right", "largest", ">= 0.999", "LFW photos, the largest face is YuNet's largest face"),
    (
        "ours",
        "steady",
        "photos",
        "<= 0.04",
        "LFW photos, landmarks against the mean of YuNet's 24 looks",
    ),
    ("ours", "eight looks", "photos", "", "the same against the mean of 8 looks"),
    ("yunet", "steady", "photos", "", "one look of YuNet's against its 24"),
    ("ours", "landmarks", "photos", "", "LFW photos, landmark error against one look of YuNet's"),
    ("ours", "steady", "chips", "<= 0.04", "FairFace, landmark error against the mean of 8 looks of YuNet's"),
    ("yunet", "steady", "chips", "", "one look of YuNet's against its 8"),
    ("ours", "landmarks", "chips", "", "FairFace, landmark error against one look of YuNet's"),
    ("ours", "false", "scenes", "<= 0.01", "faces per scene without one"),
    ("yunet", "false", "scenes", "", "the same for YuNet"),
    ("ours", "extra", "photos", "", "faces per LFW photo where YuNet suspects nothing"),
)


def tables(rows: list[Row]) -> str:
    """The rows as Markdown: the targets, and the curves."""
    values = {row[:3]: row[3:] for row in rows}
    lines = ["| measure | goal | value | of |", "| --- | --- | --- | --- |"]
    for name, what, condition, goal, text in TARGETS:
        n, value = values[name, what, condition]
        lines.append(f"| {text} | {goal} | {value:.4f} | {n:,} |")
    for kind, unit, conditions in (("roll", "degrees", ROLLS), ("size", "pixels", SIZES)):
        head = f"| {kind}, {unit} | found, ours | found, YuNet | landmarks, ours | landmarks, YuNet |"
        lines += ["", head, "| --- | --- | --- | --- | --- |"]
        for condition in map(str, conditions):
            cells = [
                f"{values[name, f'{what} by {kind}', condition][1]:.3f}"
                for what in ("recall", "landmarks")
                for name in ("ours", "yunet")
            ]
            lines.append(f"| {condition} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def measure(options: argparse.Namespace, ours: YuNetDetector, yunet: YuNetDetector) -> list[Row]:
    faint = YuNetDetector(options.reference, min_confidence=FAINT, threads=1)
    rng = np.random.default_rng(options.seed)
    everybody = People.from_folder(options.photos)
    strangers = [
        path for split in ("test", "calibration", "validation") for path in everybody.split(split).paths
    ]
    strangers = [strangers[i] for i in rng.permutation(len(strangers))]
    faces = sorted(options.chips.glob("*.webp"))
    faces = [faces[i] for i in rng.permutation(len(faces))]
    rows = speed(strangers[0], ours, yunet)
    rows += chips(faces[: options.limit], ours, yunet)
    rows += photos(strangers[: options.limit], ours, yunet, faint)
    with tempfile.TemporaryDirectory() as folder:
        some = options.limit or 600
        collect(strangers[:some], "photos", faint, Path(folder))
        collect(faces[:20], "chips", faint, Path(folder))
        rows += false_alarms(Sources(Path(folder)), options.scenes, options.seed, ours, yunet)
    return rows + curves(strangers[: options.curves], ours, yunet)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a face detector beside YuNet.")
    parser.add_argument("detector", type=Path, help="a YuNet-format ONNX")
    parser.add_argument("--reference", type=Path, required=True, help="YuNet's ONNX")
    parser.add_argument("--photos", type=Path, required=True, help="LFW: a folder of people")
    parser.add_argument("--chips", type=Path, required=True, help="FairFace: the folder of validation faces")
    parser.add_argument("--limit", type=int, help="at most so many photos, and so many chips")
    parser.add_argument("--scenes", type=int, default=2000, help="scenes without a face")
    parser.add_argument("--curves", type=int, default=150, help="photos turned and scaled")
    parser.add_argument("--min-confidence", type=float, default=USUAL.min_confidence)
    parser.add_argument(
        "--landmark-overlap", type=float, default=USUAL.landmark_overlap,
        help="average landmarks over boxes that overlap by more; 1 takes the best box's",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"append the rows to {CSV.name}")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    options = parser.parse_args()
    # Without the second look, so that the two networks are compared.
    ours = with_settings(
        USUAL, options.detector, min_confidence=options.min_confidence,
        landmark_overlap=options.landmark_overlap, close_side=None,
    )  # fmt: skip
    yunet = YuNetDetector(options.reference, threads=1)
    rows = measure(options, ours, yunet)
    for name, what, condition, n, value in rows:
        print(f"{name:<6} {what:<18} {condition:<8} n {n:<6} {value:.4f}")
    if options.markdown:
        options.markdown.write_text(tables(rows), encoding="utf-8")
    if options.write:
        append_rows(CSV, csv_rows(rows, {"ours": ours, "yunet": yunet}, options.seed))


if __name__ == "__main__":
    main()
