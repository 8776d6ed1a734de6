"""A gallery moved to another model: embedded again, mapped, or refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facealike.embedding.face_model import Model
from facealike.errors import DataError, MixedModels, UsageError
from facealike.gallery import embedding_map, migration
from facealike.gallery.embedding_map import EmbeddingMap, fit_map, measured_map
from facealike.gallery.gallery import Gallery
from facealike.gallery.migration import migrate_gallery
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import MAPPED, REEMBEDDED, Template
from support.paths import ROOT
from support.tiny_model import hopper_path, tiny_model_file

COLLINS = ROOT / "examples" / "photos" / "collins.jpg"
Vectors = NDArray[np.float32]


def unit(vectors: NDArray[np.float64]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def two_models(
    people: int, photos: int, noise: float, seed: int = 0
) -> tuple[Vectors, Vectors, NDArray[np.int64]]:
    """Embeddings of one set of faces by two models: linear in what they share, each with noise of its own."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), photos)
    face = rng.normal(size=(people, 16))[who] + 0.3 * rng.normal(size=(people * photos, 16))
    old = unit(face @ rng.normal(size=(16, 20)) + noise * rng.normal(size=(len(who), 20)) + 1)
    new = unit(face @ rng.normal(size=(16, 24)) + noise * rng.normal(size=(len(who), 24)) + 2)
    return old, new, who


# ---- the map --------------------------------------------------------------------------------------


def test_a_linear_relation_is_found_exactly() -> None:
    rng = np.random.default_rng(0)
    old = unit(rng.normal(size=(400, 6)))
    matrix = np.linalg.qr(rng.normal(size=(8, 6)))[0].T
    new = np.asarray(old @ matrix, np.float32)
    fitted = fit_map(old, new, penalty=1e-9)
    assert np.allclose(fitted(old), new, atol=1e-5)


def test_ridge_equals_its_normal_equations_one_output_at_a_time() -> None:
    old, new, _ = two_models(40, 2, 0.1)
    fitted = fit_map(old, new)
    x, y = old - old.mean(axis=0), new - new.mean(axis=0)
    penalty = embedding_map.PENALTY * np.trace(x.T @ x) / x.shape[1]
    for column in range(y.shape[1]):
        wide = np.vstack([x, np.sqrt(penalty) * np.eye(x.shape[1])])
        solved, *_ = np.linalg.lstsq(wide, np.concatenate([y[:, column], np.zeros(x.shape[1])]), rcond=None)
        assert np.allclose(solved, fitted.matrix[:, column], atol=1e-4)
    assert np.allclose(np.linalg.norm(fitted(old), axis=1), 1, atol=1e-6)


def test_the_loss_is_measured_on_people_the_map_was_not_fitted_to() -> None:
    old, new, who = two_models(120, 4, 0.05)
    fitted, report = measured_map(old, new, who)
    assert isinstance(fitted, EmbeddingMap) and (report.faces, report.people, report.mated) == (480, 120, 120)
    assert report.low <= report.loss <= report.high and report.loss == report.fnmr - report.fnmr_new
    unrelated = two_models(120, 4, 0.05, seed=1)[1]
    _, useless = measured_map(old, unrelated, who)
    assert useless.fnmr > 0.9 and useless.loss > report.loss + 0.3
    assert "points" in str(report) and report.to_dict()["loss"] == report.loss


def test_a_threshold_and_the_rates_equal_those_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_map, "BLOCK", 7)
    _, new, who = two_models(30, 3, 0.3)
    scores = new @ new.T
    impostor = sorted(float(scores[i, j]) for i in range(90) for j in range(90) if who[i] != who[j])
    threshold = embedding_map.threshold_at_fmr(new, who)
    assert threshold == pytest.approx(impostor[-int(0.001 * len(impostor))], abs=1e-6)
    fmr, fnmrs = embedding_map.error_rates(new, new, who, threshold)
    assert fmr == pytest.approx(0.001, rel=0.2)
    by_person = [
        np.mean([scores[i, j] < threshold for i in rows for j in rows if i != j])
        for rows in (np.flatnonzero(who == one) for one in range(30))
    ]
    assert fnmrs.tolist() == pytest.approx(by_person)


def test_too_few_faces_are_refused_with_their_number() -> None:
    old, new, who = two_models(20, 2, 0.1)
    with pytest.raises(DataError, match=r"40 faces, and 20 people with two photos or more, where 300 and 50"):
        measured_map(old, new, who)


# ---- galleries ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load()


@pytest.fixture(scope="module")
def other() -> Model:
    file = Model.load().file
    return Model(tiny_model_file(detector_spec=file.detector_spec, detector_weights=file.detector_weights))


@pytest.fixture
def gallery(tmp_path: Path, model: Model) -> Path:
    """Grace with two photos, Michael with one, and a correction."""
    for name, photo in (("1", hopper_path()), ("3", COLLINS)):
        Image.open(photo).save(tmp_path / f"{name}.png")
    Image.open(hopper_path()).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "2.png")
    opened = Gallery.open(tmp_path / "old.db", model)
    opened.enroll("Grace", [tmp_path / "1.png", tmp_path / "2.png"], metadata={"team": "A"})
    opened.enroll("Michael", [tmp_path / "3.png"])
    opened.correct(tmp_path / "3.png", not_person="Grace")
    opened.close()
    return tmp_path / "old.db"


