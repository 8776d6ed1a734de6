"""Training: the only package with torch (``pip install 'facealike[train]'``).

``train`` runs a recipe over a folder of people and leaves a model and its report behind; ``distil`` one
that learns from a teacher, over photos of whomever. ``export_model`` brings a finished model to fewer
bits.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .recipe.load import load_recipe, recipe_names
from .recipe.schema import Recipe

if TYPE_CHECKING:
    from ..model_zoo.export import Exported, export_model
    from .distillation.run import DistilResult, distil
    from .embedder.cross_validation import FoldsResult, train_folds
    from .embedder.run import TrainResult, train

__all__ = [
    "DistilResult", "Exported", "FoldsResult", "Recipe", "TrainResult", "distil", "export_model",
    "load_recipe", "recipe_names", "train", "train_folds",
]  # fmt: skip

ROOMS = {
    "train": "embedder.run", "TrainResult": "embedder.run",
    "train_folds": "embedder.cross_validation", "FoldsResult": "embedder.cross_validation",
    "distil": "distillation.run", "DistilResult": "distillation.run",
    "export_model": ".model_zoo.export", "Exported": ".model_zoo.export",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # Recipes can be read and checked without torch; only a run needs it.
    if name not in ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ..errors import MissingExtra

    try:
        return getattr(import_module(f".{ROOMS[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("facealike"):
            raise
        raise MissingExtra(
            f"this needs the package {error.name}; run: pip install 'facealike[train]'"
        ) from error
