"""Issue 19 D2: ``compare --face any``, the best pair of all faces, and what its rates are then."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

from facealike.calibration.calibration import Calibration
from facealike.calibration.operating_points import OperatingPoint
from facealike.calibration.probability import Platt
from facealike.cli import app, program
from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.face_policy import FACE_POLICIES
from facealike.embedding.face_model import Model
from facealike.errors import NoFaceFound, UsageError
from facealike.evaluation.calibrate import calibrate
from facealike.evaluation.verification import evaluate_pairs
from facealike.quality.score import face_quality
from facealike.types import Pair
from facealike.utils.wording import rate_text
from facealike.verification import compare_list as module
from facealike.verification.best_pair import best_pair, prior_of_one, rate_of_best, rate_of_one, score_at
from facealike.verification.compare import CompareOptions, compare
from facealike.verification.compare_list import COLUMNS, compare_list
from facealike.verification.wording import how_rare, operating_point, prior_in_words
from support.tiny_model import astronaut, hopper_path, tiny_model_file

TAIL = ((-1.0, 1.0), (0.5, 0.1), (0.9, 0.01), (0.99, 0.001))
CALIBRATION = Calibration(
    0.9, "best F1 on balanced pairs", "people", 100, {}, (0.85, 0.95), Platt(10.0, -9.0).to_dict(),
    (
        OperatingPoint(0.05, 0.6, 0.04, 0.06, 0.2, 1000, (0.5, 0.7)),
        OperatingPoint(0.001, 0.99, 0.0005, 0.002, 0.4, 1000, (0.98, 0.995)),
    ),
    TAIL,
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(replace(tiny_model_file(), calibration=CALIBRATION), device="cpu")


def two(second: int = 330) -> Any:
    """The astronaut twice, once smaller: at least two faces for dlib's detector."""
    small = np.asarray(PillowImage.fromarray(astronaut()).resize((second, second)))
    canvas = np.full((512, 390 + second, 3), 255, np.uint8)
    canvas[:, :390] = astronaut()[:, :390]
    canvas[:second, 390:] = small[:, ::-1]
    return canvas


def with_hopper() -> Any:
    """A third of the width is Hopper, the rest the astronaut."""
    hopper = np.asarray(PillowImage.open(hopper_path()).convert("RGB"))[:512]
    return np.concatenate([hopper, astronaut()[: len(hopper), :400]], axis=1)


# ---- the arithmetic ---------------------------------------------------------------------------


@given(st.floats(1e-12, 1), st.integers(1, 5000))
def test_d2_the_fmr_of_the_best_of_n_is_that_of_n_chances(rate: float, n: int) -> None:
    """Issue 19 D2: 1 - (1 - f)^n, against exact fractions; between f and n f; undone by its inverse."""
    slow = 1 - (1 - Fraction(rate)) ** min(n, 40)
    assert rate_of_best(rate, min(n, 40)) == pytest.approx(float(slow), rel=1e-12)
    best = rate_of_best(rate, n)
    assert rate * (1 - 1e-12) <= best <= min(1.0, n * rate * (1 + 1e-12))
    assert rate_of_best(rate, n + 1) >= best and rate_of_best(rate, 1) == rate == rate_of_one(rate, 1)
    if best < 0.999:
        assert rate_of_one(best, n) == pytest.approx(rate, rel=1e-9)
    assert rate_of_one(1.0, n) == rate_of_best(1.0, n) == 1 and rate_of_best(0.0, n) == 0


def test_d2_a_tiny_fmr_is_not_rounded_away() -> None:
    assert rate_of_best(1e-18, 7) == pytest.approx(7e-18, rel=1e-12)
    assert rate_of_one(1e-18, 7) == pytest.approx(1e-18 / 7, rel=1e-12)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(1, 5000))
