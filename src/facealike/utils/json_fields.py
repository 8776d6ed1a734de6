"""Values that come out of a file: their types checked, and what is wrong said in one sentence.

A model file may come from a stranger, so nothing in its JSON is taken on trust.  All errors here
are ModelError.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import ModelError

MAX_CONTAINERS = 100_000  # lists and tables in one JSON file; each takes twenty times its text in memory
MAX_DEPTH = 32  # of lists and tables in each other
MAX_TEXT = 100_000  # characters of one text in a table

T = TypeVar("T")


def to_json(value: Any, what: str) -> str:
    """``value`` as JSON with sorted keys, so that equal values give equal text; no NaN, no infinity."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{what}: cannot be written as JSON ({error})") from None


def parse_table(content: bytes, name: str) -> dict[str, Any]:
    """The table in the JSON file ``name``."""
    if content.count(b"[") + content.count(b"{") > MAX_CONTAINERS:
        raise ModelError(f"{name} holds more lists and tables than a model needs; make the model again")
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError):
        raise ModelError(f"{name} is not JSON; copy the file again from where it was made") from None
    return checked_table(value, name)


def checked_table(value: Any, name: str) -> dict[str, Any]:
    """``value``, which must be a table of names and values."""
    if not isinstance(value, dict):
        raise ModelError(f"{name} must be a table of names and values; make the model again")
    return value


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite number, and no bool."""
    # Compared, not given to math.isfinite: that overflows for the long integers that JSON allows.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def in_words(value: Any) -> str:
    """A value for a message; what a stranger's file holds may be long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        return "something that cannot be shown"
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_types(thing: Any, what: str, **types: type) -> None:
    """Refuse ``thing`` unless each of its attributes is of the type named."""
    for name, kind in types.items():
        value = getattr(thing, name)
        if not isinstance(value, kind):
            raise ModelError(f"{what}: {name} must be of type {kind.__name__}, not {type(value).__name__}")


def checked_number(value: Any, what: str, low: float, high: float, whole: bool = False) -> None:
    """Refuse ``value`` unless it is a number from ``low`` to ``high``, of type int if ``whole``."""
    if not is_number(value) or not low <= value <= high or (whole and type(value) is not int):
        kind = "whole number" if whole else "number"
        raise ModelError(f"{what} must be a {kind} from {low:g} to {high:g}, not {in_words(value)}")


def check_lengths(thing: Any, what: str, **longest: int) -> None:
    """Refuse ``thing`` if one of its texts has more characters than stated."""
    for name, limit in longest.items():
        length = len(getattr(thing, name))
        if length > limit:
            raise ModelError(f"{what}: {name} has {length:,} characters, over the limit of {limit:,}")


def check_plain(value: Any, what: str, depth: int = 0) -> None:
    """Refuse a JSON value that would not print: nested too deeply, of huge numbers or endless texts."""
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
    """``value`` as two numbers from ``low`` to ``high``, the first not above the second."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(is_number, value)):
        raise ModelError(f"{what} must be two finite numbers, not {in_words(value)}")
    first, second = float(value[0]), float(value[1])
    if not low <= first <= second <= high:
        raise ModelError(f"{what} must be two rising numbers between {low} and {high}, not {in_words(value)}")
    return first, second


def from_dict(cls: type[T], values: Any, what: str, optional: Iterable[str] = ()) -> T:
    """A dataclass from the table of its fields; those in ``optional`` may be missing.

    They are the ones that earlier versions of the file did not have.
    """
    table = checked_table(values, what)
    known = {entry.name for entry in fields(cls)}  # type: ignore[arg-type]
    wrong = sorted((known ^ set(table)) - (set(optional) & known))
    if wrong:
        raise ModelError(
            f"{what}: entries missing or unknown ({in_words(', '.join(wrong))}); make the model again"
        )
    return cls(**table)
