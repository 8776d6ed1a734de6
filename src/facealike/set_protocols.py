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
from .duplicates import without_copies
from .embed import Model
from .errors import UsageError
from .escape import figure_text, markdown
from .evaluate import embed_photos, people_of
from .exhaustive import Exhaustive, exhaustive
from .face_policy import policy_told
from .identification import Identification, OpenSet, closed_set, draw_identification, open_set
from .image import shown
from .overlap import check_overlap
from .photo_warning import UnusedPhoto, unused_rows, unused_told
from .result import Result
from .tally import with_missing
from .types import DEFAULT_FACE, FACE_POLICIES, Embeddings, FacePolicy
from .wording import copies_told, rate_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# ---- every comparison of a set ------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class SetEvaluation(Result):
    """Every photo of a set of people with every other, at a threshold set beforehand.

    FMR and FNMR are of the comparisons made.  ``missing`` of the ``photos`` were not compared, for their face
    was not found (ISO/IEC 19795-1: failure to acquire); ``far`` and ``frr`` count their pairs as rejected.
    ``unused`` are those of the missing that could not be read or show several faces, each with its reason.
    ``attempts`` are the pairs of all ``photos``; one that was not compared scores -1.  It is None where they
    are not known.  ``copies`` photos were left out as copies of others, ``shared`` are there under several
    names.  ``leaked``, ``face`` and ``learned_faces`` as in ``Evaluation``.
    """

    comparisons: Exhaustive
    threshold: float
    threshold_from: str
    missing: int = 0
    leaked: bool | None = False
    photos: int | None = None
    copies: int = 0
    shared: int = 0
    attempts: Exhaustive | None = None
    unused: tuple[UnusedPhoto, ...] = ()
    face: str | None = None
    learned_faces: tuple[str, ...] = ()

    @property
    def attempted(self) -> tuple[int, int] | None:
        """The number of genuine and of impostor pairs of all photos; None as ``fta``."""
        return None if self.attempts is None else (self.attempts.genuine, self.attempts.impostor)

    @property
    def fmr(self) -> float:
        """The share of all pairs of two people taken for the same person."""
        return self.comparisons.fmr_at(self.threshold)

    @property
    def fnmr(self) -> float:
        """The share of all pairs of one person taken for different people."""
        return self.comparisons.fnmr_at(self.threshold)

    @property
    def fta(self) -> float | None:
        """The failure-to-acquire rate: the share of photos without a face; None where that is not known."""
        return _rate_or_none(self.missing, self.photos)

    @property
    def far(self) -> float | None:
        """The false accept rate: false matches over all impostor pairs, compared or not; None as ``fta``."""
        return None if self.attempts is None else self.attempts.fmr_at(self.threshold)

    @property
    def frr(self) -> float | None:
        """The false reject rate: genuine pairs rejected or not compared, over all; None as ``fta``."""
        return None if self.attempts is None else self.attempts.fnmr_at(self.threshold)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Of ``fmr`` and ``fnmr`` at the threshold, and all those of ``Exhaustive.intervals``.

        Where photos had no face also of ``far`` and ``frr``.
        """
        found = self.comparisons.intervals(threshold=self.threshold)
        if self.missing and self.attempts is not None:
            both = self.attempts.intervals((), self.threshold)
            found |= {"far": both["fmr"], "frr": both["fnmr"]}
        return found

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": "exhaustive",
            "face": self.face,
            "learned_faces": list(self.learned_faces),
            "name": self.comparisons.name,
            "leaked": self.leaked,
            **_counts(self),
            "far": self.far,
            "frr": self.frr,
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
            "fmr": self.fmr,
            "fnmr": round(self.fnmr, 6),
            "intervals": {name: interval.to_dict() for name, interval in self.intervals.items()},
            "comparisons": self.comparisons.to_dict(),
        }

    def to_markdown(self) -> str:
        """A table of the rates with their intervals, and what a reader must be told."""
        words = {"auc": "AUC", "eer": "EER"}
        words |= {name: f"{name.upper()} at the threshold" for name in ("fmr", "fnmr", "far", "frr")}
        rows = {}
        for name, found in self.intervals.items():
            kind, _, limit = name.partition("@")
            if kind != "fmr" or not limit:  # the FMR really had at a threshold is for those who calibrate
                rows[words.get(name) or f"FNMR at FMR {rate_text(float(limit))}"] = found
        return _table(rows, str(self))

    def _brief(self) -> str:
        rates = f"FMR {rate_text(self.fmr)}, FNMR {rate_text(self.fnmr)}"
        return f"{rates} at {self.threshold:.3f}, {self.comparisons.name}"

    def __str__(self) -> str:
        rates = f"FMR {rate_text(self.fmr)}, FNMR {rate_text(self.fnmr)}"
        told = _told(self)
        return (
            f"{self.comparisons}; at threshold {self.threshold:.3f} from {self.threshold_from} {rates}{told}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """The ROC curve of all comparisons.  Raises MissingExtra without matplotlib."""
        return self.comparisons.plot(ax)


def evaluate_exhaustive(
    model: Model, root: str | Path, split: Split | Literal["all"] = "test", face: FacePolicy = DEFAULT_FACE,
    allow_overlap: bool = False, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None, threshold: float | None = None,
    allow_duplicates: bool = False, strict: bool = False,
) -> SetEvaluation:  # fmt: skip
    """All genuine and all impostor pairs of the people of one split of a folder, or of everybody.

    As there are so many impostor pairs, lower false match rates can be told than from balanced pairs.
    ``threshold`` replaces the model's own.  Raises the errors of ``evaluate_split``.
    """
    limit = model.threshold if threshold is None else float(threshold)
    found = _embedded(
        model, root, split, face, allow_overlap, cache, progress, allow_duplicates, strict, threshold is None
    )
    calibration = model.file.calibration
    comparisons = exhaustive(found.vectors, found.people.labels, name=f"{split}, every pair")
    everything = with_missing(comparisons.tally, found.labels, found.found)
    return SetEvaluation(
        comparisons=comparisons,
        threshold=limit,
        threshold_from=calibration.chosen_on if threshold is None else "the caller",
        learned_faces=calibration.faces if threshold is None else (),
        attempts=Exhaustive(everything, comparisons.name),
        **found.told,
    )


# ---- searching a gallery --------------------------------------------------------------------------


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
        return _rate_or_none(self.missing, self.photos)

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
            **_counts(self),
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
        return _table(rows, str(self))

    def __str__(self) -> str:
        return f"{self.name}: {self.closed}; {self.open}{_told(self)}"

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
    found = _embedded(
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


# ---- what both need -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Set:
    """The photos whose face was found, their vectors, and what a result tells of all photos.

    ``labels`` (n,) say whose each photo of the set is, and ``found`` (n,) which of them have a face.
    """

    people: People
    vectors: Embeddings
    labels: NDArray[np.int64]
    found: NDArray[np.bool_]
    told: dict[str, Any]


def _embedded(
    model: Model, root: str | Path, split: Split | Literal["all"], face: FacePolicy, allow_overlap: bool,
    cache: str | Path | None, progress: Callable[[int, int], None] | None, allow_duplicates: bool,
    strict: bool, calibration: bool,
) -> _Set:  # fmt: skip
    """The photos of a split; ``calibration`` is whether people who calibrated the model count as seen.

    They do where its threshold is used.
    """
    if face not in FACE_POLICIES or face == "all":
        raise UsageError(f"an evaluation needs one face a photo: largest, central or only, not {face!r}")
    everybody, digests, copies, shared = without_copies(
        people_of(root, split), root, allow_duplicates, strict, progress
    )
    seen = split == "train"
    leaked = check_overlap(
        model.file, everybody.paths, allow_overlap or seen, f"in the split {split}", calibration, digests
    )
    photos = [str(path) for path in everybody.paths]
    vectors, found, unused = embed_photos(model, photos, face, cache, progress, strict).or_raise(
        f"{shown(everybody.paths[0])}: no face found, nor in any other photo of the split {split}; check "
        "the folder, or choose another --face"
    )
    told = {
        "leaked": True if seen else leaked,
        "photos": len(everybody),
        "missing": int(np.sum(~found)),
        "copies": copies,
        "shared": shared,
        "unused": unused,
        "face": face,
    }
    return _Set(everybody.select(found), vectors[found], everybody.labels, found, told)


def _rate_or_none(missing: int, photos: int | None) -> float | None:
    return missing / photos if photos else None


def _counts(result: SetEvaluation | IdentificationEvaluation) -> dict[str, Any]:
    names = ("photos", "missing", "fta", "copies", "shared")
    no_face = {"no_face": result.missing - len(result.unused)}
    return {name: getattr(result, name) for name in names} | no_face | unused_rows(result.unused)


def _told(result: SetEvaluation | IdentificationEvaluation) -> str:
    """What a reader must know, to follow on a result."""
    told = {
        False: "; nobody was seen in training",
        True: "; LEAKED: some of these people took part in training or calibration",
        None: "; whether these people took part in training is not known",
    }[result.leaked]
    if result.missing:
        told += f"; {result.missing:,} more photos were left out because a face was not found"
        if result.fta is not None:
            told += f" (failure to acquire: {rate_text(result.fta)} of {result.photos:,} photos)"
        told += unused_told(result.unused, of="photos left out")
    far, frr = (result.far, result.frr) if isinstance(result, SetEvaluation) else (None, None)
    if result.missing and far is not None and frr is not None:
        told += f"; FAR {rate_text(far)} and FRR {rate_text(frr)} count those as rejected"
    if isinstance(result, SetEvaluation):
        told += policy_told(result.face, result.learned_faces, "; ")
    return told + copies_told(result.copies, shared=result.shared)


def _table(rows: dict[str, Interval], told: str) -> str:
    lines = ["| Rate | Value | 95 % interval |", "| --- | ---: | ---: |"]
    for label, found in rows.items():
        # AUC and the share of a rank are no error rates, and have no unit.
        text = "{:.4g}".format if label == "AUC" or label.startswith("rank ") else rate_text
        known = math.isfinite(found.low + found.high)
        interval = f"{text(found.low)} to {text(found.high)}" if known else "not measured"
        lines.append(f"| {label} | {text(found.estimate)} | {interval} |")
    return "\n".join([*lines, "", markdown(told)]) + "\n"
