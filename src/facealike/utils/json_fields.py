"""Check values that come from a JSON file.

A model file may be untrusted, so every value is checked.  All errors are ModelError, one sentence each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import ModelError

MAX_CONTAINERS = 100_000  # lists and tables in one JSON file; each takes 20 times its text in memory
MAX_DEPTH = 32  # of nested lists and tables
MAX_TEXT = 100_000  # characters of one text

T = TypeVar("T")


def to_json(value: Any, what: str) -> str:
    """Return ``value`` as JSON with sorted keys, so that equal values give equal text; NaN is an error."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{what}: cannot be written as JSON ({error})") from None


def parse_table(content: bytes, name: str) -> dict[str, Any]:
    """Return the table in the JSON file ``name``."""
    if content.count(b"[") + content.count(b"{") > MAX_CONTAINERS:
        raise ModelError(f"{name} holds more lists and tables than a model needs; make the model again")
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError):
        raise ModelError(f"{name} is not JSON; copy the file again from where it was made") from None
    return checked_table(value, name)


def checked_table(value: Any, name: str) -> dict[str, Any]:
    """Return ``value``, which must be a dict."""
    if not isinstance(value, dict):
        raise ModelError(f"{name} must be a table of names and values; make the model again")
    return value


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a finite int or float; a bool is not."""
    # math.isfinite would overflow for the long integers that JSON allows.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def in_words(value: Any) -> str:
    """Return a short text of an untrusted value, for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or deeply nested lists
        return "something that cannot be shown"
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_types(thing: Any, what: str, **types: type) -> None:
    """Raise ModelError unless each named attribute of ``thing`` has the given type."""
    for name, kind in types.items():
        value = getattr(thing, name)
        if not isinstance(value, kind):
            raise ModelError(f"{what}: {name} must be of type {kind.__name__}, not {type(value).__name__}")


def checked_number(value: Any, what: str, low: float, high: float, whole: bool = False) -> None:
    """Raise ModelError unless ``value`` is a number from ``low`` to ``high``, an int if ``whole``."""
    if not is_number(value) or not low <= value <= high or (whole and type(value) is not int):
        kind = "an integer" if whole else "a number"
        raise ModelError(f"{what} must be {kind} from {low:g} to {high:g}, not {in_words(value)}")


def check_lengths(thing: Any, what: str, **longest: int) -> None:
    """Raise ModelError if a named text of ``thing`` has more characters than its limit."""
    for name, limit in longest.items():
        length = len(getattr(thing, name))
        if length > limit:
            raise ModelError(f"{what}: {name} has {length:,} characters, over the limit of {limit:,}")


def check_plain(value: Any, what: str, depth: int = 0) -> None:
    """Raise ModelError for a JSON value nested too deeply, or with too large a number or too long a text."""
    if depth > MAX_DEPTH:
        raise ModelError(f"{what}: nested more than {MAX_DEPTH} deep; make the model again")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ModelError(f"{what}: a text of more than {MAX_TEXT:,} characters; make the model again")
    if isinstance(value, int | float) and not isinstance(value, bool) and not is_number(value):
        raise ModelError(f"{what}: {in_words(value)} is too large a number; make the model again")
    if isinstance(value, dict):
        for name, inner in value.items():
            check_plain(name, what, depth + 1)
            check_plain(inner, what, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_plain(inner, what, depth + 1)


def checked_pair(value: Any, what: str, low: float = -1, high: float = 1) -> tuple[float, float]:
    """Return ``value`` as two floats from ``low`` to ``high``, the first not above the second."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(is_number, value)):
        raise ModelError(f"{what} must be two finite numbers, not {in_words(value)}")
    first, second = float(value[0]), float(value[1])
    if not low <= first <= second <= high:
        raise ModelError(f"{what} must be two rising numbers between {low} and {high}, not {in_words(value)}")
    return first, second


def from_dict(cls: type[T], values: Any, what: str, optional: Iterable[str] = ()) -> T:
    """Return a dataclass from a dict of its fields.

    Args:
        cls: The dataclass.
        values: Its fields by name.
        what: The name of the table in messages.
        optional: Fields that may be missing, since earlier versions of the file did not have them.

    Raises:
        ModelError: A field is missing or unknown.
    """
    table = checked_table(values, what)
    known = {entry.name for entry in fields(cls)}  # type: ignore[arg-type]
    wrong = sorted((known ^ set(table)) - (set(optional) & known))
    if wrong:
        raise ModelError(
            f"{what}: entries missing or unknown ({in_words(', '.join(wrong))}); make the model again"
        )
    return cls(**table)
