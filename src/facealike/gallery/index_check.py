"""Compare the index files of a gallery with its tables, row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from .indexed_table import IndexedTable
from .row_file import DamagedRows
from .schema import reading


def index_problems(db: sqlite3.Connection, tables: Sequence[IndexedTable]) -> list[str]:
    """Return one sentence for each index file that differs from its table; without files, none."""
    found: list[str] = []
    for one in tables:
        if not one.on_disk:
            with reading(db):
                if not one.agrees(db, None):
                    found.append("rows were removed or added by another program; restore a copy")
            continue
        if one.path.exists():
            with reading(db):
                wrong = _differing(db, one)
            if wrong:
                found.append(
                    f"the index {one.path.name} is damaged ({wrong}); it is made again when it is used"
                )
    return found


def _differing(db: sqlite3.Connection, one: IndexedTable) -> str:
    """Return what is wrong with the file of an index; empty where nothing is."""
    try:
        file = one.opened(db)
    except (DamagedRows, OSError) as error:
        return str(error)
    try:
        if not file.whole():
            return "a check sum differs"
        for block in file.blocks():
            ids, marks = file.column("id", block), file.column("mark", block)
            held = one.between(db, int(ids[0]), int(ids[-1]))
            there = np.flatnonzero(marks)
            if ids[there].tolist() != list(held):
                return f"it holds {len(there):,} rows of {len(held):,} after row {int(ids[0]):,}"
            values = list(held.values())
            expected = {"mark": np.array([one.mark(one.bytes_of(value)) for value in values], np.uint64)}
            expected |= one.encoded(values)[0] if values else {}
            for name, column in expected.items():
                if not np.array_equal(file.column(name, block)[there], column):
                    return f"rows differ after row {int(ids[0]):,}"
        return "" if one.agrees(db, file) else "it is of another state of the gallery"
    finally:
        file.close()
