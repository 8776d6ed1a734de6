"""What scenes for the detector are composed of: photos with marked faces, and patches without any.

The teacher, any YuNet-format detector, looks at every photo and at its mirror image.  A face that it sees
in both, at the same place, is *sure*; its box is the mean of the two, its landmarks of further looks,
too.  Anything else it suspects, even faintly, is *unsure*: nothing is learned there, neither "face" nor "no
face".  All of it lies in shards on the disk, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ...detection.base import Detector
from ...errors import DataError
from ...imaging.boxes import iou
from ...imaging.read import read_image
from ...types import Face, Image

Kind = Literal["chips", "photos"]
SIDES: dict[Kind, int] = {"chips": 144, "photos": 250}
BORDER = 30
"""Black pixels that are put around a chip before the teacher sees it: it knows faces with surroundings."""
PATCH = 72
SHARD = 500
SURE, FAINT = 0.6, 0.1
SHIFTS = (0, 16)
"""How far a photo at half its size is shifted for each further look of the teacher, in pixels."""
MIRRORED = (1, 0, 2, 4, 3)
"""The order of the five landmarks in a mirror image."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Marks:
    """The faces of one image, in its pixels: sure ones with landmarks, unsure ones with a box.

    ``boxes`` (n, 4) as left, top, right, bottom; ``points`` (n, 5, 2); ``unsure`` (m, 4).
    """

    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    unsure: NDArray[np.float32]

    def to_rows(self, image: int) -> NDArray[np.float32]:
        """One row a face: number of the image, sure or not, box, landmarks."""
        sure = np.concatenate([self.boxes, self.points.reshape(-1, 10)], axis=1)
        unsure = np.concatenate([self.unsure, np.zeros((len(self.unsure), 10))], axis=1)
        flag = np.repeat([1.0, 0.0], [len(sure), len(unsure)])[:, None]
        number = np.full_like(flag, image)
        return np.concatenate([number, flag, np.concatenate([sure, unsure])], axis=1).astype(np.float32)

    @classmethod
    def from_rows(cls, rows: NDArray[np.float32]) -> Marks:
        sure = rows[rows[:, 1] == 1]
        return cls(sure[:, 2:6], sure[:, 6:].reshape(-1, 5, 2), rows[rows[:, 1] == 0, 2:6])


def _arrays(faces: Sequence[Face]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    boxes = np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4)
    points = np.array([face.landmarks for face in faces], dtype=np.float64).reshape(-1, 5, 2)
    return boxes, points, np.array([face.confidence for face in faces])


def seen(image: Image, teacher: Detector, mirror: bool) -> tuple[NDArray[np.float64], ...]:
    """Boxes (n, 4), points (n, 5, 2) and confidences of the teacher's faces, seen in the mirror or not."""
    if not mirror:
        return _arrays(teacher.detect(image))
    boxes, points, confidence = _arrays(teacher.detect(np.ascontiguousarray(image[:, ::-1])))
    width = image.shape[1]
    # Boxes are given by pixel edges and landmarks by pixel centres, hence the one pixel between them.
    boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    return boxes, points[:, MIRRORED] * [-1, 1] + [width - 1, 0], confidence


def second_look(
    image: Image, boxes: NDArray[np.floating], points: NDArray[np.floating], teacher: Detector
) -> NDArray[np.float64]:
    """Landmarks (n, 5, 2) of the faces ``boxes``: the mean of ``points`` and of what half the size shows.

    One look of YuNet's at one place errs by six parts in a hundred of the distance between the eyes,
    differently at each place and size.  The mean of a mirrored pair of looks errs by five, and
    with the four looks at half the size by three (36 photos of LFW, against 16 other looks).
    """
    small = np.asarray(PillowImage.fromarray(image).reduce(2))
    sums, counts = np.zeros((len(boxes), 5, 2)), np.zeros(len(boxes))
    for shift in SHIFTS:
        view = np.pad(small, ((shift, 0), (shift, 0), (0, 0)))
        for mirror in (False, True):
            there, points_there, _ = seen(view, teacher, mirror)
            if not len(there):
                continue
            overlap = iou(np.asarray(boxes), 2 * (there - shift))
            best = overlap.argmax(axis=1)
            hit = overlap.max(axis=1) >= 0.5
            sums[hit] += 2 * (points_there[best[hit]] - shift) + 0.5
            counts[hit] += 1
    better: NDArray[np.float64] = np.asarray(points, dtype=np.float64).copy()
    hit = counts > 0
    better[hit] = (better[hit] + sums[hit] / counts[hit, None, None]) / 2
    return better


