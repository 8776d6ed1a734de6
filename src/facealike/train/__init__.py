"""Training: the only room where torch lives (``pip install 'facealike[train]'``).

``train`` runs a recipe over a folder of people and leaves a model and its report behind; ``distil`` one
that learns from a teacher, over photos of whomever.  ``export_model`` brings a finished model to fewer bits.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .recipe import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from .distillation import DistilResult, distil
    from .exported import Exported, export_model
    from .folds import FoldsResult, train_folds
    from .run import TrainResult, train

__all__ = [
    "DistilResult", "Exported", "FoldsResult", "Recipe", "TrainResult", "distil", "export_model",
    "load_recipe", "recipe_names", "train", "train_folds",
]  # fmt: skip

ROOMS = {
    "train": "run", "TrainResult": "run", "train_folds": "folds", "FoldsResult": "folds",
    "distil": "distillation", "DistilResult": "distillation",
    "export_model": "exported", "Exported": "exported",
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
