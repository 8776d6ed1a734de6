"""Base classes of all results: a ``repr`` of one line, an HTML table in notebooks, no accidental ``bool``."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ..errors import UsageError
from .escape import html, one_line

REPR_WIDTH = 100
"""Maximum length of the repr of a result, in characters: one line of a terminal."""

MAX_LISTED = 10  # entries of a list shown in a table


class Shown:
    """Base class with a ``repr`` of one short line and an HTML table.

    A dataclass derived from it needs ``repr=False``, or it gets a ``__repr__`` of its own.
    """

    def _brief(self) -> str:
        """Return the text of the repr; it must be quick to compute."""
        if type(self).__str__ is not object.__str__:
            return str(self)
        entries: tuple[dataclasses.Field[Any], ...] = (
            dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        )
        return ", ".join(f"{e.name} {_short(getattr(self, e.name))}" for e in entries if e.repr)

    def __repr__(self) -> str:
        name = type(self).__name__
        text = one_line(" ".join(self._brief().split()))
        room = REPR_WIDTH - len(name) - len("<: >")
        return f"<{name}: {text if len(text) <= room else text[: room - 3].rstrip() + '...'}>"

    def _html_rows(self) -> dict[str, Any]:
        """Return the rows of the notebook table: numbers, texts and lists of those, from ``to_dict``."""
        to_dict = getattr(self, "to_dict", None)
        rows: dict[str, Any] = {} if to_dict is None else to_dict()
        return {name: value for name, value in rows.items() if _is_row(value)}

    def _repr_html_(self) -> str:
        """Return the result as HTML for a notebook: its sentence and a table of its figures."""
        listed = {name.replace("_", " "): v for name, v in self._html_rows().items() if v is not None}
        rows = "".join(
            f'<tr><th style="text-align:left">{_cell(name)}</th><td>{_cell(value)}</td></tr>'
            for name, value in listed.items()
        )
        text = self._brief() if type(self).__str__ is object.__str__ else str(self)
        return (
            f"<div><p><b>{type(self).__name__}</b> {_cell(text)}</p>"
            + (f"<table><tbody>{rows}</tbody></table>" if rows else "")
            + "</div>"
        )


class Result(Shown):
    """Base class of results that are not a yes or no: ``bool(result)`` raises UsageError.

    Without this, a result would be true whatever was found.  ``ASK`` names the alternative in the message.
    Results that are a yes or no define ``__bool__``.
    """

    ASK: ClassVar[str] = "ask for one of its figures"

    def __bool__(self) -> bool:
        name = type(self).__name__
        raise UsageError(f"a result of the type {name} is neither true nor false; {self.ASK}")


def _is_row(value: object) -> bool:
    """Return whether a value fits into one cell: not a dict, and not a list of lists or dicts."""
    if isinstance(value, list | tuple):
        return len(value) > 0 and not any(isinstance(entry, dict | list | tuple) for entry in value)
    return not isinstance(value, dict)


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        lines = [_cell(entry) for entry in value[:MAX_LISTED]]
        if len(value) > MAX_LISTED:
            lines.append(f"and {len(value) - MAX_LISTED:,} more")
        return ("<br>" if any(isinstance(entry, str) for entry in value) else ", ").join(lines)
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return "<br>".join(map(html, text.splitlines()))


def _short(value: object) -> str:
    """Return a field for a repr: numbers rounded, long values only counted."""
    if isinstance(value, float):
        return f"{value:.4g}"
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"array {shape}"
    if isinstance(value, list | tuple | dict) and len(value) > 3:
        return f"{len(value):,} entries"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:18]}...{text[-18:]}"
