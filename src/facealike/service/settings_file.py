"""Read the settings of a service from a TOML file: the names of ``ServiceSettings``, one a line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from ..errors import DataError, UsageError
from ..utils.escape import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 2**20  # bytes; another file was meant


def read_settings_file(path: Path, fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return what a file states, each value of its field's type.

    Args:
        path: The file.
        fields: The fields of ``ServiceSettings`` by name.

    Raises:
        DataError: The file cannot be read, or is not TOML.
        UsageError: It has a key that is no setting, or a value of another type.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError("larger than 1 MiB")
        stated: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{shown(path)}: no settings file that can be read ({reason})") from None
    for name, value in stated.items():
        if name not in fields:
            raise UsageError(
                f"{shown(path)}: {shown(name)} is no setting; the settings are {', '.join(sorted(fields))}"
            )
        type_name, types = _types(fields[name])
        if type(value) not in types:
            raise UsageError(f"{shown(path)}: {name}: {type_name} is needed, not {shown(repr(value))}")
    return stated


def _types(field: FieldInfo) -> tuple[str, tuple[type, ...]]:
    """Return the TOML type of a field in words, and its Python types: True is no number here."""
    if field.annotation is int:
        return "a whole number", (int,)
    if field.annotation is float:
        return "a number", (int, float)
    return "a text in quotes", (str,)