def test_d2_the_odds_of_the_prior_are_divided(prior: float, n: int) -> None:
    """Issue 19 D2: each of the n pairs has its share of the prior of the two photos."""
    one = prior_of_one(prior, n)
    assert one / (1 - one) == pytest.approx(prior / (1 - prior) / n, rel=1e-8) and 0 < one <= prior
    assert prior_of_one(prior, 1) == prior


@given(st.floats(0.001, 1))
def test_d2_a_score_has_the_fmr_that_was_asked_for(fmr: float) -> None:
    assert CALIBRATION.fmr_of(score_at(TAIL, fmr)) == pytest.approx(fmr, rel=1e-9)


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))
def test_d2_the_best_pair_is_that_of_two_loops(n: int, m: int, seed: int) -> None:
    """Issue 19 D2: the slow twin; of equal scores the earlier faces."""
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(-2, 3, (k, 3)) + 0.25 for k in (n, m))
    first, second = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (first, second))
    slow = [(float(a @ b), -i, -j) for i, a in enumerate(first) for j, b in enumerate(second)]
    found = best_pair(first.astype(np.float32), second.astype(np.float32))
    assert found.of == n * m and found.score == pytest.approx(max(slow)[0], abs=1e-6)
    assert float(first[found.first] @ second[found.second]) == pytest.approx(found.score, abs=1e-6)
    same = np.ones((4, 3), np.float32)
    assert best_pair(same, same)[:2] == (0, 0) and best_pair(same, same).numbers == (1, 1)


def test_d2_the_probability_is_that_of_the_best_pair() -> None:
    """Issue 19 D2: simulated photos; a common person in half of them, scores of known distribution.

    Of the photo pairs with a best score near s, the share in which the best pair shows one person is at
    most the probability told, and the share in which any pair does at least.
    """
    rng = np.random.default_rng(0)
    photos, n, prior = 400_000, 6, 0.3
    scores = rng.normal(0.0, 1.0, (photos, n))
    shares = rng.random(photos) < prior
    scores[shares, 0] += 2.5  # genuine pairs have the mean 2.5, and the log-likelihood ratio 2.5 s - 3.125
    best, where = scores.max(axis=1), scores.argmax(axis=1)
    for s in (1.5, 2.0, 2.5, 3.0, 3.5):
        here = np.abs(best - s) < 0.05
        one = prior_of_one(prior, n)
        told = 1 / (1 + math.exp(-(2.5 * s - 3.125) - math.log(one / (1 - one))))
        right = (shares & (where == 0))[here].mean()
        error = 4 * math.sqrt(told * (1 - told) / here.sum())
        assert right - error <= told <= shares[here].mean() + error
        # Without the division it would be far too high.
        wrong = 1 / (1 + math.exp(-(2.5 * s - 3.125) - math.log(prior / (1 - prior))))
        assert wrong > shares[here].mean() + error


# ---- compare ----------------------------------------------------------------------------------


def test_d2_any_is_the_best_of_all_pairs_compared_one_by_one(model: Model) -> None:
    """Issue 19 D2: the slow twin crops each face and compares all crops one by one."""
    a, b = two(), with_hopper()
    result = compare(a, b, model, face="any")
    sides = [(image, DlibDetector().detect(image)) for image in (a, b)]
    assert all(len(faces) >= 2 for _, faces in sides)
    slow = {
        (i, j): compare(model.crop(a, x), model.crop(b, y), model, aligned=True).score
        for i, x in enumerate(sides[0][1])
        for j, y in enumerate(sides[1][1])
    }
    (i, j), score = max(slow.items(), key=lambda entry: entry[1])
    n = len(slow)
    assert result.score == pytest.approx(score, abs=1e-6) and result.best_of == n >= 4
    assert result.face_numbers == (i + 1, j + 1) and result.found == tuple(len(f) for _, f in sides)
    assert result.faces == (sides[0][1][i], sides[1][1][j])
    assert result.quality == (
        face_quality(a, sides[0][1][i], "dlib-hog"), face_quality(b, sides[1][1][j], "dlib-hog")
    )  # fmt: skip
    fmr = CALIBRATION.fmr_of(result.score)
    assert fmr is not None and result.fmr == pytest.approx(1 - (1 - fmr) ** n)
    assert result.threshold_fmr == pytest.approx(1 - (1 - 0.01) ** n) and result.threshold == 0.9
    even = CALIBRATION.probability_of(result.score)
    assert even is not None and result.probability == pytest.approx(even / (even + n * (1 - even)))
    assert result.prior == 0.5
    # Beside a portrait of one of the two the best face is theirs, in their half of the photo.
    theirs = compare(with_hopper(), hopper_path(), model, face="any").faces[0]
    assert theirs is not None and theirs.box.right <= 512


