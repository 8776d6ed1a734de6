"""Draw the faces of one photo, and a comparison of two.

Large photos are drawn smaller and small ones larger, so that both text and face are readable.  Coordinates
are those of the whole upright photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as PillowImage
from PIL import ImageDraw

from ..imaging.scaled_jpeg import Photo
from ..plotting.drawing import (
    BLUE,
    FAINT,
    VERMILION,
    Color,
    font,
    line_height,
    shortened,
    text_width,
    wrapped,
)
from ..plotting.page import Page
from ..quality.result import Quality
from ..types import Box, Face, Image
from ..verification.result import Comparison

BRIGHT: Color = (255, 225, 60)  # lines on a photo, which have a dark edge
DARK: Color = (20, 20, 20)

COLUMN = 460  # pixels: the width of a photo in a comparison, and the height that it has at most
LARGE = 1280  # the longer side of a photo that stands alone
ENLARGED = 480  # the longer side to which a small photo is enlarged
MOST_ENLARGED = 8  # times
CROP = 224  # the side of a face crop
GAP = 24
NARROWEST = 560  # the text of a page

TITLE, TEXT, SMALL = 25, 16, 14  # sizes of the font
MOST_LISTED = 60  # faces that are described below a photo

Edges = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of a picture."""

_FINE = PillowImage.Resampling.LANCZOS


