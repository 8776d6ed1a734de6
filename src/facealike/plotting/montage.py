"""Draw montages of pairs: the pairs of a split, and the right and wrong decisions of a model.

Pillow only, so that the base install can draw them.  Right and wrong differ in color (see
``facealike.plotting.drawing``), in a sign and in a word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from ..errors import UsageError
from ..types import Image
from ..utils.escape import one_line
from .drawing import (
    BLUE,
    FAINT,
    INK,
    MARGIN,
    NEUTRAL,
    PAPER,
    VERMILION,
    Color,
    font,
    line_height,
    shortened,
    text_width,
    wrapped,
)

if TYPE_CHECKING:
    from ..types import PairIndices

Take = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Indices (k,) -> the crops of those images, uint8 (k, S, S, 3)."""

RIGHT, WRONG = BLUE, VERMILION  # of a decision

TILE = 112  # side of a crop on the page
FRAME = 4  # width of the colored frame
GAP = 18  # between cells
CAPTION = 24  # height of the line under a pair
LABEL = 15  # height of a line under a crop
LABEL_SIZE = 11
LEGEND_WIDTH = 300
CELL_WIDTH = 2 * TILE + 3 * FRAME
CELL_HEIGHT = TILE + 2 * FRAME + CAPTION


@dataclass(frozen=True)
class MontageCell:
    """Two crops of a pair, with a caption.

    Args:
        a: uint8 (S, S, 3).
        b: uint8 (S, S, 3).
        caption: A short text.
        right: Whether the decision was right; None where nothing was decided.
        labels: Lines of text below each of the two crops; what is too long is shortened in its middle.
    """

    a: Image
    b: Image
    caption: str = ""
    right: bool | None = None
    labels: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def __post_init__(self) -> None:
        for crop in (self.a, self.b):
            if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3 or 0 in crop.shape:
                raise UsageError(f"a cell shows uint8 crops (S, S, 3), not {crop.dtype} {crop.shape}")
            if crop.shape[0] != crop.shape[1]:
                raise UsageError(f"a cell shows square crops, not {crop.shape[1]} x {crop.shape[0]}")

    @property
    def color(self) -> Color:
        return NEUTRAL if self.right is None else RIGHT if self.right else WRONG


@dataclass(frozen=True)
class Section:
    """A heading, a note beside it, and the cells below."""

    heading: str
    remark: str
    cells: tuple[MontageCell, ...]


