"""Issue 22: searches are exact, whatever the index file holds: 8 bits or float32, some rows or none."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.gallery import indexed_table, int8_product, scan
from facealike.gallery.base import Hit
from facealike.gallery.row_file import RowFile
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template

WIDTH = 24


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed_table, "FILE_FROM", 20)
    monkeypatch.setattr(indexed_table, "NEWER", 5)


def unit(rng: np.random.Generator, count: int, width: int = WIDTH) -> np.ndarray:
    vectors = rng.normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(vectors: np.ndarray, people: list[str], first: int = 0) -> list[tuple[str, Template]]:
    return [
        (person, Template(vector, f"{first + n:064x}", None, f"{first + n}.jpg"))
        for n, (person, vector) in enumerate(zip(people, vectors, strict=True))
    ]


def slow(held: list[tuple[str, Template]], query: np.ndarray, top: int) -> list[tuple[str, float]]:
    """The twin: every template scored in float64."""
    best: dict[str, float] = {}
    for person, one in held:
        score = float(one.vector.astype(np.float64) @ query.astype(np.float64))
        best[person] = max(best.get(person, -9.0), float(np.float32(score)))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))[:top]


def pairs(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.person, hit.score) for hit in hits]


@pytest.mark.parametrize("precision", ["int8", "float32"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), spread=st.sampled_from([1.0, 0.05]), top=st.integers(1, 40))
def test_equals_slow_twin(
    tmp_path_factory: pytest.TempPathFactory, precision: scan.Precision, seed: int, spread: float, top: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng, 1)[:1] + spread * rng.normal(size=(int(rng.integers(1, 90)), WIDTH))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    people = [f"p{n}" for n in rng.integers(0, 12, len(vectors))]
    held = rows(vectors, people)
    store = SQLiteStore(tmp_path_factory.mktemp("gallery") / "g.db", "m", precision)
    for start in range(0, len(held), 33):
        store.add_many(held[start : start + 33])
    if rng.random() < 0.5 and len(set(people)) > 1:
        store.forget(people[0])
        held = [(person, one) for person, one in held if person != people[0]]
    queries = np.stack([held[0][1].vector, *unit(rng, 3)])
    found = store.search_many(queries, top)
    assert [pairs(hits) for hits in found] == [slow(held, query, top) for query in queries]
    assert pairs(store.search(queries[0], top)) == slow(held, queries[0], top)
    store.close()


def test_a_link_to_a_gallery_has_no_index_of_its_own(tmp_path: Path) -> None:
    """A person who was forgotten by one name of the file stayed in the index of the other."""
    vectors = unit(np.random.default_rng(0), 40)
    people = [f"p{n}" for n in range(40)]
    file, link = tmp_path / "g.db", tmp_path / "links" / "g.db"
    link.parent.mkdir()
    link.symlink_to(file)
    for place in (file, link):
        store = SQLiteStore(place, "m", "float32")
        store.add_many(rows(vectors, people))
        assert store.search(vectors[3], 1)[0].person == "p3"
        store.close()
    store = SQLiteStore(file, "m", "float32")
    assert store.forget("p3") == 1
    store.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(
        vectors[4].tobytes() in path.read_bytes() for path in files if path.name.startswith("templates")
    )
    assert not any(vectors[3].tobytes() in path.read_bytes() for path in files)


def test_a_process_that_changes_its_folder_forgets_in_the_same_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that opened a relative path made another index, and left the forgotten in the first."""
    vectors = unit(np.random.default_rng(0), 40)
    monkeypatch.chdir(tmp_path)
    SQLiteStore("g.db", "m", "float32").add_many(rows(vectors, [f"p{n}" for n in range(40)]))
    (tmp_path / "root").mkdir()
    store = SQLiteStore("g.db", "m", "float32")
    monkeypatch.chdir(tmp_path / "root")
    assert store.search(vectors[3], 1)[0].person == "p3" and store.about()["bytes"] > 0
    assert store.forget("p3") == 1
    store.close()
    assert list((tmp_path / "root").iterdir()) == []
    assert not any(
        vectors[3].tobytes() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )


def test_people_are_left_out_and_equal_scores_are_ordered_by_name(tmp_path: Path) -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 0]]
    store = SQLiteStore(tmp_path / "g.db", "m")
    assert store.search(vectors[0], 5) == []
    store.add_many(rows(vectors, ["b", "a", "c", "a"]))
    query = vectors[0]
    assert store.search(query, 5) == [("a", 1.0, "1.jpg"), ("b", 1.0, "0.jpg"), ("c", 0.0, "2.jpg")]
    assert store.search(query, 1, {"a"}) == [("b", 1.0, "0.jpg")]
    assert [hit.person for hit in store.search(query, 2, {"a", "no one"})] == ["b", "c"]


def test_many_equal_templates_do_not_hide_the_next_person(tmp_path: Path) -> None:
    vectors = np.repeat(np.eye(4, dtype=np.float32)[:1], 400, axis=0)
    store = SQLiteStore(tmp_path / "g.db", "m")
    store.add_many(rows(vectors, ["a"] * 399 + ["b"]))
    assert [hit.person for hit in store.search(vectors[0], 5)] == ["a", "b"]


