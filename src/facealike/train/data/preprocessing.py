"""Choose the face crop of a recipe."""

from __future__ import annotations

from dataclasses import replace

from ...detection.base import Detector
from ...errors import TrainingError
from ...model_file.preprocessing import Preprocessing
from ...model_zoo.dlib_weights import MEAN, STD
from ..recipe.schema import Recipe


def choose_preprocessing(
    recipe: Recipe, detector: Detector, start: Preprocessing | None = None
) -> Preprocessing:
    """Return the face crop of ``recipe``; ``align = "auto"`` uses landmarks if ``detector`` has them.

    Args:
        recipe: The recipe.
        detector: The detector.
        start: The crop of the model that training continues; with ``crop.size = 0`` it is that of the recipe.

    Raises:
        TrainingError: The recipe needs landmarks and the detector has none, or its crop is not that of
            ``start``.
    """
    if start is not None:
        return _crop_of(start, recipe, detector)
    align = recipe.crop.align
    if align == "auto":
        align = "landmarks" if detector.has_landmarks else "box"
    if align in ("landmarks", "chip") and not detector.has_landmarks:
        raise TrainingError(
            "the recipe aligns by landmarks, but this detector finds none; "
            "use --detector facealike or a YuNet .onnx file, or --set crop.align=box"
        )
    if align == "box" and recipe.crop.context:
        raise TrainingError(
            "the recipe's crop.context needs landmarks, and this detector finds none; use crop.margin instead"
        )
    mean, std = (127.5, 127.5, 127.5), (64.0, 64.0, 64.0)
    if recipe.network.kind == "dlib":
        mean, std = MEAN, (STD, STD, STD)
    crop = recipe.crop
    return Preprocessing(crop.size, align, crop.margin, crop.edge, mean, std, crop.context)


def _crop_of(start: Preprocessing, recipe: Recipe, detector: Detector) -> Preprocessing:
    """Return ``start`` if the recipe and the detector fit it."""
    if start.align != "box" and not detector.has_landmarks:
        raise TrainingError(
            f"network.start: {recipe.network.start} aligns crops by landmarks, and this detector finds none; "
            "use --detector facealike or a YuNet .onnx file"
        )
    crop = recipe.crop
    if crop.size == 0:
        return start
    align = start.align if crop.align == "auto" else crop.align
    stated = replace(
        start, size=crop.size, align=align, margin=crop.margin, edge=crop.edge, context=crop.context
    )
    if stated != start:
        raise TrainingError(
            f"network.start: {recipe.network.start} was made for other face crops ({start.size} px, align "
            f"{start.align}); set crop.size = 0, which takes those, or choose another start"
        )
    return start
