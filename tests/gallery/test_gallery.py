"""A gallery of real people: enrolled, identified, told from strangers, and forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facealike.embedding.face_model import Model
from facealike.errors import DataError, NoFaceFound, UsageError
from facealike.gallery.candidates import decide
from facealike.gallery.gallery import Gallery
from support.data_paths import data_path
from support.tiny_model import hopper_path

ENROLLED = {"George_Robertson": range(1, 4), "Gray_Davis": range(1, 4), "Serena_Williams": range(1, 4)}


def photos(person: str, numbers: range) -> list[Path]:
    folder = Path(data_path("FACEALIKE_LFW"))
    return [folder / person / f"{person}_{number:04d}.jpg" for number in numbers]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    gallery = Gallery.open(tmp_path_factory.mktemp("gallery") / "people.db")
    for person, numbers in ENROLLED.items():
        result = gallery.enroll(person, photos(person, numbers))
        assert (result.added, result.known, result.refused) == (3, 0, ())
    return gallery


def test_a_gallery_and_its_model_say_what_they_are(gallery: Gallery) -> None:
    assert repr(gallery) == f"<Gallery {gallery.store.name}>" and "people.db" in repr(gallery)
    model = Model.load(device="cpu")
    assert repr(model) == f"<Model {model.id} on cpu>"


def test_the_enrolled_are_named_and_strangers_are_not(gallery: Gallery) -> None:
    for person in ENROLLED:
        for photo in photos(person, range(4, 7)):
            found = gallery.identify(photo, top=2)
            assert found.candidates[0].person == person and found.decision == "match"
            assert len(found.candidates) == 2 and found.candidates[0].score > found.candidates[1].score
            assert found.threshold is not None and found.threshold.templates == 9
            assert (found.candidates[0].probability or 0) > 0.95 and (found.not_enrolled or 1) < 0.05
    stranger = gallery.identify(hopper_path())
    assert stranger.decision == "unknown" and len(stranger.candidates) == 3


def test_the_probabilities_depend_on_the_prior_and_the_decision_does_not(gallery: Gallery) -> None:
    (photo,) = photos("Gray_Davis", range(5, 6))
    lists = [gallery.identify(photo, prior=prior) for prior in (1e-9, 0.5, 0.999)]
    first = [found.candidates[0].probability or 0 for found in lists]
    assert first == sorted(first) and len(set(first)) == 3
    for found in lists:
        every = [one.probability or 0 for one in found.candidates] + [found.not_enrolled or 0]
        assert sum(every) == pytest.approx(1), "three people are enrolled, and all are candidates"
        assert found.decision == "match" and found.to_dict()["prior"] == found.prior
    shorter = gallery.identify(photo, top=1)
    assert shorter.candidates == lists[1].candidates[:1] and shorter.not_enrolled == lists[1].not_enrolled
    gallery.correct(photo, not_person="Serena_Williams")
    two = gallery.identify(photo)
    assert sum(one.probability or 0 for one in two.candidates) + (two.not_enrolled or 0) == pytest.approx(1)
    with pytest.raises(UsageError, match="the prior is the share of searches"):
        gallery.identify(photo, prior=0)


def test_a_face_that_is_embedded_already_is_identified_alike(gallery: Gallery) -> None:
    (photo,) = photos("Gray_Davis", range(4, 5))
    (vector,) = gallery.model.embed([photo])
    by_photo, by_vector = gallery.identify(photo), gallery.identify_embedding(vector, name="track 1")
    assert by_vector.candidates == by_photo.candidates and by_vector.threshold == by_photo.threshold
    assert (by_vector.decision, by_vector.photo, by_vector.face) == ("match", "track 1", None)
    faces = gallery.model.embed(photos("Gray_Davis", range(4, 7)))
    several = gallery.identify_embedding(faces.mean(axis=0))
    assert several.candidates[0].person == "Gray_Davis" and several.decision == "match"
    unit = faces.mean(axis=0) / np.linalg.norm(faces.mean(axis=0))
    other, same = several.candidates[-1], gallery.identify_embedding(unit).candidates[-1]
    assert other.person == same.person and other.score < same.score, "the cosine of a mean is too high"
    for wrong in (2 * vector, 0 * vector, vector[None], np.full_like(vector, np.nan)):
        with pytest.raises(UsageError, match="track 1: an embedding to search is a unit vector"):
            gallery.identify_embedding(wrong, name="track 1")
    with pytest.raises(UsageError, match="an embedding of 2 numbers, where those of this gallery have"):
        gallery.identify_embedding(np.array([0.6, 0.8], np.float32))
    with pytest.raises(UsageError, match="one candidate"):
        gallery.identify_embedding(vector, top=0)


def test_a_photo_is_enrolled_once_and_bad_ones_are_told(gallery: Gallery, tmp_path: Path) -> None:
    person = "Gray_Davis"
    empty, missing = tmp_path / "empty.png", tmp_path / "missing.jpg"
    Image.new("RGB", (200, 200), "white").save(empty)
    result = gallery.enroll(person, [*photos(person, range(1, 3)), empty, missing])
    assert (result.added, result.known) == (0, 2)
    assert [Path(photo).name for photo, _ in result.refused] == ["empty.png", "missing.jpg"]
    assert gallery.people()[person] == 3
    blurred = tmp_path / "blurred.png"
    Image.open(photos(person, range(4, 5))[0]).reduce(6).resize((250, 250)).save(blurred)
    with pytest.raises(DataError, match=r"no photo can be enrolled; .*quality of"):
        gallery.enroll("Nobody", [blurred], min_quality=0.9)
    assert "Nobody" not in gallery.people()
    with pytest.raises(NoFaceFound):
        gallery.identify(empty)
    with pytest.raises(UsageError, match="one candidate"):
        gallery.identify(hopper_path(), top=0)
    here = Path(hopper_path())
    for single in (str(here), here, here.read_bytes(), np.zeros((9, 9, 3), dtype=np.uint8)):
        with pytest.raises(UsageError, match="put a single image in a list"):  # else each letter is a photo
            gallery.enroll("Hopper", single)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no photo can be enrolled; give at least one"):
        gallery.enroll("Hopper", [])
    with pytest.raises(UsageError, match=r"is a text, not int; use str"):
        gallery.enroll(7, [hopper_path()])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs a name"):
        gallery.enroll(" ", [])


def test_the_forgotten_are_unknown(tmp_path: Path) -> None:
    gallery = Gallery.open(tmp_path / "g.db", Model.load())
    assert gallery.identify(hopper_path()).decision == "unknown"
    assert gallery.enroll("Grace Hopper", [hopper_path()]).added == 1
    found = gallery.identify(hopper_path())
    assert found.decision == "match" and found.candidates[0].score == pytest.approx(1, abs=1e-5)
    assert gallery.forget("Grace Hopper") == 1
    assert gallery.identify(hopper_path()).candidates == ()
    with pytest.raises(DataError, match=r"no person .* is enrolled"):
        gallery.forget("Grace Hopper")


@pytest.mark.parametrize(
    ("scores", "decision"),
    [
        ([], "unknown"), ([0.2], "unknown"), ([0.45, 0.1], "uncertain"), ([0.6, 0.1], "match"),
        ([0.6, 0.45], "match"), ([0.6, 0.55], "uncertain"), ([0.5], "match"),
    ],
)  # fmt: skip
def test_a_decision_needs_one_candidate_above_the_threshold(scores: list[float], decision: str) -> None:
    assert decide(scores, 0.5, 0.4) == decision
    assert decide(np.array(scores).tolist(), 0.5, 0.4) == decision