def test_photos_that_are_there_are_embedded_again(
    gallery: Path, tmp_path: Path, model: Model, other: Model
) -> None:
    before = SQLiteStore(gallery).templates()
    steps: list[tuple[int, int]] = []
    moved = migrate_gallery(gallery, tmp_path / "new.db", other, progress=lambda *step: steps.append(step))
    assert (moved.people, moved.reembedded, moved.mapped, moved.corrections, moved.map) == (2, 3, 0, 1, None)
    assert (moved.old_model, moved.new_model) == (model.id, other.id) and steps[-1] == (3, 3)
    new = Gallery.open(tmp_path / "new.db", other)
    assert new.people() == {"Grace": 2, "Michael": 1} and new.store.metadata() == {"Grace": {"team": "A"}}
    assert new.store.corrections() == SQLiteStore(gallery).corrections()
    direct = Gallery.open(tmp_path / "direct.db", other)
    direct.enroll("Grace", [tmp_path / "1.png", tmp_path / "2.png"])
    for (_, one), (_, old), (_, expected) in zip(
        new.store.templates("Grace"), before, direct.store.templates("Grace"), strict=False
    ):
        assert one.origin == REEMBEDDED and (one.digest, one.source, one.time) == (
            old.digest,
            old.source,
            old.time,
        )
        assert np.allclose(one.vector, expected.vector, atol=1e-5)
    assert SQLiteStore(gallery).templates()[0][1].origin == ""
    new.export(tmp_path / "new.jsonl")
    copy = Gallery.open(tmp_path / "copy.db", other)
    copy.import_(tmp_path / "new.jsonl")
    assert {one.origin for _, one in copy.store.templates()} == {REEMBEDDED}


def test_without_photos_to_fit_a_map_nothing_is_written(gallery: Path, tmp_path: Path, other: Model) -> None:
    (tmp_path / "1.png").unlink()
    Image.new("RGB", (250, 250), "white").save(tmp_path / "3.png")  # other pixels under the stored path
    with pytest.raises(DataError, match=r"2 of 3 photos are gone, .*, and too few .* 1 faces"):
        migrate_gallery(gallery, tmp_path / "new.db", other)
    (tmp_path / "2.png").unlink()
    with pytest.raises(DataError, match=r"3 of 3 photos are gone, .*, and there is no photo"):
        migrate_gallery(gallery, tmp_path / "new.db", other)
    assert not (tmp_path / "new.db").exists()


def test_what_makes_no_sense_is_refused(gallery: Path, tmp_path: Path, model: Model, other: Model) -> None:
    with pytest.raises(UsageError, match="exists already"):
        migrate_gallery(gallery, gallery, other)
    with pytest.raises(UsageError, match=r"holds templates of the model .* already"):
        migrate_gallery(gallery, tmp_path / "new.db", model)
    with pytest.raises(UsageError, match="give both"):
        migrate_gallery(gallery, tmp_path / "new.db", other, map_people=tmp_path)
    with pytest.raises(MixedModels, match="the old model given is"):
        migrate_gallery(gallery, tmp_path / "new.db", other, map_people=tmp_path, old_model=other)
    with pytest.raises(UsageError, match="share between 0 and 1"):
        migrate_gallery(gallery, tmp_path / "new.db", other, max_loss=2)
    with pytest.raises(DataError, match="no such gallery"):
        migrate_gallery(tmp_path / "none.db", tmp_path / "new.db", other)


def test_what_is_gone_is_mapped_and_a_great_loss_refused(
    tmp_path: Path, other: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photos are embedded again by name, so that the map can be known."""
    old, new, who = two_models(100, 4, 0.05)
    store = SQLiteStore(tmp_path / "old.db", "m")
    digests = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(len(old))]
    rows = [(f"p{w}", Template(v, d, 0.5, d)) for w, v, d in zip(who, old, digests, strict=True)]
    store.add_many(rows)
    store.close()
    there = set(range(0, 400)) - {3, 77}

    def embedded(held: list[tuple[str, Template]], *_: object) -> list[tuple[int, Template]]:
        return [(i, Template(new[i], digests[i], 0.5, digests[i], origin=REEMBEDDED)) for i in sorted(there)]

    monkeypatch.setattr(migration, "_reembedded", embedded)
    with pytest.raises(DataError, match=r"2 of 400 photos are gone.* loses too much: .* the highest loss"):
        migrate_gallery(tmp_path / "old.db", tmp_path / "new.db", other, max_loss=0.0)
    assert not (tmp_path / "new.db").exists()
    moved = migrate_gallery(tmp_path / "old.db", tmp_path / "new.db", other, max_loss=1.0)
    assert (moved.reembedded, moved.mapped) == (398, 2) and moved.map is not None
    assert len(moved.lines()) == 2 and moved.to_dict()["map"]["loss"] == moved.map.loss
    held = [one for _, one in SQLiteStore(tmp_path / "new.db").templates()]
    assert [i for i, one in enumerate(held) if one.origin == MAPPED] == [3, 77]
    for i in (3, 77):
        assert who[int(np.argmax(new @ held[i].vector))] == who[i]
        assert np.linalg.norm(held[i].vector) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(held[5].vector, new[5]) and held[5].origin == REEMBEDDED
