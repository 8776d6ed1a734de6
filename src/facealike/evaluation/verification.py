"""How well a model tells people apart whom it has never seen.

Three rules keep the numbers honest.  The threshold is fixed beforehand, from other people than those
evaluated.  People who took part in training or calibration are refused, by the digests in the model.
And a photo without a detected face is a failure to acquire with a rate of its own, which improves no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets.duplicates import pairs_of_copies, without_copies
from ..datasets.pair_sampling import balanced_pairs, listed_pairs
from ..datasets.people import people_of
from ..datasets.splits import Split
from ..detection.face_policy import DEFAULT_FACE, FACE_POLICIES, FacePolicy
from ..embedding.face_model import Model
from ..errors import DataError, UsageError
from ..imaging.photo_digest import PhotoDigest, photo_digests
from ..metrics.similarity import cosine
from ..types import Embeddings, Pair
from ..utils.escape import shown
from .embed_dataset import embed_photos
from .leakage import check_overlap, person_of
from .verification_result import FAILURE_SCORE, Evaluation

BLOCK = 8192  # pairs compared at a time


def evaluate_pairs(
    model: Model, pairs: Sequence[Pair], name: str, face: FacePolicy = DEFAULT_FACE,
    allow_overlap: bool = False, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    threshold: float | None = None, skip_missing: bool = False, calibration: bool = True,
    digests: Mapping[str, PhotoDigest | None] | None = None, strict: bool = False,
) -> Evaluation:  # fmt: skip
    """Score labelled pairs of photos with ``model`` and hold the scores against its threshold.

    Each photo is embedded once, however many pairs it is in; ``cache`` is a folder that keeps the
    face crops for the next time.  ``threshold`` replaces the model's own.  ``progress(done, total)``
    counts photos: once while copies are looked for, unless there are ``digests``, and once while photos are
    embedded.

    A person is the name of the folder a photo lies in.  If any of them took part in the training of the
    model or, unless ``calibration`` is false, in the calibration that gave it threshold and probabilities,
    by name or by a photo (``facealike.evaluation.leakage``), PeopleOverlap names them; with ``allow_overlap``
    the result is marked leaked instead.  Where the card lists nobody or the folders are not one person each,
    leaked is None.  Without ``calibration`` the result has no probabilities.

    A pair in which the face asked for is not found in a photo is a comparison the system failed to
    make (ISO/IEC 19795-1: failure to acquire).  It scores -1, is counted in ``failures``, and is
    rejected in FAR and FRR and left out of all other rates.  ``skip_missing`` leaves such pairs out of
    FAR and FRR, too, and counts them in ``skipped``.  A photo that cannot be read, or shows several faces
    under the policy "only", is a failure to acquire as well; ``unused`` has each with its reason, apart from
    photos without a face.  With ``strict`` the first of them is an error.

    A pair of a photo with itself or its copy stays, for a list says what is compared, and is counted in
    ``copied_pairs``.  ``digests`` are those of the photos by path, where the caller has them.

    Raises NotCalibrated (a model without a threshold, and none is given), DataError (no pairs, a pair
    without truth), PeopleOverlap, NoFaceFound where not one photo shows a face, UnreadableImage where none
    can be read; with ``strict`` also ImageError and SeveralFaces.
    """
    if face not in FACE_POLICIES or face == "all":
        raise UsageError(f"an evaluation needs one face a photo: largest, central or only, not {face!r}")
    limit = model.threshold if threshold is None else float(threshold)
    same = _truth(pairs, name)
    persons = _persons(pairs)
    photos = list(dict.fromkeys(path for pair in pairs for path in (pair.a, pair.b)))
    if digests is None:
        known = photo_digests(photos, progress=progress, strict=strict)
    else:
        known = [digests[path] for path in photos]
    leaked = check_overlap(model.file, photos, allow_overlap, calibration=calibration, digests=known)
    if leaked is False and persons is None:
        leaked = None  # folders that are not one person each have no name to ask for
    vectors, found, unused = embed_photos(model, photos, face, cache, progress, strict).or_raise(
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
    calibrator = model.file.calibration.calibrator if calibration else None
    sides = (None, None) if persons is None else (persons[0][kept], persons[1][kept])
    return Evaluation(
        name=name,
        scores=scores[kept],
        same=same[kept],
        threshold=limit,
        threshold_from=model.file.calibration.chosen_on if threshold is None else "the caller",
        people=None if persons is None else len(np.unique(np.concatenate(persons)[np.tile(kept, 2)])),
        leaked=leaked,
        failures=0 if skip_missing else missing,
        skipped=missing if skip_missing else 0,
        first=sides[0],
        second=sides[1],
        photos=len(photos),
        missing=int(np.sum(~found)),
        unused=unused,
        copied_pairs=int(np.sum(pairs_of_copies(known, a, b)[kept])),
        face=face,
        learned_faces=model.file.calibration.faces if threshold is None or calibrator is not None else (),
        probability=None if calibrator is None else calibrator.probability(scores[kept]),
    )


def evaluate_split(
    model: Model, root: str | Path, split: Split | Literal["all"], seed: int = 0, limit: int | None = None,
    face: FacePolicy = DEFAULT_FACE, allow_overlap: bool = False, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    threshold: float | None = None, skip_missing: bool = False, allow_duplicates: bool = False,
    strict: bool = False,
) -> Evaluation:  # fmt: skip
    """Evaluate ``model`` on one split of a folder of people: all genuine pairs, as many impostor pairs.

    ``all`` is everybody in the folder: for people of your own, none of whom the model has seen.
    ``limit`` is the number of genuine pairs, drawn by ``seed`` as the impostor pairs are.  The
    people of the split "train" took part in training by definition: the result is marked leaked.  Those
    of "calibration" are refused (PeopleOverlap) where they calibrated this model.
    Copies of a photo are left out and counted in ``copies`` (``facealike.datasets.duplicates``).  A photo in
    the folders of two people is a DataError unless ``allow_duplicates`` is set; ``shared`` counts those.
    The other arguments and errors are those of ``evaluate_pairs``.
    """
    people, digests, copies, shared = without_copies(
        people_of(root, split), root, allow_duplicates, strict, progress
    )
    pairs = listed_pairs(people, balanced_pairs(people.labels, seed, limit))
    seen = split == "train"
    evaluation = evaluate_pairs(
        model, pairs, split, face, allow_overlap or seen, cache, progress, threshold, skip_missing,
        digests=dict(zip(map(str, people.paths), digests, strict=True)), strict=strict,
    )  # fmt: skip
    return replace(evaluation, copies=copies, shared=shared, leaked=True if seen else evaluation.leaked)


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
    """A number for the person of each side, (n,) twice, or None where a folder is not one person."""
    number: dict[str, int] = {}
    sides = [
        np.array([number.setdefault(person_of(path), len(number)) for path in paths], dtype=np.int64)
        for paths in ([pair.a for pair in pairs], [pair.b for pair in pairs])
    ]
    same = np.array([pair.same for pair in pairs], dtype=np.bool_)
    return (sides[0], sides[1]) if np.array_equal(sides[0] == sides[1], same) else None


# ---- embeddings and scores --------------------------------------------------------------------


def _scores(vectors: Embeddings, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    scores = np.empty(len(a))
    for start in range(0, len(a), BLOCK):
        part = slice(start, start + BLOCK)
        scores[part] = cosine(vectors[a[part]], vectors[b[part]])
    return scores
