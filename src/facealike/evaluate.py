"""How well a model tells people apart whom it has never seen.

Three rules keep the numbers honest.  The threshold is fixed beforehand, from other pairs than
those evaluated.  People who took part in training are refused, by the hashes in the model's card.
And a photo without a detected face counts against the system, as the failure it is for a user.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .crops import cached_crops
from .data import People, Split, balanced_pairs, listed_pairs
from .embed import Model
from .errors import DataError, MissingExtra, NoFaceFound, PeopleOverlap, UsageError
from .image import shown
from .metrics import Confusion, Roc, confusion, cosine, roc
from .metrics import auc as area_under_curve
from .model import identity_hash
from .types import FACE_POLICIES, Embeddings, FacePolicy, Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAILURE_SCORE = -1.0
"""The score of a pair in which a face was not found: no pair can score lower."""

BATCH = 64  # crops held and embedded at a time
BLOCK = 8192  # pairs compared at a time


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of labelled pairs, the threshold set beforehand, and what follows from the two.

    ``scores`` float64 (n,) and ``same`` bool (n,), of both kinds; they cannot be written to.
    ``threshold_from`` says which pairs the threshold was chosen on.  ``people`` counts the
    different people in the pairs, None where the paths do not tell.  ``leaked`` is true if some of
    them took part in training, None if that is not known.  ``failures`` counts the pairs, among
    the n, that score ``FAILURE_SCORE`` because a face was not found; ``skipped`` those left out of
    the n for that reason.

    Raises UsageError for scores that cannot be evaluated.
    """

    name: str
    scores: NDArray[np.float64]
    same: NDArray[np.bool_]
    threshold: float
    threshold_from: str
    people: int | None = None
    leaked: bool | None = False
    failures: int = 0
    skipped: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise UsageError(f"the threshold of an evaluation must be finite, not {self.threshold}")
        if min(self.failures, self.skipped, self.people or 0) < 0 or self.failures > np.size(self.scores):
            raise UsageError("the counts of an evaluation lie between zero and the number of pairs")
        area_under_curve(self.scores, self.same)  # refuses what is no set of labelled scores
        for name, kind in (("scores", np.float64), ("same", np.bool_)):
            array = np.array(getattr(self, name), dtype=kind)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @cached_property
    def confusion(self) -> Confusion:
        """The counts at the threshold."""
        return confusion(self.scores, self.same, self.threshold)

    @cached_property
    def roc(self) -> Roc:
        """All operating points, not only that of the threshold."""
        return roc(self.scores, self.same)

    @cached_property
    def auc(self) -> float:
        """The area under the ROC curve; it does not depend on the threshold."""
        return area_under_curve(self.scores, self.same)

    @property
    def f1(self) -> float:
        return self.confusion.f1

    @property
    def accuracy(self) -> float:
        return self.confusion.accuracy

    @property
    def fmr(self) -> float:
        """The share of pairs of different people taken for the same person."""
        return self.confusion.fmr

    @property
    def fnmr(self) -> float:
        """The share of pairs of one person taken for different people."""
        return self.confusion.fnmr

    @property
    def pairs(self) -> int:
        return len(self.scores)

    @property
    def genuine(self) -> int:
        """The number of pairs that show one person."""
        return int(self.same.sum())

    @property
    def impostor(self) -> int:
        """The number of pairs that show two people."""
        return self.pairs - self.genuine

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Ready for JSON: the summary; with ``arrays`` also the score and the truth of each pair."""
        summary: dict[str, Any] = {
            "name": self.name,
            "f1": round(self.f1, 6),
            "accuracy": round(self.accuracy, 6),
            "auc": round(self.auc, 6),
            "fmr": round(self.fmr, 6),
            "fnmr": round(self.fnmr, 6),
            "fnmr_at_fmr": {
                str(limit): round(self.roc.fnmr_at_fmr(limit, supported=False), 6)
                for limit in (0.1, 0.01, 0.001)
            },
            "pairs": self.pairs,
            "genuine": self.genuine,
            "impostor": self.impostor,
            "people": self.people,
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
            "leaked": self.leaked,
            "failures": self.failures,
            "skipped": self.skipped,
        }
        if arrays:
            summary["scores"] = self.scores.tolist()
            summary["same"] = self.same.tolist()
        return summary

    def __str__(self) -> str:
        who = "people" if self.people is None else f"{self.people:,} people"
        seen = {
            False: f"{who} never seen in training",
            True: f"{who}, some of whom took part in training, so no estimate for others",
            None: f"{who} of whom it is not known whether they took part in training",
        }[self.leaked]
        own = self.threshold_from == self.name
        chosen = "chosen on the same people" if own else f"from {self.threshold_from}"
        text = (
            f"{self.name}: F1 {self.f1:.3f}, accuracy {self.accuracy:.3f}, AUC {self.auc:.3f} on "
            f"{self.pairs:,} pairs of {seen} (threshold {self.threshold:.3f} {chosen})"
        )
        if self.failures:
            text += f"; in {self.failures:,} of the pairs a face was not found, which counts as different"
        if self.skipped:
            text += f"; {self.skipped:,} more pairs left out because a face was not found"
        return text

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the ROC curve, FMR on a logarithmic axis, with the operating point of the threshold.

        Draws into ``ax``, else into a new figure (``.figure.savefig(...)``).  Raises MissingExtra
        without matplotlib.
        """
        if ax is None:
            ax = _new_axes()
        # Below one impostor pair in n nothing was measured; zero has no place on a logarithmic axis.
        floor = 0.5 / self.impostor
        ax.step(np.maximum(self.roc.fmr, floor), self.roc.tmr, where="post", color="#0072B2")
        ax.plot(
            [max(self.fmr, floor)], [1 - self.fnmr], "o", color="#D55E00",
            label=f"threshold {self.threshold:.3f}: FMR {self.fmr:.2%}, FNMR {self.fnmr:.2%}",
        )  # fmt: skip
        guess = np.geomspace(floor, 1, 100)
        ax.plot(guess, guess, ":", color="#888888", label="guessing")
        ax.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.01))
        ax.set(xlabel="false match rate (FMR)", ylabel="true match rate (1 - FNMR)")
        ax.set_title(f"{self.name}: AUC {self.auc:.3f}, {self.pairs:,} pairs" + _doubt(self.leaked))
        ax.grid(True, which="both", color="#dddddd", linewidth=0.5)
        ax.legend(loc="lower right", framealpha=1)
        return ax