def mark(image: Image, teacher: Detector, border: int = 0) -> Marks:
    """The teacher's faces in ``image``; its ``min_confidence`` should be ``FAINT``."""
    if border:
        image = np.pad(image, ((border, border), (border, border), (0, 0)))
    boxes, points, confidence = seen(image, teacher, mirror=False)
    other, other_points, other_confidence = seen(image, teacher, mirror=True)
    same = iou(boxes, other)
    sure, unsure, used = [], [], set()
    for i in range(len(boxes)):
        j = int(same[i].argmax()) if len(other) else -1
        agree = j >= 0 and j not in used and same[i, j] >= 0.75
        if agree and min(confidence[i], other_confidence[j]) >= SURE:
            apart = np.linalg.norm(points[i] - other_points[j], axis=1).mean()
            if apart <= 0.08 * np.sqrt(np.prod(boxes[i, 2:] - boxes[i, :2])):
                used.add(j)
                sure.append(((boxes[i] + other[j]) / 2, (points[i] + other_points[j]) / 2))
                continue
        unsure.append(boxes[i])
    unsure += [other[j] for j in range(len(other)) if j not in used]
    sure_boxes = np.array([box for box, _ in sure], dtype=np.float64).reshape(-1, 4)
    sure_points = np.array([points for _, points in sure], dtype=np.float64).reshape(-1, 5, 2)
    if sure:
        sure_points = second_look(image, sure_boxes, sure_points, teacher)
    return Marks(
        (sure_boxes - border).astype(np.float32),
        (sure_points - border).astype(np.float32),
        np.array(unsure, dtype=np.float32).reshape(-1, 4) - border,
    )


def corner_patches(image: Image, marks: Marks) -> Iterator[Image]:
    """Corners of a photo, PATCH pixels wide, that no box of ``marks`` touches and that are not plain."""
    height, width = image.shape[:2]
    boxes = np.concatenate([marks.boxes, marks.unsure])
    for top in (0, height - PATCH):
        for left in (0, width - PATCH):
            corner = np.array([[left, top, left + PATCH, top + PATCH]], dtype=np.float32)
            patch = image[top : top + PATCH, left : left + PATCH]
            if not iou(corner, boxes).any() and patch.std() > 4:
                yield patch


