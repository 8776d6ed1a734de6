"""Give a model a threshold and probabilities for people like one's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..calibration.calibration import Calibration, Method
from ..calibration.fit import calibrate_scores
from ..calibration.operating_points import Rule
from ..calibration.pairs import calibration_pairs
from ..datasets.duplicates import without_copies
from ..datasets.people import people_of
from ..datasets.splits import split_of
from ..detection.face_policy import DEFAULT_FACE, FACE_POLICIES, FacePolicy
from ..embedding.face_model import Model
from ..errors import DataError, PeopleOverlap, UsageError
from ..imaging.photo_digest import PhotoDigest
from ..imaging.photo_warning import unused_counts
from ..metrics.similarity import cosine
from ..utils.escape import shown
from .embed_dataset import embed_photos
from .leakage import find_overlap, record_people

FEWEST_PEOPLE = 10
"""People with two photos, below which a calibration would be about them and nobody else."""

BLOCK = 8192  # pairs compared at a time


def calibrate(
    model: Model, root: str | Path, rule: Rule = "f1", method: Method = "platt",
    split: Literal["calibration", "unseen", "all"] = "calibration", face: FacePolicy = DEFAULT_FACE,
    cache: str | Path | None = None, progress: Callable[[int, int], None] | None = None,
    seed: int = 0, resamples: int = 1000, names: Collection[str] | None = None,
    allow_duplicates: bool = False, strict: bool = False,
) -> Calibration:  # fmt: skip
    """Learn from a folder of people what a score of ``model`` means; the model itself stays as it is.

    ``root`` has one sub-folder of photos a person.  ``split`` is ``calibration`` for those of them
    whose name falls into that split, which no training touches; ``unseen`` for everybody but the test
    people, for a model that learned from none of them; or ``all`` for a folder of people of your own.
    ``rule`` chooses the threshold: ``f1``, or an FMR such as 0.001.  ``method`` is the curve of the
    probability, see ``facealike.calibration.probability``.  ``cache`` is a folder that keeps the face crops;
    ``progress(done, total)`` counts photos, once while copies are looked for and once while they are
    embedded.  ``names`` are the people to learn from, whatever ``split`` says.

    Copies of a photo are left out and counted in ``copies`` (``facealike.datasets.duplicates``); a photo in
    the folders of two people is a DataError unless ``allow_duplicates`` is set.
    Photos in which no face is found are left out, for ``compare`` gives them no score either, and so are
    photos that cannot be read, or show several faces under the policy "only".  ``left_out`` counts each kind;
    ``unused`` names the latter, with their reasons, and with ``strict`` the first of them is an error.
    Who these people are is recorded in the calibration as salted digests, so that no evaluation takes them
    for new.

    Raises PeopleOverlap if any of them took part in the training of the model, by name or by a photo, for
    their scores are not those of strangers; DataError where fewer than ten people have two photos;
    UsageError for a rule or method that makes no sense; with ``strict`` ImageError and SeveralFaces.
    """
    if face not in FACE_POLICIES or face == "all":
        raise UsageError(f"a calibration needs one face a photo: largest, central or only, not {face!r}")
    people = people_of(root, "all" if split == "unseen" or names is not None else split)
    if names is not None:
        chosen = np.array([name in names for name in people.names], dtype=bool)
        people = people.select(chosen[people.labels])
    elif split == "unseen":
        tested = np.array([split_of(name) == "test" for name in people.names], dtype=bool)
        people = people.select(~tested[people.labels])
    people, digests, copies, _ = without_copies(people, root, allow_duplicates, strict, progress)
    photos = [str(path) for path in people.paths]
    _refuse_overlap(model, photos, root, digests)
    vectors, found, unused = embed_photos(model, photos, face, cache, progress, strict).or_raise(
        f"{shown(root)}: no face found in any of the {len(people):,} photos; check the folder, or "
        "choose another --face"
    )
    labels, vectors = people.labels[found], vectors[found]
    several = int(np.sum(np.bincount(labels) >= 2))
    if several < FEWEST_PEOPLE:
        raise DataError(
            f"{shown(root)}: {several} people here have two photos with a face, and a calibration needs at "
            f"least {FEWEST_PEOPLE}, better 200; add people"
            + (", or use them all with --split all" if split != "all" and names is None else "")
        )
    pairs = calibration_pairs(labels, seed)
    scores = np.empty(len(pairs.a))
    for start in range(0, len(scores), BLOCK):
        part = slice(start, start + BLOCK)
        scores[part] = cosine(vectors[pairs.a[part]], vectors[pairs.b[part]])
    count = len(np.unique(labels))
    who = f"{count:,} calibration people" if split != "all" else f"{count:,} people"
    learned = calibrate_scores(
        scores, pairs.same, labels[pairs.a], labels[pairs.b], f"{who} of {shown(Path(root).resolve().name)}",
        rule, method, seed, resamples,
    )  # fmt: skip
    counts = {"no_face": int(np.sum(~found)) - len(unused), **unused_counts(unused)}
    return replace(
        learned, seen=(record_people(photos, digests),), copies=copies, face=face,
        left_out={kind: count for kind, count in counts.items() if count}, unused=unused,
    )  # fmt: skip


def _refuse_overlap(
    model: Model, photos: Sequence[str], root: str | Path, digests: Sequence[PhotoDigest | None]
) -> None:
    overlap = find_overlap(model.file, photos, calibration=False, digests=digests)
    if overlap:
        raise PeopleOverlap(
            f"{shown(root)}: {overlap.told().format(of='')}, so their scores are not those of strangers; "
            "calibrate on others"
        )
