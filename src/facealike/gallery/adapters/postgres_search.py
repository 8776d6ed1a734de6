"""Search the templates of a gallery in PostgreSQL: exactly, or with an HNSW index."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ..base import Hit
from .postgres_connection import PostgresConnection

NEAR = 200
"""Templates that an approximate search looks at first; it goes up to ``MAX_NEAR``, the most of HNSW."""

MAX_NEAR = 1000
INDEX_LOCK = "hashtext(current_schema() || ' index')"
"""Advisory lock of the process that builds the index of a gallery."""

MAX_HNSW = 2000
"""The widest vectors that pgvector's HNSW can index."""

SEARCH = """
    WITH best AS (SELECT person, min(vector <#> %(query)s) AS distance FROM templates GROUP BY person),
    first AS (SELECT person, name, distance FROM best JOIN people ON people.id = person
              WHERE name <> ALL(%(without)s) ORDER BY distance, name LIMIT %(top)s)
    SELECT name, -distance, (SELECT source FROM templates WHERE templates.person = first.person
                             ORDER BY vector <#> %(query)s, templates.id LIMIT 1)
    FROM first ORDER BY distance, name
"""


def search_exactly(
    db: PostgresConnection, query: NDArray[np.float32], top: int, without: Set[str]
) -> list[Hit]:
    """Return the ``top`` people with the highest scores, the highest first, equal ones by name."""
    return [Hit(*row) for row in db.run(SEARCH, {"query": query, "top": top, "without": list(without)})]


def search_near(db: PostgresConnection, query: NDArray[np.float32], top: int, without: Set[str]) -> list[Hit]:
    """Search with the HNSW index: it may miss people, and templates beyond the nearest ``MAX_NEAR``."""
    order = f"vector::vector({len(query)}) <#> %s"
    near = (
        f"SELECT person, source, templates.id AS place, {order} AS distance FROM templates "
        f"ORDER BY {order} LIMIT %s"
    )
    text = (
        f"SELECT name, -distance, source FROM ({near}) near JOIN people ON people.id = person "
        "ORDER BY distance, name, place"
    )
    count = max(NEAR, top)
    while True:
        with db.db.transaction():
            db.run(f"SET LOCAL hnsw.ef_search = {min(count, MAX_NEAR)}")
            db.run("SET LOCAL enable_seqscan = off")
            rows = db.rows(text, (query, query, count))
        best: dict[str, Hit] = {}
        for row in rows:
            if row[0] not in without:
                best.setdefault(row[0], Hit(*row))
        if len(best) >= top or len(rows) < count or count >= MAX_NEAR:
            return list(best.values())[:top]
        count = min(2 * count, MAX_NEAR)


def make_index(db: PostgresConnection, width: int) -> None:
    """Build the HNSW index where there is none and no one builds it; others read and write meanwhile.

    Raises:
        UsageError: The vectors are too wide for it.
    """
    if width > MAX_HNSW:
        raise UsageError(f"{db.url.shown}: HNSW takes {MAX_HNSW:,} dimensions, not {width:,}; search exactly")
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('templates_hnsw')"
    if db.value(valid) or not db.value(f"SELECT pg_try_advisory_lock({INDEX_LOCK})"):
        return
    try:
        db.run("DROP INDEX IF EXISTS templates_hnsw")  # of a build that was cut off
        db.run(
            "CREATE INDEX CONCURRENTLY templates_hnsw ON templates "
            f"USING hnsw ((vector::vector({width})) vector_ip_ops)"
        )
        db.run("ALTER INDEX templates_hnsw ALTER COLUMN 1 SET STATISTICS 0")  # see PERSONAL
    finally:
        db.run(f"SELECT pg_advisory_unlock({INDEX_LOCK})")