def sections_montage(
    sections: Sequence[Section], columns: int, title: str, subtitle: str = ""
) -> PillowImage.Image:
    """Draw several groups of cells on one page, each under its heading."""
    if columns < 1:
        raise UsageError(f"a montage needs at least one column, not {columns}")
    width = 2 * MARGIN + max(columns * CELL_WIDTH + (columns - 1) * GAP, LEGEND_WIDTH)
    decided_any = any(cell.right is not None for section in sections for cell in section.cells)
    # Drawn on a page that is high enough in any case, then cropped to what was used.
    rows = sum(-(-len(section.cells) // columns) for section in sections)
    lines = sum(len(text) for text in (title, subtitle)) + 20
    most = max((_label_lines(cell) for section in sections for cell in section.cells), default=0)
    height = 400 + 40 * lines + rows * (CELL_HEIGHT + most * LABEL + GAP) + 200 * len(sections)
    page = PillowImage.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    y = _header(draw, width, title, subtitle, decided_any)
    for section in sections:
        y = _section(page, draw, y, section, columns)
    return page.crop((0, 0, width, y - GAP + MARGIN))


def sample_pairs_montage(
    take: Take, pairs: PairIndices, title: str, each: int = 8, columns: int = 4
) -> PillowImage.Image:
    """Draw ``each`` genuine and ``each`` impostor pairs, evenly spaced in the list of pairs."""
    same = np.asarray(pairs.same, dtype=np.bool_)
    sections = []
    for truth, heading in ((True, "Same person"), (False, "Different people")):
        of_kind = np.flatnonzero(same == truth)
        cells = _cells(take, pairs, _spread(of_kind, each), None, None)
        sections.append(Section(heading, _of(len(cells), len(of_kind), "pairs"), cells))
    return sections_montage(sections, columns, title)


def predictions_montage(
    take: Take, pairs: PairIndices, scores: ArrayLike, threshold: float, title: str,
    each: int = 8, columns: int = 4,
) -> PillowImage.Image:  # fmt: skip
    """Draw pairs on which the decision "same" at ``score >= threshold`` is right and on which it is wrong.

    Four groups of at most ``each`` pairs: of the right decisions a sample evenly spaced by score, of the
    wrong ones the worst, worst first.  Leave out pairs without a detected face: they have no score and no
    crop.
    """
    values, same = np.asarray(scores, dtype=np.float64), np.asarray(pairs.same, dtype=np.bool_)
    if values.shape != same.shape:
        raise UsageError(f"one score a pair is needed, not {values.shape} for {same.shape}")
    if not np.isfinite(values).all():
        raise UsageError("a score to be shown is NaN or infinite; every score must be finite")
    accepted = values >= threshold
    sections = []
    for truth, decided, heading in (
        (True, True, "Same person, accepted"),
        (False, False, "Different people, rejected"),
        (True, False, "Same person, rejected: false non-matches"),
        (False, True, "Different people, accepted: false matches"),
    ):
        group = np.flatnonzero((same == truth) & (accepted == decided))
        # Most confident first: high scores where the answer was "same", low ones where it was "different".
        group = group[np.argsort(-values[group] if decided else values[group], kind="stable")]
        right = truth == decided
        chosen = _spread(group, each) if right else group[:each]
        decision = "same" if decided else "different"
        captions = [f"{values[i]:.3f}  decided {decision}" for i in chosen]
        cells = _cells(take, pairs, chosen, captions, right)
        kind = "genuine" if truth else "impostor"
        remark = f"{len(group):,} of {int(np.sum(same == truth)):,} {kind} pairs"
        if len(cells) > 1:
            remark += "; from the surest to the closest call" if right else "; the worst first"
        sections.append(Section(heading, remark, cells))
    subtitle = f'The answer is "same" where the score, a cosine, is at least {threshold:.3f}.'
    return sections_montage(sections, columns, title, subtitle)


# ---- which pairs ------------------------------------------------------------------------------


def _spread(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most ``count`` of ``indices``, first and last included, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[np.round(np.linspace(0, len(indices) - 1, count)).astype(np.int64)]


def _cells(
    take: Take, pairs: PairIndices, chosen: NDArray[np.int64], captions: Sequence[str] | None,
    right: bool | None,
) -> tuple[MontageCell, ...]:  # fmt: skip
    if len(chosen) == 0:
        return ()
    left, other = take(np.asarray(pairs.a)[chosen]), take(np.asarray(pairs.b)[chosen])
    texts = [""] * len(chosen) if captions is None else captions
    return tuple(MontageCell(a, b, text, right) for a, b, text in zip(left, other, texts, strict=True))


def _of(shown: int, total: int, noun: str) -> str:
    return f"all {total:,} {noun}" if shown == total else f"{shown:,} of {total:,} {noun}"


# ---- drawing ----------------------------------------------------------------------------------


def _header(draw: ImageDraw.ImageDraw, width: int, title: str, subtitle: str, legend: bool) -> int:
    """Draw title, subtitle and legend; return where the cells begin."""
    y = MARGIN
    for text, size, color in ((title, 26, INK), (subtitle, 16, FAINT)):
        for line in wrapped(text, size, width - 2 * MARGIN):
            draw.text((MARGIN, y), line, fill=color, font=font(size))
            y += line_height(size)
    if legend:
        y += 6
        x: float = MARGIN
        for right, text in ((True, "right decision"), (False, "wrong decision")):
            _sign(draw, x, y + 2, 14, right)
            draw.text((x + 20, y), text, fill=INK, font=font(16))
            x += 20 + text_width(text, 16) + 26
        y += 24
    return y + 12 if y > MARGIN else y


def _section(
    page: PillowImage.Image, draw: ImageDraw.ImageDraw, y: int, section: Section, columns: int
) -> int:
    if section.heading:
        y += 8
        draw.text((MARGIN, y), one_line(section.heading), fill=INK, font=font(19))
        y += 26
    for line in wrapped(section.remark, 15, page.width - 2 * MARGIN):
        draw.text((MARGIN, y), line, fill=FAINT, font=font(15))
        y += 20
    if section.heading or section.remark:
        y += 6
    if not section.cells:
        draw.text((MARGIN, y), "none", fill=FAINT, font=font(15))
        return y + 20 + GAP
    for start in range(0, len(section.cells), columns):
        row = section.cells[start : start + columns]
        for column, cell in enumerate(row):
            _cell(page, draw, MARGIN + column * (CELL_WIDTH + GAP), y, cell)
        # A row without captions needs no line for them.
        y += CELL_HEIGHT + GAP - (0 if any(c.caption or c.right is not None for c in row) else CAPTION)
        y += LABEL * max(map(_label_lines, row))
    return y


def _label_lines(cell: MontageCell) -> int:
    return max(map(len, cell.labels))


def _cell(page: PillowImage.Image, draw: ImageDraw.ImageDraw, x: int, y: int, cell: MontageCell) -> None:
    bottom = y + TILE + 2 * FRAME
    draw.rectangle((x, y, x + CELL_WIDTH - 1, bottom - 1), fill=cell.color)
    for k, crop in enumerate((cell.a, cell.b)):
        tile = PillowImage.fromarray(crop)
        if tile.width != TILE:
            tile = tile.resize((TILE, TILE), PillowImage.Resampling.LANCZOS)
        page.paste(tile, (x + FRAME + k * (TILE + FRAME), y + FRAME))
    for k, lines in enumerate(cell.labels):
        for i, text in enumerate(lines):
            at = (x + FRAME + k * (TILE + FRAME), bottom + 2 + i * LABEL)
            draw.text(at, shortened(text, LABEL_SIZE, TILE), fill=INK, font=font(LABEL_SIZE))
    bottom += LABEL * _label_lines(cell)
    draw.text((x + 1, bottom + 4), one_line(cell.caption), fill=INK, font=font(15))
    if cell.right is not None:
        word = "right" if cell.right else "wrong"
        start = x + CELL_WIDTH - 1 - text_width(word, 15)
        draw.text((start, bottom + 4), word, fill=INK, font=font(15))
        _sign(draw, start - 18, bottom + 6, 13, cell.right)


def _sign(draw: ImageDraw.ImageDraw, x: float, y: float, size: int, right: bool) -> None:
    """Draw a tick or a cross; the font of Pillow has neither."""

    def line(*points: tuple[float, float]) -> None:
        at = [(x + u * size, y + v * size) for u, v in points]
        draw.line(at, fill=RIGHT if right else WRONG, width=3, joint="curve")

    if right:
        line((0.0, 0.55), (0.35, 0.9), (1.0, 0.1))
    else:
        line((0.08, 0.08), (0.92, 0.92))
        line((0.08, 0.92), (0.92, 0.08))
