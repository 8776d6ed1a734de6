"""Issue 22: an encrypted gallery shows nothing without its key, notices changes, and survives kills."""

from __future__ import annotations

import itertools
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.errors import DataError, UsageError
from facealike.gallery import indexed_table
from facealike.gallery.encryption import decrypt_gallery, encrypt_gallery, rekey_gallery
from facealike.gallery.gallery import Gallery
from facealike.gallery.gallery_key import KEY_VARIABLE, GalleryKey, find_key, write_new_key
from facealike.gallery.integrity import check_store
from facealike.gallery.location import open_store
from facealike.gallery.portable import export_store
from facealike.gallery.record_cipher import NotAuthentic, RecordCipher
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Correction, Template
from support.gallery_templates import template

ONE, TWO = GalleryKey(b"1" * 32), GalleryKey(b"2" * 32)
PEOPLE = 40


def fill(store: SQLiteStore) -> None:
    rows = [(f"Zebulon {n // 2}", template(n)) for n in range(2 * PEOPLE)]
    store.add_many(rows, {"Zebulon 0": {"team": "Quintessence"}})
    store.correct("Zebulon 0", template(0).digest)
    store.correct("Zebulon 1", template(999).digest)


def filled(path: Path, key: GalleryKey | None) -> SQLiteStore:
    store = SQLiteStore(path, "m", key=key)
    fill(store)
    return store


def content(store: SQLiteStore) -> object:
    templates = [
        (who, one.vector.tobytes(), one.digest, one.quality, one.source, one.origin)
        for who, one in store.templates()
    ]
    return templates, store.metadata(), [one[:2] for one in store.corrections()], store.people()


def secrets_of(n: int) -> list[bytes]:
    one = template(n)
    return [
        b"Zebulon", b"Quintessence", one.vector.tobytes(), one.vector.tobytes()[:12],
        one.digest.encode(), bytes.fromhex(one.digest), one.source.encode(),
    ]  # fmt: skip


def assert_nothing_plain(folder: Path) -> None:
    held = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert len(held) > 10_000
    for n in (*range(2 * PEOPLE), 999):
        for secret in secrets_of(n):
            assert secret not in held, secret


def stored(path: Path, table: str) -> tuple[sqlite3.Connection, str]:
    """Return a connection as another program opens it, and the real name of a table."""
    db = sqlite3.connect(path, isolation_level=None)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return db, next(name for name in names if name.startswith(f"{table}_"))


@given(st.text() | st.binary() | st.floats(allow_nan=False), st.integers(0), st.integers(0) | st.none())
def test_a_value_is_read_in_its_place_only(value: str | bytes | float, row: int, person: int | None) -> None:
    cipher = RecordCipher(b"k" * 32, "gallery", "m")
    sealed = cipher.seal("people.name", row, person, value)
    assert sealed is not None and sealed != cipher.seal("people.name", row, person, value), "a fresh nonce"
    assert cipher.unseal("people.name", row, person, sealed) == value
    others = [
        (cipher, ("people.name", row + 1, person)), (cipher, ("people.names", row, person)),
        (cipher, ("people.name", row, (person or 0) + 1)),
        (RecordCipher(b"k" * 32, "gallery", "n"), ("people.name", row, person)),
        (RecordCipher(b"k" * 32, "another", "m"), ("people.name", row, person)),
        (RecordCipher(b"K" * 32, "gallery", "m"), ("people.name", row, person)),
    ]  # fmt: skip
    for other, (column, at, who) in others:
        with pytest.raises(NotAuthentic):
            other.unseal(column, at, who, sealed)
    for changed in (sealed[:-1], bytes([sealed[0] ^ 1]) + sealed[1:], b"", sealed[:5]):
        with pytest.raises(NotAuthentic):
            cipher.unseal("people.name", row, person, changed)


def test_an_encrypted_gallery_holds_what_a_plain_one_does(tmp_path: Path) -> None:
    plain, closed = filled(tmp_path / "p.db", None), filled(tmp_path / "e.db", ONE)
    assert content(plain) == content(closed) and closed.about()["encrypted"]
    closed.close()
    again = SQLiteStore(tmp_path / "e.db", key=ONE)
    assert content(again) == content(plain) and check_store(again).whole
    query = template(5).vector
    assert again.search(query, 7) == plain.search(query, 7)
    for store in (plain, again):
        assert store.forget("Zebulon 2") == 2 and store.compact() >= 0
    assert again.search(query, 7) == plain.search(query, 7) and content(again) == content(plain)


