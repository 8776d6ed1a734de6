"""Issue 22: a gallery as one portable file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facealike.errors import DataError, MixedModels
from facealike.gallery.integrity import check_store
from facealike.gallery.portable import export_store, import_store
from facealike.gallery.sqlite_store import SQLiteStore
from support.gallery_templates import template


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    store = SQLiteStore(tmp_path / "g.db", "m")
    store.add("Ann", [template(1), template(2)], {"team": "A"})
    store.add("Bob", [template(3)])
    store.correct("Bob", template(9).digest)
    return store


def test_a_copy_holds_the_same_and_a_second_import_adds_nothing(store: SQLiteStore, tmp_path: Path) -> None:
    out = tmp_path / "g.jsonl"
    assert export_store(store, out) == 3
    copy = SQLiteStore(tmp_path / "copy.db", "m")
    result = import_store(copy, out)
    assert (result.people, result.templates, result.known, result.corrections) == (2, 3, 0, 1)
    assert copy.people() == store.people() and copy.metadata() == store.metadata()
    assert copy.corrections() == store.corrections()
    for (one, mine), (other, theirs) in zip(store.templates(), copy.templates(), strict=True):
        assert one == other and np.array_equal(mine.vector, theirs.vector)
        assert (mine.digest, mine.quality, mine.source, mine.time) == (
            theirs.digest, theirs.quality, theirs.source, theirs.time,
        )  # fmt: skip
    assert check_store(copy).whole
    again = import_store(copy, out)
    assert (again.people, again.templates, again.known, again.corrections) == (0, 0, 3, 0)
    export_store(copy, tmp_path / "twice.jsonl")
    assert out.read_bytes() == (tmp_path / "twice.jsonl").read_bytes()


def test_what_is_there_stays_and_corrections_hold(store: SQLiteStore, tmp_path: Path) -> None:
    out = tmp_path / "g.jsonl"
    export_store(store, out)
    other = SQLiteStore(tmp_path / "other.db", "m")
    other.add("Ann", [template(1)], {"team": "B"})
    other.add("Bob", [template(9)])
    other.correct("Ann", template(2).digest)
    result = import_store(other, out)
    assert (result.people, result.templates, result.known, result.contradicted) == (0, 1, 1, 1)
    assert other.metadata() == {"Ann": {"team": "B"}}
    assert other.people() == {"Ann": 1, "Bob": 1}, "the file's correction removes a template, too"
    assert [one.digest for _, one in other.templates("Bob")] == [template(3).digest]


def test_another_model_is_refused(store: SQLiteStore, tmp_path: Path) -> None:
    export_store(store, tmp_path / "g.jsonl")
    other = SQLiteStore(tmp_path / "other.db", "n")
    with pytest.raises(MixedModels, match="of the model m, and the gallery those of n"):
        import_store(other, tmp_path / "g.jsonl")


def changed(lines: list[str], place: int, **values: object) -> list[str]:
    return [json.dumps({**json.loads(x), **values}) if i == place else x for i, x in enumerate(lines)]


@pytest.mark.parametrize(
    ("place", "values", "message"),
    [
        (0, {"format": "x"}, "not an exported gallery"),
        (0, {"version": 2}, "of another version"),
        (0, {"templates": -1}, "lacks the model or a count"),
        (0, {"dimensions": 8}, "64 bytes in place of 32"),
        (1, {"metadata": []}, "no person"),
        (1, {"metadata": {"x": float("nan")}}, "metadata is what JSON can hold"),
        (3, {"correction": "Eve"}, "not among the people"),
        (4, {"embedding": "*"}, "not in base64"),
        (4, {"embedding": "AAAA"}, "3 bytes in place of 64"),
        (4, {"digest": "x"}, "no SHA-256"),
        (4, {"quality": 2}, "quality"),
        (4, {"source": "other.jpg"}, "has changed"),
        (4, {"template": "\ud800"}, "no Unicode"),
        (7, {"sha256": "0"}, "has changed"),
    ],
)  # fmt: skip
def test_a_damaged_file_changes_nothing(
    store: SQLiteStore, tmp_path: Path, place: int, values: dict[str, object], message: str
) -> None:
    out = tmp_path / "g.jsonl"
    export_store(store, out)
    lines = out.read_text().splitlines()
    out.write_text("\n".join(changed(lines, place, **values)) + "\n")
    copy = SQLiteStore(tmp_path / "copy.db", "m")
    with pytest.raises(DataError, match=message):
        import_store(copy, out)
    assert copy.people() == {} and copy.corrections() == []


def test_a_part_of_a_file_and_other_files_are_refused(store: SQLiteStore, tmp_path: Path) -> None:
    out = tmp_path / "g.jsonl"
    export_store(store, out)
    whole = out.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        out.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"g\.jsonl, line \d: .*export the gallery again"):
            import_store(SQLiteStore(tmp_path / "copy.db", "m"), out)
    out.write_bytes(whole + b"{}\n")
    with pytest.raises(DataError, match="has changed"):
        import_store(SQLiteStore(tmp_path / "copy.db", "m"), out)
    out.write_bytes(b"[" * 100_000 + b"\n")
    with pytest.raises(DataError, match="no JSON object"):
        import_store(SQLiteStore(tmp_path / "copy.db", "m"), out)
    with pytest.raises(DataError, match="no such file"):
        import_store(SQLiteStore(tmp_path / "copy.db", "m"), tmp_path / "none.jsonl")
    (tmp_path / "g.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="a table; facealike gallery enroll GALLERY --from adds it"):
        import_store(SQLiteStore(tmp_path / "copy.db", "m"), tmp_path / "g.parquet")
    assert SQLiteStore(tmp_path / "copy.db", "m").people() == {}


def test_a_file_that_cannot_be_written_leaves_the_old_one(store: SQLiteStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        export_store(store, tmp_path / "no folder" / "g.jsonl")
    store._db.execute("UPDATE templates SET vector = x'00' WHERE id = 1")
    (tmp_path / "g.jsonl").write_text("old")
    with pytest.raises(DataError, match="damaged"):
        export_store(store, tmp_path / "g.jsonl")
    assert (tmp_path / "g.jsonl").read_text() == "old"