def evaluate_pairs(
    model: Model, pairs: Sequence[Pair], name: str, face: FacePolicy = "largest",
    allow_overlap: bool = False, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    threshold: float | None = None, skip_missing: bool = False,
) -> Evaluation:  # fmt: skip
    """Score labelled pairs of photos with ``model`` and hold the scores against its threshold.

    Each photo is embedded once, however many pairs it is in; ``cache`` is a folder that keeps the
    face crops for the next time.  ``threshold`` replaces the model's own.  ``progress(done, total)``
    counts photos.

    A person is the name of the folder a photo lies in.  If any of them took part in training, by
    the card's hashes, PeopleOverlap names them; with ``allow_overlap`` the result is marked leaked
    instead.  Where the card lists nobody or the folders are not one person each, leaked is None.

    A pair in which the face asked for is not found in a photo is a comparison the system failed to
    make (ISO/IEC 19795-1: failure to acquire).  It scores -1, hence counts as "different", and is
    counted in ``failures``.  ``skip_missing`` leaves such pairs out instead and counts them in
    ``skipped``; the result then speaks of photos with a found face only, and looks better than what
    a user will meet.

    Raises DataError (no pairs, a pair without truth), PeopleOverlap, NoFaceFound where not one
    photo shows a face, SeveralFaces (policy "only"), ImageError for a photo that cannot be read.
    """
    if face not in FACE_POLICIES or face == "all":
        raise UsageError(f"an evaluation needs one face a photo: largest, central or only, not {face!r}")
    same = _truth(pairs, name)
    leaked = _leaked(model, pairs, allow_overlap)
    photos = list(dict.fromkeys(path for pair in pairs for path in (pair.a, pair.b)))
    vectors, found = _embed(model, photos, face, cache, progress)
    if not found.any():
        raise NoFaceFound(
            f"{shown(photos[0])}: no face found, nor in any of the other photos of {name}; check the pairs, "
            "or choose another --face"
        )
    row = {path: i for i, path in enumerate(photos)}
    a = np.array([row[pair.a] for pair in pairs], dtype=np.int64)
    b = np.array([row[pair.b] for pair in pairs], dtype=np.int64)
    compared = found[a] & found[b]
    scores = np.full(len(pairs), FAILURE_SCORE)
    scores[compared] = _scores(vectors, a[compared], b[compared])
    missing = int(np.sum(~compared))
    kept = compared if skip_missing else np.ones_like(compared)
    calibration = model.file.calibration
    return Evaluation(
        name=name,
        scores=scores[kept],
        same=same[kept],
        threshold=model.threshold if threshold is None else float(threshold),
        threshold_from=calibration.people if threshold is None else "the caller",
        people=_count_people(pair for pair, keep in zip(pairs, kept, strict=True) if keep),
        leaked=leaked,
        failures=0 if skip_missing else missing,
        skipped=missing if skip_missing else 0,
    )


def evaluate_split(
    model: Model, root: str | Path, split: Split, seed: int = 0, limit: int | None = None,
    face: FacePolicy = "central", allow_overlap: bool = False, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    threshold: float | None = None, skip_missing: bool = False,
) -> Evaluation:  # fmt: skip
    """Evaluate ``model`` on one split of a folder of people: all genuine pairs, as many impostor pairs.

    ``limit`` is the number of genuine pairs, drawn by ``seed`` as the impostor pairs are.  The
    people of the split "train" took part in training by definition: the result is marked leaked.
    The other arguments and errors are those of ``evaluate_pairs``.
    """
    people = People.from_folder(root).split(split)
    if len(people) == 0:
        raise DataError(
            f"{shown(root)}: nobody in this folder belongs to the split {split}; use a larger folder"
        )
    pairs = listed_pairs(people, balanced_pairs(people.labels, seed, limit))
    seen = split == "train"
    evaluation = evaluate_pairs(
        model, pairs, split, face, allow_overlap or seen, cache, progress, threshold, skip_missing
    )
    return replace(evaluation, leaked=True) if seen else evaluation


