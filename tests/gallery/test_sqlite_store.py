"""Issue 22: the SQLite store keeps what it acknowledged and forgets for good."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facealike.errors import DataError, MixedModels
from facealike.gallery import schema
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Correction, Template

ENROLL = """
import sys
import numpy as np
from facealike.gallery import schema
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Correction, Template
store = SQLiteStore(sys.argv[1], "m")
for n in range(100000):
    name = f"{sys.argv[2]}-{n}"
    store.add(name, [Template(np.eye(8, dtype=np.float32)[n % 8], name, None, name)])
    print(name, flush=True)
"""


def template(seed: int) -> Template:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), f"digest-{seed}", 0.5, f"source-{seed}.jpg")


def test_keeps_templates_and_enrolls_a_photo_once(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "g.db", "m")
    assert store.add("Ann", [template(1), template(2)]) == 2
    assert store.add("Ann", [template(2)]) == 0
    store.close()
    again = SQLiteStore(tmp_path / "g.db", "m")
    assert again.people() == {"Ann": 2}
    assert np.array_equal(again.templates()[0][1].vector, template(1).vector)


def test_refuses_another_model_and_other_files(tmp_path: Path) -> None:
    SQLiteStore(tmp_path / "g.db", "m").close()
    with pytest.raises(MixedModels, match="enroll the photos again"):
        SQLiteStore(tmp_path / "g.db", "n")
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(DataError, match="not a usable gallery"):
        SQLiteStore(tmp_path / "text.db", "m")


def test_another_thread_is_told_to_open_its_own(tmp_path: Path) -> None:
    """It was told of SQLite objects and thread ids, and sent to gallery check."""
    store = SQLiteStore(tmp_path / "g.db", "m")
    with ThreadPoolExecutor(1) as pool, pytest.raises(DataError) as caught:
        pool.submit(store.people).result()
    assert str(caught.value).endswith("serves the thread that opened it: open it again in each thread")
    assert "thread id" not in str(caught.value)


def test_forgotten_bytes_are_in_no_file(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "g.db", "m")
    store.add("Zebulon Quint", [template(n) for n in range(5)])
    store.add("Ann", [template(9)])
    assert store.forget("Zebulon Quint") == 5
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Zebulon" not in held and b"source-3" not in held and b"digest-3" not in held
    assert all(template(n).vector.tobytes()[:16] not in held for n in range(5))
    assert template(9).vector.tobytes() in held
    with pytest.raises(DataError, match=r"no person .* is enrolled"):
        store.forget("Zebulon Quint")


def test_acknowledged_enrollment_survives_kill(tmp_path: Path) -> None:
    path, told = tmp_path / "g.db", set()
    for turn in range(10):
        command = [sys.executable, "-c", ENROLL, str(path), str(turn)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        told.add(child.stdout.readline().strip())
        time.sleep(random.Random(turn).uniform(0, 0.1))
        child.kill()
        told |= {line.strip() for line in child.stdout if line.endswith("\n")}
        child.wait()
    assert told <= set(SQLiteStore(path, "m").people())


def old_gallery(path: Path) -> None:
    """A gallery of schema version 1, with one template."""
    db = sqlite3.connect(path)
    db.executescript(schema.MIGRATIONS[0])
    db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    db.execute("INSERT INTO about VALUES ('model', 'm')")
    db.execute("INSERT INTO people (name) VALUES ('Ann')")
    db.execute("PRAGMA secure_delete = OFF")
    db.execute("INSERT INTO people (name) VALUES ('Zebulon')")
    db.execute("DELETE FROM people WHERE name = 'Zebulon'")
    one = template(1)
    row = (one.vector.tobytes(), one.digest, one.quality, "2026-01-01T00:00:00+00:00", one.source)
    db.execute(
        "INSERT INTO templates (person, vector, digest, quality, time, source) VALUES (1, ?, ?, ?, ?, ?)", row
    )
    db.commit()
    db.close()
    assert b"Zebulon" in path.read_bytes()


def version(path: Path) -> int:
    with sqlite3.connect(path) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_an_older_gallery_is_migrated_and_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    old_gallery(path)
    store = SQLiteStore(path, "m")
    assert version(path) == len(schema.MIGRATIONS) == store.about()["schema"]
    assert store.people() == {"Ann": 1} and store.corrections() == []
    assert b"Zebulon" not in path.read_bytes(), "what version 1 has left of the forgotten is erased"
    assert store.about()["created"] == "2026-01-01T00:00:00+00:00"
    assert store.correct("Ann", "digest-2") == 0
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match="newer facealike"):
        SQLiteStore(path, "m")


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "g.db"
    old_gallery(path)
    broken = (schema.MIGRATIONS[0], "CREATE TABLE corrections (id INTEGER); CREATE TABLE people (x)")
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(DataError, match=r"g\.db: not a usable gallery"):
        SQLiteStore(path, "m")
    monkeypatch.undo()
    assert version(path) == 1
    assert SQLiteStore(path, "m").people() == {"Ann": 1}


def test_errors_of_sqlite_after_opening_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    store = SQLiteStore(path, "m")
    store.add("Ann", [template(1)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._db.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(DataError, match=r"g\.db: .*locked.*wait until it is done"):
        store.add("Ann", [template(2)])
    other.execute("ROLLBACK")
    other.close()
    assert store.add("Ann", [template(2)]) == 1
    store.close()
    with pytest.raises(DataError, match=r"g\.db: .*open the gallery again"):
        store.people()


def test_an_error_in_a_batch_adds_none_of_it(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "g.db", "m")

    def rows() -> Iterator[tuple[str, Template]]:
        yield "Ann", template(1)
        raise DataError("a damaged line")

    with pytest.raises(DataError, match="damaged line"):
        store.add_many(rows(), {"Bob": {"team": "A"}}, [Correction("Bob", "d")])
    assert store.people() == {} and store.corrections() == []


def test_corrections_remove_templates_and_are_forgotten_with_the_person(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "g.db", "m")
    store.add("Ann", [template(1), template(2)], {"team": "A"})
    assert store.correct("Ann", "digest-2") == 1 and store.correct("Ann", "digest-2") == 0
    assert store.people() == {"Ann": 1} and store.metadata() == {"Ann": {"team": "A"}}
    assert [(one.person, one.digest) for one in store.corrections()] == [("Ann", "digest-2")]
    raw = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert template(2).vector.tobytes()[:16] not in raw and b"source-2" not in raw
    with pytest.raises(DataError, match=r"no person .* is enrolled"):
        store.correct("Bob", "digest-2")
    store.forget("Ann")
    assert store.corrections() == []
    assert b"digest-2" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_a_forget_that_a_reader_hinders_is_finished_at_the_next_opening(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    store = SQLiteStore(path, "m")
    store.add("Zebulon Quint", [template(1)])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM people").fetchone()
    patch = pytest.MonkeyPatch()
    patch.setattr(schema, "BUSY_TIMEOUT", 10)
    with pytest.raises(DataError, match="the person is removed, but another process still reads it"):
        store.forget("Zebulon Quint")
    patch.undo()
    reader.close()
    store.close()
    again = SQLiteStore(path, "m")
    assert again.people() == {}
    raw = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Zebulon" not in raw and template(1).vector.tobytes()[:16] not in raw


def test_another_connection_s_writes_are_found(tmp_path: Path) -> None:
    one, other = (SQLiteStore(tmp_path / "g.db", "m") for _ in range(2))
    assert one.search(template(1).vector, 1) == []
    other.add("Ann", [template(1)])
    assert [hit.person for hit in one.search(template(1).vector, 1)] == ["Ann"]
    assert other.add("Ann", [template(1)]) == 0 == one.add("Ann", [template(1)])
    other.forget("Ann")
    assert one.search(template(1).vector, 1) == []


def test_damaged_vectors_are_found(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "g.db", "m")
    store.add("Ann", [template(n) for n in range(5)])
    assert store.damaged_templates() == []
    broken = template(2).vector.copy()
    broken[0] = np.nan
    store._db.execute("UPDATE templates SET vector = ? WHERE digest = 'digest-1'", (b"short",))
    store._db.execute("UPDATE templates SET vector = ? WHERE digest = 'digest-2'", (broken.tobytes(),))
    zero = np.zeros(128, np.float32).tobytes()
    store._db.execute("UPDATE templates SET vector = ? WHERE digest = 'digest-3'", (zero,))
    found = {source: why for _, source, why in store.damaged_templates()}
    assert found == {
        "source-1.jpg": "5 bytes in place of 512", "source-2.jpg": "a norm of nan in place of 1",
        "source-3.jpg": "a norm of 0 in place of 1",
    }  # fmt: skip


def test_a_store_without_a_model_opens_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such gallery"):
        SQLiteStore(tmp_path / "g.db")
    SQLiteStore(tmp_path / "g.db", "m").close()
    assert SQLiteStore(tmp_path / "g.db").model_id == "m"
    (tmp_path / "empty.db").touch()
    with pytest.raises(DataError, match="no gallery"):
        SQLiteStore(tmp_path / "empty.db")


def test_templates_of_some_people(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "g.db", "m")
    store.add_many([("Ann", template(1)), ("Bob", template(2)), ("Ann", template(3)), ("Eve", template(4))])
    found = store.templates_of(["Eve", "Ann", "nobody"])
    assert {name: [one.source for one in held] for name, held in found.items()} == {
        "Ann": ["source-1.jpg", "source-3.jpg"], "Eve": ["source-4.jpg"]
    }  # fmt: skip
    assert store.templates_of([]) == {} and store.count_people() == 3 and store.count() == 4
