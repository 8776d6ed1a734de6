"""Calibrate a model on a folder of people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..calibration.calibration import Calibration, Method
from ..calibration.fit import calibrate_scores
from ..calibration.operating_points import Rule
from ..calibration.pairs import calibration_pairs
from ..datasets.duplicates import without_copies
from ..datasets.people import People, people_of
from ..datasets.splits import split_of
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model
from ..errors import DataError, PeopleOverlap
from ..imaging.photo_digest import PhotoDigest
from ..imaging.photo_warning import left_out_counts
from ..metrics.similarity import paired_cosines
from ..utils.escape import shown
from ..utils.wording import counted
from .embed_dataset import embed_photos
from .evaluator import EvaluationKeywords, EvaluationOptions
from .leakage import find_overlap, record_people

if TYPE_CHECKING:
    from typing_extensions import Unpack

MIN_PEOPLE = 10
"""People with two photos that a calibration needs to be valid for others."""


def calibrate(
    model: Model, root: str | Path, rule: Rule = "f1", method: Method = "platt",
    split: Literal["calibration", "unseen", "all"] = "calibration", face: FacePolicy = DEFAULT_FACE,
    names: Collection[str] | None = None, **options: Unpack[EvaluationKeywords],
) -> Calibration:  # fmt: skip
    """Fit a threshold and probabilities for ``model`` to a folder of people; the model itself is unchanged.

    Copies of a photo are left out and counted in ``copies`` (``facealike.datasets.duplicates``).  Photos
    without a face are left out, for ``compare`` gives them no score either, and so are photos that cannot be
    read, or show several faces under the policy ``only``.  ``left_out`` counts each kind and ``unused`` names
    the latter two with their reasons.  The people are recorded in the calibration as salted digests, so that
    they are recognized in an evaluation.

    Examples:
        >>> calibration = calibrate(model, "people", rule=0.001, split="all")
        >>> replace(model.file, calibration=calibration).write("mine.facealike")

    Args:
        model: The model to calibrate.
        root: A folder with one sub-folder of photos a person.
        rule: Chooses the threshold: ``f1``, or a target FMR such as 0.001.
        method: The curve from score to probability, see ``facealike.calibration.probability``.
        split: ``calibration`` for the people whose name falls into that split, which no training uses;
            ``unseen`` for all but the people of the split ``test``, for a model trained on none of them;
            ``all`` for every person in the folder.
        face: Which face of a photo is used.
        names: The people to use, whatever ``split`` is.
        options: ``cache``, ``progress``, ``strict``, ``allow_duplicates``, ``seed`` and ``resamples`` of
            ``EvaluationOptions``.

    Raises:
        PeopleOverlap: People took part in the training of the model, by name or by a photo, so that their
            scores are not those of new people.
        DataError: Fewer than ten people have two photos, or a photo lies in the folders of two people and
            ``allow_duplicates`` is not set.
        UsageError: The rule, method or face policy makes no sense.
        FaceError, ImageError: No photo shows a face; with ``strict`` the first photo that cannot be used.
    """
    chosen = EvaluationOptions(face=face, **options)
    chosen.check_used("calibrate", "allow_duplicates", "seed", "resamples")
    people = _people(root, split, names)
    people, digests, copies, _ = without_copies(
        people, root, chosen.allow_duplicates, chosen.strict, chosen.progress
    )
    photos = [str(path) for path in people.paths]
    _refuse_overlap(model, people, root, digests)
    vectors, found, unused = embed_photos(
        model, photos, face, chosen.cache, chosen.progress, chosen.strict
    ).or_raise(
        f"{shown(root)}: no face found in any of the {len(people):,} photos; check the folder, or "
        "choose another --face"
    )
    labels, vectors = people.labels[found], vectors[found]
    several = int(np.sum(np.bincount(labels) >= 2))
    if several < MIN_PEOPLE:
        raise DataError(
            f"{shown(root)}: {counted(several, 'person', 'people')} with two photos of a face, and a "
            f"calibration needs at least {MIN_PEOPLE}, better 200; add people"
            + (", or use them all with --split all" if split != "all" and names is None else "")
        )
    pairs = calibration_pairs(labels, chosen.seed)
    scores = paired_cosines(vectors, pairs.a, pairs.b)
    count = len(np.unique(labels))
    who = f"{count:,} calibration people" if split != "all" else f"{count:,} people"
    fitted = calibrate_scores(
        scores, pairs.same, labels[pairs.a], labels[pairs.b], f"{who} of {shown(Path(root).resolve().name)}",
        rule, method, seed=chosen.seed, resamples=chosen.resamples,
    )  # fmt: skip
    return replace(
        fitted, seen=(record_people(people, digests),), copies=copies, face=face,
        left_out={kind: count for kind, count in left_out_counts(unused).items() if count}, unused=unused,
    )  # fmt: skip


def _people(
    root: str | Path, split: Literal["calibration", "unseen", "all"], names: Collection[str] | None
) -> People:
    """The people to calibrate on."""
    if names is None and split != "unseen":
        return people_of(root, split)
    people = people_of(root, "all")
    used = [split_of(name) != "test" if names is None else name in names for name in people.names]
    return people.select(np.array(used, dtype=bool)[people.labels])


def _refuse_overlap(
    model: Model, people: People, root: str | Path, digests: Sequence[PhotoDigest | None]
) -> None:
    overlap = find_overlap(model.file, people.paths, calibration=False, digests=digests, named=people.named())
    if overlap:
        raise PeopleOverlap(
            f"{shown(root)}: {overlap.summary().format(of='')}, so their scores are not those of new people; "
            "calibrate on others"
        )
