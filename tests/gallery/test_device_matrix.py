"""A search by torch has the answers of the pass on the CPU, and its matrix follows the file.

These tests run on torch's CPU device; the one on a GPU is skipped where there is none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike.errors import DeviceError, MissingExtra, UsageError
from facealike.gallery import device_matrix, indexed_table, row_file, scan
from facealike.gallery.device_matrix import DeviceMatrix, find_device
from facealike.gallery.location import open_store
from facealike.gallery.row_file import RowFile
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template

torch = pytest.importorskip("torch")

WIDTH = 24
BLOCK, PART_BLOCKS = 64, 2  # so that few rows fill several parts
PART_BYTES = BLOCK * PART_BLOCKS * (scan.padded(WIDTH) + 4)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (row_file, scan, device_matrix):
        monkeypatch.setattr(module, "BLOCK", BLOCK)
    monkeypatch.setattr(device_matrix, "PART_BLOCKS", PART_BLOCKS)
    monkeypatch.setattr(indexed_table, "FILE_FROM", 20)
    monkeypatch.setattr(indexed_table, "NEWER", 5)


@pytest.fixture
def on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``cuda:0`` be torch's CPU device."""
    monkeypatch.setattr(device_matrix, "find_device", lambda name: torch.device("cpu"))


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def written(path: Path, vectors: np.ndarray) -> RowFile:
    file = RowFile.create(path, scan.columns("int8", WIDTH), {})
    appended(file, vectors)
    file.finish()
    return file


def appended(file: RowFile, vectors: np.ndarray) -> None:
    encoded, error = scan.encode(vectors, "int8")
    ids = np.arange(file.last + 1, file.last + 1 + len(vectors))
    file.append({"id": ids, "mark": np.ones(len(vectors), np.uint64), **encoded}, error)


def templates(vectors: np.ndarray, people: list[str], first: int = 0) -> list[tuple[str, Template]]:
    return [
        (person, Template(vector, f"{first + n:064x}", None, f"{first + n}.jpg"))
        for n, (person, vector) in enumerate(zip(people, vectors, strict=True))
    ]


def check(matrix: DeviceMatrix, file: RowFile, exact: np.ndarray, queries: np.ndarray, best: int) -> None:
    """Compare what is collected with the exact scores (rows, q), minus infinity where blanked."""
    for query, one in enumerate(matrix.collect(file, queries, best)):
        held = set(one.rows.tolist())
        assert len(held) == len(one.rows)
        assert set(np.argsort(-exact[:, query], kind="stable")[:best]) <= held
        assert (np.abs(one.scores - exact[one.rows, query]) <= one.error).all()
        assert set(np.flatnonzero(exact[:, query] > one.floor + one.error)) <= held


