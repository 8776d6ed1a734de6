"""A model held against a list of photos with groups, from the files to the command line."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike.calibration.calibration import Calibration
from facealike.calibration.operating_points import OperatingPoint
from facealike.cli import app
from facealike.errors import NoFaceFound, UsageError
from facealike.evaluation.demographics import evaluate_groups, expected_fmr, for_worst_group
from facealike.imaging.align import TEMPLATE_112
from facealike.metrics.bootstrap import Interval
from facealike.metrics.demographic_groups import WorstGroup
from facealike.types import Face, Image
from support.drawn_people import CentralBox
from support.flat_color_model import ColourDetector, ColourModel
from support.tiny_model import tiny_model_file

COUNT = 80


class Blind(ColourDetector):
    """Sees no face where there is little red."""

    spec = {"kind": "blind", "sha256": "0123456789abcdef"}  # noqa: RUF012

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        return super().detect(image) if image[0, 0, 0] >= 60 else []


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of one colour each; the last of them are black, which shows no face."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    lines = ["file,race,gender,age"]
    for number in range(COUNT):
        colour = rng.integers(20, 230, 3) if number < COUNT - 3 else np.zeros(3)
        PillowImage.fromarray(np.full((12, 12, 3), colour, dtype=np.uint8)).save(folder / f"{number}.png")
        age = ["03-Sep", "20-29"][number // 2 % 2]
        lines.append(f"{number}.png,{'AB'[number % 2]},{'MF'[number // 40]},{age}")
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def model(**changes: Any) -> ColourModel:
    made = ColourModel()
    made.file.calibration = Calibration(0.9, "FMR 0.1", "validation", 10, **changes)
    return made


def colour(path: Path) -> NDArray[np.float64]:
    own = np.asarray(PillowImage.open(path), dtype=float)[0, 0]
    return own / np.linalg.norm(own)


def test_a_group_against_a_loop_over_its_files(listed: Path) -> None:
    result = evaluate_groups(model(), listed, resamples=20)
    assert result.name == "list.csv" and result.detector == "colour" and not result.named
    assert (result.overall.photos, result.overall.missing) == (COUNT, 3)
    group = next(group for group in result.at(["age"]) if group.name == "3-9")
    mine = [i for i in range(COUNT - 3) if i // 2 % 2 == 0]
    colours = [colour(listed.parent / f"{i}.png") for i in mine]
    scores = [float(a @ b) for a, b in itertools.combinations(colours, 2)]
    rate = group.rates[0]
    assert group.pairs == len(scores) and rate is not None
    assert rate.estimate == pytest.approx(np.mean(np.array(scores) >= 0.9), abs=2 / len(scores))
    assert result.points[0].target == 0.1 and "FMR 10 %" in result.points[0].source


def test_another_detector_is_used_and_named(listed: Path, tmp_path: Path) -> None:
    own = model()
    result = evaluate_groups(own, listed, detector=Blind(), resamples=20, cache=tmp_path)
    assert result.detector == "blind 0123456789ab in place of the model's own detector"
    assert result.overall.missing > 3
    assert isinstance(own.detector, ColourDetector) and not isinstance(own.detector, Blind)
    again = evaluate_groups(own, listed, detector=Blind(), resamples=20)
    assert again.to_dict() == result.to_dict()


def test_crops_need_no_detector(listed: Path) -> None:
    # A black photo has no direction of its own, so only the others are listed here.
    lines = listed.read_text().splitlines()[: COUNT - 2]
    (listed.parent / "some.csv").write_text("\n".join(lines) + "\n")
    own = model()
    own.detector = Blind()  # would find few of them
    result = evaluate_groups(own, listed.parent / "some.csv", aligned=True, resamples=20)
    assert result.overall.missing == 0 and "face crops already" in result.detector
    with pytest.raises(UsageError, match="need no detector"):
        evaluate_groups(own, listed, aligned=True, detector=Blind())


def test_thresholds_of_the_caller_and_of_the_calibration(listed: Path) -> None:
    points = (OperatingPoint(0.1, 0.9, 0, 1, 0.5, 100), OperatingPoint(0.01, 0.95, 0, 1, 0.5, 100))
    tail = ((0.0, 1.0), (1.0, 0.01))
    result = evaluate_groups(model(operating_points=points, tail=tail), listed, resamples=20)
    assert [(point.threshold, point.target) for point in result.points] == [(0.9, 0.1), (0.95, 0.01)]
    given = evaluate_groups(
        model(operating_points=points, tail=tail), listed, threshold=0.25, resamples=20
    ).points
    assert [point.threshold for point in given] == [0.25, 0.9, 0.95]
    assert given[0].source == "the caller" and given[0].target == pytest.approx(0.1**0.5)


def test_the_stated_fmr_is_that_of_the_rule_or_of_the_tail() -> None:
    assert expected_fmr(Calibration(0.5, "FMR 0.001", "x", 9)) == 0.001
    assert expected_fmr(Calibration(0.5, "FMR 1e-05 in the worst group of x: y", "x", 9)) == 1e-5
    assert expected_fmr(Calibration(0.5, "best F1", "x", 9)) is None
    tail = ((0.0, 1.0), (1.0, 0.01))
    assert expected_fmr(Calibration(0.5, "best F1", "x", 9, tail=tail)) == pytest.approx(0.1)


def test_a_calibration_takes_the_threshold_of_the_worst_group() -> None:
    before = Calibration(0.5, "best F1", "x", 9, {"f1": 0.9}, band=(0.4, 0.6))
    worst = WorstGroup(0.001, Interval(0.8, 0.75, 0.84), "B, F", 4, (), 66)
    after = for_worst_group(before, worst, "val.csv", None)
    assert (after.threshold, after.band, after.metrics) == (0.8, (0.75, 0.84), {})
    assert expected_fmr(after) == 0.001 and "B, F" in after.rule
    # Issue 19 A5: the threshold names its own people and pairs; the rest keeps those it was learned on.
    assert (after.threshold_people, after.threshold_pairs) == ("B, F in val.csv", 66)
    assert (after.people, after.pairs) == ("x", 9) and after.chosen_on == "B, F in val.csv"
    assert "on 66 pairs of B, F in val.csv" in str(after)
    assert Calibration.from_dict(after.to_dict()) == after
    unknown = WorstGroup(0.001, Interval(0.8, math.nan, math.nan), "B, F", 4, ())
    assert for_worst_group(before, unknown, "val.csv", None).band is None


def test_lists_without_a_face(listed: Path) -> None:
    lines = listed.read_text().splitlines()
    (listed.parent / "black.csv").write_text("\n".join([lines[0], *lines[-3:]]) + "\n")
    with pytest.raises(NoFaceFound, match=r"black\.csv: no face found in any of the 3 photos"):
        evaluate_groups(model(), listed.parent / "black.csv")
    with pytest.raises(UsageError, match="one face a photo"):
        evaluate_groups(model(), listed, face="all")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.facealike"
    tiny_model_file().write(path)
    return str(path)


def run(*arguments: str) -> SimpleNamespace:
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    return SimpleNamespace(code=done.exit_code, stdout=done.stdout, stderr=done.stderr)


class Middle(CentralBox):
    """A face with landmarks in the middle of every photo."""

    has_landmarks = True

    def detect(self, image: Image) -> list[Face]:
        points = TEMPLATE_112 * (len(image) / 112)
        box = super().detect(image)[0].box
        return [Face(box, 1.0, tuple((float(x), float(y)) for x, y in points))]


def test_the_command(tiny: str, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.detection.registry.named_detector", lambda name: Middle())
    arguments = (tiny, "--protocol", "groups", "--groups", str(listed), "--detector", "middle")
    done = run(*arguments, "--out", str(tmp_path / "out"))
    assert done.code == 0, done.stderr
    assert "FMR at 0.900" in done.stdout
    table = json.loads((tmp_path / "out" / "groups.json").read_text())
    assert [group["photos"] for group in table["groups"]][:3] == [80, 40, 40]
    assert "### By race x gender" in (tmp_path / "out" / "groups.md").read_text()
    assert json.loads(run(*arguments, "--json").stdout)["protocol"] == "groups"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--protocol", "groups"), "needs --groups"),
        (("DIR", "--groups", "LIST"), "belong to --protocol groups"),
        (("DIR", "--detector", "dlib"), "belong to --protocol groups"),
        (("--protocol", "groups", "--groups", "LIST", "--pairs", "LIST"), "leave out --pairs"),
        (("--protocol", "groups", "--groups", "LIST", "--detector", "nothing.onnx"), "nothing.onnx"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(
    tiny: str, listed: Path, arguments: tuple[str, ...], told: str
) -> None:
    given = [{"LIST": str(listed), "DIR": str(listed.parent)}.get(word, word) for word in arguments]
    done = run(tiny, *given)
    assert done.code == 2 and told in done.stderr
