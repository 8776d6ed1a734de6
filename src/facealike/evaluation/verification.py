"""Evaluate verification (1:1) on labeled pairs or on a split of a folder of people.

Three rules keep the numbers valid.  The threshold is fixed beforehand, on other people.  People who took part
in training or calibration are refused, by the digests in the model.  A photo without a detected face is a
failure to acquire with a rate of its own, which improves no other rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets.duplicates import pairs_of_copies, without_copies
from ..datasets.pair_sampling import balanced_pairs, listed_pairs
from ..datasets.people import people_of
from ..datasets.splits import Split
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model
from ..errors import DataError
from ..imaging.photo_digest import PhotoDigest, photo_digests
from ..metrics.similarity import paired_cosines
from ..types import Pair
from ..utils.escape import shown
from .embed_dataset import embed_photos
from .evaluator import DEFAULT_OPTIONS, EvaluationKeywords, EvaluationOptions
from .leakage import check_overlap, person_of
from .verification_result import FAILURE_SCORE, Evaluation

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class PairEvaluator:
    """Score labeled pairs of photos and compare the scores with the model's threshold.

    Each photo is embedded once, however many pairs it is in.  A person is the name of the folder that a photo
    lies in; where the folders are not one person each, or the model's card lists no person, the result's
    ``leaked`` is None.

    A pair in which the face asked for is not found in a photo is a failure to acquire (ISO/IEC 19795-1).  It
    scores -1, is counted in ``failures``, is rejected in FAR and FRR, and is left out of all other rates.
    With ``skip_missing`` it is left out of FAR and FRR too and counted in ``skipped``.  A photo that cannot
    be read, or shows several faces under the policy ``only``, is a failure to acquire as well and is listed
    in ``unused`` with its reason.  A pair of a photo with itself or its copy stays and is counted in
    ``copied_pairs``.

    Uses the options ``allow_overlap``, ``threshold`` and ``skip_missing``.

    Examples:
        >>> evaluator = PairEvaluator(read_pairs("pairs.csv", "photos"), "mine")
        >>> result = evaluator(Model.load())
        >>> result.metrics[result.primary]

    Args:
        pairs: Pairs with their truth, of both kinds.
        name: How the result calls these pairs.
        options: See ``EvaluationOptions``.
        calibration: Whether people who calibrated the model count as leaked, and probabilities are reported.
        digests: The digests of the photos by path, where the caller has them.

    Raises:
        NotCalibrated: The model has no threshold, and none is given.
        DataError: There are no pairs, one has no truth, or a kind is missing.
        PeopleOverlap: People took part in training or, with ``calibration``, in calibration, by name or
            photo.
        NoFaceFound: Not one photo shows a face.
        UnreadableImage: No photo can be read; with ``strict`` the first one that cannot be.
        SeveralFaces: With ``strict`` and the policy ``only``.
    """

    pairs: Sequence[Pair]
    name: str
    options: EvaluationOptions = DEFAULT_OPTIONS
    calibration: bool = True
    digests: Mapping[str, PhotoDigest | None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.options.check_used("PairEvaluator", "allow_overlap", "threshold", "skip_missing")

    def __call__(self, model: Model) -> Evaluation:
        """Return the scores of all pairs by ``model``."""
        pairs, name, options = self.pairs, self.name, self.options
        face = options.face or DEFAULT_FACE
        file = model.file
        limit = model.threshold if options.threshold is None else float(options.threshold)
        same = _truth(pairs, name)
        persons = _persons(pairs)
        photos = list(dict.fromkeys(path for pair in pairs for path in (pair.a, pair.b)))
        if self.digests is None:
            digests = photo_digests(photos, progress=options.progress, strict=options.strict)
        else:
            digests = [self.digests[path] for path in photos]
        leaked = check_overlap(
            file, photos, options.allow_overlap, calibration=self.calibration, digests=digests,
            named=_named(pairs),
        )  # fmt: skip
        if leaked is False and persons is None:
            leaked = None  # folders that are not one person each have no name to look up
        vectors, found, unused = embed_photos(
            model, photos, face, options.cache, options.progress, options.strict
        ).or_raise(
            f"{shown(photos[0])}: no face found, nor in any of the other photos of {name}; check the pairs, "
            "or choose another --face"
        )
        row = {path: i for i, path in enumerate(photos)}
        a = np.array([row[pair.a] for pair in pairs], dtype=np.int64)
        b = np.array([row[pair.b] for pair in pairs], dtype=np.int64)
        compared = found[a] & found[b]
        scores = np.full(len(pairs), FAILURE_SCORE)
        scores[compared] = paired_cosines(vectors, a[compared], b[compared])
        missing = int(np.sum(~compared))
        kept = compared if options.skip_missing else np.ones_like(compared)
        calibrator = file.calibration.calibrator if self.calibration else None
        sides = (None, None) if persons is None else (persons[0][kept], persons[1][kept])
        own_threshold = options.threshold is None
        return Evaluation(
            name=name,
            scores=scores[kept],
            same=same[kept],
            threshold=limit,
            threshold_from=file.calibration.chosen_on if own_threshold else "the caller",
            people=None if persons is None else len(np.unique(np.concatenate(persons)[np.tile(kept, 2)])),
            leaked=leaked,
            failures=0 if options.skip_missing else missing,
            skipped=missing if options.skip_missing else 0,
            first=sides[0],
            second=sides[1],
            photos=len(photos),
            missing=int(np.sum(~found)),
            unused=unused,
            copied_pairs=int(np.sum(pairs_of_copies(digests, a, b)[kept])),
            face=face,
            learned_faces=file.calibration.faces if own_threshold or calibrator is not None else (),
            probability=None if calibrator is None else calibrator.probability(scores[kept]),
            fold=None if pairs[0].fold is None else _folds(pairs)[kept],
        )


def evaluate_pairs(
    model: Model, pairs: Sequence[Pair], name: str, face: FacePolicy = DEFAULT_FACE,
    calibration: bool = True, digests: Mapping[str, PhotoDigest | None] | None = None,
    **options: Unpack[EvaluationKeywords],
) -> Evaluation:  # fmt: skip
    """Score labeled pairs of photos with ``model``.

    Short for ``PairEvaluator(pairs, name, EvaluationOptions(face, ...))(model)``: arguments, options and
    errors are those of ``PairEvaluator`` and ``EvaluationOptions``.

    Examples:
        >>> evaluate_pairs(Model.load(), pairs, "mine", allow_overlap=True)
    """
    chosen = EvaluationOptions(face=face, **options)
    return PairEvaluator(pairs, name, chosen, calibration, digests)(model)


@dataclass(frozen=True)
class SplitEvaluator:
    """Score all genuine pairs of one split of a folder of people, and as many impostor pairs.

    The people of the split ``train`` took part in training by definition, so the result is marked as leaked.
    Those of ``calibration`` are refused where they calibrated the model.  Copies of a photo are left out and
    counted in ``copies`` (``facealike.datasets.duplicates``).

    Uses the options ``seed``, ``allow_overlap``, ``allow_duplicates``, ``threshold`` and ``skip_missing``.

    Examples:
        >>> SplitEvaluator("people", "all")(Model.load()).f1

    Args:
        root: A folder with one sub-folder of photos a person, or that of AgeDB or FG-NET.
        split: A split by the hash of a person's name, or ``all`` for every person in the folder.
        limit: The number of genuine pairs, drawn by ``seed`` as the impostor pairs are; None for all.
        options: See ``EvaluationOptions``.

    Raises:
        DataError: A photo lies in the folders of two people and ``allow_duplicates`` is not set.
        FacealikeError: The errors of ``PairEvaluator``.
    """

    root: str | Path
    split: Split | Literal["all"] = "test"
    limit: int | None = None
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used(
            "SplitEvaluator", "seed", "allow_overlap", "allow_duplicates", "threshold", "skip_missing"
        )

    def __call__(self, model: Model) -> Evaluation:
        """Return the scores of the drawn pairs by ``model``."""
        options, trained = self.options, self.split == "train"
        people, digests, copies, shared = without_copies(
            people_of(self.root, self.split), self.root, options.allow_duplicates, options.strict,
            options.progress,
        )  # fmt: skip
        try:
            drawn = balanced_pairs(people.labels, options.seed, self.limit)
        except DataError as error:
            where = shown(self.root) if self.split == "all" else f"{shown(self.root)}, split {self.split}"
            hint = "" if self.split == "all" else ", or use all people with --split all"
            raise DataError(f"{where}: {error}{hint}") from None
        pairs = listed_pairs(people, drawn)
        of_pairs = replace(
            options, allow_overlap=options.allow_overlap or trained, allow_duplicates=False, seed=0
        )
        known = dict(zip(map(str, people.paths), digests, strict=True))
        evaluation = PairEvaluator(pairs, self.split, of_pairs, digests=known)(model)
        return replace(evaluation, copies=copies, shared=shared, leaked=trained or evaluation.leaked)


def evaluate_split(
    model: Model, root: str | Path, split: Split | Literal["all"], limit: int | None = None,
    face: FacePolicy = DEFAULT_FACE, **options: Unpack[EvaluationKeywords],
) -> Evaluation:  # fmt: skip
    """Score the pairs of one split of a folder of people with ``model``.

    Short for ``SplitEvaluator(root, split, limit, EvaluationOptions(face, ...))(model)``: arguments, options
    and errors are those of ``SplitEvaluator`` and ``EvaluationOptions``.

    Examples:
        >>> evaluate_split(Model.load(), "people", "test", face="central")
    """
    return SplitEvaluator(root, split, limit, EvaluationOptions(face=face, **options))(model)


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


def _persons(pairs: Sequence[Pair]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """A number for the person of each side, (n,) twice; None where those contradict the truth.

    A person is the one that the list names, or else the folder of the photo.
    """
    number: dict[str, int] = {}
    people = [pair.people or (person_of(pair.a), person_of(pair.b)) for pair in pairs]
    first, second = np.array(
        [[number.setdefault(person, len(number)) for person in both] for both in people], dtype=np.int64
    ).T
    same = np.array([pair.same for pair in pairs], dtype=np.bool_)
    return (first, second) if np.array_equal(first == second, same) else None


def _named(pairs: Sequence[Pair]) -> dict[str, str] | None:
    """The person of each photo by path, where the list names them."""
    names: dict[str, str] = {}
    for pair in pairs:
        if pair.people is None:
            return None
        names |= {pair.a: pair.people[0], pair.b: pair.people[1]}
    return names


def _folds(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    """The fold of each pair, (n,); 0 for one without."""
    return np.array([pair.fold or 0 for pair in pairs], dtype=np.int64)
