"""A connection to Milvus, or to a file of Milvus Lite, with the two collections of a gallery.

Filters hold hashes and numbers only, never a text that somebody has chosen.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError, UsageError
from ...utils.escape import one_line
from ...utils.extras import needs_extra
from ..store_url import DEFAULT_GALLERY, GALLERY_NAME, StoreURL

with needs_extra("milvus", "a gallery in Milvus"):
    import grpc
    from pymilvus import DataType, MilvusClient
    from pymilvus.exceptions import MilvusException

# It prints every error with a traceback, also one that is handled here.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)

TIMEOUT = 30
"""Seconds for one call; the client tries again within them."""

PAGE = 10_000
"""Rows that one answer may hold; the server's limit is 16,384."""

LONGEST = 65_535
"""Bytes of a text."""

ERRORS = (MilvusException, grpc.RpcError, OSError)

_lite_users: Counter[str] = Counter()
_lite_lock = threading.RLock()


def digest(*parts: object) -> str:
    """Return the SHA-256 of some values, by which rows are found again."""
    joined = hashlib.sha256()
    for part in parts:
        encoded = str(part).encode("utf-8", "surrogatepass")
        joined.update(len(encoded).to_bytes(8, "little") + encoded)
    return joined.hexdigest()


def among(field: str, values: Iterable[object]) -> str:
    """Return the filter that a field has one of some values."""
    return f"{field} in [{', '.join(_literal(value) for value in values)}]"


def other_than(field: str, values: Sequence[object]) -> str:
    """Return the filter that a field has none of some values; empty without values."""
    return f"not ({among(field, values)})" if values else ""


def both(*filters: str) -> str:
    """Return the conjunction of the filters that are not empty."""
    return " and ".join(f"({one})" for one in filters if one)


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