# ---- pairs and people -------------------------------------------------------------------------


def _truth(pairs: Sequence[Pair], name: str) -> NDArray[np.bool_]:
    if not pairs:
        raise DataError(f"{name}: there are no pairs to evaluate; give a list with at least two")
    for number, pair in enumerate(pairs, start=1):
        if pair.same is None:
            raise DataError(
                f"{name}: pair {number} ({shown(pair.a)}, {shown(pair.b)}) does not say whether it shows "
                "one person; add the column 'same'"
            )
    same = np.array([pair.same for pair in pairs], dtype=np.bool_)
    if same.all() or not same.any():
        missing = "two people" if same.all() else "one person"
        raise DataError(f"{name}: no pair shows {missing}; an evaluation needs pairs of both kinds")
    return same


def _person(path: str) -> str:
    return Path(path).parent.name


def _count_people(pairs: Iterable[Pair]) -> int | None:
    """How many people the folders hold, or None where a folder is not one person."""
    names = set()
    for pair in pairs:
        a, b = _person(pair.a), _person(pair.b)
        if (a == b) != pair.same:
            return None
        names |= {a, b}
    return len(names)


def _leaked(model: Model, pairs: Sequence[Pair], allow_overlap: bool) -> bool | None:
    """Whether people of the pairs took part in training; None if that cannot be told."""
    card = model.file.card
    trained_on = frozenset(card.identity_hashes)
    names = sorted({_person(path) for pair in pairs for path in (pair.a, pair.b)})
    seen = [name for name in names if identity_hash(card.identity_salt, name) in trained_on]
    if seen and not allow_overlap:
        raise PeopleOverlap(
            f"{len(seen):,} of the {len(names):,} people in these pairs took part in the training of this "
            f"model ({shown(', '.join(seen[:3]))}{', ...' if len(seen) > 3 else ''}); evaluate on others, or "
            "pass --allow-overlap for a result that is marked as leaked"
        )
    if seen:
        return True
    return False if trained_on and _count_people(pairs) is not None else None


# ---- embeddings and scores --------------------------------------------------------------------


def _embed(
    model: Model, photos: Sequence[str], face: FacePolicy, cache: str | Path | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Embeddings, NDArray[np.bool_]]:  # fmt: skip
    """One unit vector a photo (n, d), and whether its face was found (n,); zeros where it was not."""
    if cache is None:
        return _embed_directly(model, photos, face, progress)
    paths = [Path(photo) for photo in photos]
    crops = cached_crops(paths, model.detector, model.preprocessing, face, Path(cache), progress)
    found = np.asarray(crops.found, dtype=np.bool_)
    rows = np.flatnonzero(found)
    vectors = np.zeros((len(photos), 0), dtype=np.float32)
    for start in range(0, len(rows), BATCH):
        chunk = rows[start : start + BATCH]
        vectors = _put(vectors, chunk, model.embed_crops(crops.take(chunk)))
    return vectors, found


def _embed_directly(
    model: Model, photos: Sequence[str], face: FacePolicy, progress: Callable[[int, int], None] | None
) -> tuple[Embeddings, NDArray[np.bool_]]:
    found = np.zeros(len(photos), dtype=np.bool_)
    vectors = np.zeros((len(photos), 0), dtype=np.float32)
    rows, crops = [], []
    for i, photo in enumerate(photos):
        try:
            crops.append(model.crops_of(photo, face, name=photo)[0][1])
            rows.append(i)
            found[i] = True
        except (NoFaceFound, UsageError):
            pass  # found stays false; UsageError: a detection that no crop can be made of
        if len(crops) == BATCH or (crops and i + 1 == len(photos)):
            vectors = _put(vectors, np.array(rows), model.embed_crops(np.stack(crops)))
            rows, crops = [], []
        if progress is not None:
            progress(i + 1, len(photos))
    return vectors, found


def _put(vectors: Embeddings, rows: NDArray[np.intp], batch: Embeddings) -> Embeddings:
    """Write a batch into its rows; the first batch tells how wide a row is."""
    if vectors.shape[1] == 0:
        vectors = np.zeros((len(vectors), batch.shape[1]), dtype=np.float32)
    vectors[rows] = batch
    return vectors


def _scores(vectors: Embeddings, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    scores = np.empty(len(a))
    for start in range(0, len(a), BLOCK):
        part = slice(start, start + BLOCK)
        scores[part] = cosine(vectors[a[part]], vectors[b[part]])
    return scores


# ---- drawing ----------------------------------------------------------------------------------


def _doubt(leaked: bool | None) -> str:
    return "" if leaked is False else " (people seen in training)" if leaked else " (people not known)"


def _new_axes() -> Axes:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("plots need matplotlib; run: pip install 'facealike[train]'") from None
    figure = Figure(figsize=(6.4, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()
