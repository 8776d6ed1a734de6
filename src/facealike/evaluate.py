"""How well a model tells people apart whom it has never seen.

Three rules keep the numbers honest.  The threshold is fixed beforehand, from other people than those
evaluated.  People who took part in training or calibration are refused, by the digests in the model.
And a photo without a detected face is a failure to acquire with a rate of its own, which improves no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .crops import cached_crops, stream_crops
from .data import People, Split, balanced_pairs, listed_pairs
from .duplicates import pairs_of_copies, without_copies
from .embed import Model
from .errors import DataError, NoFaceFound, UnreadableImage, UsageError
from .evaluation import FAILURE_SCORE, Evaluation
from .image import shown
from .metrics import cosine
from .overlap import check_overlap, person_of
from .photo_digest import PhotoDigest, photo_digests
from .photo_warning import UnusedPhoto
from .pipeline import in_batches
from .types import DEFAULT_FACE, FACE_POLICIES, Embeddings, FacePolicy, Image, Pair

__all__ = [
    "FAILURE_SCORE", "Evaluation", "embed_photos", "evaluate_pairs", "evaluate_split", "people_of",
]  # fmt: skip

BATCH = 64  # crops held and embedded at a time
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
    by name or by a photo (``facealike.overlap``), PeopleOverlap names them; with ``allow_overlap`` the
    result is marked leaked instead.  Where the card lists nobody or the folders are not one person each,
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
    Copies of a photo are left out and counted in ``copies`` (``facealike.duplicates``).  A photo in the
    folders of two people is a DataError unless ``allow_duplicates`` is set; ``shared`` counts those.
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


def people_of(root: str | Path, split: Split | Literal["all"]) -> People:
    """The people of one split of a folder, or all.  Raises DataError where that is nobody."""
    everybody = People.from_folder(root)
    people = everybody if split == "all" else everybody.split(split)
    if len(people) == 0:
        raise DataError(
            f"{shown(root)}: nobody in this folder belongs to the split {split}; use a larger folder"
        )
    return people


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


class PhotoVectors(NamedTuple):
    """One unit vector a photo (n, d), zeros where there is none, and whether there is one (n,).

    A photo without a vector shows no face, or is among the ``unused`` with its reason.
    """

    vectors: Embeddings
    found: NDArray[np.bool_]
    unused: tuple[UnusedPhoto, ...] = ()

    def or_raise(self, no_face: str) -> PhotoVectors:
        """Return these photos; where none has a face raise NoFaceFound with that sentence.

        Raises UnreadableImage instead where it is because none can be read.
        """
        if self.found.any():
            return self
        unread = [one for one in self.unused if one.kind == "unreadable"]
        if unread and len(unread) == len(self.found):
            others = f" (nor can any of the other {len(unread) - 1:,} photos be read)" * (len(unread) > 1)
            raise UnreadableImage(f"{shown(unread[0].photo)}: {unread[0].reason}{others}")
        raise NoFaceFound(no_face)


def embed_photos(
    model: Model, photos: Sequence[str], face: FacePolicy, cache: str | Path | None,
    progress: Callable[[int, int], None] | None, strict: bool = False,
) -> PhotoVectors:  # fmt: skip
    """Embed the face of each photo; a photo that cannot be used is left out, or with ``strict`` an error.

    ``cache`` is a folder that keeps the face crops; ``progress(done, total)`` counts photos.
    """
    found = np.zeros(len(photos), dtype=np.bool_)
    vectors = np.zeros((len(photos), 0), dtype=np.float32)
    unused: list[UnusedPhoto] = []
    crops = _crops(model, photos, face, cache, progress, strict, unused)
    with closing(in_batches(model.embed_many, crops, BATCH)) as batches:
        for rows, some in batches:
            found[rows] = True
            vectors = _put(vectors, rows, some)
    return PhotoVectors(vectors, found, tuple(unused))


def _crops(
    model: Model, photos: Sequence[str], face: FacePolicy, cache: str | Path | None,
    progress: Callable[[int, int], None] | None, strict: bool, unused: list[UnusedPhoto],
) -> Iterator[tuple[int, Image]]:  # fmt: skip
    """The crop of each photo with a face, and the photo's place; ``unused`` is filled on the way."""
    detector, preprocessing = model.detector, model.preprocessing
    if cache is not None:
        cached = cached_crops(
            [Path(p) for p in photos], detector, preprocessing, face, Path(cache), progress, strict=strict
        )
        unused += cached.unused
        yield from ((int(i), np.array(cached.store[cached.rows[i]])) for i in np.flatnonzero(cached.found))
        return
    with closing(
        stream_crops(photos, detector, preprocessing, face, strict=strict, failed=unused.append)
    ) as stream:
        for i, crop in enumerate(stream):
            if progress is not None:
                progress(i + 1, len(photos))
            if crop is not None:
                yield i, crop


def _put(vectors: Embeddings, rows: list[int], batch: Embeddings) -> Embeddings:
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