def test_d2_with_one_face_each_the_numbers_are_those_of_today(model: Model) -> None:
    """Issue 19 D2: n = 1 changes nothing but says which faces."""
    for changes in ({}, {"fmr": 0.001, "prior": 0.01}, {"threshold": 0.3}, {"aligned": True}):
        known: dict[str, Any] = {**changes, "model": model}
        plain = replace(compare(astronaut(), hopper_path(), **known), milliseconds={})
        every = compare(astronaut(), hopper_path(), face="any", **known)
        assert every.face_numbers == (1, 1) and every.best_of == 1 and plain.face_numbers is None
        assert replace(every, milliseconds={}, face_numbers=None) == plain
        assert every.lines() == plain.lines()


def test_d2_an_fmr_is_that_of_the_best_pair(model: Model) -> None:
    """Issue 19 D2: the threshold is the one at which the best of n pairs has the FMR asked for."""
    result = compare(two(), with_hopper(), model, face="any", fmr=0.05)
    one = CALIBRATION.fmr_of(result.threshold)
    assert one is not None and 1 - (1 - one) ** result.best_of == pytest.approx(0.05)
    assert result.threshold_fmr == pytest.approx(0.05) and result.threshold > 0.6 and result.band is None
    assert result.threshold_from == "FMR 0.05"
    assert result.lines()[1].startswith(f"threshold at FMR 5 % for the best of {result.best_of} pairs")
    with pytest.raises(
        UsageError, match=r"an FMR of 0\.000\d+ a pair, and the model knows none below 0\.001"
    ):
        compare(two(), with_hopper(), model, face="any", fmr=0.001)
    with pytest.raises(UsageError, match="those it has are"):
        compare(two(), with_hopper(), model, face="any", fmr=0.02)
    bare = Model(replace(model.file, calibration=replace(CALIBRATION, tail=())), "cpu")
    with pytest.raises(UsageError, match="no thresholds for the best of several pairs; see facealike cal"):
        compare(two(), with_hopper(), bare, face="any", fmr=0.05)
    told = compare(two(), with_hopper(), bare, face="any")
    assert told.fmr is None and told.threshold_fmr is None and told.probability is not None


def test_d2_the_words_say_which_faces_and_of_how_many(model: Model) -> None:
    """Issue 19 D2: in the sentence, in JSON, and with the names of the photos."""
    result = compare(two(), with_hopper(), model, face="any")
    i, j = result.face_numbers or (0, 0)
    n = result.best_of
    text = f"best of {n} pairs of faces: face {i} of the first photo and face {j} of the second photo"
    assert text in str(result) and "if half of all photo pairs match" in result.lines()[0]
    told = result.lines(("a.jpg", "b.jpg"))
    assert f"best of {n} pairs of faces: face {i} of a.jpg and face {j} of b.jpg" in told
    entries = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert entries["best_of"] == n and entries["face_numbers"] == [i, j]
    assert [face["box"] for face in entries["faces"]] == [
        face.to_dict()["box"] for face in result.faces if face is not None
    ]
    assert how_rare(1 / 140, best_of=6) == (
        "rare among different people: the best of 6 pairs scores this high about 1 time in 140"
    )
    assert how_rare(1 / 5534, True, 6).endswith("fewer than 1 time in 5,500")
    assert how_rare(0.31, best_of=6).endswith("about 3 times in 10")
    assert how_rare(0.96, best_of=6).startswith("common ") and how_rare(0.96, best_of=6).endswith("always")
    assert operating_point(0.316, False, None, 15) == (
        "threshold at FMR 31.6 % for the best of 15 pairs (calibration people)"
    )
    assert prior_in_words(0.001, 4) == "if 1 photo pair in 1,000 matches"
    assert prior_in_words(0.3, 4) == "if 30 % of all photo pairs match"


