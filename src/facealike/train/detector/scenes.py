"""Compose training scenes of pseudo-labeled photos, so that every box and landmark is known.

A scene is a background with layers.  Each layer is a source image that is turned, scaled, mirrored and
blended in; its labels go through the same transform.  ``compose`` is a pure function of its random
generator.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from ...types import Image
from .backgrounds import background
from .photometric import augment_photometric
from .pseudo_labels import MIRRORED, SIDES, Kind, PseudoLabels, Sources

SIDE = 256
SMALLEST = 9.0
"""Faces below this size (square root of the box's area, in pixels) are ignored."""
SEEN, HALF_SEEN = 0.7, 0.25
"""Visible share of a box from which on it is a face, and below which it is background; between, ignored."""


@dataclass(frozen=True)
class Scene:
    """RGB uint8 (SIDE, SIDE, 3) with its faces: ``boxes`` (n, 4), ``points`` (n, 5, 2), ``ignore`` (m, 4)."""

    image: Image
    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    ignore: NDArray[np.float32]


def similarity(
    center: tuple[float, float], target: tuple[float, float], scale: float, degrees: float, mirror: bool
) -> NDArray[np.float64]:
    """Return the matrix (2, 3) that turns and scales about ``center`` and moves it to ``target``."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = scale * turn @ np.diag([-1.0 if mirror else 1.0, 1.0])
    matrix: NDArray[np.float64] = np.column_stack([linear, np.array(target) - linear @ np.array(center)])
    return matrix


def move_points(points: NDArray[np.floating], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return landmarks (n, 5, 2) moved by ``matrix``; a mirror swaps left and right."""
    moved: NDArray[np.float64] = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[:, MIRRORED] if np.linalg.det(matrix[:, :2]) < 0 else moved


def move_boxes(boxes: NDArray[np.floating], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return boxes (n, 4) moved by ``matrix``: the box around the moved ellipse that is inscribed in each."""
    # Landmarks refer to pixel centers and boxes to pixel edges, half a pixel apart.
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    moved = center @ matrix[:, :2].T + matrix[:, 2] + 0.5
    reach = np.sqrt((half**2) @ (matrix[:, :2] ** 2).T)
    return np.concatenate([moved - reach, moved + reach], axis=1)


def _share_inside(boxes: NDArray[np.floating], frame: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the share of each box (n, 4) within ``frame`` (4,)."""
    low, high = np.maximum(boxes[:, :2], frame[:2]), np.minimum(boxes[:, 2:], frame[2:])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    share: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=1) / np.maximum(area, 1e-9)
    return share


@dataclass
class _Canvas:
    """A scene that is being composed."""

    image: Image
    boxes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5, 2)))
    ignore: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))

    def cover(self, frame: NDArray[np.float64]) -> None:
        """Remove faces under an opaque layer on ``frame``, or ignore them if they are partly visible."""
        hidden = _share_inside(self.boxes, frame)
        partly = (hidden > 1 - SEEN) & (hidden < 1 - HALF_SEEN)
        self.ignore = np.concatenate(
            [self.ignore[_share_inside(self.ignore, frame) < 1 - HALF_SEEN], self.boxes[partly]]
        )
        self.boxes, self.points = self.boxes[hidden <= 1 - SEEN], self.points[hidden <= 1 - SEEN]

    def add(self, labels: PseudoLabels, matrix: NDArray[np.float64], frame: NDArray[np.float64]) -> None:
        """Add the faces of a layer that is visible within ``frame`` only."""
        boxes, points = move_boxes(labels.boxes, matrix), move_points(labels.points, matrix)
        ignored = move_boxes(labels.ignored, matrix)
        seen = _share_inside(boxes, frame)
        size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        good = (seen >= SEEN) & (size >= SMALLEST)
        self.boxes = np.concatenate([self.boxes, boxes[good]])
        self.points = np.concatenate([self.points, points[good]])
        doubtful = boxes[~good & (seen >= HALF_SEEN)]
        self.ignore = np.concatenate([self.ignore, doubtful, ignored[_share_inside(ignored, frame) > 0.1]])


