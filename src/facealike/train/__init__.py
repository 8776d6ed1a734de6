"""Training: the only package with torch (``pip install "facealike[train]"``).

``train`` trains a recipe on a folder of people and writes a model and its report; ``distil`` trains a small
network to reproduce a teacher's embeddings, without identity labels; ``train_folds`` cross-validates on LFW.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .options import TrainingOptions
from .recipe.load import load_recipe, recipe_names
from .recipe.schema import Recipe

if TYPE_CHECKING:
    from .distillation.run import DistilResult, distil
    from .embedder.cross_validation import FoldsResult, train_folds
    from .embedder.run import TrainResult, train

__all__ = [
    "DistilResult", "FoldsResult", "Recipe", "TrainResult", "TrainingOptions", "distil", "load_recipe",
    "recipe_names", "train", "train_folds",
]  # fmt: skip

_HOME = {
    "train": "embedder.run", "TrainResult": "embedder.run",
    "train_folds": "embedder.cross_validation", "FoldsResult": "embedder.cross_validation",
    "distil": "distillation.run", "DistilResult": "distillation.run",
}  # fmt: skip
MOVED = ("export_model", "Exported")  # to facealike itself; the next release removes them here


def __getattr__(name: str) -> Any:
    if name in MOVED:
        import facealike

        message = f"facealike.train.{name} has moved: use facealike.{name}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(facealike, name)
    # Recipes can be read and checked without torch; only a run needs it.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ..utils.extras import needs_extra

    with needs_extra("train", "training"):
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
