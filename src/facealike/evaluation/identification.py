"""Search a gallery: a model's closed-set and open-set identification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..datasets.splits import Split
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model
from ..imaging.photo_warning import UnusedPhoto
from ..metrics.bootstrap import Interval
from ..metrics.identification import Identification, OpenSet, closed_set, draw_identification, open_set
from ..utils.escape import figure_text
from ..utils.result import Result
from ..utils.wording import rate_text
from .embedded_set import embed_set, photo_counts, rate_or_none, rate_table, remarks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class IdentificationEvaluation(Result):
    """Searches in a gallery of one photo a person: of enrolled people, and of strangers.

    ``closed`` asks at which rank an enrolled person comes out, ``open`` at which threshold strangers
    are turned away.  ``missing`` photos had no face that was found, and were neither enrolled nor
    searched.  ``unused``, ``leaked`` and ``face`` as in ``Evaluation``.
    """

    name: str
    closed: Identification
    open: OpenSet
    seed: int
    missing: int = 0
    leaked: bool | None = False
    photos: int | None = None
    copies: int = 0
    shared: int = 0
    unused: tuple[UnusedPhoto, ...] = ()
    face: str | None = None

    @property
    def fta(self) -> float | None:
        """The failure-to-acquire rate: the share of photos without a face; None where that is not known."""
        return rate_or_none(self.missing, self.photos)

    @property
    def rank1(self) -> float:
        """The share of searches of enrolled people in which the right one came first."""
        return self.closed.rank1

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Of ``rank1``, ``rank5``, ``rank10`` and ``fnir@F`` for each FPIR F that can be measured."""
        return {**self.closed.intervals(), **self.open.intervals()}

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": "identification",
            "face": self.face,
            "name": self.name,
            "seed": self.seed,
            "leaked": self.leaked,
            **photo_counts(self),
            "intervals": {name: interval.to_dict() for name, interval in self.intervals.items()},
            "closed_set": self.closed.to_dict(),
            "open_set": self.open.to_dict(),
        }

    def to_markdown(self) -> str:
        """A table of the rates with their intervals, and what a reader must be told."""
        rows = {}
        for name, found in self.intervals.items():
            fpir = name.partition("@")[2]
            rows[
                f"FNIR at FPIR {rate_text(float(fpir))}" if fpir else f"rank {name.removeprefix('rank')}"
            ] = found
        return rate_table(rows, str(self))

    def __str__(self) -> str:
        return f"{self.name}: {self.closed}; {self.open}{remarks(self)}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw FNIR over FPIR.  Raises MissingExtra without matplotlib."""
        ax = self.open.plot(ax)
        ax.set_title(f"{figure_text(self.name)}: rank 1 {self.rank1:.3f}")
        return ax


def evaluate_identification(
    model: Model, root: str | Path, split: Split | Literal["all"] = "test", seed: int = 0,
    face: FacePolicy = DEFAULT_FACE, allow_overlap: bool = False, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None, allow_duplicates: bool = False,
    strict: bool = False,
) -> IdentificationEvaluation:  # fmt: skip
    """Enrol half of the people of one split, or of everybody, with one photo each, and search the others.

    The photos are drawn by ``seed`` (``draw_identification``).  Rates get worse with the size of the
    gallery, so compare only those of equal sets.  Raises the errors of ``evaluate_split``, and
    UsageError where too few people have several photos.
    """
    found = embed_set(
        model, root, split, face, allow_overlap, cache, progress, allow_duplicates, strict, False
    )
    vectors, people = found.vectors, found.people
    sets = draw_identification(people.labels, seed)
    gallery, mated, strangers = ((vectors[rows], people.labels[rows]) for rows in sets)
    return IdentificationEvaluation(
        name=f"{split}, searches",
        closed=closed_set(*gallery, *mated),
        open=open_set(*gallery, *mated, *strangers),
        seed=seed,
        **found.told,
    )
