"""Protocols on a set of people as a whole: every comparison there is, and searching a gallery."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Interval
from .data import People, Split
from .embed import Model
from .errors import NoFaceFound, UsageError
from .evaluate import embed_photos, overlap, people_of
from .exhaustive import Exhaustive, exhaustive
from .image import shown
from .types import FACE_POLICIES, Embeddings, FacePolicy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# ---- every comparison of a set ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SetEvaluation:
    """Every photo of a set of people with every other, at a threshold set beforehand.

    ``missing`` photos were not compared, for their face was not found (ISO/IEC 19795-1: failure to
    acquire), and no pair of theirs is counted.  ``leaked`` as in ``Evaluation``.
    """

    comparisons: Exhaustive
    threshold: float
    threshold_from: str
    missing: int = 0
    leaked: bool | None = False

    @property
    def fmr(self) -> float:
        """The share of all pairs of two people taken for the same person."""
        return self.comparisons.fmr_at(self.threshold)

    @property
    def fnmr(self) -> float:
        """The share of all pairs of one person taken for different people."""
        return self.comparisons.fnmr_at(self.threshold)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Of ``fmr`` and ``fnmr`` at the threshold, and all those of ``Exhaustive.intervals``."""
        return self.comparisons.intervals(threshold=self.threshold)

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": "exhaustive",
            "name": self.comparisons.name,
            "leaked": self.leaked,
            "missing": self.missing,
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
            "fmr": self.fmr,
            "fnmr": round(self.fnmr, 6),
            "intervals": {name: interval.to_dict() for name, interval in self.intervals.items()},
            "comparisons": self.comparisons.to_dict(),
        }

    def to_markdown(self) -> str:
        """A table of the rates with their intervals, and what a reader must be told."""
        words = {"fmr": "FMR at the threshold", "fnmr": "FNMR at the threshold", "auc": "AUC", "eer": "EER"}
        lines = ["| Rate | Value | 95 % interval |", "| --- | ---: | ---: |"]
        for name, found in self.intervals.items():
            kind, _, limit = name.partition("@")
            if kind == "fmr" and limit:
                continue  # the FMR really had at a threshold: for those who calibrate
            label = words.get(name) or f"FNMR at FMR {limit}"
            lines.append(f"| {label} | {found.estimate:.4g} | {_range(found)} |")
        return "\n".join([*lines, "", str(self)]) + "\n"

    def __str__(self) -> str:
        rates = f"FMR {self.fmr:.3%}, FNMR {self.fnmr:.2%}"
        told = _told(self.missing, self.leaked)
        return (
            f"{self.comparisons}; at threshold {self.threshold:.3f} from {self.threshold_from} {rates}{told}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """The ROC curve of all comparisons.  Raises MissingExtra without matplotlib."""
        return self.comparisons.plot(ax)


def evaluate_exhaustive(
    model: Model, root: str | Path, split: Split | Literal["all"] = "test", face: FacePolicy = "central",
    allow_overlap: bool = False, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None, threshold: float | None = None,
) -> SetEvaluation:  # fmt: skip
    """All genuine and all impostor pairs of the people of one split of a folder, or of everybody.

    As there are so many impostor pairs, lower false match rates can be told than from balanced pairs.
    ``threshold`` replaces the model's own.  Raises the errors of ``evaluate_split``.
    """
    people, vectors, found, leaked = _embedded(model, root, split, face, allow_overlap, cache, progress)
    calibration = model.file.calibration
    return SetEvaluation(
        comparisons=exhaustive(vectors, people.labels, name=f"{split}, every pair"),
        threshold=model.threshold if threshold is None else float(threshold),
        threshold_from=calibration.people if threshold is None else "the caller",
        missing=int(np.sum(~found)),
        leaked=leaked,
    )


def _embedded(
    model: Model, root: str | Path, split: Split | Literal["all"], face: FacePolicy, allow_overlap: bool,
    cache: str | Path | None, progress: Callable[[int, int], None] | None,
) -> tuple[People, Embeddings, NDArray[np.bool_], bool | None]:  # fmt: skip
    """The photos whose face was found, their vectors, which photos of all these are, and the leak."""
    if face not in FACE_POLICIES or face == "all":
        raise UsageError(f"an evaluation needs one face a photo: largest, central or only, not {face!r}")
    everybody = people_of(root, split)
    seen = split == "train"
    leaked = overlap(model, everybody.names, allow_overlap or seen, f"the split {split}")
    vectors, found = embed_photos(model, [str(path) for path in everybody.paths], face, cache, progress)
    if not found.any():
        raise NoFaceFound(
            f"{shown(everybody.paths[0])}: no face found, nor in any other photo of the split {split}; check "
            "the folder, or choose another --face"
        )
    return everybody.select(found), vectors[found], found, True if seen else leaked


def _told(missing: int, leaked: bool | None) -> str:
    """What a reader must know, to follow on a result."""
    seen = {
        False: "; nobody was seen in training",
        True: "; LEAKED: some of these people took part in training",
        None: "; whether these people took part in training is not known",
    }[leaked]
    left_out = f"; {missing:,} more photos were left out because a face was not found" if missing else ""
    return seen + left_out


def _range(found: Interval) -> str:
    if not math.isfinite(found.low + found.high):
        return "not measured"
    return f"{found.low:.4g} to {found.high:.4g}"