def faces_picture(photo: Photo, faces: Sequence[tuple[Face, Quality]], name: str) -> PillowImage.Image:
    """Draw a photo with the boxes and landmarks of its faces, and describe each face below it.

    Where there are several, numbers lead from the descriptions to the boxes.
    """
    several = len(faces) > 1
    tile = _drawn(photo, [face for face, _ in faces], LARGE, ENLARGED, numbered=several)
    page = Page(max(tile.width, NARROWEST))
    count = f"{len(faces)} face{'' if len(faces) == 1 else 's'}"
    page.line(shortened(name, TITLE, page.width - text_width(f": {count}", TITLE)) + f": {count}", TITLE)
    page.space(10)
    page.tiles([(0, tile)])
    page.space(14)
    for number, (face, quality) in enumerate(faces[:MOST_LISTED], 1):
        page.text(f"{number}: " * several + f"{face}, {quality}", TEXT)
    if len(faces) > MOST_LISTED:
        page.text(f"and {len(faces) - MOST_LISTED} more", TEXT, FAINT)
    return page.finished()


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two photos of a comparison.

    Args:
        photo: The photo.
        name: Of the photo.
        caption: A description of its face.
        crop: The input of the model, uint8 (S, S, 3).
    """

    photo: Photo
    name: str
    caption: str
    crop: Image


def comparison_picture(result: Comparison, first: Side, second: Side) -> PillowImage.Image:
    """Draw the verdict, the two photos with the faces that were used, and the face crops side by side."""
    page = Page(2 * COLUMN + GAP)
    verdict, *lines = result.lines()
    page.text(verdict, TITLE, BLUE if result.same else VERMILION)
    page.space(2)
    for line in lines:
        page.text(line, TEXT)
    for sentence in result.warnings:
        page.text(f"warning: {sentence}", TEXT, VERMILION)
    page.space(16)
    sides = (first, second)
    tiles = [
        _drawn(side.photo, [] if face is None else [face], COLUMN, COLUMN)
        for side, face in zip(sides, result.faces, strict=True)
    ]
    columns = [(0, first), (COLUMN + GAP, second)]
    page.columns([(x, [shortened(side.name, TEXT, COLUMN)]) for x, side in columns], TEXT)
    page.space(4)
    page.tiles([(x, tile) for (x, _), tile in zip(columns, tiles, strict=True)])
    page.space(6)
    page.columns([(x, wrapped(side.caption, SMALL, COLUMN)) for x, side in columns], SMALL, FAINT)
    page.space(18)
    size = first.crop.shape[0]
    page.text(f"what the model compared: both faces, aligned to {size}x{size} pixels", TEXT)
    page.space(4)
    crops = [PillowImage.fromarray(side.crop).resize((CROP, CROP), _FINE) for side in sides]
    page.tiles([(0, crops[0]), (CROP + 8, crops[1])])
    return page.finished()


# ---- a photo with its faces -------------------------------------------------------------------


def _drawn(
    photo: Photo, faces: Sequence[Face], longest: int, small: int, numbered: bool = False
) -> PillowImage.Image:
    """The photo with the boxes and landmarks of ``faces``.

    The longer side is ``longest`` at most; a photo below ``small`` is enlarged to it, but not without limit.
    """
    height, width = photo.shape[:2]
    side = max(height, width)
    scale = longest / side if side > longest else max(1.0, min(small / side, MOST_ENLARGED))
    seen = photo.at(longest)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    tile = PillowImage.fromarray(seen.reduced).resize(shape, _FINE)
    draw = ImageDraw.Draw(tile)
    here = [_scaled(seen.inward(face), scale * seen.factor) for face in faces]
    for face in here:
        _mark(draw, face, tile.size)
    if numbered:
        _numbers(draw, here, tile.size)
    return tile


def _scaled(face: Face, scale: float) -> Face:
    """The face in a photo of another size: edges of pixels are scaled, landmarks are centers of pixels."""
    points = face.landmarks and tuple(
        ((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5) for x, y in face.landmarks
    )
    return Face(Box(*(value * scale for value in face.box)), face.confidence, points)


def _mark(draw: ImageDraw.ImageDraw, face: Face, size: tuple[int, int]) -> None:
    """Draw the box and the landmarks; what lies outside the photo is drawn along its edge."""
    line = 1 + (face.box.width >= 40) + (face.box.width >= 100)
    left, top, right, bottom = _within(face.box, size)
    draw.rectangle((left, top, right, bottom), outline=DARK, width=line + 2)
    draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=BRIGHT, width=line)
    radius = min(4.0, max(1.0, face.box.width / 40))
    for x, y in face.landmarks or ():
        around = radius + 1
        draw.ellipse((x - around, y - around, x + around, y + around), fill=DARK)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=BRIGHT)


def _within(box: Box, size: tuple[int, int], least: int = 9) -> Edges:
    """The box within a picture of ``size``, at least so many pixels wide and high that it can be seen."""
    edges = []
    for low, high, length in ((box.left, box.right, size[0]), (box.top, box.bottom, size[1])):
        spare = max(0.0, least - (high - low)) / 2
        first = min(max(0.0, low - spare), max(0, length - least))
        edges.append((first, min(length - 1.0, max(high + spare, first + least))))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _numbers(draw: ImageDraw.ImageDraw, faces: Sequence[Face], size: tuple[int, int]) -> None:
    """Number the faces from 1 on: each number beside its box, where it hides nothing if there is a place."""
    taken: list[Edges] = [(x - 4, y - 4, x + 4, y + 4) for face in faces for x, y in face.landmarks or ()]
    for number, face in enumerate(faces, 1):
        width, height = round(text_width(str(number), TEXT)) + 8, line_height(TEXT)
        left, top, right, bottom = _within(face.box, size)
        places = [
            (left, top - height), (left, bottom), (right - width, top - height), (right - width, bottom),
            (right, top), (left - width, top), (right, bottom - height), (left - width, bottom - height),
            (left, top), (right - width, top), (left, bottom - height), (right - width, bottom - height),
        ]  # fmt: skip
        tags: list[Edges] = [
            (x, y, x + width, y + height)
            for x, y in places
            if 0 <= x <= size[0] - width and 0 <= y <= size[1] - height
        ]
        free = (tag for tag in tags if not any(_meet(tag, other) for other in taken))
        tag = next(free, tags[0] if tags else (0, 0, width, height))
        taken.append(tag)
        draw.rectangle(tag, fill=BRIGHT)
        middle = (tag[0] + tag[2]) / 2, (tag[1] + tag[3]) / 2
        draw.text(middle, str(number), fill=DARK, font=font(TEXT), anchor="mm")


def _meet(a: Edges, b: Edges) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