class MilvusConnection:
    """The collections of one gallery: ``templates``, made with the first one, and ``records``.

    A record is a row of one of these kinds: ``about``, ``person``, ``correction``, ``audit``,
    ``pending`` and ``version``.

    Attributes:
        url: Where the server is.
        templates: The name of the collection of templates.
        records: The name of that of the records.
        path: The file of Milvus Lite; None for a server.
        lock: Held while something is written: Milvus Lite allows one writer at a time.
    """

    def __init__(self, url: StoreURL) -> None:
        self.url = url
        self.path = None if url.host else Path(url.path)
        gallery = url.gallery or (url.path.strip("/") if url.host else "") or DEFAULT_GALLERY
        if not GALLERY_NAME.fullmatch(gallery):
            raise UsageError(f"{url.shown}: the name of a gallery has small letters, digits and underscores")
        if self.path is not None and self.path.suffix != ".db":
            raise UsageError(f"{url.shown}: a file of Milvus Lite ends in .db")
        self.templates, self.records = f"facealike_{gallery}_templates", f"facealike_{gallery}_records"
        self.lock = _lite_lock
        self._there: set[str] = set()
        self._is_open = False
        with self.sentences(), self.lock:
            self._client = self._connect()
            self._is_open = True

    def _connect(self) -> Any:
        if self.path is not None:
            client = MilvusClient(str(self.path), timeout=TIMEOUT)
            _lite_users[str(self.path)] += 1
            return client
        options = dict(self.url.options)
        scheme = "https" if options.pop("secure", "false") == "true" else "http"
        database = options.pop("database", "")
        if options:
            raise UsageError(f"{self.url.shown}: unknown option {', '.join(sorted(options))}")
        uri = f"{scheme}://{self.url.host}"
        return MilvusClient(
            uri, user=self.url.user, password=self.url.password, db_name=database, timeout=TIMEOUT
        )

    @contextlib.contextmanager
    def sentences(self) -> Iterator[None]:
        """Let errors of the server leave as a DataError that names the gallery."""
        try:
            yield
        except ERRORS as error:
            what = f"{self.url.shown}: the gallery cannot be used ({self._reason(error)})"
            raise DataError(f"{what}; {self._cure()}") from error

    def _reason(self, error: BaseException) -> str:
        text = str(getattr(error, "message", "") or getattr(error, "details", lambda: "")() or error).strip()
        first = (text or type(error).__name__).splitlines()[0]
        return one_line(first.replace(self.url.password, "***") if self.url.password else first)

    def _cure(self) -> str:
        if self.path is not None:
            return "check the path, and that no other process has it open: Milvus Lite allows one"
        return "check the address, the user, and that the server runs; what was not acknowledged, repeat"

    def call(self, what: str, *args: Any, **options: Any) -> Any:
        """Call a method of the client."""
        if not self._is_open:
            raise DataError(f"{self.url.shown}: the gallery is closed; open it again")
        with self.sentences():
            return getattr(self._client, what)(*args, timeout=TIMEOUT, **options)

    def has(self, collection: str) -> bool:
        """Return whether there is a collection, ready to be searched; none goes away."""
        if collection not in self._there and self.call("has_collection", collection):
            if not self.call("list_indexes", collection):  # new, or made by a process that was killed
                self._index(collection)
            self.call("load_collection", collection)
            self._there.add(collection)
        return collection in self._there

    def _index(self, collection: str) -> None:
        params = MilvusClient.prepare_index_params()
        if self.url.index == "hnsw" and collection == self.templates:
            graph = {"M": 16, "efConstruction": 200}
            params.add_index("vector", index_type="HNSW", metric_type="IP", params=graph)
        else:
            params.add_index("vector", index_type="FLAT", metric_type="IP")
        params.add_index("person", index_type="INVERTED")
        self.call("create_index", collection, params, sync=False)  # sync would sleep for half a second

    def query(self, collection: str, where: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        """Return some fields of all rows that a filter selects."""
        names = ["id", *fields]
        if (
            self.path is not None
        ):  # it has no limit, and its log is full of tracebacks where pages are asked for
            return list(
                map(dict, self.call("query", collection, filter=where or 'id >= ""', output_fields=names))
            )
        with self.sentences():
            page = self.call("query", collection, filter=where, output_fields=names, limit=PAGE)
            if len(page) < PAGE:
                return [dict(row) for row in page]
            pages = self.call(
                "query_iterator", collection, filter=where, output_fields=names, batch_size=PAGE
            )
            found: list[dict[str, Any]] = []
            while page := pages.next():
                found += map(dict, page)
            pages.close()
            return found

    def count(self, collection: str, where: str = "") -> int:
        """Return how many rows a filter selects."""
        return int(self.call("query", collection, filter=where, output_fields=["count(*)"])[0]["count(*)"])

    def upsert(self, collection: str, rows: list[dict[str, Any]]) -> None:
        """Write rows; one with the id of an older row replaces it."""
        if rows:
            with self.lock:
                self.call("upsert", collection, rows)

    def delete(self, collection: str, where: str) -> None:
        """Delete the rows that a filter selects."""
        with self.lock:
            self.call("delete", collection, filter=where)

    def compact(self) -> None:
        """Ask the server to drop the bytes of deleted rows; it does so in its own time."""
        for collection in (self.templates, self.records):
            with contextlib.suppress(*ERRORS), self.lock:  # such as a limit on how often
                self._client.flush(collection, timeout=TIMEOUT)
                self._client.compact(collection, timeout=TIMEOUT)

    def make_records(self) -> None:
        """Create the collection of the records."""
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("kind", DataType.VARCHAR, max_length=16)
        schema.add_field("person", DataType.VARCHAR, max_length=64)
        schema.add_field("batch", DataType.INT64)
        schema.add_field("number", DataType.INT64)
        schema.add_field("time", DataType.VARCHAR, max_length=64)
        schema.add_field("text", DataType.VARCHAR, max_length=LONGEST)
        schema.add_field("name", DataType.VARCHAR, max_length=LONGEST)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)  # every collection has one
        self._make(self.records, schema)

    def make_templates(self, width: int) -> None:
        """Create the collection of the templates where there is none."""
        if self.has(self.templates):
            return
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("person", DataType.VARCHAR, max_length=64)
        schema.add_field("batch", DataType.INT64)
        schema.add_field("number", DataType.INT64)
        schema.add_field("digest", DataType.VARCHAR, max_length=LONGEST)
        schema.add_field("quality", DataType.DOUBLE, nullable=True)
        schema.add_field("time", DataType.VARCHAR, max_length=64)
        schema.add_field("source", DataType.VARCHAR, max_length=LONGEST)
        schema.add_field("origin", DataType.VARCHAR, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=width)
        self._make(self.templates, schema)

    def _make(self, collection: str, schema: Any) -> None:
        with self.lock:
            try:
                self.call("create_collection", collection, schema=schema, consistency_level="Strong")
            except DataError:
                if not self.has(collection):  # else another process was quicker
                    raise
            self.has(collection)

    def width(self) -> int:
        """Return the width of the vectors; 0 where there is no collection of templates."""
        if not self.has(self.templates):
            return 0
        fields = self.call("describe_collection", self.templates)["fields"]
        return int(next(one["params"]["dim"] for one in fields if one["name"] == "vector"))

    def close(self) -> None:
        """Close the connection, and the file of Milvus Lite unless this process uses it elsewhere."""
        if not self._is_open:
            return
        self._is_open = False
        with contextlib.suppress(*ERRORS), self.lock:
            self._client.close()
            if self.path is not None:
                _lite_users[str(self.path)] -= 1
                if not _lite_users[str(self.path)]:
                    from milvus_lite.server_manager import server_manager_instance

                    server_manager_instance.release_server(str(self.path))
