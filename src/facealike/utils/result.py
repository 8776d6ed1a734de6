"""What all results have in common: one line in a terminal, a table in a notebook, no truth by accident."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ..errors import UsageError
from .escape import html, one_line

REPR_WIDTH = 100
"""Characters that the repr of a result has at most: one line of a terminal."""

MOST_LISTED = 10  # entries of a list in a table


class Shown:
    """Something that shows itself briefly: its ``repr`` is one short line, its HTML a table.

    A dataclass below it must be made with ``repr=False``, or it writes a ``__repr__`` of its own.
    """

    def _brief(self) -> str:
        """Return the few words of the repr; nothing that takes time to compute."""
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
        """The rows of the table in a notebook: numbers, texts, and lists of those, from ``to_dict``."""
        to_dict = getattr(self, "to_dict", None)
        rows: dict[str, Any] = {} if to_dict is None else to_dict()
        return {name: value for name, value in rows.items() if _is_row(value)}

    def _repr_html_(self) -> str:
        """Return the result as HTML: its sentence and a table of its figures.  Notebooks call this."""
        told = {name.replace("_", " "): v for name, v in self._html_rows().items() if v is not None}
        rows = "".join(
            f'<tr><th style="text-align:left">{_cell(name)}</th><td>{_cell(value)}</td></tr>'
            for name, value in told.items()
        )
        text = self._brief() if type(self).__str__ is object.__str__ else str(self)
        return (
            f"<div><p><b>{type(self).__name__}</b> {_cell(text)}</p>"
            + (f"<table><tbody>{rows}</tbody></table>" if rows else "")
            + "</div>"
        )


class Result(Shown):
    """A result that is no verdict: ``bool(result)`` raises, for it would be true whatever was found.

    ``ASK`` says in the message what to ask in its place.  Results that are a verdict define ``__bool__``.
    """

    ASK: ClassVar[str] = "ask for one of its figures"

    def __bool__(self) -> bool:
        name = type(self).__name__
        raise UsageError(f"a result of the type {name} is neither true nor false; {self.ASK}")


def _is_row(value: object) -> bool:
    """Whether a value fits into one cell: no table, and no list of tables."""
    if isinstance(value, list | tuple):
        return len(value) > 0 and not any(isinstance(entry, dict | list | tuple) for entry in value)
    return not isinstance(value, dict)


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        lines = [_cell(entry) for entry in value[:MOST_LISTED]]
        if len(value) > MOST_LISTED:
            lines.append(f"and {len(value) - MOST_LISTED:,} more")
        return ("<br>" if any(isinstance(entry, str) for entry in value) else ", ").join(lines)
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return "<br>".join(map(html, text.splitlines()))


def _short(value: object) -> str:
    """A field for a repr: numbers rounded, what is long only counted."""
    if isinstance(value, float):
        return f"{value:.4g}"
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"array {shape}"
    if isinstance(value, list | tuple | dict) and len(value) > 3:
        return f"{len(value):,} entries"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:18]}...{text[-18:]}"