def test_no_file_holds_plain_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed_table, "FILE_FROM", 10)
    monkeypatch.setattr(indexed_table, "NEWER", 5)
    folder = tmp_path / "made"
    folder.mkdir()
    store = filled(folder / "g.db", ONE)
    assert_nothing_plain(folder)  # also in the write-ahead log, while it is open
    assert store.search(template(1).vector, 1)[0].score > 0.999
    store.forget("Zebulon 3")
    assert_nothing_plain(folder)
    store.close()
    assert [path.name for path in folder.iterdir()] == ["g.db"]

    folder = tmp_path / "encrypted later"
    folder.mkdir()
    store = filled(folder / "g.db", None)
    assert (folder / "g.db-index" / "names").is_file()
    (folder / "g.db-index" / ".names.1-ab.part").write_bytes(b"Zebulon left by a process that was killed")
    store.change_key(ONE)
    assert_nothing_plain(folder)
    assert store.search(template(1).vector, 1)[0].score > 0.999
    assert_nothing_plain(folder)
    store.change_key(TWO)
    before = content(store)
    store.change_key(None)
    assert content(store) == before and check_store(store).whole
    assert store.search(template(1).vector, 1)[0].score > 0.999
    assert template(7).vector.tobytes() in (folder / "g.db").read_bytes()


def test_a_key_is_needed_and_only_the_right_one_opens(tmp_path: Path) -> None:
    filled(tmp_path / "e.db", ONE).close()
    filled(tmp_path / "p.db", None).close()
    before = (tmp_path / "e.db").read_bytes()
    with pytest.raises(DataError, match=r"e\.db: encrypted; give its key by --key-file"):
        SQLiteStore(tmp_path / "e.db", "m")
    with pytest.raises(DataError, match=r"e\.db: encrypted with another key"):
        SQLiteStore(tmp_path / "e.db", "m", key=TWO)
    with pytest.raises(DataError, match=r"p\.db: not encrypted; facealike gallery encrypt"):
        SQLiteStore(tmp_path / "p.db", "m", key=ONE)
    assert (tmp_path / "e.db").read_bytes() == before
    db, _ = stored(tmp_path / "e.db", "people")
    db.execute("UPDATE about SET value = 'no key' WHERE key = 'cipher'")
    db.close()
    with pytest.raises(DataError, match="another key"):
        SQLiteStore(tmp_path / "e.db", "m", key=ONE)


def test_where_a_key_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert find_key(None) is None
    write_new_key(tmp_path / "one.key")
    assert (tmp_path / "one.key").stat().st_mode & 0o77 == 0
    with pytest.raises(UsageError, match="exists already"):
        write_new_key(tmp_path / "one.key")
    with pytest.raises(DataError, match="cannot be written"):
        write_new_key(tmp_path / "nowhere" / "one.key")
    key = find_key(tmp_path / "one.key")
    assert key is not None and len(key.value) == 32 and key != find_key(None)
    assert key.value.hex() not in repr(key) and str(key.value) not in repr(key)
    monkeypatch.setenv(KEY_VARIABLE, (tmp_path / "one.key").read_text())
    assert find_key(None) == key
    monkeypatch.setenv(KEY_VARIABLE, "open sesame")
    with pytest.raises(DataError, match=f"{KEY_VARIABLE}: no key of a gallery") as error:
        find_key(None)
    assert "sesame" not in str(error.value)
    (tmp_path / "bad.key").write_bytes(b"\xff" * 64)
    for path, why in ((tmp_path / "bad.key", "no key of"), (tmp_path / "none.key", "cannot be read")):
        with pytest.raises(DataError, match=why):
            find_key(path)
    monkeypatch.setenv(KEY_VARIABLE, key.value.hex())
    with pytest.raises(UsageError, match="only a gallery in a file is encrypted"):
        open_store("milvus://h:1/name", "m")
    with pytest.raises(UsageError, match="only a gallery in a file is encrypted"):
        encrypt_gallery("postgresql://u:geheim@h/db")


