"""Read recipes: named ones in ``facealike/train/recipe/recipes`` and TOML files."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ...errors import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from .names import RENAMED_RECIPES, current_key, current_names
from .schema import Recipe


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with facealike, sorted.

    Examples:
        >>> "fine-tuned" in recipe_names()
        True
    """
    folder = resources.files("facealike.train.recipe") / "recipes"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return a named recipe or the one in a TOML file, with overrides applied.

    Examples:
        >>> load_recipe("fine-tuned", ["training.epochs=8"]).training.epochs
        8

    Args:
        name_or_path: A name (see ``recipe_names``) or the path of a .toml file.
        overrides: ``table.key=value`` each; the last one of a key counts.

    Raises:
        RecipeError: There is no such recipe, the file is not TOML, a key is unknown, or a value has the
            wrong type or is out of range.
    """
    name_or_path = RENAMED_RECIPES.get(str(name_or_path), name_or_path)
    path = Path(name_or_path)
    if str(name_or_path) in recipe_names():
        text = (resources.files("facealike.train.recipe") / "recipes" / f"{name_or_path}.toml").read_text(
            "utf-8"
        )
        name = str(name_or_path)
    elif path.suffix == ".toml":
        name = path.stem
        try:
            text = path.read_text("utf-8")
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no possible name
            raise RecipeError(f"{path}: no recipe can be read there ({error}); check the path") from None
    else:
        raise RecipeError(
            f"there is no recipe {str(name_or_path)!r}; choose {', '.join(recipe_names())} or a .toml file"
        )
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not TOML, a very long number, or deeply nested lists
        raise RecipeError(f"{name_or_path}: not valid TOML ({error}); correct that line") from None
    table = current_names(table, str(name_or_path))
    for override in overrides:
        _override(table, override)
    table.setdefault("name", name)
    return recipe_from_dict(table, str(name_or_path))


def recipe_from_dict(table: dict[str, Any], source: str = "recipe") -> Recipe:
    """Return the recipe in nested dicts, as TOML or ``Recipe.to_dict`` give them.

    Args:
        table: The tables; keys of earlier releases are accepted.
        source: Name of the recipe in messages.

    Raises:
        RecipeError: A key is unknown, or a value has the wrong type or is out of range.
    """
    recipe: Recipe = _build(Recipe, current_names(table, source), "", source)
    return recipe


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set takes table.key=value, not {override!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        parsed = value.strip()  # a bare word is a string
    *tables, last = current_key(key.strip()).split(".")
    for part in tables:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {override}: {part} is not a table of a recipe")
    table[last] = parsed


def _build(kind: type[Any], table: Any, prefix: str, source: str) -> Any:
    if not isinstance(table, dict):
        raise RecipeError(f"{source}: {prefix.rstrip('.')} must be a table of keys")
    hints = get_type_hints(kind)
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise RecipeError(
            f"{source}: unknown key {prefix}{unknown[0]}; known are "
            + ", ".join(prefix + key for key in sorted(known))
        )
    if "name" in known and "name" not in table and not prefix:
        raise RecipeError(f"{source}: the key name is missing; add it")
    values = {key: _convert(hints[key], value, prefix + key, source) for key, value in table.items()}
    return kind(**values)


def _convert(hint: Any, value: Any, key: str, source: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, key + ".", source)
    if get_origin(hint) is Literal:
        if value in get_args(hint) and isinstance(value, str):
            return value
        raise RecipeError(f"{source}: {key} is one of {', '.join(map(repr, get_args(hint)))}, not {value!r}")
    if get_origin(hint) is tuple:
        if isinstance(value, (list, tuple)) and all(type(v) is int for v in value):
            return tuple(value)
        raise RecipeError(f"{source}: {key} must be a list of whole numbers, not {value!r}")
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise RecipeError(f"{source}: {key} is too large a number") from None
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        word = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[hint]
        raise RecipeError(f"{source}: {key} must be {word}, not {value!r}")
    if hint is float and not math.isfinite(value):
        raise RecipeError(f"{source}: {key} must be a finite number, not {value}")
    return value
