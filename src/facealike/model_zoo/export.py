"""``facealike export``: a finished model in fewer bits, or with a cohort: ours, dlib's or one of others."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..calibration.calibration import Calibration
from ..datasets.people import unlabeled_photos
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.crop_cache import cached_crops
from ..embedding.embedder import Embedder
from ..embedding.face_model import Model
from ..errors import DataError, TrainingError, UsageError
from ..imaging.photo_warning import UnusedPhoto, left_out_summary, unused_counts, unused_rows, unused_summary
from ..model_file.model_file import ModelFile
from ..types import Image, Progress
from ..utils.escape import shown
from ..utils.extras import needs_extra
from ..utils.result import Result

with needs_extra("export", "exporting a model"):
    from .quantization import MOST_LOST, SHOWN, apart, in_8_bits, in_16_bits
    from .score_normalization import MOST, gather, with_cohort

FEWEST = 32  # faces, below which the ranges of the numbers would be those of a few people


@dataclass(frozen=True, repr=False)
class Exported(Result):
    """A model in ``bits`` bits, or with a cohort, and not calibrated.

    ``lost``: the mean squared distance that ``bits`` brought between its embeddings and those of the model
    it was made from, as a part of their variance; 0 where ``bits`` is None, for they were not asked for.
    ``cohort``: how many faces are in it, of ``faces`` that were found, and ``explained`` how much of
    the variance of log room its clusters tell; 0 where there is none.  ``before`` and ``after``: bytes of the
    two networks.  ``no_face`` and ``unused`` are the photos that were left out: those without a face, and
    those that could not be read or show several faces, each with its reason.
    """

    file: ModelFile
    bits: int | None
    lost: float
    cohort: int
    explained: float
    faces: int
    before: int
    after: int
    no_face: int = 0
    unused: tuple[UnusedPhoto, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "model_id": self.file.id,
            "bits": self.bits,
            "lost": self.lost,
            "cohort": self.cohort,
            "explained": self.explained,
            "faces": self.faces,
            "bytes_before": self.before,
            "bytes": self.after,
            "no_face": self.no_face,
            **unused_rows(self.unused),
        }

    def __str__(self) -> str:
        parts = [f"model {self.file.id}: {self.after:,} bytes of network instead of {self.before:,}"]
        if self.bits is not None:
            parts.append(f"its embeddings differ by {self.lost:.2%} of what {self.faces:,} faces differ by")
        if self.cohort:
            parts.append(
                f"scores count by the room among {self.cohort:,} faces, of which clusters "
                f"tell {self.explained:.0%}"
            )
        told = left_out_summary({"no_face": self.no_face, **unused_counts(self.unused)})
        return "; ".join([*parts, "not calibrated yet"]) + told


def export_model(
    model: Model, photos: str | Path, bits: int | None = None, cohort: bool = False,
    face: FacePolicy = DEFAULT_FACE, aligned: bool = False, cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Exported:  # fmt: skip
    """``model`` in ``bits`` bits, 8 or 16 (``train.bits``): a smaller file, and with 8 a faster one.

    ``photos`` is a folder of photos of faces, of whom does not matter: some thousand of them show which
    numbers occur between the layers, and how far the result is from ``model``.  ``aligned`` says that they
    are face crops already.  The result has another id, so that embeddings of both are never mixed, and
    no threshold: ``calibrate`` learns one.  Photos that cannot be read are left out and told.

    With ``cohort`` the photos, at most 20,000 and each of another person, are those among whom a face
    has little room or much (``train.cohort``), and embeddings have one dimension more.  ``bits`` None then
    leaves the network as it is, and means 8 otherwise.

    Raises DataError where too few faces are found, UsageError for other ``bits``, for a network without
    convolutions, where so few bits would change embeddings too much, and for a model with a cohort.
    """
    if bits is None and not cohort:
        bits = 8
    if bits not in (None, 8, 16):
        raise UsageError(f"a model is exported in 8 or in 16 bits, not in {bits}")
    root = Path(photos)
    crops, no_face, unused = _faces(model, root, MOST if cohort else SHOWN, face, aligned, cache, progress)
    if len(crops) < FEWEST:
        raise DataError(
            f"{shown(root)}: a face was found in {len(crops)} photos, and {FEWEST} are needed to see what "
            f"numbers occur; add photos{unused_summary(unused, ' (', 'photos there')}" + ")" * bool(unused)
        )
    whole = network = model.file.embedder
    provenance, lost, members, explained = dict(model.file.card.provenance), 0.0, 0, 0.0
    if bits is not None:
        network, lost = _in_bits(model, bits, crops[:: max(1, len(crops) // SHOWN)][:SHOWN])
        provenance["bits"] = f"{bits}, made from {model.id}"
    if cohort:
        network, members, explained = _among(network, model, crops)
        provenance["cohort"] = f"{members:,} faces of {root.name}, added to {model.id}"
    card = replace(model.file.card, provenance=provenance, metrics={})
    file = replace(model.file, embedder=network, card=card, calibration=Calibration.none())
    return Exported(
        file, bits, lost, members, explained, len(crops), len(whole), len(network),
        no_face, unused,
    )  # fmt: skip


def _faces(
    model: Model, root: Path, most: int, face: FacePolicy, aligned: bool, cache: str | Path | None,
    progress: Progress | None,
) -> tuple[Image, int, tuple[UnusedPhoto, ...]]:  # fmt: skip
    """Crops (n, S, S, 3) of the faces in at most ``most`` photos, from all over the folder.

    Then how many of the photos show no face, and those that could not be used.
    """
    paths = unlabeled_photos(root).paths
    paths = paths[:: -(-len(paths) // most)]
    with tempfile.TemporaryDirectory() as passing:
        detector = None if aligned else model.detector
        crops = cached_crops(
            paths, detector, model.preprocessing, face, cache or passing, progress, strict=False
        )
        return crops.take(np.flatnonzero(crops.found)), crops.no_face, crops.unused


def _in_bits(model: Model, bits: int, crops: Image) -> tuple[bytes, float]:
    """The network in ``bits`` bits, and what its embeddings lost by it."""
    whole, preprocessing = model.file.embedder, model.preprocessing
    short = in_16_bits(whole) if bits == 16 else in_8_bits(whole, preprocessing.normalise(crops))
    lost = apart(model.embedder.embed(crops), Embedder(short, preprocessing, "cpu").embed(crops))
    if not lost < MOST_LOST:
        raise UsageError(
            f"{bits} bits would change this model's embeddings by {lost:.0%} of what faces differ by; "
            + ("try --bits 16" if bits == 8 else "leave it as it is")
        )
    return short, lost


def _among(network: bytes, model: Model, crops: Image) -> tuple[bytes, int, float]:
    """The network with the cohort of all crops behind it, how many they are, and what its clusters tell."""
    before = Embedder(network, model.preprocessing, "cpu").embed(crops)
    cohort = gather(before)
    placed = with_cohort(network, cohort)
    after = Embedder(placed, model.preprocessing, "cpu").embed(crops[:SHOWN])
    difference = float(np.abs(after - cohort.placed(before[:SHOWN])).max())
    if not difference < 1e-3:  # narrow kernels multiply the last digits of cosines
        raise TrainingError(
            f"the exported cohort differs from the gathered one by {difference:.2g}; please report this"
        )
    return placed, cohort.faces, cohort.explained