CHANGES = {
    "vectors of two rows are exchanged": "UPDATE {t} SET vector = (SELECT vector FROM {t} AS x "
    "WHERE x.id = 12 - {t}.id) WHERE id IN (5, 7)",
    "a template gets another person": "UPDATE {t} SET person = 9 WHERE id = 5",
    "a row gets another id": "UPDATE {t} SET id = 1000 WHERE id = 5",
    "columns are exchanged": "UPDATE {t} SET source = digest WHERE id = 5",
    "a byte is changed": "UPDATE {t} SET vector = CAST(substr(vector, 1, 40) || x'00' || substr(vector, 42) "
    "AS BLOB) WHERE id = 5",
    "plain text takes the place": "UPDATE {t} SET source = 'a.jpg' WHERE id = 5",
}  # fmt: skip


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_changes_from_outside_are_noticed(change: str, tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    filled(path, ONE).close()
    db, table = stored(path, "templates")
    db.execute(CHANGES[change].format(t=table))
    db.close()
    store = SQLiteStore(path, key=ONE)
    result = check_store(store)
    assert not result.whole and "cannot be decrypted" in result.problems[0]
    with pytest.raises(DataError, match=r"e\.db: row \d+ of templates cannot be decrypted: the file is"):
        store.templates()
    with pytest.raises(DataError, match="cannot be decrypted"):
        store.change_key(TWO)
    assert store.people()["Zebulon 9"] >= 2, "what was not changed is there, with the old key"
    store.close()
    with pytest.raises(DataError, match="another key"):
        SQLiteStore(path, key=TWO)


def test_rows_that_were_deleted_are_missed(tmp_path: Path) -> None:
    filled(tmp_path / "e.db", ONE).close()
    db, table = stored(tmp_path / "e.db", "templates")
    db.execute(f"DELETE FROM {table} WHERE id = 5")
    db.close()
    store = SQLiteStore(tmp_path / "e.db", key=ONE)
    assert check_store(store).problems == ("rows were removed or added by another program; restore a copy",)


def test_a_process_with_the_old_key_can_neither_read_nor_write(tmp_path: Path) -> None:
    for first in (None, ONE):
        path = tmp_path / f"{first is None}.db"
        store = filled(path, first)
        other = SQLiteStore(path, "m", key=first)
        assert other.count() == 79
        store.change_key(TWO)
        for use in (
            lambda other=other: other.add("Ann", [template(500)]), lambda other=other: other.people(),
            lambda other=other: other.forget("Zebulon 1"),
        ):  # fmt: skip
            with pytest.raises(DataError, match="open the gallery again with the new one"):
                use()
        other.close()
        assert store.count() == 79 and check_store(store).whole
        store.close()


def test_encrypt_rekey_decrypt_by_key_files(tmp_path: Path) -> None:
    path, one, two = tmp_path / "g.db", tmp_path / "1.key", tmp_path / "2.key"
    write_new_key(one)
    write_new_key(two)
    store = filled(path, None)
    export_store(store, tmp_path / "before.jsonl")
    store.close()
    with pytest.raises(UsageError, match="no key is given"):
        encrypt_gallery(path)
    assert encrypt_gallery(path, one) == 79
    for key in (one, two):
        with pytest.raises(UsageError, match="encrypted already; facealike gallery rekey"):
            encrypt_gallery(path, key)
    with pytest.raises(DataError, match="another key"):
        rekey_gallery(path, one, two)
    assert rekey_gallery(path, two, one) == 79
    gallery = Gallery.open(path, None, key_file=two)
    with pytest.raises(UsageError, match=r"encrypted, and an exported file is not; .*--plain"):
        gallery.export(tmp_path / "after.jsonl")
    assert not (tmp_path / "after.jsonl").exists()
    assert gallery.export(tmp_path / "after.jsonl", plain=True) == 79 and gallery.info().encrypted
    assert (tmp_path / "after.jsonl").read_bytes() == (tmp_path / "before.jsonl").read_bytes()
    gallery.close()
    assert decrypt_gallery(path, two) == 79
    assert Gallery.open(path, None).people()["Zebulon 9"] == 2


def test_marks_of_names_cannot_be_found_by_trying(tmp_path: Path) -> None:
    """One name in a gallery: the sum of its marks, which stands in plain, is another with another key."""
    sums = []
    for number, key in enumerate((None, ONE, ONE)):
        store = SQLiteStore(tmp_path / f"{number}.db", "m", key=key)
        store.add("Ann", [Template(template(1).vector, template(1).digest, None, "a.jpg")])
        sums.append({store._db.execute("SELECT value FROM about WHERE key = 'name marks'").fetchone()[0]})
    assert not sums[0] & sums[1] and not sums[1] & sums[2]


REKEY = """
import sys
from facealike.gallery.gallery_key import GalleryKey
from facealike.gallery.sqlite_store import SQLiteStore
store = SQLiteStore(sys.argv[1], key=GalleryKey(sys.argv[2].encode() * 32))
print("open", flush=True)
for n in range(100000):
    store.change_key(GalleryKey(b"12"[n % 2 : n % 2 + 1] * 32))
"""


def opened(path: Path) -> tuple[SQLiteStore, str]:
    for key, name in ((ONE, "1"), (TWO, "2")):
        try:
            return SQLiteStore(path, key=key), name
        except DataError as error:
            assert "another key" in str(error), error
    raise AssertionError("neither key opens the gallery")


def test_a_kill_while_the_key_changes_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    store = filled(path, ONE)
    store.add_many([], None, [Correction("Zebulon 5", template(998).digest)])
    expected, key, keys = content(store), "1", set()
    store.close()
    chance = random.Random(0)
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", REKEY, str(path), key], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0, 0.1))
        child.kill()
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
        store, key = opened(path)
        keys.add(key)
        assert content(store) == expected and check_store(store).whole
        store.close()
        assert_nothing_plain(tmp_path)
    assert keys == {"1", "2"}, "the kills came after changes, too"


def test_a_kill_in_encrypting_leaves_nothing_plain_after_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends after the transaction and before the old bytes are erased."""
    path = tmp_path / "g.db"
    store = filled(path, None)
    monkeypatch.setattr(SQLiteStore, "_erase", lambda self, done: None)
    store.change_key(ONE)
    held = (tmp_path / "g.db").read_bytes() + (tmp_path / "g.db-wal").read_bytes()
    assert any(itertools.chain(secret in held for n in range(80) for secret in secrets_of(n)))
    store._db.close()
    monkeypatch.undo()
    store = SQLiteStore(path, key=ONE)
    assert_nothing_plain(tmp_path)
    assert store.count() == 79


def test_a_search_of_names_decrypts_those_it_returns_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g.db"
    store, other = filled(path, ONE), SQLiteStore(path, "m", key=ONE)
    store.people_page(5, search="zebulon")  # reads the names into memory
    other.forget("Zebulon 39")
    other.add("Zebulon 39", [template(500)])  # by another process: it is the newest now
    other.forget("Zebulon 38")
    other.add("Late Zebulon", [template(501)])
    opened: list[object] = []
    unseal = RecordCipher.unseal

    def counted(self: RecordCipher, *place: object) -> object:
        if place[0] == "people.name":
            opened.append(place[1])
        return unseal(self, *place)  # type: ignore[arg-type]

    monkeypatch.setattr(RecordCipher, "unseal", counted)
    with closing(SQLiteStore(path, "m", key=ONE)) as fresh:
        fresh.people_page(1, search="ZEBULON 3")
        opened.clear()
        found = fresh.people_page(2, search="ZEBULON 3")
        assert list(found.people) == ["Zebulon 39", "Zebulon 37"] and len(opened) == 2 + 1
    assert list(store.people_page(2, search="zebulon").people) == ["Late Zebulon", "Zebulon 39"]
    assert store.people_page(9, search="zebulon 38") == ({}, None)
    rest = store.people_page(100, found.next, "zebulon 3")
    assert list(rest.people) == [f"Zebulon {n}" for n in (36, 35, 34, 33, 32, 31, 30, 3)]
    store.close()
    other.close()
