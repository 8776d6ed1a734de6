"""Issue 19 D3: ``.plot()`` of a comparison, a calibration and a quality shows what the object knows."""

from __future__ import annotations

import builtins
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from facealike import (
    Calibration,
    Comparison,
    MissingExtra,
    NotCalibrated,
    OperatingPoint,
    Quality,
    UsageError,
)
from facealike.calibration.probability import Platt
from facealike.plotting.style import BLUE, GREEN, VERMILION

HOSTILE = "<img> $x_$ \x1b[31m " + "long " * 60

POINTS = (
    OperatingPoint(0.1, 0.4, 0.08, 0.13, 0.02, 1000, (0.38, 0.42)),
    OperatingPoint(0.01, 0.6, 0.0, 0.015, 0.2, 1000),
    OperatingPoint(0.5, 0.2, 0.45, 0.55, 0.0, 1000),
)
TAIL = ((0.1, 0.9), (0.4, 0.1), (0.6, 0.01), (0.8, 0.002))


def calibration(**changes: Any) -> Calibration:
    whole = Calibration(
        0.5, "best F1", HOSTILE, 100, {"fnmr": 0.1}, (0.45, 0.55), Platt(10.0, -5.0).to_dict(), POINTS, TAIL
    )
    return replace(whole, **changes)


def comparison(score: float, **more: Any) -> Comparison:
    return Comparison(score, 0.5, (None, None), "0123456789ab", "cpu", **more)


def lines(ax: Any) -> dict[str, Any]:
    """Every line of the axes by its label in the legend."""
    return {line.get_label(): line for line in ax.lines}


def legend(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def written(ax: Any) -> None:
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(("score", "color"), [(0.7, BLUE), (0.5, BLUE), (0.46, VERMILION), (-0.4, VERMILION)])
def test_a_comparison_shows_score_threshold_and_band(score: float, color: str) -> None:
    result = comparison(
        score, band=(0.45, 0.55), fmr=0.25, threshold_fmr=0.03, probability=0.9, threshold_from=HOSTILE
    )
    ax = result.plot()
    told = lines(ax)
    dot = told[f"score {score:.3f}: 25 % of impostor pairs score this high"]
    assert dot.get_xdata()[0] == score and dot.get_color() == color
    assert told["threshold 0.500: FMR 3 %"].get_xdata()[0] == 0.5
    low, high = ax.get_xlim()
    assert low < min(score, 0.45) and max(score, 0.55) < high, "nothing lies at the very edge"
    spans = {
        patch.get_label(): patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches
    }
    assert [spans["uncertain"].x0, spans["uncertain"].x1] == pytest.approx([0.45, 0.55])
    assert spans["different people"].x1 == pytest.approx(0.5) == spans["same person"].x0
    assert " ".join(ax.get_title().split()) == result.lines()[0]
    written(ax)


def test_a_comparison_draws_no_more_than_it_knows() -> None:
    assert legend(comparison(0.7).plot()) == [
        "different people", "same person", "threshold 0.500", "score 0.700",
    ]  # fmt: skip
    bound = legend(
        comparison(0.7, fmr=1e-4, fmr_is_bound=True, threshold_fmr=1e-3, threshold_fmr_is_bound=True).plot()
    )
    assert bound[2:] == [
        "threshold 0.500: FMR below 0.1 %", "score 0.700: below 0.01 % of impostor pairs score this high",
    ]  # fmt: skip


def test_a_calibration_shows_its_rates_its_probability_and_its_threshold() -> None:
    known = calibration()
    ax = known.plot(score=0.66, prior=0.2)
    told = lines(ax)
    assert told["FMR"].get_xydata().tolist() == [list(point) for point in TAIL]
    assert told["threshold 0.500"].get_xdata()[0] == 0.5 and told["score 0.660"].get_xdata()[0] == 0.66
    assert sorted(told["FNMR"].get_xydata().tolist()) == [[0.4, 0.02], [0.6, 0.2]], "zero is not drawn"
    (dots,) = (held for held in ax.containers if held.get_label() == "target FMR, interval")
    assert sorted(dots[0].get_xydata().tolist()) == [[0.2, 0.5], [0.4, 0.1], [0.6, 0.01]]
    bars = sorted(bar[:, 1].tolist() for bar in dots[2][0].get_segments())
    floor = ax.get_ylim()[0]
    assert np.allclose(bars, [[floor, 0.015], [0.08, 0.13], [0.45, 0.55]])
    assert 0 < floor < 0.002, "every rate is above the floor"
    (right,) = (other for other in ax.figure.axes if other is not ax)
    x, y = right.lines[0].get_data()
    assert np.allclose(y, [known.probability_of(float(at), 0.2) for at in x])
    assert "probability (right), prior 0.2" in legend(ax) and "95 % interval of it" in legend(ax)
    assert right.get_ylim()[1] >= 1 and ax.get_xlim()[1] == 1.0
    written(ax)


def test_a_calibration_without_some_of_it_draws_the_rest() -> None:
    bare = calibration(probability=None, operating_points=(), tail=(), band=None).plot()
    assert legend(bare) == ["threshold 0.500"] and len(bare.figure.axes) == 1
    written(bare)
    low = calibration(threshold=-1.0, band=None).plot(score=-1.0)
    assert low.get_xlim()[0] == -1.0
    with pytest.raises(NotCalibrated, match="not calibrated"):
        Calibration.none().plot()
    with pytest.raises(UsageError, match="prior"):
        calibration().plot(prior=1.5)
    with pytest.raises(UsageError, match="score"):
        calibration().plot(score=float("nan"))


def test_a_quality_shows_its_parts_and_what_was_measured() -> None:
    quality = Quality(
        0.4, ("blurred", HOSTILE), {"eye_distance": 12.345, "yaw": 3.0}, {"size": 0.8, "pose": 0.5}, True
    )
    ax = quality.plot()
    assert [bar.get_width() for bar in ax.patches] == [0.4, 0.8, 0.5]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["quality", "size", "pose"]
    from matplotlib.colors import to_hex

    colors = [to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
    assert colors == [VERMILION, GREEN, GREEN] and ax.get_xlim() == (0, 1)
    assert ax.texts[-1].get_text() == "measured:\neye distance 12.3\nyaw 3"
    assert ax.get_title().startswith("quality 0.40: blurred and") and "\x1b" not in ax.get_title()
    written(ax)
    plain = Quality(1.0).plot()
    assert to_hex(plain.patches[0].get_facecolor()).upper() == BLUE and plain.get_title() == "quality 1.00"


MADE = {"comparison": lambda: comparison(0.7), "calibration": calibration, "quality": lambda: Quality(0.5)}


@pytest.mark.parametrize("name", MADE)
def test_a_figure_can_be_given_and_its_lack_is_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facealike.plotting.style import new_axes

    ax = new_axes()
    assert MADE[name]().plot(ax) is ax

    real = builtins.__import__

    def without(module: str, *rest: Any, **more: Any) -> Any:
        if module.startswith("matplotlib"):
            raise ImportError(module)
        return real(module, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        MissingExtra, match=r'^figures need matplotlib; run: pip install "facealike\[train\]"$'
    ):
        MADE[name]().plot()
