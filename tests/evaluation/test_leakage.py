"""Issue 19 A11: nobody whom a model has met passes as new, under whatever name or in whatever copy."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.datasets.parts import divide
from facealike.datasets.people import People
from facealike.datasets.seen import Seen, composed, identity_hash, normal_name
from facealike.datasets.splits import split_of
from facealike.embedding.face_model import Model
from facealike.errors import DataError, ModelError, PeopleOverlap, TrainingError
from facealike.evaluation.all_pairs import evaluate_exhaustive
from facealike.evaluation.calibrate import calibrate
from facealike.evaluation.identification import evaluate_identification
from facealike.evaluation.leakage import check_overlap, find_overlap, record_people
from facealike.evaluation.lfw_view2 import evaluate_view2
from facealike.evaluation.verification import evaluate_split
from facealike.imaging.photo_digest import PhotoDigest
from facealike.model_file.model_file import ModelFile
from support.drawn_people import CentralBox, draw_face, make_people
from support.tiny_model import tiny_card, tiny_model_file

ACCENTED = "Zoë Núñez"
NFC, NFD = (unicodedata.normalize(form, ACCENTED) for form in ("NFC", "NFD"))


def photos_of(root: Path) -> list[Path]:
    return sorted(root.rglob("*.png"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_people(tmp_path_factory.mktemp("people"), 14)


def model_of(file: ModelFile) -> Model:
    model = Model(file, device="cpu")
    model.__dict__["detector"] = CentralBox()  # dlib's takes seconds, and finds no drawn face
    return model


def trained_on(root: Path) -> ModelFile:
    record = record_people(People.from_folder(root))
    return tiny_model_file(card=tiny_card(identity_hashes=(), trained_on=(record,)))


def folder(root: Path, name: str, person: int, photos: Sequence[int] = (0, 1)) -> Path:
    (root / name).mkdir(parents=True)
    for photo in photos:
        PillowImage.fromarray(draw_face(person, photo)).save(root / name / f"{photo}.png")
    return root


# ---- names --------------------------------------------------------------------------------------


def test_the_split_of_a_name_does_not_depend_on_how_its_accents_are_encoded() -> None:
    """42 % of accented names changed their split between NFC and NFD."""
    rng = np.random.default_rng(0)
    letters = "éèüöñçåøÅÉ"
    changed = 0
    for _ in range(500):
        name = "".join(rng.choice(list("abcdefgh" + letters), 8)) + letters[rng.integers(7)]
        forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
        assert split_of(forms[0]) == split_of(forms[1]) == split_of(f" {forms[1]} ")
        changed += forms[0] != forms[1]
    assert changed == 500, "the test would else show nothing"


def test_the_split_of_plain_names_is_the_published_one() -> None:
    """Of names in ASCII, such as all of LFW's, and of accented ones in NFC: nobody's test person moves."""
    import hashlib

    for name in ["Aaron_Eckhart", "AJ_Cook", "Abdullah_al-Attiyah", "Zorica_Radovic", NFC]:
        position = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
        number = sum(position >= below for below in (0.15, 0.2, 0.25))
        expected = ["test", "calibration", "validation", "train"][number]
        assert split_of(name) == expected


def test_a_normal_name_is_that_of_all_spellings() -> None:
    assert normal_name(f" {NFD}") == normal_name(NFC) == normal_name(NFC.upper()) == normal_name(NFC.lower())
    assert normal_name("Ada") != normal_name("Adam") and composed("Ada ") == "Ada" != composed("ada")
    assert normal_name("Straße") == normal_name("STRASSE")
    assert normal_name("\udcff") == "\udcff", "a name that is no UTF-8 is a name"


@pytest.mark.parametrize(("one", "other"), [("Ada", "ada"), ("Ada", "Ada "), (NFC, NFD)])
def test_two_spellings_of_a_name_in_one_folder_are_refused(tmp_path: Path, one: str, other: str) -> None:
    folder(folder(tmp_path, one, 0), other, 1)
    with pytest.raises(DataError, match=r"name one person but for case, accents or blanks; merge them"):
        People.from_folder(tmp_path)


# ---- people of the training ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Person_003", "person_003", "PERSON_003", "Person_003 ", "  Person_003"])
def test_a_name_is_recognized_in_every_spelling(root: Path, tmp_path: Path, name: str) -> None:
    folder(tmp_path, name, 99)  # photos that the model has not seen
    found = find_overlap(trained_on(root), photos_of(tmp_path))
    assert found.trained == (name,) and not found.copies and found.people == 1


def test_an_accented_name_is_recognized_in_the_other_encoding(tmp_path: Path) -> None:
    file = trained_on(folder(tmp_path / "there", NFC, 0))
    assert find_overlap(file, photos_of(folder(tmp_path / "here", NFD, 1))).trained == (NFD,)


def test_renumbered_copies_are_recognized_by_their_pixels(root: Path, tmp_path: Path) -> None:
    """A byte-identical copy and one that was saved anew, under names that the model does not know."""
    file = trained_on(root)
    for i, person in enumerate(sorted(root.iterdir())[:2]):
        (tmp_path / f"{i:05d}").mkdir()
        for j, photo in enumerate(sorted(person.iterdir())):
            if i == 0:
                shutil.copy(photo, tmp_path / f"{i:05d}" / f"{7 * j}.png")
            else:
                PillowImage.open(photo).save(tmp_path / f"{i:05d}" / f"{j}.bmp")
    folder(tmp_path, "new", 50)
    photos = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    found = find_overlap(file, photos)
    assert found.trained == ("00000", "00001") and found.copies == {"00000", "00001"} and found.people == 3
    with pytest.raises(PeopleOverlap, match=r"^2 of the 3 people in these pairs took part in the training of "
                       r"this model \(00000, 00001, 2 of them known by their photos alone\)"):  # fmt: skip
        check_overlap(file, photos, allow=False)
    assert check_overlap(file, photos, allow=True) is True
    assert check_overlap(file, photos_of(tmp_path / "new"), allow=False) is False


def test_links_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "somebody").symlink_to(root / "Person_005", target_is_directory=True)
    photos = [tmp_path / "somebody" / name for name in ("0.png", "1.png")]
    assert find_overlap(trained_on(root), photos).trained == ("somebody",)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "x.png").symlink_to(root / "Person_006" / "0.png")
    assert find_overlap(trained_on(root), [tmp_path / "else" / "x.png"]).trained == ("else",)


@pytest.mark.parametrize("name", ["Ada_Lovelace", "ada_lovelace", "ADA_LOVELACE", "Ada_Lovelace "])
def test_a_card_from_before_is_read_and_tried_with_a_few_spellings(tmp_path: Path, name: str) -> None:
    """The stated tolerance: names of old cards stand as they were written, and photos are not known."""
    old = tiny_model_file()
    assert old.card.identity_hashes == (identity_hash("salt", "Ada_Lovelace"),) and not old.card.trained_on
    wanted = "Ada_Lovelace" if name.strip() != name or name == "Ada_Lovelace" else name
    card = tiny_card(identity_hashes=(identity_hash("salt", wanted), "no hash"))
    photos = photos_of(folder(tmp_path / "people", name, 0))
    assert find_overlap(tiny_model_file(card=card), photos).trained == (name,)
    assert find_overlap(old, photos_of(folder(tmp_path / "other", "Grace_Hopper", 0))).trained == ()


# ---- people of the calibration ------------------------------------------------------------------


def test_who_calibrated_a_model_is_no_test_of_it(root: Path, tmp_path: Path) -> None:
    """``calibrate M X --split all; evaluate M X --split all`` ran in silence."""
    model = model_of(tiny_model_file(card=tiny_card(identity_hashes=())))
    learned = calibrate(model, root, split="all", resamples=2)
    assert len(learned.seen) == 1 and learned.seen[0].people_count == 14
    assert learned.seen[0].photo_count == len(photos_of(root))
    own = model_of(replace(model.file, calibration=learned))
    own.file.write(tmp_path / "own.facealike")
    assert ModelFile.read(tmp_path / "own.facealike") == own.file and own.id == model.id
    message = r"^14 of the 14 people in .* gave this model its threshold and its probabilities"
    for refused in (
        lambda: evaluate_split(own, root, "all"),
        lambda: evaluate_exhaustive(own, root, "all"),
    ):
        with pytest.raises(PeopleOverlap, match=message):
            refused()
    marked = evaluate_split(own, root, "all", allow_overlap=True)
    assert marked.leaked is True and "took part in training or calibration" in str(marked)
    renamed = tmp_path / "renamed"
    for i, person in enumerate(sorted(root.iterdir())):
        shutil.copytree(person, renamed / f"x{i}")
    with pytest.raises(PeopleOverlap, match="14 of them known by their photos alone"):
        evaluate_split(own, renamed, "all")
    others = make_people(tmp_path / "others", 30)
    for person in sorted(others.iterdir())[:14]:
        shutil.rmtree(person)
    assert evaluate_split(own, others, "all").leaked is None, "of whom it was trained on it says nothing"


def test_what_does_not_use_the_threshold_does_not_ask_who_chose_it(root: Path, tmp_path: Path) -> None:
    model = model_of(tiny_model_file(card=tiny_card(identity_hashes=())))
    own = model_of(replace(model.file, calibration=calibrate(model, root, split="all", resamples=2)))
    assert evaluate_identification(own, root, "all").leaked is None
    assert evaluate_exhaustive(own, root, "all", threshold=0.5).leaked is None
    names = sorted(path.name for path in root.iterdir())
    rows = ["a,b,same,fold"]
    for i, name in enumerate(names):
        fold = i % 2
        other = names[(i + 2) % len(names)]
        rows += [f"{name}/0.png,{name}/1.png,1,{fold}", f"{name}/0.png,{other}/1.png,0,{fold}"]
    (tmp_path / "folds.csv").write_text("\n".join(rows) + "\n")
    found = evaluate_view2(own, root, tmp_path / "folds.csv")
    assert found.evaluation.leaked is None and found.evaluation.probability is None


def test_copies_of_the_training_people_do_not_calibrate(root: Path, tmp_path: Path) -> None:
    for i, person in enumerate(sorted(root.iterdir())):
        shutil.copytree(person, tmp_path / f"x{i}")
    with pytest.raises(PeopleOverlap, match=r"14 of the 14 people took part .* photos alone"):
        calibrate(model_of(trained_on(root)), tmp_path, split="all")


# ---- unlabelled photos --------------------------------------------------------------------------


def plan_with(root: Path, cache: Path, unlabelled: Path) -> Any:
    pytest.importorskip("torch")
    from facealike.train.embedder.dataset import make_plan
    from support.drawn_people import tiny_recipe

    return make_plan(root, tiny_recipe(data={"unlabelled": str(unlabelled)}), CentralBox(), cache)


def test_unlabelled_photos_are_not_those_of_the_folder_of_people(tmp_path: Path) -> None:
    root = make_people(tmp_path / "data" / "people", 20)
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    for same in (root, root / "Person_001", tmp_path / "data", tmp_path / "link"):
        with pytest.raises(TrainingError, match=r"data\.unlabeled and the folder of people .* share photos"):
            plan_with(root, tmp_path / "crops", same)


def test_unlabelled_photos_are_no_copies_of_the_test_people(tmp_path: Path) -> None:
    root = make_people(tmp_path / "people", 40)
    people = People.from_folder(root)
    parts = divide(people)
    test, train = (
        people.select([people.names[label] in names for label in people.labels])
        for names in (parts.test, parts.train)
    )
    (tmp_path / "loose").mkdir()
    shutil.copy(train.paths[0], tmp_path / "loose" / "a.png")
    assert plan_with(root, tmp_path / "crops", tmp_path / "loose").unlabeled is not None
    shutil.copy(test.paths[0], tmp_path / "loose" / "b.png")
    with pytest.raises(TrainingError, match=r"1 of the unlabeled photos are copies .* \(b\.png\)"):
        plan_with(root, tmp_path / "crops", tmp_path / "loose")


# ---- the record ---------------------------------------------------------------------------------


def test_a_record_reveals_nobody_and_is_small() -> None:
    digests = [PhotoDigest("0" * 64, f"{i:064x}") for i in range(1000)]
    record = Seen.of([f"Person_{i}" for i in range(500)], [*digests, None])
    assert (record.people_count, record.photo_count) == (500, 1000)
    assert len(str(record.to_dict())) < 1500 * 8 * 4 / 3 + 120
    assert "Person" not in str(record.to_dict()) and f"{999:064x}"[-16:] not in record.photos.hex()
    again = Seen.of([f"person_{i} " for i in reversed(range(500))], digests[::-1])
    assert again == record, "the order and the spelling do not matter"
    other = Seen.of(["Person_0"], digests)
    assert other.salt != record.salt and other.people[:8] not in record.people
    assert Seen.from_dict(record.to_dict()) == record and repr(record).startswith("<Seen: 500 people")
    assert record.knows_person("PERSON_499") and not record.knows_person("Person_500")
    assert record.knows_photo(digests[7]) and not record.knows_photo(None)
    assert not record.knows_photo(PhotoDigest("0" * 64, "f" * 64))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3}, {"version": True}, {"version": "2"}, {"people": "AAAA"}, {"people": "no base64!"},
        {"photos": 7}, {"salt": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_senseless_record_is_refused(change: dict[str, Any]) -> None:
    good = Seen.of(["Ada"], []).to_dict()
    assert tiny_card(trained_on=[good]).trained_on[0].people_count == 1
    with pytest.raises(ModelError, match=r"card: trained_on|seen"):
        tiny_card(trained_on=[{**good, **change}])
    with pytest.raises(ModelError, match="must be a list"):
        tiny_card(trained_on=good)
