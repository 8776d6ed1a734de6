"""The rows of ``benchmarks/results`` that were measured with the default model."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.common.record import RESULTS
from facealike.embedding.face_model import Model

NAMES = ("model", "new", "old")
"""The columns that hold the id of a model: ``gallery_migration.csv`` has two."""


class NotMeasured(LookupError):
    """A benchmark was not run with the default model."""


@functools.cache
def default_id() -> str:
    return Model.load().id


@functools.cache
def rows_of(name: str) -> tuple[dict[str, Any], ...]:
    """Return the rows of a CSV that name the default model, with numbers as floats.

    Raises:
        NotMeasured: There are none.
    """
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if default_id() in {row.get(each) for each in NAMES}]
    if not rows:
        raise NotMeasured(f"benchmarks/results/{name} has no row of the default model, {default_id()}")
    return tuple({key: _number(value) for key, value in row.items()} for row in rows)


def _number(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def latest(name: str, *keys: str, **where: Any) -> list[dict[str, Any]]:
    """Return the rows of ``rows_of`` with the values ``where``: the last one for each value of ``keys``."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows_of(name):
        if all(row[column] == value for column, value in where.items()):
            key = tuple(row[each] for each in keys)
            found.pop(key, None)
            found[key] = row
    if not found:
        raise _missing(name, where)
    return list(found.values())


class Keyed(Mapping[str, dict[str, Any]]):
    """Rows by the values of some columns, for the fields of a text: ``{identification[4000 0.01][found]}``.

    Args:
        name: The CSV.
        keys: The columns.
        where: Values that the rows have in other columns.
        derive: Further columns, computed from a row.
    """

    def __init__(
        self,
        name: str,
        *keys: str,
        where: Mapping[str, Any] | None = None,
        derive: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: {},
    ) -> None:
        self._name, self._keys, self._where, self._derive = name, keys, dict(where or {}), derive

    @functools.cached_property
    def _rows(self) -> dict[str, dict[str, Any]]:
        return {
            " ".join(f"{row[key]:g}" if isinstance(row[key], float) else row[key] for key in self._keys): {
                **row,
                **self._derive(row),
            }
            for row in latest(self._name, *self._keys, **self._where)
        }

    def __getitem__(self, key: object) -> dict[str, Any]:  # an int where a field is written [4000]
        if str(key) not in self._rows:
            raise _missing(self._name, key)
        return self._rows[str(key)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _missing(name: str, what: object) -> NotMeasured:
    return NotMeasured(f"benchmarks/results/{name} has no row {what} of the default model, {default_id()}")
