"""Issue 22: a check finds damage of the file, of vectors, of digests and of the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from facealike.errors import DataError
from facealike.gallery import indexed_table
from facealike.gallery.gallery import Gallery
from facealike.gallery.integrity import check_store
from facealike.gallery.row_file import CHECK, PAGE
from facealike.gallery.sqlite_store import SQLiteStore
from support.gallery_templates import template
from support.tiny_model import tiny_model_file


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    store = SQLiteStore(tmp_path / "g.db", tiny_model_file().id)
    store.add("Ann", [template(n) for n in range(40)])
    store.add("Bob", [template(n) for n in range(30, 60)])
    return store


def test_a_whole_gallery(store: SQLiteStore) -> None:
    found = check_store(store)
    assert found and (found.people, found.templates, found.problems) == (2, 70, ())


def test_vectors_digests_and_metadata(store: SQLiteStore, tmp_path: Path) -> None:
    store._db.execute("UPDATE templates SET digest = 'x' WHERE id = 3")
    store._db.execute("INSERT INTO descriptions SELECT 1, id, '{' FROM people WHERE name = 'Bob'")
    digest, metadata = check_store(store).problems
    assert "Ann: s-2.jpg: the digest of the photo is no SHA-256" in digest and "no JSON" in metadata
    store._db.execute("UPDATE templates SET vector = zeroblob(64) WHERE id = 5")
    (problem,) = check_store(store).problems
    assert problem == "Ann: s-4.jpg: a norm of 0 in place of 1"
    store.close()
    with pytest.raises(DataError, match=r"g\.db: a template of 'Ann' is damaged .* forget and enroll"):
        Gallery.open(tmp_path / "g.db", tiny_model_file())
    admin = Gallery.open(tmp_path / "g.db", None)
    assert not admin.check() and admin.forget("Ann") == 40
    assert Gallery.open(tmp_path / "g.db", tiny_model_file()).people() == {"Bob": 30}


def test_pages_of_the_file(store: SQLiteStore, tmp_path: Path) -> None:
    store.close()
    path = tmp_path / "g.db"
    content = bytearray(path.read_bytes())
    content[-4096:] = b"\xff" * 4096
    path.write_bytes(content)
    try:
        found = Gallery.open(path, None).check()
    except DataError as error:
        assert "g.db" in str(error)
    else:
        assert not found and found.problems


def test_the_index(store: SQLiteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed_table, "FILE_FROM", 10)
    monkeypatch.setattr(indexed_table, "NEWER", 1)
    store.add("Cid", [template(99)])
    assert check_store(store)
    path = tmp_path / "g.db-index" / "templates-int8"
    content = bytearray(path.read_bytes())
    content[PAGE + CHECK] ^= 1
    path.write_bytes(content)
    (problem,) = check_store(store).problems
    assert (
        problem
        == "the index templates-int8 is damaged (a check sum differs); it is made again when it is used"
    )
    store.close()
    again = SQLiteStore(tmp_path / "g.db")
    assert again.search(template(99).vector, 1)[0].person == "Cid"
    assert check_store(again)
