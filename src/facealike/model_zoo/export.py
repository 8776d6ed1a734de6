"""Export a finished model: quantize it, mirror it, or add score normalization with a cohort."""

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
from ..imaging.photo_warning import (
    UnusedPhoto,
    left_out_counts,
    left_out_rows,
    left_out_summary,
    unused_summary,
)
from ..model_file.model_file import ModelFile
from ..types import Image, Progress
from ..utils.escape import shown
from ..utils.extras import needs_extra
from ..utils.result import Result
from .cohort import append_cohort

with needs_extra("export", "exporting a model"):
    from .mirroring import append_mirror, pixels_cut
    from .quantization import (
        CALIBRATION_CROPS,
        MAX_RELATIVE_ERROR,
        convert_fp16,
        quantize_int8,
        relative_error,
    )
    from .score_normalization import MAX_FACES, fit_cohort, split_cohort, with_opset

MIN_FACES = 32  # fewer would not show the activation ranges


@dataclass(frozen=True, repr=False)
class Exported(Result):
    """An exported model, which is not calibrated.

    Attributes:
        file: The model.
        bits: Bits of the quantized weights, 8 or 16; None if it was not quantized.
        mirror: Whether the network was made to look at both sides.
        lost: The mean squared distance between its embeddings and the original ones that quantization caused,
            relative to their variance.
        cohort: The number of faces in the cohort, or 0.
        explained: The share of the variance of the log neighbor distance that the cohort's clusters explain.
        faces: The number of faces found in the photos.
        before: Bytes of the original network.
        after: Bytes of the new network.
        unused: The photos that were left out, with the reasons.
    """

    file: ModelFile
    bits: int | None
    mirror: bool
    lost: float
    cohort: int
    explained: float
    faces: int
    before: int
    after: int
    unused: tuple[UnusedPhoto, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as a dict for JSON."""
        return {
            "model_id": self.file.id,
            "bits": self.bits,
            "mirror": self.mirror,
            "lost": self.lost,
            "cohort": self.cohort,
            "explained": self.explained,
            "faces": self.faces,
            "bytes_before": self.before,
            "bytes": self.after,
            **left_out_rows(self.unused),
        }

    def __str__(self) -> str:
        parts = [f"model {self.file.id}: {self.after:,} bytes of network instead of {self.before:,}"]
        if self.bits is not None:
            parts.append(f"quantization error {self.lost:.2%} of the variance over {self.faces:,} faces")
        if self.mirror:
            parts.append("looks at each face and its mirror image")
        if self.cohort:
            parts.append(
                f"scores are normalized with a cohort of {self.cohort:,} faces, whose clusters explain "
                f"{self.explained:.0%} of the local density"
            )
        left_out = left_out_summary(left_out_counts(self.unused))
        return "; ".join([*parts, "not calibrated yet"]) + left_out


def export_model(
    model: Model, photos: str | Path, bits: int | None = None, cohort: bool = False,
    face: FacePolicy = DEFAULT_FACE, aligned: bool = False, cache: str | Path | None = None,
    progress: Progress | None = None, mirror: bool = False, enlarge: float = 0, strength: float = 1,
    floor: float = 0,
) -> Exported:  # fmt: skip
    """Quantize a model, let it look at both sides of a face, or add score normalization with a cohort.

    The result has another id, so that its embeddings are never mixed with the original ones, and no
    threshold: ``calibrate`` sets one.  Photos that cannot be read are left out and counted.

    Args:
        model: The model to export.
        photos: A folder of photos of any faces.  Up to 1,024 of them calibrate the quantization.  With
            ``cohort``, at least 1,000, each of another person; up to 20,000 are used.
        bits: 8 for INT8 or 16 for FP16.  None means 8, or with ``cohort`` or ``mirror`` no quantization.
        cohort: Add score normalization, which adds one dimension to the embeddings.
        face: Which face of each photo to use.
        aligned: The photos are face crops already.
        cache: A folder to keep the crops in.
        progress: Called with the numbers of finished and of all photos.
        mirror: Return the mean of the embeddings of a crop and its mirror image, which takes twice the time
            of the network.  A cohort that the model has is fitted anew, which ``cohort`` must ask for.
        enlarge: With ``mirror``, the percent by which the mirror image is enlarged: both then differ in
            size, too, and their mean has less of the noise of the alignment.
        strength: With ``cohort``, the exponent of the normalization; 1 is local scaling.
        floor: With ``cohort``, the share of the cohort, the sparsest, among which density makes no
            difference.  A floor with a higher strength misses fewer genuine pairs at equal FMRs of groups.

    Raises:
        DataError: Too few faces are found.
        UsageError: ``bits``, ``enlarge``, ``strength`` or ``floor`` is out of range, ``enlarge`` is given
            without ``mirror``, ``strength`` or ``floor`` without ``cohort``, the
            network has no convolutions, quantization would change the embeddings too much, the model is
            mirrored already, or it has a cohort already.

    Examples:
        >>> from facealike import Model, export_model
        >>> export_model(Model.load(), "photos", bits=8).file.write("small.facealike")
    """
    if bits is None and not cohort and not mirror:
        bits = 8
    if bits not in (None, 8, 16):
        raise UsageError(f"a model is exported in 8 or in 16 bits, not in {bits}")
    if enlarge and not mirror:
        raise UsageError("only a mirror image is enlarged; add --mirror (mirror=True)")
    if (strength, floor) != (1, 0) and not cohort:
        raise UsageError("strength and floor are those of score normalization; add --cohort (cohort=True)")
    cut = pixels_cut(model.preprocessing.size, enlarge)
    source, before = model.id, len(model.file.embedder)
    if mirror:
        model = _without_cohort(model, cohort)
    root = Path(photos)
    crops, unused = _faces(
        model, root, MAX_FACES if cohort else CALIBRATION_CROPS, face, aligned, cache, progress
    )
    if len(crops) < MIN_FACES:
        raise DataError(
            f"{shown(root)}: a face was found in {len(crops)} photos, and {MIN_FACES} are needed for "
            f"calibration; add photos{unused_summary(unused, ' (', 'photos there', ')')}"
        )
    network = model.file.embedder
    provenance, lost, members, explained = dict(model.file.card.provenance), 0.0, 0, 0.0
    if bits is not None:
        network, lost = _quantize(
            model, bits, crops[:: max(1, len(crops) // CALIBRATION_CROPS)][:CALIBRATION_CROPS]
        )
        provenance["bits"] = f"{bits}, made from {source}"
    if mirror:
        size = model.preprocessing.size
        network = append_mirror(network, model.embedder.dimensions, size, cut)
        larger = f", the mirror image enlarged by {size / (size - 2 * cut) - 1:.1%}" if cut else ""
        provenance["mirror"] = f"the mean of both sides{larger}, added to {source}"
    if cohort:
        network, members, explained = _add_cohort(network, model, crops, strength, floor)
        how = f", strength {strength:g}, floor {floor:g}" if (strength, floor) != (1, 0) else ""
        provenance["cohort"] = f"{members:,} faces of {root.name}{how}, added to {source}"
    card = replace(model.file.card, provenance=provenance, metrics={})
    file = replace(model.file, embedder=network, card=card, calibration=Calibration.none())
    return Exported(
        file, bits, mirror, lost, members, explained, len(crops), before, len(network), unused,
    )  # fmt: skip


def _without_cohort(model: Model, fitted_anew: bool) -> Model:
    """Return the model as it was before it got a cohort, which fits no other embeddings."""
    network, cohort = split_cohort(model.file.embedder)
    if cohort is None:
        return model
    if not fitted_anew:
        raise UsageError(
            "the model's cohort does not fit the mean of both sides; add --cohort and photos of 1,000 people"
        )
    return Model(replace(model.file, embedder=network, calibration=Calibration.none()), model.device)


def _faces(
    model: Model, root: Path, most: int, face: FacePolicy, aligned: bool, cache: str | Path | None,
    progress: Progress | None,
) -> tuple[Image, tuple[UnusedPhoto, ...]]:  # fmt: skip
    """Return crops (n, S, S, 3) from at most ``most`` photos, and the photos without one."""
    paths = unlabeled_photos(root).paths
    paths = paths[:: -(-len(paths) // most)]
    with tempfile.TemporaryDirectory() as passing:
        detector = None if aligned else model.detector
        crops = cached_crops(
            paths, detector, model.preprocessing, face, cache or passing, progress, strict=False
        )
        return crops.take(np.flatnonzero(crops.found)), crops.unused


def _quantize(model: Model, bits: int, crops: Image) -> tuple[bytes, float]:
    """Return the quantized network and its relative error."""
    original, preprocessing = model.file.embedder, model.preprocessing
    quantized = (
        convert_fp16(original) if bits == 16 else quantize_int8(original, preprocessing.normalize(crops))
    )
    after = Embedder(quantized, preprocessing, "cpu").embed(crops)
    lost = relative_error(model.embedder.embed(crops), after)
    if not lost < MAX_RELATIVE_ERROR:
        raise UsageError(
            f"{bits} bits would change this model's embeddings by {lost:.0%} of their variance; "
            + ("try --bits 16" if bits == 8 else "leave it as it is")
        )
    return quantized, lost


def _add_cohort(
    network: bytes, model: Model, crops: Image, strength: float, floor: float
) -> tuple[bytes, int, float]:
    """Return the network with a cohort of all crops, the cohort's size, and its explained variance."""
    before = Embedder(network, model.preprocessing, "cpu").embed(crops)
    cohort = fit_cohort(before, strength, floor)
    normalized = append_cohort(with_opset(network), cohort)
    after = Embedder(normalized, model.preprocessing, "cpu").embed(crops[:CALIBRATION_CROPS])
    difference = float(np.abs(after - cohort.transform(before[:CALIBRATION_CROPS])).max())
    if not difference < 1e-3 * max(1, strength):  # narrow kernels multiply the last digits of cosines
        raise TrainingError(
            f"the exported cohort differs from the fitted one by {difference:.2g}; please report this"
        )
    return normalized, cohort.faces, cohort.explained
