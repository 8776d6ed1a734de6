"""Names that recipes had in earlier releases: accepted on loading, and still the keys of files.

run.json, settings.json and model cards keep the old keys, so that runs and models of all releases compare.
"""

from __future__ import annotations

from typing import Any

from ...errors import RecipeError

FILE_KEYS = {
    "data.unlabeled": "unlabelled", "network.standardize": "standardise", "loss.centers": "centres",
    "augment.gray": "grey", "student.gray": "grey",
    "card.weights_license": "weights_licence", "card.data_license": "data_licence",
}  # fmt: skip
"""Keys of recipes as dotted paths, and their last part in files and in recipes of earlier releases."""
RENAMED_VALUES = {
    "network.kind": {"seed": "legacy"},
    "loss.name": {"subcentre-arcface": "subcenter-arcface"},
}
RENAMED_RECIPES = {"seed": "legacy"}
"""Named recipes of earlier releases and their names now."""

_CURRENT = {f"{key.rpartition('.')[0]}.{old}": key.rpartition(".")[2] for key, old in FILE_KEYS.items()}


def current_key(key: str) -> str:
    """Return a dotted key under its current name."""
    table, dot, _ = key.rpartition(".")
    return table + dot + _CURRENT[key] if key in _CURRENT else key


def current_names(table: dict[str, Any], source: str, prefix: str = "") -> dict[str, Any]:
    """Return the tables of a recipe with current keys and values.

    Raises:
        RecipeError: A key stands there under both of its names.
    """
    renamed: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        name = _CURRENT.get(path, key)
        if name != key and name in table:
            raise RecipeError(f"{source}: {path} is the old name of {prefix}{name}; remove one of them")
        if isinstance(value, dict):
            value = current_names(value, source, f"{path}.")
        elif isinstance(value, str):
            value = RENAMED_VALUES.get(path, {}).get(value, value)
        renamed[name] = value
    return renamed


def file_names(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the tables of a recipe with the keys of files."""
    return {
        FILE_KEYS.get(f"{prefix}{key}", key): (
            file_names(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        )
        for key, value in table.items()
    }


def comparable(recipe: Any) -> Any:
    """Return the recipe of a file so that equal recipes of different releases are equal."""
    if not isinstance(recipe, dict):
        return recipe
    try:
        renamed = current_names(recipe, "recipe")
    except RecipeError:
        return recipe
    name = renamed.get("name")
    return {**renamed, "name": RENAMED_RECIPES.get(name, name) if isinstance(name, str) else name}
