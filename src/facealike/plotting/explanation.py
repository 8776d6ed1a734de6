"""Draw an explanation: the maps over both faces, with a legend, and the falls of the regions as bars.

Blue is where covering lowers the score, vermilion where it raises it; both maps share one scale.  The face
below is gray, so that its own colors are not read as part of the map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ..types import Image
from .drawing import (
    BLUE,
    FAINT,
    INK,
    VERMILION,
    Color,
    png,
    shortened,
    text_width,
    wrapped,
)
from .page import Page
from .style import BLUE as BLUE_HEX
from .style import GRAY, legend, style_axes
from .style import VERMILION as VERMILION_HEX

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..verification.explanation import Explanation

TILE = 232  # pixels: the side of a crop and of a map
BESIDE, GAP = 8, 28  # between a crop and its map, and between the photos
COLUMN = 2 * TILE + BESIDE
BAR, BAR_HEIGHT = 360, 16  # of the legend
STRONGEST = 0.75  # opacity of a map at the end of its scale
STEEPNESS = 1.5  # power of the opacity, so that weak places leave the face visible
NAME, FIGURE = 130, 80  # widths of the columns of the table

TITLE, TEXT, SMALL = 22, 16, 14  # sizes of the font

Floats = NDArray[np.float32] | NDArray[np.float64]


def scale_of(result: Explanation) -> float:
    """Return the fall at which the color is strongest.

    At least ``smallest``: a map of falls that no sentence would name stays faint.
    """
    return max(result.smallest, *(float(np.abs(each).max()) for each in result.maps))


def map_over(crop: Image, falls: Floats, scale: float) -> Image:
    """Return a gray crop under its map, uint8 (S, S, 3).

    Args:
        crop: uint8 (S, S, 3).
        falls: The map, (S, S).
        scale: The fall at which the color is strongest.
    """
    gray = np.asarray(PillowImage.fromarray(crop).convert("L"), dtype=np.float64)[..., None]
    share = (np.clip(np.abs(falls) / scale, 0, 1)[..., None] ** STEEPNESS) * STRONGEST
    color = np.where(falls[..., None] >= 0, BLUE, VERMILION)
    return np.rint(gray * (1 - share) + color * share).astype(np.uint8)


def overlays_of(result: Explanation) -> tuple[bytes, bytes]:
    """Return both faces under their maps on one scale, each a PNG as large as its crop."""
    scale = scale_of(result)
    first, second = (
        png(PillowImage.fromarray(map_over(crop, falls, scale)))
        for crop, falls in zip(result.crops, result.maps, strict=True)
    )
    return first, second


def explanation_picture(result: Explanation, photos: tuple[str, str]) -> PillowImage.Image:
    """Draw both faces and their maps, with the verdict, the sentence, a legend and a table of the regions."""
    page = Page(2 * COLUMN + GAP)
    comparison = result.comparison
    page.text(comparison.lines(photos)[0], TITLE, BLUE if comparison.same else VERMILION)
    score = f"score {comparison.score:.3f}, threshold {comparison.threshold:.3f}"
    for line in (score, result.sentence, *([] if result.nearby is None else [str(result.nearby)])):
        page.text(line, TEXT)
    for sentence in comparison.warnings:
        page.text(f"warning: {sentence}", TEXT, VERMILION)
    page.space(14)
    left, right = 0, COLUMN + GAP
    page.columns(
        [(x, [shortened(name, TEXT, COLUMN)]) for x, name in zip((left, right), photos, strict=True)], TEXT
    )
    page.space(4)
    scale = scale_of(result)
    tiles = []
    for x, crop, falls in zip((left, right), result.crops, result.maps, strict=True):
        tiles += [(x, _tile(crop)), (x + TILE + BESIDE, _tile(map_over(crop, falls, scale)))]
    page.tiles(tiles)
    page.space(4)
    quality = [wrapped("" if each is None else str(each), SMALL, COLUMN) for each in comparison.quality]
    if any(quality):
        page.columns([(left, quality[0]), (right, quality[1])], SMALL, FAINT)
    page.space(12)
    _legend(page, scale)
    if result.regions:
        page.space(14)
        _table(page, result)
    return page.finished()


def _tile(pixels: Image) -> PillowImage.Image:
    return PillowImage.fromarray(pixels).resize((TILE, TILE), PillowImage.Resampling.BICUBIC)


def _legend(page: Page, scale: float) -> None:
    page.line(
        "map: change of the score when a patch at this place is covered (its mean over the patches)", TEXT
    )
    page.space(4)
    ramp = np.linspace(scale, -scale, BAR)[None].repeat(BAR_HEIGHT, axis=0)
    paper = np.full((BAR_HEIGHT, BAR, 3), 255, np.uint8)
    page.tiles([(0, PillowImage.fromarray(map_over(paper, ramp, scale)))])
    ends = [f"{-scale:+.3f}", "0", f"{scale:+.3f}"]
    places = [0, BAR // 2 - 4, BAR - round(text_width(ends[2], SMALL))]
    page.columns([(x, [text]) for x, text in zip(places, ends, strict=True)], SMALL)
    page.text("blue: the place carries the score; vermilion: it lowers the score", SMALL, FAINT)


def _table(page: Page, result: Explanation) -> None:
    """The change of the score for each region; those below ``smallest`` are faint."""
    page.line("change of the score when the whole region is covered", TEXT)
    page.columns([(NAME, ["first"]), (NAME + FIGURE, ["second"])], SMALL, FAINT)
    for region in result.regions:
        page.cells(
            [(0, region.name, INK), *(
                (NAME + place * FIGURE, f"{-fall:+.3f}", _color(fall, result.smallest))
                for place, fall in enumerate(region.falls)
            )],
            SMALL,
        )  # fmt: skip


def _color(fall: float, smallest: float) -> Color:
    return FAINT if abs(fall) < smallest else BLUE if fall > 0 else VERMILION


def draw_region_falls(ax: Axes, result: Explanation) -> None:
    """Draw the change of the score with each region covered, two bars a region."""
    place = np.arange(len(result.regions))
    for shift, side, name, color in (
        (-0.2, 0, "first photo covered", BLUE_HEX),
        (0.2, 1, "second photo covered", VERMILION_HEX),
    ):
        values = [-region.falls[side] for region in result.regions]
        ax.barh(place + shift, values, color=color, height=0.36, label=name)
    ax.axvspan(
        -result.smallest, result.smallest, color=GRAY, alpha=0.2, linewidth=0, label="too small to name"
    )
    ax.set_yticks(place, [region.name for region in result.regions])
    ax.set(ylim=(max(len(place), 1) - 0.4, -0.6), xlabel="change of the score (cosine)")
    style_axes(ax)
    legend(ax)
