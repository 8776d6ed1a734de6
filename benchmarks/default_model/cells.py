"""How the tables of the default model write shares, and where they say from which rows they are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.default_model.measured_rows import default_id

Rows = Iterable[Mapping[str, Any]]


def percent(value: float, digits: int = 1) -> str:
    """``0.0668`` as ``6.7 %``."""
    return f"{100 * value:.{digits}f} %"


def percents(value: float, low: float, high: float) -> str:
    """A share with its interval, as ``6.7 % [4.5, 9.2]``."""
    return f"{percent(value)} [{100 * low:.1f}, {100 * high:.1f}]"


def with_source(table: str, *rows: Rows) -> str:
    """Return the table, and below it when and on what its rows were measured."""
    runs = dict.fromkeys(
        f"{row['date']} at commit {row['commit']} on {row['machine']}" for each in rows for row in each
    )
    return f"{table}\n\nModel {default_id()}, measured {' and '.join(runs)}, seed 0."
