"""Training: the only room where torch lives (``pip install 'facealike[train]'``).

``train`` runs a recipe over a folder of people and leaves a model and its report behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .recipe import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from .folds import FoldsResult, train_folds
    from .run import TrainResult, train

__all__ = [
    "FoldsResult", "Recipe", "TrainResult", "load_recipe", "recipe_names", "train", "train_folds",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Recipes can be read and checked without torch; only a run needs it.
    if name in ("train", "TrainResult", "train_folds", "FoldsResult"):
        from ..errors import MissingExtra

        try:
            from . import folds, run
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("facealike"):
                raise
            raise MissingExtra(
                f"training needs the package {error.name}; run: pip install 'facealike[train]'"
            ) from error
        return getattr(run if name in ("train", "TrainResult") else folds, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
