"""Embed the photos of a set of people, and report what was left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets.duplicates import without_copies
from ..datasets.people import People, people_of
from ..datasets.splits import Split
from ..detection.face_policy import DEFAULT_FACE
from ..embedding.face_model import Model
from ..imaging.photo_warning import UnusedPhoto, left_out_counts, left_out_rows, unused_summary
from ..metrics.bootstrap import Interval
from ..quality.result import Quality
from ..types import Embeddings
from ..utils.escape import markdown, shown
from ..utils.markdown_table import markdown_table
from ..utils.result import Result
from ..utils.wording import copies_note, counted, rate_text
from .embed_dataset import embed_photos
from .evaluator import EvaluationOptions
from .leakage import check_overlap


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CountedPhotos(Result):
    """The part that the results of sets share: how many photos there were, and what became of them.

    Attributes:
        missing: How many photos gave no face.
        leaked: Whether some people took part in training or calibration; None where that is not known.
        photos: The number of photos; None where it is not known.
        copies: How many photos were left out as copies of others.
        shared: How many photos lie in the folders of several people.
        unused: The missing photos, with the reasons.
        face: The face policy.
    """

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
        return self.missing / self.photos if self.photos else None

    @property
    def left_out(self) -> dict[str, int]:
        """How many photos show no face, could not be read or show several faces."""
        return left_out_counts(self.unused)


@dataclass(frozen=True)
class EmbeddedSet:
    """The photos with a face and their embeddings.

    ``labels`` (n,) number the person of each photo of the set, ``found`` (n,) is whether it has a face, and
    ``paths`` (n,) are the photos.
    ``counts`` are the fields that every result of a set has: ``photos``, ``missing``, ``leaked`` and so on.
    """

    people: People
    vectors: Embeddings
    labels: NDArray[np.int64]
    found: NDArray[np.bool_]
    counts: dict[str, Any]
    paths: tuple[Path, ...] = ()


def embed_set(
    model: Model, root: str | Path, split: Split | Literal["all"], options: EvaluationOptions,
    calibration: bool, qualities: list[Quality] | None = None,
) -> EmbeddedSet:  # fmt: skip
    """Embed the photos of a split.

    Args:
        model: The model to evaluate.
        root: A folder with one sub-folder of photos a person, or that of AgeDB or FG-NET.
        split: A split by the hash of a person's name, or ``all``.
        options: See ``EvaluationOptions``.
        calibration: Whether people who calibrated the model count as leaked; true where its threshold is
            used.
        qualities: Filled with the quality of each face that is found.

    Raises:
        FacealikeError: The errors of ``SplitEvaluator``.
    """
    face = options.face or DEFAULT_FACE
    people, digests, copies, shared = without_copies(
        people_of(root, split), root, options.allow_duplicates, options.strict, options.progress
    )
    trained = split == "train"
    leaked = check_overlap(
        model.file, people.paths, options.allow_overlap or trained, f"in the split {split}", calibration,
        digests, people.named(),
    )  # fmt: skip
    photos = [str(path) for path in people.paths]
    vectors, found, unused = embed_photos(
        model, photos, face, options.cache, options.progress, options.strict, qualities
    ).or_raise(
        f"{shown(people.paths[0])}: no face found, nor in any other photo of the split {split}; check "
        "the folder, or choose another --face"
    )
    counts = {
        "leaked": trained or leaked,
        "photos": len(people),
        "missing": int(np.sum(~found)),
        "copies": copies,
        "shared": shared,
        "unused": unused,
        "face": face,
    }
    return EmbeddedSet(people.select(found), vectors[found], people.labels, found, counts, people.paths)


def metrics_of(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return the figures that are known."""
    return {name: value for name, value in values.items() if value is not None}


def photo_counts(result: CountedPhotos) -> dict[str, Any]:
    """Return the counts of photos for JSON."""
    names = ("photos", "missing", "fta", "copies", "shared")
    return {name: getattr(result, name) for name in names} | left_out_rows(result.unused)


def remarks(result: CountedPhotos, policy: str = "") -> str:
    """Return leaked people, photos without a face, copies and the face policy in words."""
    notes = {
        False: "; no person was seen in training",
        True: "; LEAKED: some of these people took part in training or calibration",
        None: "; whether these people took part in training is not known",
    }[result.leaked]
    if result.missing:
        left_out = counted(result.missing, "more photo was", "more photos were")
        notes += f"; {left_out} left out because a face was not found"
        if result.fta is not None:
            notes += f" (failure to acquire: {rate_text(result.fta)} of {result.photos:,} photos)"
        notes += unused_summary(result.unused, of="photos left out")
    far, frr = getattr(result, "far", None), getattr(result, "frr", None)
    if result.missing and far is not None and frr is not None:
        notes += f"; FAR {rate_text(far)} and FRR {rate_text(frr)} count those as rejected"
    return notes + policy + copies_note(result.copies, shared=result.shared)


def rate_table(rates: dict[str, Interval], text: str) -> str:
    """Return rates with their intervals as a Markdown table, followed by a text."""
    rows = []
    for label, rate in rates.items():
        # The AUC and the share found at a rank are no error rates, and have no unit.
        number = "{:.4g}".format if label == "AUC" or label.startswith("rank ") else rate_text
        known = math.isfinite(rate.low + rate.high)
        interval = f"{number(rate.low)} to {number(rate.high)}" if known else "not measured"
        rows.append([label, number(rate.estimate), interval])
    return f"{markdown_table(['Rate', 'Value', '95 % interval'], rows)}\n\n{markdown(text)}\n"
