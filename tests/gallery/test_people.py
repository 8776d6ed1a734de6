"""Issue 22: verify, corrections, bulk enrollment and the cached gallery of a folder, on three portraits."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facealike.embedding.face_model import Model
from facealike.errors import DataError, MixedModels, UsageError
from facealike.gallery import gallery as gallery_module
from facealike.gallery import intake
from facealike.gallery.folder_gallery import folder_gallery, galleries_folder
from facealike.gallery.gallery import Gallery
from facealike.verification.best_pair import rate_of_best
from facealike.verification.compare import compare
from support.paths import ROOT
from support.tiny_model import astronaut, hopper_path, tiny_model_file

COLLINS = ROOT / "examples" / "photos" / "collins.jpg"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load()


@pytest.fixture
def gallery(tmp_path: Path, model: Model) -> Gallery:
    return Gallery.open(tmp_path / "g.db", model)


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    path = tmp_path / "mirrored.png"
    Image.open(hopper_path()).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    return path


def make_people(root: Path) -> Path:
    for person, photo in (("Grace", Image.open(hopper_path())), ("Michael", Image.open(COLLINS))):
        (root / person).mkdir(parents=True)
        photo.save(root / person / "1.png")
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / person / "2.png")
    return root


# ---- verify -------------------------------------------------------------------------------------


def test_verify_takes_the_best_template_and_says_what_compare_says(
    gallery: Gallery, model: Model, mirrored: Path
) -> None:
    gallery.enroll("Grace", [hopper_path()])
    (one, other) = (gallery.verify(mirrored, "Grace"), compare(mirrored, hopper_path(), model))
    assert one.score == pytest.approx(other.score, abs=1e-4) and one.same == other.same and one.templates == 1
    assert one.comparison.threshold == other.threshold and one.comparison.threshold_fmr == other.threshold_fmr
    assert one.probability == pytest.approx(other.probability, abs=0.01)
    assert one.source == hopper_path() and "the only template" in str(one)
    gallery.enroll("Grace", [mirrored])
    two = gallery.verify(mirrored, "Grace")
    assert two.score == pytest.approx(1, abs=1e-4) and two.source == str(mirrored) and two.same
    assert two.templates == two.comparison.best_of == 2 and "Grace: best-or-mean of 2 t" in str(two)
    assert two.comparison.threshold_fmr == pytest.approx(rate_of_best(other.threshold_fmr or 0, 2))
    assert not gallery.verify(COLLINS, "Grace", threshold=0.9999)
    assert gallery.verify(COLLINS, "Grace", threshold=-1.0).verdict == "same"


def test_verify_refuses_what_has_no_answer(gallery: Gallery) -> None:
    gallery.enroll("Grace", [hopper_path()])
    with pytest.raises(DataError, match="no person 'Ann' is enrolled"):
        gallery.verify(hopper_path(), "Ann")
    with pytest.raises(UsageError, match="not both"):
        gallery.verify(hopper_path(), "Grace", 0.5, fmr=0.01)
    with pytest.raises(UsageError, match="face policy"):
        gallery.verify(hopper_path(), "Grace", face="all")
    gallery.correct(hopper_path(), not_person="Grace")
    with pytest.raises(DataError, match="no template left"):
        gallery.verify(hopper_path(), "Grace")


# ---- targets, models ----------------------------------------------------------------------------


def test_an_fpir_outside_0_and_1_is_refused_and_a_high_one_is_kept(gallery: Gallery) -> None:
    for fpir in (0.0, 1.0, -0.1, 2.0, float("nan")):
        with pytest.raises(UsageError, match="FPIR lies between 0 and 1"):
            gallery.identify(hopper_path(), fpir=fpir)
    gallery.enroll("Grace", [hopper_path()])
    high, half = (gallery.identify(hopper_path(), fpir=fpir).threshold for fpir in (0.8, 0.5))
    assert high is not None and half is not None
    assert high.fpir == 0.8 and high.threshold < half.threshold


def test_no_network_is_started_where_no_photo_is_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Gallery.open(tmp_path / "g.db", tiny_model_file())
    monkeypatch.setattr(gallery_module, "Model", None)
    monkeypatch.setattr(gallery_module, "read_model_file", None)
    admin = Gallery.open(tmp_path / "g.db", None)
    assert made.people() == admin.people() == {} and admin.check()
    assert admin.info().model == tiny_model_file().id
    with pytest.raises(UsageError, match="opened without a model"):
        admin.enroll("Ann", [hopper_path()])
    with pytest.raises(MixedModels):
        Gallery.open(tmp_path / "g.db", tiny_model_file(seed=1))


def test_metadata_is_what_json_can_hold(gallery: Gallery) -> None:
    with pytest.raises(UsageError, match="what JSON can hold"):
        gallery.enroll("Grace", [hopper_path()], metadata={"x": object()})
    assert gallery.people() == {}
    gallery.enroll("Grace", [hopper_path()], metadata={"team": ["A", 1]})
    assert gallery.store.metadata() == {"Grace": {"team": ["A", 1]}}


def test_info_counts(gallery: Gallery) -> None:
    empty = gallery.info()
    assert (empty.people, empty.first) == (0, None) and empty.created is not None
    gallery.enroll("Grace", [hopper_path()])
    found = gallery.info()
    assert (found.people, found.templates, found.corrections, found.model) == (1, 1, 0, gallery.model.id)
    assert found.first == found.last and found.bytes > empty.bytes // 2
    gallery.forget("Grace")
    assert gallery.info().forgotten == 1


def test_each_photo_is_decoded_once(
    gallery: Gallery, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import facealike.imaging.scaled_jpeg as scaled

    decoded = []
    original = scaled.decode
    monkeypatch.setattr(scaled, "decode", lambda *a: decoded.append(a) or original(*a))
    gallery.enroll("Grace", [hopper_path()])
    assert len(decoded) == 1
    found: list[Any] = []
    monkeypatch.setattr(type(model.detector), "detect", lambda *_: found.append(1))
    assert gallery.enroll("Grace", [hopper_path()]).known == 1
    assert len(decoded) == 2 and not found, "no face is looked for in a photo that is known"


def test_another_process_s_enrollment_is_found(gallery: Gallery, model: Model, tmp_path: Path) -> None:
    assert gallery.identify(hopper_path()).candidates == ()
    other = Gallery.open(tmp_path / "g.db", model)
    other.enroll("Grace", [hopper_path()])
    assert [one.person for one in gallery.identify(hopper_path()).candidates] == ["Grace"]


# ---- corrections --------------------------------------------------------------------------------


def test_a_correction_sticks(gallery: Gallery, mirrored: Path, tmp_path: Path) -> None:
    gallery.enroll("Grace", [hopper_path()])
    gallery.enroll("Michael", [COLLINS])
    assert gallery.correct(mirrored, not_person="Grace") == 0
    copy = tmp_path / "another name.png"
    Image.open(mirrored).save(copy, compress_level=1)
    for photo in (mirrored, copy):
        assert [one.person for one in gallery.identify(photo, top=2).candidates] == ["Michael"]
        denied = gallery.verify(photo, "Grace", threshold=-1.0)
        assert not denied and denied.corrected and denied.probability == 0
        assert str(denied).startswith("different people (by a correction")
    assert gallery.identify(hopper_path()).candidates[0].person == "Grace", "other photos count"
    with pytest.raises(DataError, match="a correction states"):
        gallery.enroll("Grace", [copy])
    assert gallery.enroll("Somebody", [copy]).added == 1
    (template,) = (one for who, one in gallery.store.templates() if who == "Grace")
    assert gallery.correct(template, not_person="Grace") == 1
    assert gallery.people() == {"Grace": 0, "Michael": 1, "Somebody": 1}
    again = gallery.enroll_all(make_people(tmp_path / "people"))
    assert again.added == 1 and again.known == 1
    assert [(one.person, one.reason) for one in again.refused] == [("Grace", intake.CORRECTED)] * 2


# ---- bulk ---------------------------------------------------------------------------------------


def test_a_folder_of_people_is_enrolled_and_the_second_time_known(
    gallery: Gallery, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_people(tmp_path / "people")
    (root / "Grace" / "broken.png").write_bytes(b"nothing")
    Image.new("RGB", (200, 200), "white").save(root / "Michael" / "empty.png")
    steps: list[tuple[int, int]] = []
    result = gallery.enroll_all(root, progress=lambda *step: steps.append(step))
    assert (result.people, result.added, result.known) == (2, 4, 0) and steps[-1] == (6, 6)
    assert [Path(one.photo).name for one in result.refused] == ["broken.png", "empty.png"]
    assert gallery.people() == {"Grace": 2, "Michael": 2}
    singly = Gallery.open(tmp_path / "single.db", model)
    singly.enroll("Grace", sorted((root / "Grace").iterdir())[:2])
    for (_, one), (_, other) in zip(singly.store.templates(), gallery.store.templates("Grace"), strict=True):
        assert np.allclose(one.vector, other.vector, atol=1e-5) and one.digest == other.digest
    monkeypatch.setattr(type(model), "embed_crops", None)
    again = gallery.enroll_all(root)
    assert (again.added, again.known, len(again.refused)) == (0, 4, 2)


def test_an_interrupted_enrollment_goes_on(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_people(tmp_path / "people")
    monkeypatch.setattr(intake, "BATCH", 1)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.enroll_all(root, progress=stop)
    assert gallery.people() == {"Grace": 2}
    result = gallery.enroll_all(root)
    assert (result.added, result.known) == (2, 2)


def test_a_csv_of_people(gallery: Gallery, tmp_path: Path) -> None:
    root = make_people(tmp_path / "people")
    rows = [
        ["Name", "File", "metadata"],
        ["Grace", "Grace/1.png", '{"team": "A"}'],
        ["Grace", "Grace/2.png", ""],
        ["Michael", "Michael/1.png", "no JSON"],
        ["Michael", "Michael/2.png", ""],
        ["", "Michael/1.png", ""],
        ["Eve", "missing.png", ""],
    ]
    with (root / "list.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    result = gallery.enroll_all(root / "list.csv")
    assert (result.people, result.added) == (3, 3) and gallery.people() == {"Grace": 2, "Michael": 1}
    assert gallery.store.metadata() == {"Grace": {"team": "A"}}
    reasons = [one.reason for one in result.refused]
    assert "line 4: metadata is a JSON object" in reasons[0] and "line 6: a person and a photo" in reasons[1]
    assert "no such file" in reasons[2] and len(reasons) == 3
    (root / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no columns person and photo"):
        gallery.enroll_all(root / "bad.csv")


# ---- the quick case -----------------------------------------------------------------------------


def test_a_folder_s_gallery_is_cached_by_content(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEALIKE_HOME", str(tmp_path / "home"))
    root = make_people(tmp_path / "people")
    first, built = folder_gallery(root, model)
    assert built is not None and built.added == 4 and first.people() == {"Grace": 2, "Michael": 2}
    (path,) = galleries_folder().glob("*.db")
    if os.name == "posix":
        assert galleries_folder().stat().st_mode & 0o077 == 0, "templates are for their owner alone"
    first.close()
    again, built = folder_gallery(root, model)
    assert built is None and again.store.path == path
    again.close()
    Image.fromarray(astronaut()).save(root / "Grace" / "1.png")
    changed, built = folder_gallery(root, model)
    assert built is not None and built.added == 4 and changed.store.path != path
    assert not path.exists(), "the gallery of the old photos is deleted"
    assert changed.identify(astronaut()).candidates[0].person == "Grace"
    changed.close()
    changed.store.path.write_bytes(b"damaged" * 1000)
    mended, built = folder_gallery(root, model)
    assert built is not None and mended.people() == {"Grace": 2, "Michael": 2}
    mended.close()
    other, built = folder_gallery(root, model, "only")
    assert built is not None
    other.close()


def test_an_interrupted_build_goes_on(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEALIKE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(intake, "BATCH", 1)
    root = make_people(tmp_path / "people")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder_gallery(root, model, progress=stop)
    gallery, built = folder_gallery(root, model)
    assert built is not None and (built.added, built.known) == (2, 2)
    gallery.close()