def test_d2_a_figure_says_of_how_many_pairs_its_rates_are(model: Model) -> None:
    """Issue 19 D2: the rates in the legend are those of the best pair."""
    pytest.importorskip("matplotlib")
    result = compare(two(), with_hopper(), model, face="any")
    assert result.fmr is not None and result.threshold_fmr is not None
    told = [text.get_text() for text in result.plot().get_legend().get_texts()]
    best = f"FMR {rate_text(result.threshold_fmr)} for the best of {result.best_of} pairs"
    assert f"threshold 0.900: {best}" in told
    share = "below " * result.fmr_is_bound + rate_text(result.fmr)
    assert f"score {result.score:.3f}: FMR {share}" in told


def test_d2_any_is_another_policy_than_that_of_the_calibration(model: Model) -> None:
    """Issue 19 D2 and A9: the rates were measured on one face a photo, and that is said."""
    learned = replace(CALIBRATION, face="largest")
    known = Model(replace(model.file, calibration=learned), "cpu")
    told = "calibrated on the largest face of each photo, and this is of the best pair of all faces"
    assert any(told in each for each in compare(two(), with_hopper(), known, face="any").warnings)
    assert compare(astronaut(), hopper_path(), known, face="any").warnings == ()


def test_d2_errors_of_any_are_those_of_compare(model: Model) -> None:
    grey = np.full((90, 90, 3), 128, np.uint8)
    with pytest.raises(NoFaceFound, match="the second photo: no face found"):
        compare(astronaut(), grey, model, face="any")
    wrong: Any = "best"
    with pytest.raises(UsageError, match="largest, central or only, or any for the best pair of all faces"):
        compare(astronaut(), grey, model, face=wrong)


def test_d2_any_is_of_comparisons_only(model: Model, tmp_path: Path) -> None:
    """Issue 19 D2: what takes one photo at a time has no best pair, and says what it takes."""
    assert "any" not in FACE_POLICIES
    policy: Any = "any"
    for call in (
        lambda: model.embed([astronaut()], face=policy),
        lambda: model.stream([astronaut()], face=policy),
        lambda: model.faces(astronaut(), policy),
        lambda: calibrate(model, tmp_path, face=policy),
        lambda: evaluate_pairs(model, [Pair("a", "b", True)], "x", face=policy),
    ):
        with pytest.raises(UsageError, match=r"largest, central.* only.* not 'any'"):
            call()


# ---- the command line, and lists of pairs -----------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    path = tmp_path_factory.mktemp("any")
    model.file.write(path / "m.facealike")
    photos = {
        "two": two(),
        "mixed": with_hopper(),
        "one": astronaut(),
        "none": np.zeros((64, 64, 3), np.uint8),
    }
    for name, pixels in photos.items():
        PillowImage.fromarray(pixels).save(path / f"{name}.png")
    (path / "list.csv").write_text(
        "a,b\ntwo.png,mixed.png\none.png,none.png\none.png,one.png\nmixed.png,two.png\n", "utf-8"
    )
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def test_d2_the_command_tells_the_best_pair(folder: Path, model: Model) -> None:
    """Issue 19 D2: which faces, of how many pairs, and where they are."""
    a, b = folder / "two.png", folder / "mixed.png"
    expected = compare(a, b, model, face="any")
    done = run("compare", a, b, "-m", folder / "m.facealike", "--face", "any")
    assert done.exit_code == (0 if expected.same else 1)
    i, j = expected.face_numbers or (0, 0)
    assert f"best of {expected.best_of} pairs of faces: face {i} of {a} and face {j} of {b}" in done.stdout
    assert f"; face {i} of {expected.found[0]}\n" in done.stdout
    told = json.loads(run("compare", a, b, "-m", folder / "m.facealike", "--face", "any", "--json").stdout)
    assert (told["best_of"], told["face_numbers"]) == (expected.best_of, [i, j])
    assert told["fmr"] == pytest.approx(expected.fmr)