@pytest.mark.parametrize("fitting", [0, 1, 2, 99])
@pytest.mark.parametrize("count", [1, 63, 128, 300])
def test_collects_what_may_be_among_the_best(tmp_path: Path, count: int, fitting: int) -> None:
    """``fitting`` parts stay on the device; the others are copied for each search."""
    rng = np.random.default_rng(count)
    vectors, queries = unit(rng, count), unit(rng, 5)
    file = written(tmp_path / "rows", vectors)
    matrix = DeviceMatrix(torch.device("cpu"), fitting * PART_BYTES)
    exact = vectors.astype(np.float64) @ queries.T.astype(np.float64)
    for best in (1, 20, 400):
        check(matrix, file, exact, queries, best)
    check(matrix, file, exact[:, :1], queries[:1], 7)
    few = matrix.collect(file, queries, 5)
    if count == 300:
        assert all(len(one.rows) < 60 for one in few)
    assert len(matrix._parts) == min(fitting, -(-count // (BLOCK * PART_BLOCKS)))


def test_the_largest_numbers_do_not_overflow(tmp_path: Path) -> None:
    vectors = np.repeat(np.eye(WIDTH, dtype=np.float32)[:1], 70, axis=0)
    vectors[1::2] = np.float32(WIDTH**-0.5)
    file = written(tmp_path / "rows", vectors)
    exact = vectors.astype(np.float64) @ vectors[:2].T.astype(np.float64)
    check(DeviceMatrix(torch.device("cpu")), file, exact, vectors[:2], 10)


@pytest.mark.parametrize("fitting", [1, 99])
def test_follows_a_file_that_changes(tmp_path: Path, fitting: int) -> None:
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng, 100), unit(rng, 3)
    file = written(tmp_path / "rows", vectors)
    other = RowFile(tmp_path / "rows", scan.columns("int8", WIDTH), {})  # as another process has it open
    matrix = DeviceMatrix(torch.device("cpu"), fitting * PART_BYTES)
    blanked = np.zeros(100, bool)
    for turn in range(8):
        exact = vectors.astype(np.float64) @ queries.T.astype(np.float64)
        exact[blanked] = -np.inf
        check(matrix, file, exact, queries, 10)
        if turn % 2:
            new = unit(rng, 37)
            appended(other, new)
            vectors, blanked = np.concatenate([vectors, new]), np.append(blanked, np.zeros(37, bool))
        else:
            gone = rng.choice(len(vectors), 9, replace=False)
            other.blank((gone + 1).tolist())
            blanked[gone] = True
        assert file.refresh()


def test_blanked_rows_leave_the_device(tmp_path: Path) -> None:
    file = written(tmp_path / "rows", unit(np.random.default_rng(0), 200))
    matrix = DeviceMatrix(torch.device("cpu"))
    matrix.follow(file)
    file.blank([3, 150])
    matrix.follow(file)
    first, second = matrix._parts
    assert not first.codes[2].any() and not second.codes[149 - BLOCK * PART_BLOCKS].any()
    assert first.codes[3].any() and first.scales[2] == 0


def test_a_file_that_was_replaced_is_copied_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    queries = unit(rng, 2)
    matrix = DeviceMatrix(torch.device("cpu"))
    for count in (90, 90, 40):
        vectors = unit(rng, count)
        file = written(tmp_path / "rows", vectors)
        check(matrix, file, vectors.astype(np.float64) @ queries.T.astype(np.float64), queries, 5)


@pytest.mark.usefixtures("on_torch")
def test_a_gallery_answers_as_on_the_cpu(tmp_path: Path) -> None:
    path, rng = tmp_path / "g.db", np.random.default_rng(0)
    people = [f"p{n % 60}" for n in range(300)]
    plain, device = SQLiteStore(path, "m"), SQLiteStore(path, "m", search_device="cuda:0")
    device.add_many(templates(unit(rng, 300), people))
    queries = unit(rng, 6)

    def same() -> None:
        for top in (1, 5, 80):
            found = device.search_many(queries, top, {"p7"})
            assert found == plain.search_many(queries, top, {"p7"})
            assert found[0] == device.search(queries[0], top, {"p7"})

    same()
    device.add_many(templates(unit(rng, 3), ["q"] * 3, 1000))  # newer than the file
    same()
    best = device.search(queries[0], 1)[0].person
    device.forget(best)
    same()
    plain.forget(device.search(queries[0], 1)[0].person)  # by another process
    same()
    plain.add_many(templates(unit(rng, 200), ["r"] * 200, 2000))
    same()
    device.compact()
    same()
    device.close()


@pytest.mark.usefixtures("on_torch")
def test_a_forgotten_person_leaves_the_device_at_once(tmp_path: Path) -> None:
    vectors = unit(np.random.default_rng(0), 100)
    store = SQLiteStore(tmp_path / "g.db", "m", search_device="cuda:0")
    store.add_many(templates(vectors, [f"p{n}" for n in range(100)]))
    store.search(vectors[0], 1)
    matrix = store._index._matrix
    assert matrix is not None
    code = torch.from_numpy(scan.encode(vectors[3][None], "int8")[0]["code"])

    def there() -> bool:
        return any(bool((part.codes == code).all(dim=1).any()) for part in matrix._parts)

    assert there()
    store.forget("p3")
    assert not there()


def test_devices_that_cannot_be_used_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "gpu", "CUDA:0", "auto"):
        with pytest.raises(UsageError, match="cpu or cuda:N"):
            SQLiteStore(tmp_path / "g.db", "m", search_device=name)
    with pytest.raises(DeviceError, match=r"cuda:99: torch .* finds \d+ GPUs? here"):
        SQLiteStore(tmp_path / "g.db", "m", search_device="cuda:99")
    with pytest.raises(UsageError, match="a server searches by itself"):
        open_store("milvus://host/name", "m", search_device="cuda:0")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"needs torch.*facealike\[gpu\]"):
        find_device("cuda:0")
    assert not (tmp_path / "g.db").exists()


@pytest.mark.usefixtures("on_torch")
def test_an_encrypted_gallery_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    pytest.importorskip("cryptography")
    from facealike.gallery.gallery_key import find_key

    key.write_text("0f" * 32)
    with pytest.raises(UsageError, match="encrypted galleries are searched on the cpu only"):
        SQLiteStore(tmp_path / "g.db", "m", key=find_key(key), search_device="cuda:0")


def test_full_memory_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "rows", unit(np.random.default_rng(0), 10))
    matrix = DeviceMatrix(torch.device("cpu"))

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "topk", full)
    with pytest.raises(DeviceError, match="no memory is left"):
        matrix.collect(file, unit(np.random.default_rng(1), 1), 3)
    assert matrix._parts == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_answers_as_the_cpu(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng, 300), unit(rng, 64)
    file = written(tmp_path / "rows", vectors)
    matrix = DeviceMatrix(find_device("cuda:0"))
    exact = vectors.astype(np.float64) @ queries.T.astype(np.float64)
    check(matrix, file, exact, queries, 20)
    check(matrix, file, exact[:, :1], queries[:1], 20)
    file.blank([5, 250])
    exact[[4, 249]] = -np.inf
    check(matrix, file, exact, queries, 20)
