"""The photos of a test as a whole, embedded, and what every result tells of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets.duplicates import without_copies
from ..datasets.people import People, people_of
from ..datasets.splits import Split
from ..detection.face_policy import FACE_POLICIES, FacePolicy
from ..embedding.face_model import Model
from ..errors import UsageError
from ..imaging.photo_warning import unused_rows, unused_told
from ..metrics.bootstrap import Interval
from ..types import Embeddings
from ..utils.escape import markdown, shown
from ..utils.wording import copies_told, rate_text
from .embed_dataset import embed_photos
from .leakage import check_overlap

if TYPE_CHECKING:
    from .all_pairs import SetEvaluation
    from .identification import IdentificationEvaluation


@dataclass(frozen=True)
class EmbeddedSet:
    """The photos whose face was found, their vectors, and what a result tells of all photos.

    ``labels`` (n,) say whose each photo of the set is, and ``found`` (n,) which of them have a face.
    """

    people: People
    vectors: Embeddings
    labels: NDArray[np.int64]
    found: NDArray[np.bool_]
    told: dict[str, Any]


def embed_set(
    model: Model, root: str | Path, split: Split | Literal["all"], face: FacePolicy, allow_overlap: bool,
    cache: str | Path | None, progress: Callable[[int, int], None] | None, allow_duplicates: bool,
    strict: bool, calibration: bool,
) -> EmbeddedSet:  # fmt: skip
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
    return EmbeddedSet(everybody.select(found), vectors[found], everybody.labels, found, told)


def rate_or_none(missing: int, photos: int | None) -> float | None:
    return missing / photos if photos else None


def photo_counts(result: SetEvaluation | IdentificationEvaluation) -> dict[str, Any]:
    names = ("photos", "missing", "fta", "copies", "shared")
    no_face = {"no_face": result.missing - len(result.unused)}
    return {name: getattr(result, name) for name in names} | no_face | unused_rows(result.unused)


def remarks(result: SetEvaluation | IdentificationEvaluation, policy: str = "") -> str:
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
    far, frr = getattr(result, "far", None), getattr(result, "frr", None)
    if result.missing and far is not None and frr is not None:
        told += f"; FAR {rate_text(far)} and FRR {rate_text(frr)} count those as rejected"
    return told + policy + copies_told(result.copies, shared=result.shared)


def rate_table(rows: dict[str, Interval], told: str) -> str:
    lines = ["| Rate | Value | 95 % interval |", "| --- | ---: | ---: |"]
    for label, found in rows.items():
        # AUC and the share of a rank are no error rates, and have no unit.
        text = "{:.4g}".format if label == "AUC" or label.startswith("rank ") else rate_text
        known = math.isfinite(found.low + found.high)
        interval = f"{text(found.low)} to {text(found.high)}" if known else "not measured"
        lines.append(f"| {label} | {text(found.estimate)} | {interval} |")
    return "\n".join([*lines, "", markdown(told)]) + "\n"
