"""``Explanation``: the result of ``explain``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ..calibration.nearby_pairs import NearbyPairs
from ..plotting.drawing import save_picture
from ..plotting.explanation import draw_region_falls, explanation_picture
from ..plotting.style import new_axes
from ..types import Image
from ..utils.result import Result
from ..utils.wording import join_words
from .result import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PHOTOS = ("the first photo", "the second photo")

PROMINENT = 0.5
"""A region is named from this share of the largest fall or rise of any region of the same photo on."""

GRID = 15  # rows and columns of a map in ``to_dict``


class RegionFall(NamedTuple):
    """How far the score falls when a region of one face is covered; negative where it rises.

    ``first`` is that of the first photo, with the second as it is, and ``second`` the reverse.
    """

    name: str
    first: float
    second: float

    @property
    def falls(self) -> tuple[float, float]:
        """``first`` and ``second``."""
        return self.first, self.second


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Result):
    """Which regions of two faces carry the score of their comparison.

    Every number is a fall of the score (a cosine): the score of the photos as they are, less the score with
    a place of one face covered by its own blurred surroundings.  It describes what the model used in these
    two photos; it is no evidence of its own that they show one person, and no reason why the people look
    alike.

    Attributes:
        comparison: The comparison that is explained.
        crops: The two faces as the model receives them, uint8 (S, S, 3).
        maps: For each face, float32 (S, S): the mean fall over the patches that cover a pixel.
        regions: The fall for each region of the face, covered as a whole; empty where the landmarks of a
            face are not known.
        smallest: Falls and rises below this are named in no sentence: 15 % of the distance from the median
            impostor score to the threshold.  Nor are those below half of the largest of the same photo.
        nearby: The calibration pairs with about this score; None without a calibration.

    Examples:
        >>> explanation = explain("a.jpg", "b.jpg")
        >>> print(explanation.sentence)
        >>> explanation.save_picture("map.png")
    """

    ASK: ClassVar[str] = "ask .comparison"

    comparison: Comparison
    crops: tuple[Image, Image] = field(repr=False)
    maps: tuple[NDArray[np.float32], NDArray[np.float32]] = field(repr=False)
    regions: tuple[RegionFall, ...]
    smallest: float
    nearby: NearbyPairs | None = None

    @property
    def sentence(self) -> str:
        """Which regions carry the score, and which lower it, in one sentence."""
        return explanation_sentence(self.regions, self.smallest)

    def lines(self, photos: tuple[str, str] = PHOTOS) -> tuple[str, ...]:
        """Return the verdict, the sentence, the calibration pairs nearby and the quality of the faces.

        Args:
            photos: Names of the photos.
        """
        quality = [
            f"{photo}: {each}"
            for photo, each in zip(photos, self.comparison.quality, strict=True)
            if each is not None
        ]
        nearby = [] if self.nearby is None else [str(self.nearby)]
        return (*self.comparison.lines(photos)[:1], self.sentence, *nearby, *quality)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation for JSON; each map as the means of 15 x 15 fields."""
        return {
            "sentence": self.sentence,
            "regions": [
                {"name": region.name, "first": round(region.first, 6), "second": round(region.second, 6)}
                for region in self.regions
            ],
            "smallest": round(self.smallest, 6),
            "nearby": None if self.nearby is None else self.nearby.to_dict(),
            "maps": [_grid(each) for each in self.maps],
            "comparison": self.comparison.to_dict(),
        }

    def picture(self, photos: tuple[str, str] = PHOTOS) -> PillowImage.Image:
        """Draw both faces and their maps, with a legend, the sentence and the regions.

        Args:
            photos: Names of the photos.
        """
        return explanation_picture(self, photos)

    def save_picture(self, path: str | os.PathLike[str], photos: tuple[str, str] = PHOTOS) -> None:
        """Write ``picture`` as a PNG or a JPEG, by the ending of ``path``.

        Raises:
            UsageError: ``path`` has another ending.
            DataError: The file cannot be written.
        """
        save_picture(self.picture(photos), os.fspath(path))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw two bars a region: the fall of the score with it covered in either photo.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes(6.4, 3.6) if ax is None else ax
        draw_region_falls(ax, self)
        return ax

    def __str__(self) -> str:
        return self.sentence


def explanation_sentence(regions: tuple[RegionFall, ...], smallest: float) -> str:
    """Return which regions carry the score and which lower it.

    Args:
        regions: The regions of both faces.
        smallest: Only falls and rises of at least this, and of half of the largest of the same photo, count.
    """
    if not regions:
        return "the landmarks of these faces are not known, so the map has no names of regions"
    least = [max(smallest, PROMINENT * max(abs(region.falls[side]) for region in regions)) for side in (0, 1)]
    carry = [[region.name for region in regions if region.falls[side] >= least[side]] for side in (0, 1)]
    lower = [[region.name for region in regions if region.falls[side] <= -least[side]] for side in (0, 1)]
    parts = []
    both = [name for name in carry[0] if name in carry[1]]
    if both:
        parts.append(f"the {join_words(both)} {_verb(both, 'carry')} the score in both photos")
    for place, names in zip(PHOTOS, carry, strict=True):
        only = [name for name in names if name not in both]
        if only:
            parts.append(f"the {join_words(only)} only in {place}" if both else
                         f"the {join_words(only)} of {place} {_verb(only, 'carry')} the score")  # fmt: skip
    if not parts:
        parts.append("no single region carries the score")
    for place, names in zip(PHOTOS, lower, strict=True):
        if names:
            parts.append(f"the {join_words(names)} of {place} {_verb(names, 'lower')} it")
    return "; ".join(parts)


def _verb(names: list[str], verb: str) -> str:
    """``the eyes carry``, but ``the nose carries``."""
    if len(names) > 1 or names[0].endswith("s"):
        return verb
    return f"{verb[:-1]}ies" if verb.endswith("y") else f"{verb}s"


def _grid(values: NDArray[np.float32]) -> list[list[float]]:
    edges = np.linspace(0, len(values), min(GRID, len(values)) + 1).round().astype(int)
    rows = np.add.reduceat(np.add.reduceat(values.astype(np.float64), edges[:-1], 0), edges[:-1], 1)
    means = rows / np.outer(np.diff(edges), np.diff(edges))
    return [[round(float(value), 5) for value in row] for row in means]
