"""The tables of a gallery in PostgreSQL: a schema of its own for each gallery, ``facealike_NAME``."""

from __future__ import annotations

from ...errors import DataError, MixedModels
from ..store_url import DEFAULT_GALLERY
from ..template import now
from .postgres_connection import PostgresConnection

SCHEMA_VERSION = 1
TABLES = (
    # COLLATE "C": names are ordered by code point, as in Python, in every database.
    'CREATE TABLE about (key text COLLATE "C" PRIMARY KEY, value text NOT NULL)',
    """CREATE TABLE people (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE,
        metadata text NOT NULL DEFAULT '{}')""",
    """CREATE TABLE templates (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        person bigint NOT NULL REFERENCES people ON DELETE CASCADE,
        vector vector NOT NULL, digest text NOT NULL, quality double precision, time text NOT NULL,
        source text NOT NULL, origin text NOT NULL DEFAULT '', UNIQUE (person, digest))""",
    """CREATE TABLE corrections (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        person bigint NOT NULL REFERENCES people ON DELETE CASCADE,
        digest text NOT NULL, time text NOT NULL, UNIQUE (person, digest))""",
    """CREATE TABLE audit (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        time text NOT NULL, action text NOT NULL, templates bigint NOT NULL)""",
)
PERSONAL = {
    "templates": ("vector", "digest", "source", "time"), "people": ("name", "metadata"),
    "corrections": ("digest", "time"),
}  # fmt: skip
"""Columns of which the server keeps no statistics: those hold values of rows, also of deleted ones."""

LOCK_ORDER = "templates, people, corrections"
"""The order in which every statement locks the tables, so that two never wait for each other."""

CREATE_LOCK = 0x46414C47
"""Advisory lock under which a gallery is created."""

REWRITE = (
    "DROP INDEX IF EXISTS templates_hnsw",  # building it anew takes minutes: see make_index
    "ALTER TABLE templates ALTER COLUMN quality TYPE double precision USING quality + 0",
    "ALTER TABLE people ALTER COLUMN metadata TYPE text USING metadata || ''",
    "ALTER TABLE corrections ALTER COLUMN time TYPE text USING time || ''",
)
"""Changes that keep the values.  For them the server writes tables and indices into new files, and copies
only rows that are there; VACUUM FULL would also copy deleted rows that an old transaction could still see."""


def prepare(db: PostgresConnection, model_id: str | None) -> str:
    """Check or create the tables, and return the id of the model.

    Raises:
        DataError: There is no such gallery, or it is of a newer version.
        MixedModels: It holds templates of another model.
        psycopg.Error: The server refuses.
    """
    name, schema = db.url.shown, f"facealike_{db.url.gallery or DEFAULT_GALLERY}"
    with db.db.transaction():
        db.run("SELECT pg_advisory_xact_lock(%s)", (CREATE_LOCK,))
        if not db.value("SELECT to_regclass(%s) IS NOT NULL", (f"{schema}.about",)):
            if model_id is None:
                raise DataError(f"{name}: no such gallery; facealike gallery enroll makes one")
            _create(db, schema, model_id)
        db.enter(schema)
        about = dict(db.rows("SELECT key, value FROM about"))
    if int(about["schema"]) > SCHEMA_VERSION:
        raise DataError(f"{name}: a gallery of a newer facealike; update facealike")
    held = str(about["model"])
    if model_id is not None and held != model_id:
        raise MixedModels(
            f"{name}: holds templates of the model {held}, not {model_id}; open it with that model, "
            "or enroll the photos again in a new gallery"
        )
    return held


def _create(db: PostgresConnection, schema: str, model_id: str) -> None:
    if db.value("SELECT 1 FROM pg_extension WHERE extname = 'vector'") is None:
        db.run("CREATE EXTENSION vector")
    db.run(f"CREATE SCHEMA {schema}")
    db.enter(schema)
    for statement in TABLES:
        db.run(statement)
    for table, columns in PERSONAL.items():
        for column in columns:
            db.run(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
    values = {"model": model_id, "created": now(), "schema": str(SCHEMA_VERSION)}
    for pair in values.items():
        db.run("INSERT INTO about VALUES (%s, %s)", pair)


def rewrite(db: PostgresConnection) -> None:
    """Write the tables into new files, which hold no deleted row, within a transaction that deletes some."""
    db.run(f"LOCK TABLE {LOCK_ORDER} IN ACCESS EXCLUSIVE MODE")
    for statement in REWRITE:
        db.run(statement)