def test_scores_are_within_their_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng, 3000), unit(rng, 8)
    vectors[:100] = np.eye(WIDTH, dtype=np.float32)[0]  # the largest possible number
    for precision in ("int8", "float32"):
        columns, error = scan.encode(vectors, precision)
        file = RowFile.create(tmp_path / precision, scan.columns(precision, WIDTH), {})
        keys = {"id": np.arange(1, 3001), "mark": np.ones(3000, np.uint64)}
        file.append({**keys, **columns}, error)
        file.finish()
        for one, query in zip(scan.collect(file, precision, queries, 50), queries, strict=True):
            exact = vectors @ query
            assert np.abs(exact[one.rows] - one.scores).max() <= one.error
            beyond = np.delete(exact, one.rows)
            assert len(beyond) and beyond.max() <= one.floor + one.error
            assert set(np.argsort(-exact)[:50]) <= set(one.rows.tolist())


@pytest.mark.parametrize("product", [int8_product.onnxruntime_product, int8_product.simsimd_product()])
def test_products_of_8_bits_are_exact(product: int8_product.Product | None) -> None:
    if product is None:
        pytest.skip("simsimd is not installed")
    rng = np.random.default_rng(1)
    queries, codes = (rng.integers(-127, 128, (n, 64), dtype=np.int8) for n in (3, 500))
    codes[0], queries[0] = 127, 127
    assert np.array_equal(product(queries, codes), codes.astype(int) @ queries.astype(int).T)


def test_answers_do_not_need_simsimd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    held = rows(unit(rng, 50), [f"p{n % 20}" for n in range(50)])
    store = SQLiteStore(tmp_path / "g.db", "m")
    store.add_many(held)
    query = unit(rng, 1)[0]
    with_it = store.search(query, 9)
    monkeypatch.setattr(int8_product, "simsimd_product", lambda: None)
    assert store.search(query, 9) == with_it and pairs(with_it) == slow(held, query, 9)


def filled(path: Path, count: int = 60) -> list[tuple[str, Template]]:
    held = rows(unit(np.random.default_rng(3), count), [f"p{n % 20}" for n in range(count)])
    store = SQLiteStore(path, "m")
    store.add_many(held)
    store.close()
    return held


def found_all(path: Path, held: list[tuple[str, Template]]) -> bool:
    store = SQLiteStore(path, "m")
    try:
        return all(pairs(store.search(one.vector, 3)) == slow(held, one.vector, 3) for _, one in held[::7])
    finally:
        store.close()


@pytest.mark.parametrize("part", ["header", "counter", "vectors", "short", "empty", "missing"])
def test_a_damaged_index_is_made_again(tmp_path: Path, part: str) -> None:
    path = tmp_path / "g.db"
    held = filled(path)
    file = tmp_path / "g.db-index" / "templates-int8"
    whole = file.read_bytes()
    content = bytearray(whole)
    if part == "vectors":
        at = content.index(scan.encode(held[7][1].vector[None], "int8")[0]["code"].tobytes())
        content[at : at + 8] = bytes(8)
    else:
        content[{"header": 80, "counter": 8}.get(part, 0)] ^= 1
    size = {"short": 5000, "empty": 0}.get(part, len(content))
    file.write_bytes(content[:size])
    if part == "missing":
        file.unlink()
    assert found_all(path, held)
    assert file.read_bytes() == whole


def test_an_index_of_another_state_is_noticed(tmp_path: Path) -> None:
    path, copy = tmp_path / "g.db", tmp_path / "copy"
    held = filled(path)
    copy.write_bytes(path.read_bytes())
    store = SQLiteStore(path, "m")
    store.forget("p3")
    store.add_many(rows(unit(np.random.default_rng(8), 30), ["q"] * 30, 1000))
    store.close()
    path.write_bytes(copy.read_bytes())  # a backup is restored, and others are enrolled under the same ids
    store = SQLiteStore(path, "m")
    other = rows(unit(np.random.default_rng(9), 30), ["r"] * 30, 2000)
    store.add_many(other)
    store.close()
    assert found_all(path, held + other)


def test_an_index_of_another_gallery_is_not_used(tmp_path: Path) -> None:
    filled(tmp_path / "a.db")
    held = filled(tmp_path / "b.db", 40)
    for one in (tmp_path / "a.db-index").iterdir():
        (tmp_path / "b.db-index" / one.name).write_bytes(one.read_bytes())
    assert found_all(tmp_path / "b.db", held)


def test_readers_follow_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    held = filled(path)
    reader, writer = SQLiteStore(path, "m"), SQLiteStore(path, "m")
    rng = np.random.default_rng(4)
    for turn in range(12):
        new = rows(unit(rng, 3), [f"n{turn}"] * 3, 1000 + 3 * turn)
        writer.add_many(new)
        held += new
        if turn % 3 == 2:
            writer.forget(f"n{turn - 1}")
            held = [one for one in held if one[0] != f"n{turn - 1}"]
        if turn == 7:
            writer.compact()
        for query in (new[0][1].vector, held[5][1].vector):
            assert pairs(reader.search(query, 4)) == slow(held, query, 4)
    assert reader.count() == len(held)


def test_a_folder_that_cannot_be_written_is_searched_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g.db"
    (tmp_path / "g.db-index").write_text("in the way")
    held = filled(path)
    assert found_all(path, held)
    assert (tmp_path / "g.db-index").read_text() == "in the way"


def test_an_index_is_small_and_its_ids_are_never_given_again(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    filled(path, 40)
    store = SQLiteStore(path, "m")
    for name in [f"p{n}" for n in range(20)]:
        store.forget(name)
    assert store.compact() > 0 and store.people() == {}
    store.add_many(rows(unit(np.random.default_rng(5), 1), ["new"]))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT max(id) FROM templates").fetchone() == (41,)
        assert db.execute("SELECT count(*) FROM templates").fetchone() == (2,)
