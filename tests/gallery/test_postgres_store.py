"""Issue 22: what only the store in PostgreSQL has: connections, passwords, locks, and the server's files."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import psycopg
import pytest

from facealike.errors import DataError, MissingExtra, UsageError
from facealike.gallery.adapters import postgres_connection
from facealike.gallery.adapters.pgvector import PostgresStore
from facealike.gallery.adapters.postgres_search import INDEX_LOCK
from facealike.gallery.location import open_store
from facealike.gallery.store_url import StoreURL, is_url
from facealike.gallery.template import Template
from support.gallery_stores import new_place
from support.gallery_templates import template
from support.gallery_writer import check_killed_writers
from support.postgres_server import postgres_folder


@pytest.fixture
def url(tmp_path: Path) -> str:
    return new_place("postgresql", tmp_path)


def store_at(url: str) -> PostgresStore:
    return PostgresStore(StoreURL.parse(url), "m")


def administrator() -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=str(postgres_folder()), user="postgres", dbname="postgres", autocommit=True)


def test_a_process_that_is_killed_loses_nothing_acknowledged(url: str) -> None:
    open_store(url, "m").close()
    check_killed_writers(url, [random.Random(turn).uniform(0, 0.1) for turn in range(2)])


def test_forgotten_bytes_are_in_no_table_of_the_server(url: str) -> None:
    store = open_store(url, "m")
    seeds = range(10_000, 10_050)  # of no other test: all galleries lie in one database
    store.add("Obadiah Q", [template(n) for n in seeds], {"note": "Obadiah's secret"})
    store.add("Ann", [template(10_099)], {"note": "kept"})
    store.correct("Obadiah Q", template(10_060).digest)
    forgotten = [template(n).vector.tobytes()[:16] for n in seeds]
    forgotten += [template(n).digest.encode() for n in (*seeds, 10_060)] + [b"Obadiah", b"s-10007.jpg"]
    others = [template(10_099).vector.tobytes(), template(10_099).digest.encode(), b"s-10099.jpg"]

    def held(wanted: list[bytes]) -> int:
        with administrator() as db:
            db.execute("CHECKPOINT")
        files = [path for path in (postgres_folder() / "base").rglob("*") if path.is_file()]
        raw = b"".join(path.read_bytes() for path in files)
        return sum(one in raw for one in wanted)

    with administrator() as old:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")  # could see the rows: VACUUM would keep them
        old.execute("SELECT 1")
        with administrator() as db:
            db.execute(f"ANALYZE {schema(url)}.templates, {schema(url)}.people, {schema(url)}.corrections")
        assert held(forgotten) == len(forgotten)
        assert store.forget("Obadiah Q") == 50
        assert held(forgotten) == 0
        assert held(others) == len(others)
    with administrator() as db:
        counts = "SELECT count(*) FROM pg_stats WHERE schemaname = %s AND attname = ANY(%s)"
        kept = (schema(url), ["vector", "digest", "source", "time", "name", "metadata"])
        db.execute(f"ANALYZE {schema(url)}.templates, {schema(url)}.people, {schema(url)}.corrections")
        assert db.execute(counts, kept).fetchone() == (0,), "statistics hold values of rows"
    store.close()


def schema(url: str) -> str:
    return "facealike_" + url.partition("gallery=")[2]


def test_a_lost_connection_is_made_again(url: str) -> None:
    store = store_at(url)

    def lose() -> None:
        with administrator() as db:
            pid = store._db.db.info.backend_pid
            assert db.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone() == (True,)

    store.add("Ann", [template(1)])
    lose()
    assert store.people() == {"Ann": 1} and store.search(template(1).vector, 1)[0].score > 0.999
    lose()
    assert store.add("Ann", [template(2)]) == 1
    lose()
    assert store.forget("Ann") == 2

    def rows():  # type: ignore[no-untyped-def]
        yield "Bob", template(1)
        lose()
        yield from (("Bob", template(n)) for n in range(3000))

    with pytest.raises(
        DataError, match=r"the gallery cannot be used .*; .*what was not acknowledged, repeat"
    ):
        store.add_many(rows())
    assert store.people() == {} and store.add("Bob", [template(1)]) == 1
    store.close()
    with pytest.raises(DataError, match="the connection is closed"):
        store.people()


def test_a_busy_gallery_is_reported(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connection, "LOCK_TIMEOUT", 50)
    store, other = store_at(url), store_at(url)
    store.add("Ann", [template(1)])
    with other._db.writing(), pytest.raises(DataError, match="wait until it is done, and try again"):
        store.add("Ann", [template(2)])
    with other.snapshot():
        assert other.count() == 1 and store.add("Ann", [template(2)]) == 1
        assert other.count() == 1 and other.people() == {"Ann": 1}
        with pytest.raises(DataError, match="another process is working in it"):
            store.forget("Ann")
    assert other.people() == {"Ann": 2}, "nothing is removed by a forget that had to give up"
    assert store.forget("Ann") == 2
    store.close()
    other.close()


def test_an_approximate_index_finds_the_same_here(url: str) -> None:
    exact = open_store(url, "m")
    exact.add_many((f"p{n % 300}", template(n)) for n in range(900))
    near = store_at(url + "&index=hnsw")
    assert near.location.endswith("&index=hnsw") and "hnsw" in near.location
    plan = "EXPLAIN SELECT id FROM templates ORDER BY vector::vector(16) <#> %s LIMIT 5"
    with near._db.db.transaction():
        near._db.run("SET LOCAL enable_seqscan = off")
        assert "templates_hnsw" in str(near._db.rows(plan, (template(1).vector,)))
    for seed in (1, 2000, 2001):
        wanted, found = (one.search(template(seed).vector, 5, {"p1"}) for one in (exact, near))
        assert [hit.person for hit in found] == [hit.person for hit in wanted]
    assert near.forget("p7") == 3 and near.search(template(7).vector, 1)[0].score < 0.999
    assert not has_index(near), "it holds the vectors of the forgotten"
    assert near.add("p7", [template(7)]) == 1 and near.search(template(7).vector, 1)[0].person == "p7"
    assert near.index_problems() == []
    assert has_index(store_at(url + "&index=hnsw"))
    exact._db.run("DROP INDEX templates_hnsw")
    exact._db.run(f"SELECT pg_advisory_lock({INDEX_LOCK})")
    other = store_at(url + "&index=hnsw")
    assert not has_index(other) and other.search(template(7).vector, 1)[0].person == "p7"
    exact.close()
    near.close()


def has_index(store: PostgresStore) -> bool:
    return bool(store._db.value("SELECT to_regclass('templates_hnsw') IS NOT NULL"))


def test_vectors_can_be_too_wide_for_an_index() -> None:
    place = new_place("postgresql", Path())
    wide = np.full(2001, 2001**-0.5, np.float32)
    other = store_at(place)
    other.add("Ann", [Template(wide, "d", None, "s")])
    with pytest.raises(UsageError, match="HNSW takes 2,000 dimensions, not 2,001; search exactly"):
        store_at(place + "&index=hnsw")
    other.close()


@pytest.mark.parametrize(
    ("place", "kind", "message"),
    [
        ("postgresql://ann:sEcret@127.0.0.1:1/db", DataError, "connection .* refused.*check the address"),
        ("postgresql://ann:sEcret@127.0.0.1:1/db?connect_timeout=x", UsageError, "connect_timeout"),
        ("postgresql://ann:sEcret@127.0.0.1:1/db?nonsense=1", UsageError, "nonsense"),
        ("postgresql://ann:sEcret%@127.0.0.1:1/db", DataError, "refused"),
        ("postgresql://ann:sEcret@[::1/db", UsageError, "no URL; escape special characters"),
        ("postgresql://ann:sEcret@h/db?gallery=Bad-Name", UsageError, "small letters, digits"),
        ("postgresql://ann:sEcret@h/db?index=ivf", UsageError, "index is one of exact, hnsw, not 'ivf'"),
        ("mysql://ann:sEcret@h/db", UsageError, "mysql:// is no place for a gallery"),
        ("postgresql://ann:sEcret@/nowhere?host={folder}", DataError, "(does not exist|authentication)"),
    ],
)
def test_errors_are_one_sentence_without_the_password(place: str, kind: type, message: str) -> None:
    with pytest.raises(kind, match="(?i)" + message) as raised:
        open_store(place.format(folder=postgres_folder()), "m")
    assert "sEcret" not in str(raised.value) and "\n" not in str(raised.value)


def test_values_that_the_server_cannot_hold_are_refused(url: str) -> None:
    store = open_store(url, "m")
    with pytest.raises(DataError, match="cannot store this value"):
        store.add("a\0b", [template(1)])
    broken = template(2).vector.copy()
    broken[3] = np.nan
    with pytest.raises(DataError, match=r"NaN not allowed in vector.*cannot store this value"):
        store.add("Ann", [Template(broken, "d", None, "s")])
    assert store.people() == {}
    store.close()


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("facealike.gallery.adapters.p")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"needs psycopg.*facealike\[postgres\]"):
        open_store("postgresql://h/db", "m")


def test_what_is_a_url() -> None:
    assert is_url("postgresql://h/db") and is_url("Milvus://h:1/x")
    assert not is_url("people.db") and not is_url(Path("postgresql://h/db")) and not is_url("C:\\people.db")
    assert not is_url("a/b://c")