def _paste(
    canvas: _Canvas, source: Image, matrix: NDArray[np.float64], frame: NDArray[np.float64],
    mask: PillowImage.Image | None = None,
) -> None:  # fmt: skip
    """Draw ``source`` through ``matrix`` into ``frame`` (left, top, right, bottom) of the canvas.

    ``mask`` is the opacity, an L image as large as the source; without one it is fully opaque.
    """
    left, top, right, bottom = (int(v) for v in frame)
    if right <= left or bottom <= top:
        return
    picture = PillowImage.fromarray(source)
    opaque = PillowImage.new("L", picture.size, 255) if mask is None else mask
    inverse = np.linalg.inv(matrix[:, :2])
    offset = 0.5 - inverse @ (matrix[:, 2] + 0.5)  # Pillow counts from pixel edges
    shrink = int(1 / math.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if shrink > 1:
        picture, opaque = picture.reduce(shrink), opaque.reduce(shrink)
        inverse, offset = inverse / shrink, offset / shrink
    offset = offset + inverse @ np.array([left, top])
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    size, affine = (right - left, bottom - top), PillowImage.Transform.AFFINE
    layer = picture.transform(size, affine, coefficients, PillowImage.Resampling.BILINEAR)
    # An opaque source may have a sharp outline; nearest takes a third of the time.
    how = PillowImage.Resampling.NEAREST if mask is None else PillowImage.Resampling.BILINEAR
    under = PillowImage.fromarray(canvas.image[top:bottom, left:right])
    under.paste(layer, (0, 0), opaque.transform(size, affine, coefficients, how))
    canvas.image[top:bottom, left:right] = np.asarray(under)


def _clip(box: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.floor(box[:2]), np.ceil(box[2:])
    clipped: NDArray[np.float64] = np.clip(np.concatenate([low, high]), 0, SIDE)
    return clipped


def _roll(rng: np.random.Generator) -> float:
    """Return a random angle in degrees: mostly small, often up to 35 either way, rarely up to 55."""
    kind = rng.random()
    if kind < 0.45:
        return float(rng.normal(0, 8))
    return float(rng.uniform(-35, 35) if kind < 0.93 else rng.uniform(-55, 55))


def _draw(rng: np.random.Generator, sources: Sources, kind: Kind) -> tuple[Image, PseudoLabels]:
    return sources.image(kind, int(rng.integers(sources.count(kind))))


def _any_kind(rng: np.random.Generator, photos: float) -> Kind:
    return "photos" if rng.random() < photos else "chips"


def _main_face(labels: PseudoLabels) -> NDArray[np.float32]:
    size: NDArray[np.float32] = (labels.boxes[:, 2:] - labels.boxes[:, :2]).prod(axis=1)
    box: NDArray[np.float32] = labels.boxes[int(size.argmax())]
    return box


def _size_of(box: NDArray[np.floating]) -> float:
    return float(np.sqrt((box[2:] - box[:2]).prod()))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _photo_in_frame(
    rng: np.random.Generator, sources: Sources, canvas: _Canvas, frame: NDArray[np.float64],
    smallest: float, photos: float = 0.6,
) -> None:  # fmt: skip
    """Fill ``frame`` with one photo or chip, its main face within."""
    image, labels = _draw(rng, sources, _any_kind(rng, photos))
    box = _main_face(labels)
    wide, high = frame[2:] - frame[:2]
    largest = 0.98 * min(wide, high)
    size = _log_uniform(rng, min(smallest, largest), largest)
    spread = np.maximum(np.array([wide, high]) - size, 0) * rng.uniform(-0.55, 0.55, 2)
    target = (frame[:2] + frame[2:]) / 2 + spread
    center = (box[:2] + box[2:]) / 2
    matrix = similarity(
        tuple(center), tuple(target), size / _size_of(box), _roll(rng), bool(rng.random() < 0.5)
    )
    _paste(canvas, image, matrix, frame)
    canvas.add(labels, matrix, frame)


def _whole_photo(rng: np.random.Generator, sources: Sources, canvas: _Canvas) -> None:
    """Add a whole photo, upright, with black padding, or a whole chip."""
    kind: Kind = _any_kind(rng, 0.5)
    image, labels = _draw(rng, sources, kind)
    side = SIDES[kind]
    scale = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.6, 1.0)) * SIDE / side
    mirror = bool(rng.random() < 0.5)
    spare = SIDE - scale * side
    corner = spare * rng.random(2) if kind == "chips" or rng.random() < 0.3 else np.zeros(2)
    middle = (side - 1) / 2
    target = corner + scale * (middle + 0.5) - 0.5
    matrix = similarity((middle, middle), tuple(target), scale, 0.0, mirror)
    canvas.image[:] = 0 if rng.random() < 0.7 else rng.integers(0, 256, 3)
    frame = np.array([0.0, 0.0, SIDE, SIDE])
    _paste(canvas, image, matrix, frame)
    canvas.add(labels, matrix, frame)


