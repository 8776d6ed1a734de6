"""Issue 22: templates from and to Parquet, refused in one sentence where they cannot be used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from facealike.embedding.face_model import Model  # noqa: E402
from facealike.errors import DataError, MixedModels  # noqa: E402
from facealike.gallery.gallery import Gallery  # noqa: E402
from facealike.gallery.template import Template  # noqa: E402
from support.tiny_model import hopper_path, tiny_model_file  # noqa: E402


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery.open(tmp_path / "g.db", Model(tiny_model_file()))


def unit(count: int, width: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def written(path: Path, model: str, fixed: bool = True, **columns: Any) -> Path:
    vectors = columns.pop("vector")
    width = len(next(one for one in vectors if one is not None))
    kind = pa.list_(pa.float32(), width) if fixed else pa.list_(pa.float64())
    cells = {name: pa.array(values) for name, values in columns.items()}
    cells["vector"] = pa.array([None if one is None else list(one) for one in vectors], kind)
    table = pa.table(cells).replace_schema_metadata({"facealike.model": model})
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("fixed", [True, False])
def test_vectors_are_enrolled_once(gallery: Gallery, tmp_path: Path, fixed: bool) -> None:
    vectors = unit(4, gallery.model.embedder.dimensions)
    digest = hashlib.sha256(b"photo").hexdigest()
    path = written(
        tmp_path / "v.parquet", gallery.model.id, fixed, person=["Ann", "Ann", "Bob", "Cy"], vector=vectors,
        digest=[digest, None, None, None], quality=[0.9, None, 0.2, 0.8], source=["a.jpg", None, "b", "c"],
        metadata=[None, '{"team": "A"}', None, None],
    )  # fmt: skip
    done: list[tuple[int, int]] = []
    result = gallery.enroll_all(path, min_quality=0.5, progress=lambda *counts: done.append(counts))
    assert (result.people, result.added, result.known) == (2, 3, 0) and done == [(4, 4)]
    (refused,) = result.refused
    assert refused.person == "Bob" and "row 3: a quality of 0.20, below 0.50" in refused.reason
    (first, second), held = gallery.store.templates("Ann"), gallery.store.metadata()
    assert first[1].digest == digest and np.array_equal(first[1].vector, vectors[0])
    assert second[1].digest == hashlib.sha256(vectors[1].tobytes()).hexdigest()
    assert (first[1].quality, first[1].source, held) == (pytest.approx(0.9), "a.jpg", {"Ann": {"team": "A"}})
    again = gallery.enroll_all(path, min_quality=0.5)
    assert (again.added, again.known) == (0, 3)
    assert gallery.store.search(vectors[3], 1)[0].person == "Cy"


def test_what_cannot_be_used_is_refused_in_one_sentence(gallery: Gallery, tmp_path: Path) -> None:
    width, model, path = gallery.model.embedder.dimensions, gallery.model.id, tmp_path / "v.parquet"
    people = {"person": ["Ann"]}
    with pytest.raises(DataError, match=rf"vectors of {width + 1} numbers, where the model has {width}"):
        gallery.enroll_all(written(path, model, vector=unit(1, width + 1), **people))
    with pytest.raises(MixedModels, match="holds embeddings of the model another"):
        gallery.enroll_all(written(path, "another", vector=unit(1, width), **people))
    pq.write_table(pa.table({**people, "vector": pa.array(unit(1, width).tolist())}), path)
    with pytest.raises(DataError, match=r"does not state its model; .* facealike\.model"):
        gallery.enroll_all(path)
    pq.write_table(pa.table({"vector": pa.array(unit(1, width).tolist())}), path)
    with pytest.raises(DataError, match="no column person"):
        gallery.enroll_all(path)
    table = pa.table({**people, "vector": ["text"]}).replace_schema_metadata({"facealike.model": model})
    pq.write_table(table, path)
    with pytest.raises(DataError, match="holds string and no lists of float"):
        gallery.enroll_all(path)
    for content in (b"", b"PAR1 no table"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"v\.parquet: no Parquet file can be read"):
            gallery.enroll_all(path)
    with pytest.raises(DataError, match="no Parquet file can be read"):
        gallery.enroll_all(tmp_path / "missing.parquet")
    assert gallery.people() == {}


def test_rows_that_cannot_be_used_do_not_end_the_table(gallery: Gallery, tmp_path: Path) -> None:
    vectors = list(unit(8, gallery.model.embedder.dimensions))
    vectors[1], vectors[3] = 2 * vectors[1], None
    vectors[2] = np.full_like(vectors[2], np.nan)
    path = written(
        tmp_path / "v.parquet", gallery.model.id, vector=vectors,
        person=["Ann", "Ann", "Ann", "Ann", " ", None, "Ann", "Ann"],
        digest=[None] * 6 + ["no digest", None], quality=[None] * 7 + [1.5],
    )  # fmt: skip
    result = gallery.enroll_all(path)
    assert result.added == 1 and gallery.people() == {"Ann": 1}
    reasons = [one.reason.rpartition("parquet, ")[2] for one in result.refused]
    assert reasons == [
        "row 2: a norm of 2 in place of 1", "row 3: a norm of nan in place of 1", "no vector in row 4",
        "row 5: no person is stated", "row 6: no person is stated", "row 7: the digest is no SHA-256",
        "row 8: the quality is no number between 0 and 1",
    ]  # fmt: skip


def test_a_gallery_moves_through_a_table(gallery: Gallery, tmp_path: Path) -> None:
    width, out = gallery.model.embedder.dimensions, tmp_path / "out.parquet"
    rows = [
        (f"P{n % 3}", Template(one, f"{n:064x}", n / 7 or None, f"{n}.jpg", "2026-01-01T00:00:00+00:00", o))
        for n, (one, o) in enumerate(zip(unit(7, width), ["", "mapped"] * 4, strict=False))
    ]
    gallery.store.add_many(rows, {"P1": {"team": "A"}})
    gallery.correct(rows[0][1], not_person="P2")
    assert gallery.export(out) == 7
    copy = Gallery.open(tmp_path / "copy.db", gallery.model)
    assert copy.enroll_all(out).added == 7
    for (one, mine), (other, theirs) in zip(gallery.store.templates(), copy.store.templates(), strict=True):
        assert one == other and np.array_equal(mine.vector, theirs.vector)
        for name in ("digest", "source", "time", "origin"):
            assert getattr(mine, name) == getattr(theirs, name)
        assert mine.quality == pytest.approx(theirs.quality)
    assert copy.store.metadata() == {"P1": {"team": "A"}}
    empty = Gallery.open(tmp_path / "empty.db", gallery.model)
    assert empty.export(tmp_path / "empty.parquet") == 0
    assert empty.enroll_all(tmp_path / "empty.parquet").added == 0


def test_a_correction_and_a_duplicate_are_refused(tmp_path: Path) -> None:
    gallery = Gallery.open(tmp_path / "g.db")
    gallery.enroll("Grace", [hopper_path()])
    gallery.store.add_many([], {"Ann": {}})
    (_, held), *_ = gallery.store.templates()
    gallery.correct(held, not_person="Ann")
    columns = {"person": ["Ann", "Eve"], "vector": [held.vector, held.vector], "digest": [held.digest, None]}
    path = written(tmp_path / "v.parquet", gallery.model.id, **columns)
    result = gallery.enroll_all(path, refuse_duplicates=True)
    assert [one.person for one in result.refused] == ["Ann", "Eve"] and result.added == 0
    assert "correction" in result.refused[0].reason and "duplicate of Grace" in result.refused[1].reason


def test_a_list_of_photos_may_be_parquet(gallery: Gallery, tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    photos = [str(hopper_path()), "missing.jpg", None]
    pq.write_table(pa.table({"Name": ["Grace", "Grace", "Ann"], "file": photos}), path)
    result = gallery.enroll_all(path)
    assert result.added == 1 and gallery.people() == {"Grace": 1}
    assert result.refused[0].reason.endswith("row 3: a person and a photo are needed")
    assert "missing.jpg" in result.refused[1].reason
