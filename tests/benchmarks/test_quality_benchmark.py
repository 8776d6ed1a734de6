"""The figures of ``benchmarks/quality/quality.py``, against loops over a few photos."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from facealike.quality.score import pair_quality
from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks
PLACES = ["none", "blur 2", "dark 0.1"]


@pytest.fixture(scope="module")
def pairs() -> Iterator[ModuleType]:
    yield load("quality.pairs")


@pytest.fixture(scope="module")
def quality() -> Iterator[ModuleType]:
    yield load("quality.quality")


@pytest.fixture
def collected(quality: ModuleType, tmp_path: Path) -> Path:
    """Seven photos of four people as they are, and of five of them two degradations as well."""
    rng = np.random.default_rng(0)
    people = [0, 0, 1, 1, 1, 2, 3]
    rows = [
        (photo, person, place, bool(rng.random() < 0.5))
        for photo, person in enumerate(people)
        for place in (PLACES if person < 2 else PLACES[:1])
    ]
    middle = {"sharpness": 0.3, "contrast": 0.2, "brightness": 0.3, "eye_distance": 10.0}
    measures = [
        [rng.uniform(0.3, 1.7) * middle[name] if name in middle else np.nan for name in quality.MEASURES]
        for _ in rows
    ]
    vectors = rng.normal(size=(len(rows), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    quality.save(
        tmp_path / "photos.npz", SimpleNamespace(id="m"), ["validation", "calibration"], rows, measures,
        [vectors],
    )  # fmt: skip
    return tmp_path / "photos.npz"


def model(name: str = "m") -> SimpleNamespace:
    return SimpleNamespace(id=name, file=SimpleNamespace(detector_spec={"kind": "yunet"}))


def test_pairs_are_those_of_the_loops(
    pairs: ModuleType, collected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "BLOCK", 3)  # so that the last block is a part of one
    photos = pairs.load(collected, model())
    assert photos.people == "validation and calibration people" and len(photos.good) == 7
    rows = range(len(photos.photo))
    of = {name: [row for row in rows if photos.degradation[row] == name] for name in PLACES}
    told = {
        "good": (list(combinations(of["none"], 2)), pairs.good_pairs(photos)),
        "with good": (
            [(a, b) for a, b in product(of["blur 2"], of["none"]) if photos.photo[a] != photos.photo[b]],
            pairs.pairs_with_good(photos, np.array(of["blur 2"])),
        ),
        "within": (
            list(combinations(of["dark 0.1"], 2)),
            pairs.pairs_within(photos, np.array(of["dark 0.1"])),
        ),
    }
    for name, (expected, found) in told.items():
        assert len(found.score) == len(expected) > 0, name
        for number, (a, b) in enumerate(expected):
            least, shared = pair_quality(photos.quality[a], photos.quality[b])
            assert found.score[number] == pytest.approx(
                float(photos.vectors[a] @ photos.vectors[b]), abs=1e-6
            )
            assert (found.least[number], found.shared[number]) == pytest.approx((least, shared), rel=1e-5)
            assert found.same[number] == (photos.person[a] == photos.person[b])


def test_what_is_compared_are_the_same_photos(pairs: ModuleType, collected: Path) -> None:
    photos = pairs.load(collected, model())
    told = dict(pairs.degraded_rows(photos))
    assert list(told) == PLACES
    for rows in told.values():  # photos that were never degraded are not among those "without" either
        assert photos.photo[rows].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(SystemExit, match="collected with model m, not other"):
        pairs.load(collected, model("other"))


def test_people_count_alike(pairs: ModuleType, collected: Path) -> None:
    """A person with many genuine pairs counts as one with few."""
    found = pairs.good_pairs(pairs.load(collected, model()))
    threshold = float(np.median(found.score))
    missed: dict[int, list[bool]] = {}
    for score, first, same in zip(found.score, found.first, found.same, strict=True):
        if same:
            missed.setdefault(int(first), []).append(bool(score < threshold))
    assert sorted(len(each) for each in missed.values()) == [1, 3]
    expected = sum(sum(each) / len(each) for each in missed.values()) / len(missed)
    told = pairs.errors(found, threshold)
    assert told.fnmr == pytest.approx(expected) and (told.people, told.genuine) == (2, 4)
    strangers = [score >= threshold for score, same in zip(found.score, found.same, strict=True) if not same]
    assert told.fmr == pytest.approx(sum(strangers) / len(strangers))
    assert pairs.quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), 0.5) == 2.0
    assert pairs.quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), 0.2) == 1.0


def test_tables_go_between_their_own_marks(tmp_path: Path) -> None:
    put, page = load("common.docs_page").put, tmp_path / "quality.md"
    kept = "".join(f"before {s}\n<!-- {s}: begin -->\nold\n<!-- {s}: end -->\n" for s in ("fit", "analyse"))
    page.write_text(kept, "utf-8")
    put(page, "analyse", "new")
    text = page.read_text("utf-8")
    assert text.count("old") == 1 and text.index("old") < text.index("before analyse") < text.index("new")
    put(page, "analyse", "newer")
    assert page.read_text("utf-8") == text.replace("new", "newer")


def test_the_page_has_the_marks(quality: ModuleType) -> None:
    text = quality.PAGE.read_text("utf-8")
    for step in ("fit", "analyse"):
        assert 0 < text.index(f"<!-- {step}: begin -->") < text.index(f"<!-- {step}: end -->")