def _tiles(rng: np.random.Generator, sources: Sources, canvas: _Canvas) -> None:
    """Add several photos side by side; some places keep the background."""
    rows, columns = ((1, 2), (2, 1), (2, 2), (2, 2), (2, 3), (3, 2), (3, 3), (4, 4))[int(rng.integers(8))]
    ys = np.round(np.linspace(0, SIDE, rows + 1) + np.r_[0, rng.uniform(-15, 15, rows - 1), 0])
    xs = np.round(np.linspace(0, SIDE, columns + 1) + np.r_[0, rng.uniform(-15, 15, columns - 1), 0])
    for top, bottom in itertools.pairwise(ys):
        for left, right in itertools.pairwise(xs):
            if rng.random() < 0.85:
                _photo_in_frame(rng, sources, canvas, np.array([left, top, right, bottom]), 10)


def _soft_mask(rng: np.random.Generator, side: int, box: NDArray[np.floating]) -> PillowImage.Image:
    """Return the opacity of a pasted head: a soft ellipse, a little larger than its box."""
    step = 4  # the mask is smooth, so it is computed at a quarter of the size
    y, x = np.mgrid[: side // step, : side // step].astype(np.float32) * step + step / 2
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    grow = rng.uniform(1.15, 1.6, 2)
    away = ((x - center[0]) / (half[0] * grow[0])) ** 2 + ((y - center[1]) / (half[1] * grow[1])) ** 2
    softness = rng.uniform(0.05, 0.5)
    # No face may be cut off sharply at the edge of its source.
    edge = (np.minimum(np.minimum(x, side - x), np.minimum(y, side - y)) - step / 2) / 8
    opaque = np.clip(np.minimum((1 + softness - away) / softness, edge), 0, 1) * 255
    small = PillowImage.fromarray(opaque.astype(np.uint8))
    return small.resize((side, side), PillowImage.Resampling.BILINEAR)


def _paste_heads(rng: np.random.Generator, sources: Sources, canvas: _Canvas, count: int) -> None:
    """Add heads, with soft or square outlines, where they cover no other face."""
    for _ in range(count):
        kind = _any_kind(rng, 0.3)
        image, labels = _draw(rng, sources, kind)
        box = _main_face(labels)
        size = _log_uniform(rng, 10, 200 if count <= 3 else 80)
        matrix = similarity(
            tuple((box[:2] + box[2:]) / 2), tuple(rng.uniform(-0.1 * size, SIDE + 0.1 * size, 2)),
            size / _size_of(box), _roll(rng), bool(rng.random() < 0.5),
        )  # fmt: skip
        soft = kind == "photos" or rng.random() < 0.6
        mask = _soft_mask(rng, SIDES[kind], box) if soft else None
        extent = box if soft else np.array([0, 0, SIDES[kind], SIDES[kind]])
        whole = move_boxes(extent[None].astype(np.float64), matrix)[0]
        grown = whole + np.array([-1, -1, 1, 1]) * (0.6 if soft else 0.25) * (whole[2:] - whole[:2]).max()
        everything = np.concatenate([canvas.boxes, canvas.ignore])
        if (_share_inside(everything, grown) > 0.02).any():
            continue
        frame = _clip(grown)
        _paste(canvas, image, matrix, frame, mask)
        if soft:  # other faces of the photo are cut away
            main = (labels.boxes == box).all(axis=1)
            labels = PseudoLabels(labels.boxes[main][:1], labels.points[main][:1], labels.boxes[:0])
        canvas.add(labels, matrix, np.array([0.0, 0.0, SIDE, SIDE]))


def _occlude(rng: np.random.Generator, canvas: _Canvas) -> None:
    """Cover parts of some faces by bars, blocks and blobs, at most a good third of the box; labels stay."""
    for left, top, right, bottom in canvas.boxes[rng.random(len(canvas.boxes)) < 0.15]:
        wide, high = right - left, bottom - top
        w, h = (1.2, rng.uniform(0.1, 0.3)) if rng.random() < 0.5 else rng.uniform(0.2, 0.6, 2)
        x = left + wide * (rng.uniform(0, 1 - w) if w < 1 else -0.1)
        y = top + high * rng.uniform(0, 1 - h)
        a, b, c, d = _clip(np.array([x, y, x + w * wide, y + h * high])).astype(int)
        part = canvas.image[b:d, a:c]
        if part.size == 0:
            continue
        color = rng.integers(0, 256, 3)
        if rng.random() < 0.5:
            rows, columns = np.mgrid[-1 : 1 : part.shape[0] * 1j, -1 : 1 : part.shape[1] * 1j]
            part[rows**2 + columns**2 <= 1] = color
        else:
            part[:] = (
                color if rng.random() < 0.6 else rng.integers(0, 256, part.shape)
            )  # plain, or noise like a pattern


def _face_pieces(rng: np.random.Generator, sources: Sources, canvas: _Canvas) -> None:
    """Add a hard negative: a face cut into shuffled pieces."""
    image, labels = _draw(rng, sources, "chips")
    left, top, right, bottom = np.clip(_main_face(labels), 0, SIDES["chips"]).astype(int)
    face = image[top:bottom, left:right]
    n = int(rng.integers(4, 7))
    size = int(rng.integers(3, 12)) * n
    small = np.asarray(PillowImage.fromarray(face).resize((size, size), PillowImage.Resampling.BILINEAR))
    step = size // n
    pieces = small.reshape(n, step, n, step, 3).swapaxes(1, 2).reshape(-1, step, step, 3)
    mixed = pieces[rng.permutation(len(pieces))].reshape(n, n, step, step, 3).swapaxes(1, 2)
    y, x = rng.integers(0, SIDE - size, 2)
    frame = np.array([x, y, x + size, y + size], dtype=np.float64)
    if (_share_inside(np.concatenate([canvas.boxes, canvas.ignore]), frame) > 0).any():
        return
    canvas.image[y : y + size, x : x + size] = mixed.reshape(size, size, 3)


def compose(rng: np.random.Generator, sources: Sources) -> Scene:
    """Return a random scene; see the module."""
    canvas = _Canvas(background(rng, sources, SIDE))
    kind = rng.random()
    everywhere = np.array([0.0, 0.0, SIDE, SIDE])
    if kind < 0.25:
        _photo_in_frame(rng, sources, canvas, everywhere, 24, photos=0.65)
    elif kind < 0.40:
        _whole_photo(rng, sources, canvas)
    elif kind < 0.60:
        _tiles(rng, sources, canvas)
    elif kind < 0.92:
        _paste_heads(rng, sources, canvas, int(rng.choice([2, 3, 5, 8, 12])))
    if rng.random() < 0.15:
        for _ in range(int(rng.integers(1, 4))):
            _face_pieces(rng, sources, canvas)
    _occlude(rng, canvas)
    image = augment_photometric(rng, canvas.image)
    if rng.random() < 0.02:
        image = np.asarray(PillowImage.fromarray(image).filter(ImageFilter.SHARPEN))
    return Scene(
        image, canvas.boxes.astype(np.float32), canvas.points.astype(np.float32),
        canvas.ignore.astype(np.float32),
    )  # fmt: skip
