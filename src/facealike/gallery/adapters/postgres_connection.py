"""A connection to PostgreSQL that comes back after a restart of the server, and its errors as sentences."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, UsageError
from ...utils.escape import one_line
from ...utils.extras import needs_extra
from ..store_url import StoreURL

with needs_extra("postgres", "a gallery in PostgreSQL"):
    import psycopg
    from psycopg import errors
    from psycopg.adapt import Dumper, Loader
    from psycopg.pq import Format
    from psycopg.types import TypeInfo

CONNECT_TIMEOUT = 10
"""Seconds to wait for the server, unless the URL states ``connect_timeout``."""

LOCK_TIMEOUT = 30_000
"""Milliseconds to wait for another process that works in the gallery."""

P = ParamSpec("P")
R = TypeVar("R")


class VectorDumper(Dumper):
    """Write a float32 array in the binary format of pgvector: length, two zero bytes, big-endian floats."""

    format = Format.BINARY

    def dump(self, obj: NDArray[np.float32]) -> bytes:
        return len(obj).to_bytes(2, "big") + b"\0\0" + obj.astype(">f4").tobytes()


class VectorLoader(Loader):
    """Read pgvector's binary format as a float32 array."""

    format = Format.BINARY

    def load(self, data: bytes | bytearray | memoryview) -> NDArray[np.float32]:
        return np.frombuffer(data, ">f4", offset=4).astype("<f4")


class PostgresConnection:
    """A connection for the tables of one gallery; one thread uses it.

    Attributes:
        url: Where the server is.
        db: The connection, without implicit transactions.
    """

    def __init__(self, url: StoreURL) -> None:
        self.url = url
        self._schema = ""
        self._in_snapshot = self._is_closed = False
        self.db = _connect(url)

    def enter(self, schema: str) -> None:
        """Let statements find the tables of a gallery and the type of vectors, also after a reconnection."""
        home = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"
        places = [schema, str(self.value(home) or "public")]
        self.db.execute("SELECT set_config('search_path', %s, false)", (", ".join(places),))
        kind = TypeInfo.fetch(self.db, "vector")
        assert kind is not None, "the tables have columns of this type"
        # The number of the type differs from database to database.
        dumper = type("DatabaseVectorDumper", (VectorDumper,), {"oid": kind.oid})
        self.db.adapters.register_dumper(np.ndarray, dumper)
        self.db.adapters.register_loader(kind.oid, VectorLoader)
        self._schema = schema

    def run(
        self, query: str, values: Sequence[object] | Mapping[str, object] | None = None
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement; values of its rows come in the binary format."""
        return self.db.execute(query, values, binary=True)

    def rows(
        self, query: str, values: Sequence[object] | Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return list(self.run(query, values).fetchall())

    def value(self, query: str, values: Sequence[object] | Mapping[str, object] | None = None) -> Any:
        """Return the first value of the first row, None without a row."""
        found = self.run(query, values).fetchone()
        return None if found is None else found[0]

    @contextlib.contextmanager
    def sentences(self) -> Iterator[None]:
        """Let errors of the server leave as a DataError that names the gallery."""
        try:
            yield
        except psycopg.Error as error:
            raise _failure(self.url, error) from error

    def read(self, run: Callable[[], R]) -> R:
        """Run what only reads; where the server has closed the connection, connect and run it again."""
        with self.sentences():
            try:
                return run()
            except psycopg.OperationalError:
                if self._in_snapshot or self._is_closed or not self.db.closed:
                    raise
                self._reconnect()
                return run()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Run the block in one transaction, which an error undoes; other writers wait."""
        self.read(lambda: self.run("SELECT 1"))  # a closed connection shows now, and not within
        with self.sentences(), self.db.transaction():
            self.run("LOCK TABLE about IN SHARE ROW EXCLUSIVE MODE")
            yield

    @contextlib.contextmanager
    def snapshot(self, tables: str) -> Iterator[None]:
        """Let all reads of the block see one state of tables."""
        with self.sentences(), self.db.transaction():
            self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self.run(f"LOCK TABLE {tables} IN ACCESS SHARE MODE")
            self._in_snapshot = True
            try:
                yield
            finally:
                self._in_snapshot = False

    def _reconnect(self) -> None:
        self.db = _connect(self.url)
        self.enter(self._schema)

    def close(self) -> None:
        """Close the connection for good."""
        self._is_closed = True
        self.db.close()


class _Connected(Protocol):
    _db: PostgresConnection


S = TypeVar("S", bound=_Connected)


def reads(run: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Run a method of a store by ``PostgresConnection.read``."""

    @functools.wraps(run)
    def reads(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._db.read(lambda: run(self, *args, **kwargs))

    return reads


def _connect(url: StoreURL) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to the server; acknowledged writes are on its disk.

    Raises:
        DataError: The server does not answer, or refuses.
        UsageError: The URL has an unknown option.
    """
    wanted: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT, "application_name": "facealike"}
    try:
        wanted |= psycopg.conninfo.conninfo_to_dict(url.address)
        db = psycopg.connect("", autocommit=True, **wanted)
        db.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")
        db.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
    except psycopg.ProgrammingError as error:
        raise UsageError(f"{url.shown}: not a possible address ({_reason(error, url)}); correct it") from None
    except psycopg.Error as error:
        raise _failure(url, error) from None
    return db


def _failure(url: StoreURL, error: psycopg.Error) -> DataError:
    """Return an error of the server as one sentence with what to do."""
    todo = next((todo for kind, todo in _CURES if isinstance(error, kind)), _OTHERWISE)
    return DataError(f"{url.shown}: the gallery cannot be used ({_reason(error, url)}); {todo}")


def _reason(error: psycopg.Error, url: StoreURL) -> str:
    """Return the first line of an error, without the password."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return one_line(first.replace(url.password, "***") if url.password else first)


_OTHERWISE = "facealike gallery check examines it"
_CURES: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.LockNotAvailable, "another process is working in it: wait until it is done, and try again"),
    (errors.DeadlockDetected, "two processes were in each other's way: try again"),
    (errors.InvalidPassword, "give the password in PGPASSWORD or in ~/.pgpass"),
    (errors.InvalidAuthorizationSpecification, "name a user whom the server admits"),
    (errors.InvalidCatalogName, "create the database first, or name another"),
    (errors.UndefinedFile, "install the extension pgvector on the server"),
    (errors.FeatureNotSupported, "install the extension pgvector on the server"),
    (errors.InsufficientPrivilege, "ask the owner of the database for this right"),
    (errors.ReadOnlySqlTransaction, "connect to a server that takes writes"),
    (errors.DiskFull, "free some space on the server's disk, and try again"),
    (errors.QueryCanceled, "try again, or allow a longer statement_timeout"),
    (psycopg.DataError, "the server cannot store this value"),
    (
        psycopg.OperationalError,
        "check the address, and that the server runs; what was not acknowledged, repeat",
    ),
)
