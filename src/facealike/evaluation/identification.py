"""Evaluate searches in a gallery: closed-set and open-set identification."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..datasets.splits import Split
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model
from ..metrics.bootstrap import Interval
from ..metrics.gallery_split import draw_identification
from ..metrics.identification import Identification, OpenSet, closed_set, open_set
from ..utils.escape import figure_text
from ..utils.wording import rate_text
from .embedded_set import CountedPhotos, embed_set, metrics_of, photo_counts, rate_table, remarks
from .evaluator import DEFAULT_OPTIONS, EvaluationKeywords, EvaluationOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Unpack


@dataclass(frozen=True, eq=False, repr=False)
class IdentificationEvaluation(CountedPhotos):
    """The result of searches in a gallery of one photo a person, mated and non-mated.

    Examples:
        >>> print(evaluate_identification(Model.load(), "people", "all").rank1)

    Args:
        name: Of the set.
        closed: The rank at which each enrolled person is found.
        open: Scores of mated and non-mated searches, and thresholds.
        seed: By which photos and people were drawn.
    """

    name: str
    closed: Identification
    open: OpenSet
    seed: int

    @property
    def rank1(self) -> float:
        """The share of mated searches in which the right person came first."""
        return self.closed.rank1

    @property
    def metrics(self) -> dict[str, float]:
        """The rates by name: the share found at each rank, and the FNIR at each FPIR."""
        return metrics_of({"fta": self.fta} | {k: v.estimate for k, v in self.intervals.items()})

    @property
    def primary(self) -> str:
        """The name of the figure to compare models by: the rank-1 identification rate."""
        return "rank1"

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Intervals of ``rank1``, ``rank5``, ``rank10`` and of ``fnir@F`` for each FPIR F."""
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
        """Return a table of the rates with their intervals, and the result in one sentence."""
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
        """Draw FNIR over FPIR.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = self.open.plot(ax)
        ax.set_title(f"{figure_text(self.name)}: rank 1 {self.rank1:.3f}")
        return ax


@dataclass(frozen=True)
class IdentificationEvaluator:
    """Enroll half of the people of a split with one photo each, and search with the photos of all.

    The photos are drawn by ``seed`` (``draw_identification``).  Rates get worse with the size of the gallery,
    so compare only those of equal sets.

    Uses the options ``seed``, ``allow_overlap`` and ``allow_duplicates``.

    Examples:
        >>> IdentificationEvaluator("people", "all")(Model.load()).rank1

    Args:
        root: A folder with one sub-folder of photos a person.
        split: A split by the hash of a person's name, or ``all`` for every person in the folder.
        options: See ``EvaluationOptions``.

    Raises:
        UsageError: Too few people have several photos.
        FacealikeError: The errors of ``SplitEvaluator``.
    """

    root: str | Path
    split: Split | Literal["all"] = "test"
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used("IdentificationEvaluator", "seed", "allow_overlap", "allow_duplicates")

    def __call__(self, model: Model) -> IdentificationEvaluation:
        """Return the rates of all searches by ``model``."""
        found = embed_set(model, self.root, self.split, self.options, calibration=False)
        vectors, people = found.vectors, found.people
        sets = draw_identification(people.labels, self.options.seed)
        gallery, mated, non_mated = ((vectors[rows], people.labels[rows]) for rows in sets)
        return IdentificationEvaluation(
            name=f"{self.split}, searches",
            closed=closed_set(*gallery, *mated),
            open=open_set(*gallery, *mated, *non_mated),
            seed=self.options.seed,
            **found.counts,
        )


def evaluate_identification(
    model: Model, root: str | Path, split: Split | Literal["all"] = "test", face: FacePolicy = DEFAULT_FACE,
    **options: Unpack[EvaluationKeywords],
) -> IdentificationEvaluation:  # fmt: skip
    """Search a gallery of half of the people of a split.

    Short for ``IdentificationEvaluator(root, split, EvaluationOptions(face, ...))(model)``:
    arguments, options and errors are those of ``IdentificationEvaluator`` and ``EvaluationOptions``.

    Examples:
        >>> evaluate_identification(Model.load(), "people", "all", seed=3)
    """
    return IdentificationEvaluator(root, split, EvaluationOptions(face=face, **options))(model)
