"""``facealike export``: a finished model in fewer bits, its own, dlib's or one that was brought along."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..calibration import Calibration
from ..crops import cached_crops
from ..embed import Embedder, Model
from ..errors import DataError, UsageError
from ..image import shown
from ..model import ModelFile
from ..types import FacePolicy
from .bits import MOST_LOST, SHOWN, apart, in_8_bits, in_16_bits
from .plan import Progress, unlabelled_photos

FEWEST = 32  # faces, below which the ranges of the numbers would be those of a few people


@dataclass(frozen=True)
class Exported:
    """A model in ``bits`` bits, not calibrated.

    ``lost``: the mean squared distance of its embeddings from those of the model it was made from, as a
    part of their variance, on ``faces`` faces.  ``before`` and ``after``: bytes of the two networks.
    """

    file: ModelFile
    bits: int
    lost: float
    faces: int
    before: int
    after: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "model_id": self.file.id,
            "bits": self.bits,
            "lost": self.lost,
            "faces": self.faces,
            "bytes_before": self.before,
            "bytes": self.after,
        }

    def __str__(self) -> str:
        return (
            f"model {self.file.id}: {self.after:,} bytes of network instead of {self.before:,}; its "
            f"embeddings differ by {self.lost:.2%} of what {self.faces:,} faces differ by; not calibrated yet"
        )


def export_model(
    model: Model, photos: str | Path, bits: int = 8, face: FacePolicy = "largest", aligned: bool = False,
    cache: str | Path | None = None, progress: Progress | None = None,
) -> Exported:  # fmt: skip
    """``model`` in ``bits`` bits, 8 or 16 (``train.bits``): a smaller file, and with 8 a faster one.

    ``photos`` is a folder of photos of faces, of whom does not matter: some thousand of them show which
    numbers occur between the layers, and how far the result is from ``model``.  ``aligned`` says that they
    are face crops already.  The result has another id, so that embeddings of both are never mixed, and
    no threshold: ``calibrate`` learns one.

    Raises DataError where too few faces are found, UsageError for other ``bits``, for a network without
    convolutions, and where so few bits would change embeddings too much.
    """
    if bits not in (8, 16):
        raise UsageError(f"a model is exported in 8 or in 16 bits, not in {bits}")
    root = Path(photos)
    paths = unlabelled_photos(root).paths
    paths = paths[:: max(1, len(paths) // SHOWN)][:SHOWN]
    with tempfile.TemporaryDirectory() as passing:
        detector = None if aligned else model.detector
        crops = cached_crops(paths, detector, model.preprocessing, face, cache or passing, progress)
        some = crops.take(np.flatnonzero(crops.found))
    if len(some) < FEWEST:
        raise DataError(
            f"{shown(root)}: a face was found in {len(some)} photos, and {FEWEST} are needed to see what "
            "numbers occur; add photos"
        )
    whole = model.file.embedder
    short = in_16_bits(whole) if bits == 16 else in_8_bits(whole, model.preprocessing.normalise(some))
    lost = apart(model.embedder.embed(some), Embedder(short, model.preprocessing, "cpu").embed(some))
    if not lost < MOST_LOST:
        raise UsageError(
            f"{bits} bits would change this model's embeddings by {lost:.0%} of what faces differ by; "
            + ("try --bits 16" if bits == 8 else "leave it as it is")
        )
    card = replace(
        model.file.card,
        provenance={**model.file.card.provenance, "bits": f"{bits}, made from {model.id}"},
        metrics={},
    )
    file = replace(model.file, embedder=short, card=card, calibration=Calibration.none())
    return Exported(file, bits, lost, len(some), len(whole), len(short))
