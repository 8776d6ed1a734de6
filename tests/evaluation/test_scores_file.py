"""A file of scores gives back what was written, and a damaged one is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike.errors import DataError, UsageError
from facealike.evaluation.scores_file import ARRAYS, FACTS, load_scores, save_scores
from facealike.evaluation.verification_result import Evaluation
from facealike.types import Pair

SCORES = [0.9, 0.7, 0.2, -0.1]
SAME = [True, True, False, False]


def evaluation(name: str = "test", **changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "name": name, "scores": np.array(SCORES), "same": np.array(SAME), "threshold": 0.3,
        "threshold_from": "calibration", "people": 4, "leaked": None, "failures": 1, "skipped": 2,
    }  # fmt: skip
    return Evaluation(**{**values, **changes})


def people() -> dict[str, Any]:
    return {
        "first": np.array([0, 1, 0, 2]),
        "second": np.array([0, 1, 1, 3]),
        "probability": np.array([0.99, 0.9, 0.2, 0.01]),
    }


PAIRS = [
    Pair("/data/A/1.jpg", "/data/A/2.jpg", True),
    Pair("/data/B/1.jpg", "/data/B/Zoë 2.jpg", True),
    Pair("/data/A/1.jpg", "/data/B/1.jpg", False),
    Pair("/data/C/1.jpg", "/elsewhere/D/1.jpg", False),
]


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    written = [evaluation(**people()), evaluation("a/b: ü", people=None, leaked=True)]
    save_scores(tmp_path / "scores.npz", written)
    read = load_scores(tmp_path / "scores.npz")
    assert len(read) == 2
    for before, after in zip(written, read, strict=True):
        assert after.a is None and after.b is None
        for name in FACTS:
            assert getattr(after.evaluation, name) == getattr(before, name)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(after.evaluation, name), getattr(before, name))


def test_photos_are_kept_relative_to_their_root(tmp_path: Path) -> None:
    save_scores(tmp_path / "s.npz", [evaluation("train"), evaluation("test")], {"test": PAIRS}, root="/data")
    train, test = load_scores(tmp_path / "s.npz")
    assert train.a is None
    assert test.a == ("A/1.jpg", "B/1.jpg", "A/1.jpg", "C/1.jpg")
    assert test.b == ("A/2.jpg", "B/Zoë 2.jpg", "B/1.jpg", "/elsewhere/D/1.jpg")


def test_equal_evaluations_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_scores(tmp_path / name, [evaluation(**people())], {"test": PAIRS})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_names_of_files_that_are_no_text_survive(tmp_path: Path) -> None:
    odd = b"/data/A/\xff.jpg".decode("utf-8", "surrogateescape")
    pairs = [Pair(odd, "/data/A/2.jpg", True), *PAIRS[1:]]
    save_scores(tmp_path / "s.npz", [evaluation()], {"test": pairs}, root="/data")
    read = load_scores(tmp_path / "s.npz")[0].a
    assert read is not None and read[0] == odd.removeprefix("/data/")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one"):
        save_scores(tmp_path / "s.npz", [])
    with pytest.raises(UsageError, match="its own name"):
        save_scores(tmp_path / "s.npz", [evaluation(), evaluation()])
    with pytest.raises(UsageError, match="3 pairs do not fit 4 scores"):
        save_scores(tmp_path / "s.npz", [evaluation()], {"test": PAIRS[:3]})
    with pytest.raises(DataError, match="cannot be written"):
        save_scores(tmp_path / "no" / "s.npz", [evaluation()])
    assert not list(tmp_path.iterdir())


def test_damage_anywhere_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    save_scores(path, [evaluation(**people())], {"test": PAIRS})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for cut in rng.integers(0, len(whole), 60).tolist():
        flipped = bytearray(whole)
        flipped[cut] ^= 0xFF
        for damaged in (whole[:cut], bytes(flipped)):
            path.write_bytes(damaged)
            try:
                load_scores(path)
            except DataError as error:
                refused += 1
                assert "s.npz" in str(error)
    assert refused > 60  # a flipped date in the archive harms nobody


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.npz: no such file"):
        load_scores(tmp_path / "no.npz")
    with pytest.raises(DataError, match="no file of scores"):
        load_scores(tmp_path)
    np.savez(tmp_path / "other.npz", embeddings=np.zeros(3))
    with pytest.raises(DataError, match="no file of scores"):
        load_scores(tmp_path / "other.npz")
    np.savez(tmp_path / "later.npz", about=np.array('{"version": 9}'))
    with pytest.raises(DataError, match="version 9"):
        load_scores(tmp_path / "later.npz")
    np.savez(tmp_path / "pickle.npz", about=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="no file of scores"):
        load_scores(tmp_path / "pickle.npz")