@pytest.mark.parametrize(
    "command",
    [["embed", "x.jpg", "-o", "x.npz"], ["evaluate", "default", "x"], ["detect", "x.jpg"],
     ["calibrate", "default", "x", "-o", "x.facealike"], ["pairs", "x", "-o", "x.png"]],
    ids=lambda command: command[0],
)  # fmt: skip
def test_d2_other_commands_refuse_any(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Issue 19 D2: in one sentence."""
    monkeypatch.setattr("sys.argv", ["facealike", *command, "--face", "any"])
    assert program.run(app) == 2
    told = capfd.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    every = ", 'all'" if command[0] in ("detect", "embed") else ""
    assert f"'any' is not one of 'largest', 'central', 'only'{every};" in told.err


def test_d2_a_list_of_pairs_has_the_faces_of_each_row(folder: Path, model: Model) -> None:
    """Issue 19 D2: each row is what ``compare`` says; a row that cannot be scored has a reason."""
    rows = list(compare_list(folder / "list.csv", model, options=CompareOptions(face="any")))
    assert [row.comparison is None for row in rows] == [False, True, False, False]
    for row in rows:
        if row.comparison is not None:
            alone = replace(compare(folder / row.a, folder / row.b, model, face="any"), milliseconds={})
            assert row.comparison.score == pytest.approx(alone.score, abs=1e-5)
            close = {"score": alone.score, "probability": alone.probability, "fmr": alone.fmr}
            assert replace(row.comparison, **close) == alone  # type: ignore[arg-type]
    out = folder / "scores.csv"
    done = run("compare", "--pairs", folder / "list.csv", "--out", out, "-m", folder / "m.facealike",
               "--face", "any")  # fmt: skip
    assert done.exit_code == 3
    with out.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert tuple(table[0]) == COLUMNS and table[1]["best_of"] == "" and table[1]["reason"]
    assert [row["best_of"] for row in table[2:]] == ["1", table[0]["best_of"]]
    assert (table[0]["face_a"], table[0]["face_b"]) == (table[3]["face_b"], table[3]["face_a"])
    plain = next(iter(compare_list(folder / "list.csv", model))).cells()
    assert plain[COLUMNS.index("best_of") :] == ["", "", "", ""]


def test_d2_a_row_that_an_fmr_cannot_be_had_for_is_a_row_with_a_reason(folder: Path, model: Model) -> None:
    rows = list(compare_list(folder / "list.csv", model, options=CompareOptions(face="any", fmr=0.001)))
    assert [row.comparison is None for row in rows] == [True, True, False, True]
    assert "the model knows none below 0.001" in rows[0].cells()[-1]


def test_d2_the_faces_that_are_remembered_are_bounded(
    folder: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19 D2: photos of many faces take the room of many photos."""
    monkeypatch.setattr(module, "AT_A_TIME", 1)
    embedded: list[int] = []
    real = model.embed_many
    monkeypatch.setattr(model, "embed_many", lambda crops: embedded.append(len(crops)) or real(crops))
    every = [
        row.comparison for row in compare_list(folder / "list.csv", model, options=CompareOptions(face="any"))
    ]
    whole = sum(embedded)
    monkeypatch.setattr(module, "CACHED", 2)
    embedded.clear()
    again = [
        row.comparison for row in compare_list(folder / "list.csv", model, options=CompareOptions(face="any"))
    ]
    assert sum(embedded) > whole
    assert [c and round(c.score, 5) for c in again] == [c and round(c.score, 5) for c in every]
