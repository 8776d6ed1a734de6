"""Explain a comparison: which regions of each face carry the score."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..calibration.calibration import Calibration
from ..calibration.nearby_pairs import nearby_pairs
from ..detection.face_policy import DEFAULT_FACE
from ..embedding.cropper import FaceCrop
from ..embedding.face_model import Model
from ..imaging.read import Source
from .best_pair import PairFacePolicy, best_pair
from .compare import CompareOptions, EmbeddedFaces, StepClock, compare_faces, embed_pair, model_for
from .explanation import Explanation, RegionFall
from .face_regions import REGIONS, region_masks
from .occlusion import Embed, occlusion_map, patch_masks, score_falls

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .compare import CompareKeywords

SMALLEST = 0.15  # of the distance from the median impostor score to the threshold
UNCALIBRATED = 0.01  # the smallest fall that is named for a model without a calibration


def explain(
    a: Source,
    b: Source,
    model: Model | str | os.PathLike[str] | None = None,
    threshold: float | None = None,
    face: PairFacePolicy = DEFAULT_FACE,
    *,
    device: str = "auto",
    **keywords: Unpack[CompareKeywords],
) -> Explanation:
    """Compare two photos, and find which regions of each face carry the score.

    Patches of three sizes, and the regions of the face as wholes, are covered one at a time in one photo
    while the other stays as it is; then the reverse.  What is covered shows its own blurred surroundings.
    The fall of the score is what the place carries.

    Args:
        a: A photo, whatever ``read_image`` takes.
        b: Another photo.
        model: A loaded Model, the path of a model file, or None for the default model.
        threshold: As in ``compare``; it changes the verdict, and no map.
        face: Which face of a photo is meant; with ``any`` the best pair of faces is explained.
        device: Where to load the model; must be the device of a Model that is loaded.
        keywords: ``aligned``, ``prior`` and ``fmr``, as in ``compare``.

    Raises:
        ImageError: A photo cannot be read.
        NoFaceFound: A photo shows no face.
        SeveralFaces: A photo shows several under the policy ``only``.
        ModelError: The model file cannot be used.
        NotCalibrated: The model has no threshold, and none is given.
        DeviceError: The device is not there.
        UsageError: An argument is out of range, or the arguments contradict each other.

    Examples:
        >>> explanation = explain("a.jpg", "b.jpg")
        >>> print(explanation.sentence)
        the eyes carry the score in both photos; the nose only in the second photo
        >>> explanation.save_picture("map.png")
    """
    clock = StepClock()
    options = CompareOptions(threshold, face, **keywords)
    loaded = model_for(model, device, options, clock)
    first, second = embed_pair(a, b, loaded, options, clock)
    return explain_faces(first, second, loaded, options, loaded.embed_crops, clock)


def explain_faces(
    first: EmbeddedFaces, second: EmbeddedFaces, model: Model, options: CompareOptions, embed: Embed,
    clock: StepClock | None = None,
) -> Explanation:  # fmt: skip
    """Explain the comparison of the faces of two photos that are embedded already; see ``explain``.

    Args:
        first: The faces that ``options.face_policy`` selects in one photo, and their unit vectors (n, d).
        second: Those of the other.
        model: The model that embedded them.
        options: How they are compared.
        embed: Embeds crops with this model, a few at a time.
        clock: Times the steps.

    Raises:
        NotCalibrated: The model has no threshold, and none is given.
        UsageError: The model has no threshold for ``fmr``.
    """
    clock = StepClock() if clock is None else clock
    best = best_pair(first[1], second[1])
    faces = first[0][best.first], second[0][best.second]
    vectors = first[1][best.first], second[1][best.second]
    with clock.step("explain"):
        map_a, falls_a = _covered(faces[0], vectors[0], vectors[1], model, embed)
        map_b, falls_b = _covered(faces[1], vectors[1], vectors[0], model, embed)
    regions: tuple[RegionFall, ...] = ()
    if falls_a is not None and falls_b is not None:
        regions = tuple(
            RegionFall(name, *falls) for name, *falls in zip(REGIONS, falls_a, falls_b, strict=True)
        )
    comparison = compare_faces(first, second, model, options, clock.report)
    return Explanation(
        comparison,
        (faces[0].crop, faces[1].crop),
        (map_a, map_b),
        regions,
        smallest_fall(model.calibration),
        nearby_pairs(model.calibration, comparison.score),
    )


def smallest_fall(calibration: Calibration) -> float:
    """Return the fall of the score from which on a region is named."""
    typical = calibration.typical_impostor
    if typical is None or typical >= calibration.threshold:
        return UNCALIBRATED
    return SMALLEST * (calibration.threshold - typical)


def _covered(
    face: FaceCrop, vector: NDArray[np.float32], other: NDArray[np.float32], model: Model, embed: Embed
) -> tuple[NDArray[np.float32], list[float] | None]:
    """The map of a face, and the falls of its regions; None where its landmarks are not known."""
    size = model.preprocessing.size
    landmarks = model.preprocessing.crop_landmarks(face.face)
    regions = None if landmarks is None else region_masks(landmarks, size)
    patches = score_falls(face.crop, vector, other, patch_masks(size), embed)
    if regions is None:
        return occlusion_map(patches, size), None
    return occlusion_map(patches, size), score_falls(face.crop, vector, other, regions, embed).tolist()
