"""Published lists of pairs, in sets of their form made here."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.datasets.insightface_bin import is_insightface_bin, unpack_pairs
from facealike.datasets.pair_lists import read_pairs
from facealike.datasets.ten_folds import with_ten_folds
from facealike.detection.template_face import TemplateFace
from facealike.errors import DataError, PeopleOverlap
from facealike.evaluation.insightface_bin import BinEvaluator
from facealike.evaluation.verification import evaluate_pairs
from facealike.imaging.align import TEMPLATE_112
from facealike.types import Pair
from support.flat_color_model import ColourModel


def encoded(color: tuple[int, int, int], kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    PillowImage.new("RGB", (112, 112), color).save(stream, kind)
    return stream.getvalue()


# ---- CALFW and CPLFW --------------------------------------------------------------------------

NAMES = ("Ann_0001.jpg", "Ann_0002.jpg", "Bob_0001.jpg")


@pytest.mark.parametrize("folder", ["", "images"])
@pytest.mark.parametrize("same", ["1", "7"])
def test_two_lines_are_a_pair(tmp_path: Path, folder: str, same: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for name in NAMES:
        (tmp_path / folder / name).write_bytes(encoded((9, 9, 9), "JPEG"))
    listed = tmp_path / "pairs_CALFW.txt"
    listed.write_text(f"{NAMES[0]} {same}\n{NAMES[1]} {same}\n{NAMES[0]}\t0\n{NAMES[2]}\t0\n")
    found = [(Path(pair.a).name, Path(pair.b).name, pair.same, pair.fold) for pair in read_pairs(listed)]
    assert found == [(NAMES[0], NAMES[1], True, None), (NAMES[0], NAMES[2], False, None)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann_0001.jpg 1\nAnn_0002.jpg 1\nBob_0001.jpg 0\n", "line 3: a photo without a second one"),
        ("Ann_0001.jpg 1\nAnn_0002.jpg 0\n", "line 2: 0 where the first photo of the pair has 1"),
        ("Ann_0001.jpg 1\nAnn_0002.jpg one\n", "line 2: a line reads"),
        ("Ann_0001.jpg 1\nAnn_0009.jpg 1\n", "line 2: no photo Ann_0009.jpg"),
        (f"Ann_0001.jpg 1\n{'x' * 300}.jpg 1\n", "line 2: no photo"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, words: str) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes(encoded((9, 9, 9), "JPEG"))
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        read_pairs(tmp_path / "list.txt")


def calfw(folder: Path, people: int = 12) -> Path:
    """A list as CALFW has it: a pair of each person, and one with the next person."""
    rng, lines = np.random.default_rng(4), []
    for person in range(people):
        own = rng.integers(20, 230, 3)
        for k in (1, 2):
            shade = np.clip(own + rng.normal(0, 15, 3), 1, 255).astype(int)
            name = f"Person_{chr(65 + person)}_{k:04d}.png"
            (folder / name).write_bytes(encoded((int(shade[0]), int(shade[1]), int(shade[2]))))
    for person in range(people):
        a, b = f"Person_{chr(65 + person)}", f"Person_{chr(65 + (person + 1) % people)}"
        lines += [f"{a}_0001.png 1", f"{a}_0002.png 1", f"{a}_0001.png 0", f"{b}_0002.png 0"]
    (folder / "pairs_CALFW.txt").write_text("\n".join(lines) + "\n")
    return folder / "pairs_CALFW.txt"


def test_the_names_of_photos_give_people_intervals_and_leaks(tmp_path: Path) -> None:
    pairs = read_pairs(calfw(tmp_path))
    assert pairs[1].people == ("Person_A", "Person_B") and {pair.fold for pair in pairs} == set(range(1, 11))
    result = evaluate_pairs(ColourModel(), pairs, "CALFW")
    assert (result.people, result.leaked) == (12, False)
    found = result.intervals()["fnmr"]
    assert found.low <= result.fnmr <= found.high
    with pytest.raises(PeopleOverlap, match="Person_A"):
        evaluate_pairs(ColourModel(("person_a",)), pairs, "CALFW")


def test_names_that_contradict_the_truth_name_no_people(tmp_path: Path) -> None:
    listed = calfw(tmp_path)
    listed.write_text(listed.read_text().replace("_0001.png 0\nPerson_B", "_0001.png 0\nPerson_A", 1))
    pairs = read_pairs(listed)
    assert all(pair.people is None for pair in pairs)
    assert evaluate_pairs(ColourModel(), pairs, "CALFW").people is None


def test_ten_folds_are_tenths_of_each_kind_in_their_order() -> None:
    blocks = [same for _ in range(10) for same in [True] * 3 + [False] * 3]
    pairs = with_ten_folds([Pair(f"{i}a", f"{i}b", same) for i, same in enumerate(blocks)])
    assert [pair.fold for pair in pairs] == [1 + i // 6 for i in range(60)], "as KFold(10) has them"
    few = [Pair("a", "b", True)] * 20 + [Pair("a", "c", False)] * 9
    assert with_ten_folds(few) == few
    uneven = with_ten_folds([Pair("a", "b", i % 2 == 0) for i in range(46)])
    sizes = np.bincount([pair.fold or 0 for pair in uneven])[1:]
    assert sizes.sum() == 46 and sizes.max() - sizes.min() <= 2


# ---- CFP --------------------------------------------------------------------------------------


@pytest.fixture
def cfp(tmp_path: Path) -> Path:
    """Two people with two frontal photos and a profile each, in two folds."""
    root = tmp_path / "cfp-dataset"
    lists: dict[str, list[str]] = {"F": [], "P": []}
    for person in ("001", "002"):
        for letter, kind, count in (("F", "frontal", 2), ("P", "profile", 1)):
            for number in range(1, count + 1):
                photo = root / "Data" / "Images" / person / kind / f"{number:02d}.jpg"
                photo.parent.mkdir(parents=True, exist_ok=True)
                photo.write_bytes(encoded((50, 9 * number, 9), "JPEG"))
                relative = f"../Data/Images/{person}/{kind}/{number:02d}.jpg"
                lists[letter].append(f"{len(lists[letter]) + 1} {relative}")
    for letter, lines in lists.items():
        file = root / "Protocol" / f"Pair_list_{letter}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
    for fold, same, diff in (("01", "1,1\n2,1\n", "1,2\n"), ("02", "3,2\n", "4,1\n")):
        split = root / "Protocol" / "Split" / "FP" / fold
        split.mkdir(parents=True)
        (split / "same.txt").write_text(same)
        (split / "diff.txt").write_text(diff)
    return root


def test_cfp_pairs_frontal_with_profile(cfp: Path) -> None:
    images = cfp / "Data" / "Images"
    found = [
        (Path(pair.a).relative_to(images).as_posix(), Path(pair.b).relative_to(images).as_posix(), pair.same,
         pair.fold)
        for pair in read_pairs(cfp)
    ]  # fmt: skip
    assert found == [
        ("001/frontal/01.jpg", "001/profile/01.jpg", True, 1),
        ("001/frontal/02.jpg", "001/profile/01.jpg", True, 1),
        ("001/frontal/01.jpg", "002/profile/01.jpg", False, 1),
        ("002/frontal/01.jpg", "002/profile/01.jpg", True, 2),
        ("002/frontal/02.jpg", "001/profile/01.jpg", False, 2),
    ]
    assert read_pairs(cfp)[2].people == ("001", "002")
    result = evaluate_pairs(ColourModel(("001",)), read_pairs(cfp), "CFP-FP", threshold=0.5)
    assert (result.people, result.leaked) == (2, None), "a number is no name of the training"
    assert result.fold_accuracy is not None and len(result.fold_accuracy.folds) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "Protocol/Pair_list_P.txt").unlink(), "Pair_list_P.txt: no such file"),
        (
            lambda root: (root / "Protocol/Split/FP/02/diff.txt").write_text("5,1\n"),
            "not two numbers of photos",
        ),
        (
            lambda root: (root / "Protocol/Split/FP/02/diff.txt").write_text("1;1\n"),
            "not two numbers of photos",
        ),
        (lambda root: (root / "Protocol/Split/FP").rename(root / "FP"), "no folds there"),
        (lambda root: (root / "Data/Images/002/profile/01.jpg").unlink(), "line 2: no photo"),
        (lambda root: (root / "Protocol/Pair_list_F.txt").write_text("one\n"), "not a number and a photo"),
    ],
)
def test_a_damaged_folder_of_cfp_is_named(cfp: Path, change: Callable[[Path], object], words: str) -> None:
    change(cfp)
    with pytest.raises(DataError, match=words):
        read_pairs(cfp)


# ---- InsightFace ------------------------------------------------------------------------------

RED, DARK_RED, GREEN = (200, 10, 10), (180, 14, 9), (10, 200, 10)
IMAGES = [encoded(RED), encoded(DARK_RED, "JPEG"), encoded(RED), encoded(GREEN)]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "content",
    [
        (IMAGES, [True, False]),
        [[np.frombuffer(image, np.uint8) for image in IMAGES], np.array([True, False])],
        (IMAGES, [np.True_, np.False_]),
        ([bytes(image) for image in IMAGES], [1, 0]),
    ],
    ids=["lists", "arrays", "numpy booleans", "integers"],
)
def test_a_bin_file_is_unpacked(tmp_path: Path, content: Any, protocol: int) -> None:
    file, folder = tmp_path / "lfw.bin", tmp_path / "images"
    file.write_bytes(pickle.dumps(content, protocol))
    folder.mkdir()
    assert is_insightface_bin(file)
    pairs = unpack_pairs(file, folder)
    assert [pair.same for pair in pairs] == [True, False]
    assert pairs[0].a == pairs[1].a and len(list(folder.iterdir())) == 3, "each image is written once"
    assert [Path(path).read_bytes() for pair in pairs for path in (pair.a, pair.b)] == IMAGES


class Attack:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("call", [os.mkdir, eval, getattr, exec, np.load, np.save])
def test_a_pickle_that_asks_for_more_is_refused_and_runs_nothing(
    tmp_path: Path, call: Any, protocol: int
) -> None:
    target = str(tmp_path / "made")
    argument = f"__import__('os').mkdir({target!r})" if call in (eval, exec) else target
    (tmp_path / "bad.bin").write_bytes(pickle.dumps((IMAGES, [Attack(call, argument), False]), protocol))
    with pytest.raises(DataError, match="it names"):
        unpack_pairs(tmp_path / "bad.bin", tmp_path)
    assert not Path(target).exists()


def test_only_the_codec_of_bytes_is_looked_up(tmp_path: Path) -> None:
    (tmp_path / "bad.bin").write_bytes(
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R."
    )
    with pytest.raises(DataError, match="the codec zip"):
        unpack_pairs(tmp_path / "bad.bin", tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is damaged"),
        (pickle.dumps((IMAGES, [True, False]))[:-40], "damaged|truncated"),
        (pickle.dumps(7), "not two lists"),
        (pickle.dumps(([1, 2], ["yes"])), "not two lists"),
        (pickle.dumps((IMAGES, [True])), "4 images for 1 pairs"),
        (pickle.dumps(([], [])), "0 images for 0 pairs"),
        (pickle.dumps((["a", "b"], [True])), "image 1 is no encoded image"),
    ],
)
def test_a_damaged_bin_file_is_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "bad.bin").write_bytes(data)
    with pytest.raises(DataError, match=words) as caught:
        unpack_pairs(tmp_path / "bad.bin", tmp_path)
    assert "\n" not in str(caught.value)


def test_the_images_of_a_bin_file_are_used_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine.bin").write_bytes(pickle.dumps((IMAGES, [True, False])))
    found = BinEvaluator(tmp_path / "mine.bin")(ColourModel())
    assert (found.name, found.pairs, found.auc, found.leaked, found.people) == ("mine", 2, 1.0, None, None)
    folder = tmp_path / "images"
    folder.mkdir()
    by_hand = evaluate_pairs(ColourModel(), unpack_pairs(tmp_path / "mine.bin", folder), "mine")
    assert found.scores.tolist() == pytest.approx(by_hand.scores.tolist())


def test_the_face_of_a_crop_has_the_landmarks_of_the_template() -> None:
    (face,) = TemplateFace().detect(np.zeros((224, 224, 3), np.uint8))
    assert face.landmarks is not None and np.allclose(face.landmarks, 2 * TEMPLATE_112)


def test_a_bin_file_has_the_accuracy_over_ten_folds(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    images, truth = [], []
    for same in [same for _ in range(10) for same in [True] * 4 + [False] * 4]:
        one = rng.integers(30, 220, 3)
        other = np.clip(one + rng.normal(0, 40 if same else 90, 3), 1, 255).astype(int)
        images += [encoded((int(c[0]), int(c[1]), int(c[2]))) for c in (one, other)]
        truth.append(same)
    (tmp_path / "mine.bin").write_bytes(pickle.dumps((images, truth)))
    found = BinEvaluator(tmp_path / "mine.bin")(ColourModel())
    right = []
    for fold in range(10):
        mine = np.arange(80) // 8 == fold
        cuts = np.concatenate([found.scores[~mine] - 1e-9, [2.0]])
        score = [np.mean((found.scores[~mine] >= cut) == found.same[~mine]) for cut in cuts]
        best = max(cut for cut, one in zip(cuts, score, strict=True) if one == max(score))
        right.append(np.mean((found.scores[mine] >= best) == found.same[mine]))
    assert found.fold_accuracy is not None
    # Between two scores of other folds a cut may lie anywhere: a pair of this fold may fall on either side.
    assert found.fold_accuracy.accuracy == pytest.approx(np.mean(right), abs=0.03)
    assert found.metrics["fold_accuracy"] == found.fold_accuracy.accuracy
    assert found.to_dict()["folds"]["count"] == 10 and found.intervals() == {}
    assert "mean and standard error of 10 folds" in str(found) and "10 folds" in found.to_markdown()
