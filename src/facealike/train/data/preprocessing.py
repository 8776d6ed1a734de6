"""Choose the face crop of a recipe."""

from __future__ import annotations

from ...detection.base import Detector
from ...errors import TrainingError
from ...model_file.preprocessing import Preprocessing
from ...model_zoo.dlib_weights import MEAN, STD
from ..recipe.schema import Recipe


def choose_preprocessing(recipe: Recipe, detector: Detector) -> Preprocessing:
    """Return the face crop of ``recipe``; ``align = "auto"`` uses landmarks if ``detector`` has them.

    Raises:
        TrainingError: The recipe needs landmarks and the detector has none.
    """
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
