from __future__ import annotations

import hashlib
import itertools
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.datasets.pair_lists import read_pairs
from facealike.datasets.pair_sampling import balanced_pairs
from facealike.datasets.people import People
from facealike.datasets.splits import SPLITS, split_of
from facealike.errors import DataError, UsageError
from facealike.types import Pair
from support.data_paths import data_path, needs_data


def make_folder(root: Path, people: dict[str, list[str]]) -> Path:
    for name, photos in people.items():
        (root / name).mkdir(parents=True)
        for photo in photos:
            (root / name / photo).write_bytes(b"x")
    return root


def people_of(sizes: list[int]) -> People:
    """People without files: person i has sizes[i] photos."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = tuple(f"person {i}" for i in range(len(sizes)))
    return People(names, tuple(Path(f"{names[k]}/{i}.jpg") for i, k in enumerate(labels)), labels)


# --- splits ----------------------------------------------------------------------------------------


def test_splits_are_pinned() -> None:
    # Would any of these change, people of published tests would move into training.
    pinned = {
        "George_W_Bush": "train",
        "AJ_Cook": "test",
        "Aaron_Eckhart": "calibration",
        "Abdul_Rahman": "validation",
        "Zoë": "train",
        "": "train",
    }
    assert {name: split_of(name) for name in pinned} == pinned


@given(st.text())
def test_split_follows_the_hash_of_the_name(name: str) -> None:
    # Accents composed and without blanks around it: equal names of two file systems (issue 19 A11).
    hashed = unicodedata.normalize("NFC", name.strip())
    number = int(hashlib.sha256(hashed.encode("utf-8", "surrogatepass")).hexdigest()[:16], 16)
    percent = number * 100 / 2**64
    bounds = {15: "test", 20: "calibration", 25: "validation", 101: "train"}
    assert split_of(name) == next(split for bound, split in bounds.items() if percent < bound)


def test_shares_of_the_splits() -> None:
    splits = [split_of(f"name {i}") for i in range(20_000)]
    assert abs(splits.count("test") / 20_000 - 0.15) < 0.01
    assert abs(splits.count("calibration") / 20_000 - 0.05) < 0.01
    assert abs(splits.count("validation") / 20_000 - 0.05) < 0.01


def test_a_name_that_is_no_unicode_has_a_split() -> None:
    assert split_of("undecodable\udcff") in SPLITS


# --- People ----------------------------------------------------------------------------------------


def test_from_folder_is_sorted_and_passes_over_what_is_no_photo(tmp_path: Path) -> None:
    root = make_folder(
        tmp_path,
        {
            "Zoë": ["b.PNG", "a.jpg", "notes.txt", ".hidden.jpg"],
            "Ann": ["2.jpeg", "10.webp"],
            "Nobody": ["thumbs.db"],
            ".cache": ["a.jpg"],
        },
    )
    (root / "stray.jpg").write_bytes(b"x")
    (root / "Ann" / "folder.jpg").mkdir()
    people = People.from_folder(root)
    assert people.names == ("Ann", "Zoë")
    assert [path.name for path in people.paths] == ["10.webp", "2.jpeg", "a.jpg", "b.PNG"]
    assert people.labels.tolist() == [0, 0, 1, 1]
    assert people.labels.dtype == np.int64
    assert len(people) == 4
    assert str(people) == "4 photos of 2 people"


@pytest.mark.parametrize("kind", ["missing", "empty", "flat", "a-file", "nul\0"])
def test_from_folder_says_what_is_wrong(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "photo.jpg").write_bytes(b"x")
    (tmp_path / "a-file").write_bytes(b"x")
    with pytest.raises(DataError, match=kind.replace("\0", r"\\x00")) as caught:
        People.from_folder(tmp_path / kind)
    assert str(caught.value).isprintable()


def test_split_keeps_people_apart_and_loses_nobody() -> None:
    people = people_of([1 + i % 3 for i in range(300)])
    parts = [people.split(split) for split in SPLITS]
    assert sorted(itertools.chain(*(part.names for part in parts))) == sorted(people.names)
    assert sum(len(part) for part in parts) == len(people)
    for part in parts:
        for path, label in zip(part.paths, part.labels, strict=True):
            assert path.parent.name == part.names[label]
    assert all(
        split_of(name) == split for split, part in zip(SPLITS, parts, strict=True) for name in part.names
    )


def test_splits_of_few_people_may_be_empty() -> None:
    parts = [people_of([2]).split(split) for split in SPLITS]
    assert sorted(len(part) for part in parts) == [0, 0, 0, 2]
    empty = min(parts, key=len)
    assert len(empty.split("train")) == 0
    assert {split: len(part) for split, part in empty.split_images(0).items()} == dict.fromkeys(
        ("train", "validation", "test"), 0
    )
    with pytest.raises(UsageError, match="not 'all'"):
        empty.split("all")  # type: ignore[arg-type]


def test_split_images_shares_out_the_photos_of_each_person() -> None:
    people = people_of([1, 20, 100])
    parts = people.split_images(seed=3)
    assert sorted(itertools.chain(*(p.paths for p in parts.values()))) == sorted(people.paths)
    counts = {
        split: [sum(path.parent.name == name for path in part.paths) for name in people.names]
        for split, part in parts.items()
    }
    assert counts == {"train": [1, 15, 75], "validation": [0, 2, 10], "test": [0, 3, 15]}
    again, other = people.split_images(seed=3), people.split_images(seed=4)
    assert again["test"].paths == parts["test"].paths
    assert other["test"].paths != parts["test"].paths


def test_select_by_mask_and_by_indices() -> None:
    people = people_of([2, 1, 2])
    chosen = people.select([4, 0, 3])
    assert chosen.names == ("person 0", "person 2")
    assert chosen.labels.tolist() == [1, 0, 1]
    assert chosen.paths == tuple(people.paths[i] for i in (4, 0, 3))
    by_mask = people.select(people.labels == 1)
    assert by_mask.names == ("person 1",) and by_mask.labels.tolist() == [0]
    assert len(people.select([])) == 0
    with pytest.raises(UsageError, match="mask"):
        people.select(np.array([True, False]))


def test_limit_images() -> None:
    people = people_of([1, 5, 9])
    few = people.limit_images(3, seed=1)
    assert np.bincount(few.labels).tolist() == [1, 3, 3]
    assert few.paths == people.limit_images(3, seed=1).paths
    assert few.paths != people.limit_images(3, seed=2).paths
    assert list(few.paths) == [path for path in people.paths if path in few.paths]  # in order
    with pytest.raises(UsageError):
        people.limit_images(0, seed=1)


@pytest.mark.parametrize("labels", [[0, 0], [0, 2, 1], [0, 0, 0], [-1, 0, 1]])
def test_people_check_their_labels(labels: list[int]) -> None:
    with pytest.raises(UsageError):
        People(("a", "b"), (Path("1"), Path("2"), Path("3")), np.array(labels))


# --- pairs -----------------------------------------------------------------------------------------


def slow_genuine(labels: list[int]) -> set[tuple[int, int]]:
    found = set()
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            if labels[i] == labels[j]:
                found.add((i, j))
    return found


@given(st.lists(st.integers(0, 5), max_size=16), st.integers(0, 3), st.none() | st.integers(1, 30))
def test_balanced_pairs_against_loops(labels: list[int], seed: int, limit: int | None) -> None:
    genuine = slow_genuine(labels)
    impostors = len(labels) * (len(labels) - 1) // 2 - len(genuine)
    wanted = min(len(genuine), limit or len(genuine))
    if not wanted or impostors < wanted:
        with pytest.raises(DataError, match="add"):
            balanced_pairs(labels, seed, limit)
        return
    a, b, same = balanced_pairs(labels, seed, limit)
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    assert same.tolist() == [True] * wanted + [False] * wanted
    assert len(set(pairs)) == 2 * wanted
    assert all(i < j for i, j in pairs)
    assert set(pairs[:wanted]) <= genuine
    assert not set(pairs[wanted:]) & genuine
    if limit is None:
        assert set(pairs[:wanted]) == genuine


def test_balanced_pairs_are_decided_by_the_seed() -> None:
    labels = np.repeat(np.arange(20), 4)
    first, again, other = (balanced_pairs(labels, seed, 30) for seed in (1, 1, 2))
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert not np.array_equal(first.a, other.a)
    assert first.a.dtype == first.b.dtype == np.int64 and first.same.dtype == bool


def test_impostors_are_drawn_uniformly() -> None:
    # One genuine and five impostor pairs: over many seeds each of the five must come up alike often.
    labels, counts = [0, 0, 1, 2], {}
    for seed in range(3000):
        a, b, _ = balanced_pairs(labels, seed)
        counts[a[1], b[1]] = counts.get((a[1], b[1]), 0) + 1
    assert len(counts) == 5
    assert all(abs(count - 600) < 110 for count in counts.values())  # five standard deviations


def test_a_limit_draws_from_more_pairs_than_fit_in_memory() -> None:
    labels = np.repeat([0, 1], 100_000)
    a, b, same = balanced_pairs(labels, 0, limit=1000)
    assert len(a) == 2000
    assert ((labels[a] == labels[b]) == same).all()
    with pytest.raises(DataError, match="set a limit"):
        balanced_pairs(labels, 0)


def test_labels_must_be_a_row() -> None:
    with pytest.raises(UsageError):
        balanced_pairs([[0, 0], [1, 1]], 0)
    with pytest.raises(UsageError):
        balanced_pairs([0, 0, 1], 0, limit=0)


# --- lists of pairs --------------------------------------------------------------------------------

LFW = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t2\nAnn\t2\tBob\t2\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    people = {"Ann": ["Ann_0001.jpg", "Ann_0002.jpg"], "Bob": ["Bob_0001.jpg", "Bob_0002.png"]}
    return make_folder(tmp_path / "root", people)


def write(root: Path, text: str | bytes, name: str = "pairs.txt") -> Path:
    path = root.parent / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def names(pairs: list[Pair]) -> list[tuple[str, str, bool | None, int | None]]:
    return [(Path(p.a).name, Path(p.b).name, p.same, p.fold) for p in pairs]


@pytest.mark.parametrize(
    "text", [LFW, LFW.replace("\n", "\r\n"), "\ufeff" + LFW, LFW.replace("\t", "  "), LFW + "\n\n"]
)
def test_lfw_pairs(root: Path, text: str) -> None:
    pairs = read_pairs(write(root, text), root)
    assert names(pairs) == [
        ("Ann_0001.jpg", "Ann_0002.jpg", True, 1),
        ("Ann_0001.jpg", "Bob_0001.jpg", False, 1),
        ("Bob_0001.jpg", "Bob_0002.png", True, 2),
        ("Ann_0002.jpg", "Bob_0002.png", False, 2),
    ]
    assert all(Path(p.a).is_file() and Path(p.b).is_file() for p in pairs)


def test_lfw_pairs_without_folds(root: Path) -> None:
    pairs = read_pairs(write(root, "1\nAnn\t1\t2\nAnn\t1\tBob\t1\n"), root)
    assert [(p.same, p.fold) for p in pairs] == [(True, None), (False, None)]


def test_names_with_spaces_work_where_tabs_separate(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root", {"A B": ["A B_0001.jpg", "A B_0002.jpg"], "C": ["C_0001.jpg"]})
    pairs = read_pairs(write(root, "1\nA B\t1\t2\nA B\t1\tC\t1\n"), root)
    assert Path(pairs[0].b) == root / "A B" / "A B_0002.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pairs.txt: the file is empty"),
        ("0\n", "line 1: the header announces no pairs"),
        ("2\t1\nAnn\t1\t2\n", "line 2: 1 pairs where the header announces 4"),
        (LFW + "Ann\t1\t2\n", "line 6: 5 pairs where the header announces 4"),
        (LFW.replace("Ann\t1\t2", "Ann\t1"), "line 2: a pair of one person reads"),
        (LFW.replace("Bob\t1\t2", "Bob\t1\tAnn\t2"), "line 4: a pair of one person reads"),
        (LFW.replace("Ann\t1\tBob\t1", "Ann\t1\t2"), "line 3: a pair of two people reads"),
        (LFW.replace("Ann\t1\t2", "Ann\t1\tx"), "line 2: 'x' is not the number of a photo"),
        (LFW.replace("Ann\t1\t2", "Ann\t1\t-2"), "line 2: '-2' is not the number of a photo"),
        (LFW.replace("Ann\t1\t2", "Ann\t1\t3"), "line 2: no photo .*Ann_0003.jpg"),
        (LFW.replace("Ann\t1\t2", "../Ann\t1\t2"), "line 2: '../Ann' is not the name of a person"),
        (LFW.replace("Ann\t1\t2", "A" * 5000 + "\t1\t2"), "line 2: no photo"),
        (LFW.replace("Ann\t1\t2", "\x1b[31m\t1\t2"), r"line 2: no photo .*\\x1b\[31m"),
        (b"2\t1\n\xff\xfe\x00", "not a text file in UTF-8"),
        ("hello\n", "line 1: neither an LFW header nor CSV"),
        ("a,same\nx,1\n", "line 1: neither an LFW header nor CSV"),
        ("a,b,same\n", "line 1: a header and no pairs"),
        (
            "a,b,same\nroot/Ann/Ann_0001.jpg,root/Ann/Ann_0002.jpg\n",
            "line 2: 2 fields where the header has 3",
        ),
        ("a,b,same\n\nroot/none.jpg,root/Ann/Ann_0002.jpg,1\n", "line 3: no photo root/none.jpg"),
        ("a,b,same\nroot/Ann/Ann_0001.jpg,,1\n", "line 2: a photo is missing"),
        ("a,b,same\nroot/Ann,root/Ann/Ann_0001.jpg,1\n", "line 2: no photo root/Ann in"),
        (
            "a,b,same\nroot/Ann/Ann_0001.jpg,root/Ann/Ann_0002.jpg,maybe\n",
            "line 2: same is 1 or 0, not 'maybe'",
        ),
        (
            "a,b,same,fold\nroot/Ann/Ann_0001.jpg,root/Ann/Ann_0002.jpg,1,x\n",
            "line 2: fold is an integer, not 'x'",
        ),
        ('a,b,same\n"unclosed,b,1\n', "not valid CSV"),
    ],
)
def test_wrong_lines_name_the_file_and_the_line(root: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_pairs(write(root, text), root)
    assert "pairs.txt" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", ["missing.txt", "root", "nul\0", "long" * 100])
def test_missing_list(root: Path, path: str) -> None:
    with pytest.raises(DataError, match="no such file of pairs"):
        read_pairs(root.parent / path, root)


def test_csv_pairs_look_in_the_root_and_then_beside_the_file(root: Path) -> None:
    text = "b, a ,SAME,fold,note\n"
    text += '"root/Bob/Bob_0001.jpg", Ann/Ann_0001.jpg ,no,2,"a, b"\n'
    text += f"{root / 'Bob' / 'Bob_0002.png'},Ann/Ann_0002.jpg,,,\n"
    text += "Ann/Ann_0002.jpg,Ann/Ann_0001.jpg,True,1,\n"
    pairs = read_pairs(write(root, text, "pairs.csv"), root)
    assert names(pairs) == [
        ("Ann_0001.jpg", "Bob_0001.jpg", False, 2),
        ("Ann_0002.jpg", "Bob_0002.png", None, None),
        ("Ann_0001.jpg", "Ann_0002.jpg", True, 1),
    ]
    assert Path(pairs[0].b) == root.parent / "root/Bob/Bob_0001.jpg"


def test_csv_without_truth_and_without_root(root: Path) -> None:
    path = write(root, "a,b\nroot/Ann/Ann_0001.jpg,root/Bob/Bob_0001.jpg\n", "pairs.csv")
    assert read_pairs(path)[0].same is None


# --- the real thing --------------------------------------------------------------------------------

needs_lfw = needs_data("FACEALIKE_LFW")


@needs_lfw
def test_lfw_as_it_is() -> None:
    people = People.from_folder(os.environ["FACEALIKE_LFW"])
    assert (len(people), len(people.names)) == (13_233, 5_749)
    assert {s: len(people.split(s)) for s in SPLITS} == {
        "train": 10_295,
        "validation": 583,
        "calibration": 582,
        "test": 1_773,
    }
    train = people.split("train")
    a, b, same = balanced_pairs(train.labels, seed=0)
    assert same.sum() == (~same).sum() == 231_102
    assert ((train.labels[a] == train.labels[b]) == same).all()
    assert len(np.unique(a * len(train) + b)) == len(a)


@needs_lfw
def test_lfw_pairs_as_they_are() -> None:
    root = Path(os.environ["FACEALIKE_LFW"])
    pairs = read_pairs(data_path("FACEALIKE_LFW_PAIRS"), root)
    assert len(pairs) == 6000
    for fold in range(1, 11):
        truth = [pair.same for pair in pairs if pair.fold == fold]
        assert (truth.count(True), truth.count(False)) == (300, 300)