def without_faces(patches: list[Image], teacher: Detector) -> list[Image]:
    """Those of the ``patches`` in which the teacher suspects nothing, seen enlarged and nine at a time."""
    kept = []
    for start in range(0, len(patches), 9):
        nine = patches[start : start + 9]
        sheet = np.zeros((3 * PATCH, 3 * PATCH, 3), dtype=np.uint8)
        places = [(PATCH * (i // 3), PATCH * (i % 3)) for i in range(len(nine))]
        for (top, left), patch in zip(places, nine, strict=True):
            sheet[top : top + PATCH, left : left + PATCH] = patch
        large = PillowImage.fromarray(sheet).resize((6 * PATCH, 6 * PATCH), PillowImage.Resampling.BILINEAR)
        found = _arrays(teacher.detect(np.asarray(large)))[0] / 2
        cells = np.array([[left, top, left + PATCH, top + PATCH] for top, left in places], dtype=np.float64)
        hit = iou(cells, found).sum(axis=1) > 0
        kept += [patch for patch, bad in zip(nine, hit.tolist(), strict=True) if not bad]
    return kept


def _fitted(path: Path, side: int) -> Image:
    """The photo, ``side`` pixels square; black where it is not square itself."""
    image = read_image(path)
    if image.shape[:2] == (side, side):
        return image
    small = PillowImage.fromarray(image)
    small.thumbnail((side, side), PillowImage.Resampling.BILINEAR)
    square = np.zeros((side, side, 3), dtype=np.uint8)
    square[: small.height, : small.width] = np.asarray(small)
    return square


def _save(path: Path, array: NDArray[np.generic]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with beside.open("wb") as stream:
        np.save(stream, array)
    beside.replace(path)


def _is_whole(last: Path, count: int) -> bool:
    """The shard is there, and was not made when a limit left fewer images for it."""
    if not last.is_file():
        return False
    images = np.load(last.with_name(last.name.replace("faces", "images")), mmap_mode="r")
    return len(images) == count


def collect(
    paths: Sequence[Path], kind: Kind, teacher: Detector, folder: Path, progress: Progress | None = None
) -> None:
    """Read and mark ``paths`` into shards in ``folder``; shards that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(paths), SHARD):
        last = folder / f"{kind}-{start:06d}.faces.npy"  # written last: it vouches for the others
        if not _is_whole(last, min(SHARD, len(paths) - start)):
            images, rows, patches = [], [np.zeros((0, 16), dtype=np.float32)], []
            for i, path in enumerate(paths[start : start + SHARD]):
                image = _fitted(path, SIDES[kind])
                marks = mark(image, teacher, BORDER if kind == "chips" else 0)
                images.append(image)
                rows.append(marks.to_rows(i))
                patches += list(corner_patches(image, marks)) if kind == "photos" else []
            clean = np.array(without_faces(patches, teacher), dtype=np.uint8).reshape(-1, PATCH, PATCH, 3)
            _save(folder / f"{kind}-{start:06d}.patches.npy", clean)
            _save(folder / f"{kind}-{start:06d}.images.npy", np.stack(images))
            _save(last, np.concatenate(rows))
        if progress is not None:
            progress(min(start + SHARD, len(paths)), len(paths))


class Sources:
    """The shards of a folder, mapped into memory: ``kind``'s images with their marks, and the patches.

    Images without a sure face are passed over.  Raises DataError where the folder has none of a kind.
    """

    def __init__(self, folder: Path) -> None:
        self._images: dict[Kind, list[tuple[NDArray[np.uint8], int]]] = {"chips": [], "photos": []}
        self._marks: dict[Kind, list[Marks]] = {"chips": [], "photos": []}
        self._patches: list[NDArray[np.uint8]] = []
        for kind in SIDES:
            for path in sorted(folder.glob(f"{kind}-*.faces.npy")):
                self._read(kind, path)
            if not self._marks[kind]:
                raise DataError(f"{folder}: no {kind} with faces in this folder; collect them first")
        self._patch_ends = np.cumsum([len(part) for part in self._patches])
        if not self.patches:
            raise DataError(f"{folder}: no patch of the photos is free of faces; use more photos")

    def _read(self, kind: Kind, path: Path) -> None:
        rows = np.load(path)
        images, patches = (
            np.load(path.with_name(path.name.replace("faces", other)), mmap_mode="r")
            for other in ("images", "patches")
        )
        self._patches.append(patches)
        ends = np.searchsorted(rows[:, 0], np.arange(len(images) + 1))
        for i in range(len(images)):
            marks = Marks.from_rows(rows[ends[i] : ends[i + 1]])
            if len(marks.boxes):
                self._images[kind].append((images, i))
                self._marks[kind].append(marks)

    def count(self, kind: Kind) -> int:
        return len(self._marks[kind])

    @property
    def patches(self) -> int:
        return int(self._patch_ends[-1])

    def image(self, kind: Kind, index: int) -> tuple[Image, Marks]:
        images, i = self._images[kind][index]
        return np.asarray(images[i]), self._marks[kind][index]

    def patch(self, index: int) -> Image:
        """A patch (PATCH, PATCH, 3) of background that shows no face."""
        part = int(np.searchsorted(self._patch_ends, index, side="right"))
        return np.asarray(self._patches[part][index - int(self._patch_ends[part])])
