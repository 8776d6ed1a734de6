"""Figures show the numbers they were given, and go into a page without harm to it."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as xml
from typing import Any

import numpy as np
import pytest

from facealike.errors import MissingExtra
from facealike.metrics.bootstrap import roc_band
from facealike.metrics.calibration_error import reliability
from facealike.metrics.verification import roc
from facealike.plotting import error_curves, scores
from facealike.plotting import style as plots
from facealike.plotting.error_curves import ErrorCurve

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(3)
PEOPLE = 40
FIRST = RNG.integers(0, PEOPLE, 400)
SECOND = np.where(np.arange(400) < 200, FIRST, (FIRST + RNG.integers(1, PEOPLE, 400)) % PEOPLE)
SAME = FIRST == SECOND
SCORES = np.round(RNG.normal(0.5 * SAME, 0.3), 3)
CURVE = roc(SCORES, SAME)


def slow_tmr_at(limit: float) -> float:
    """The highest share of genuine pairs accepted by any threshold that accepts at most ``limit``."""
    best = 0.0
    for threshold in [np.inf, *SCORES.tolist()]:
        accepted = threshold <= SCORES
        if np.mean(accepted[~SAME]) <= limit + 1e-12:
            best = max(best, float(np.mean(accepted[SAME])))
    return best


def test_a_curve_is_read_as_a_loop_reads_it() -> None:
    grid = error_curves.rate_grid(int((~SAME).sum()), 25)
    assert grid[0] == 1 / (~SAME).sum() and grid[-1] == pytest.approx(1)
    np.testing.assert_allclose(error_curves.tmr_at(CURVE, grid), [slow_tmr_at(limit) for limit in grid])


def line(ax: Any, label: str) -> Any:
    return next(one for one in ax.lines if one.get_label() == label)


def error_curve(**changes: Any) -> ErrorCurve:
    values: dict[str, Any] = {"roc": CURVE, "impostor": 200, "genuine": 200, "label": "test"}
    return ErrorCurve(**{**values, **changes})


def test_roc_and_det_tell_of_the_same_rates() -> None:
    above, below = plots.new_axes(), plots.new_axes()
    error_curves.draw_roc(above, [error_curve()])
    error_curves.draw_det(below, [error_curve()])
    fmr, tmr = line(above, "test").get_data()
    assert fmr[0] == pytest.approx(1 / 200)
    x, fnmr = line(below, "test").get_data()
    assert (fnmr >= 1 / 200 - 1e-12).all()  # below one pair nothing was measured
    known = np.isin(fmr, x)
    np.testing.assert_allclose(1 - tmr[known], fnmr)
    assert above.get_xscale() == "log" and below.get_yscale() == "log"


def test_the_point_and_the_band_lie_where_they_belong() -> None:
    grid = np.geomspace(1 / 200, 1, 12)
    band = roc_band(SCORES, SAME, FIRST, SECOND, grid, resamples=50)
    ax = plots.new_axes()
    error_curves.draw_roc(ax, [error_curve(band=band, point=(0.1, 0.25))])
    dot = next(one for one in ax.lines if one.get_marker() == "o")
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.1, 0.75)
    corners = ax.collections[0].get_paths()[0].vertices
    for x, low, high in zip(band.fmr, band.low, band.high, strict=True):
        at = corners[np.isclose(corners[:, 0], x)][:, 1]
        assert np.isclose(at.min(), low) and np.isclose(at.max(), high)


def test_each_kind_of_pairs_has_the_area_one() -> None:
    ax = plots.new_axes()
    scores.draw_histogram(ax, SCORES, SAME, 0.2, (0.1, 0.3))
    filled = [patch for patch in ax.patches if hasattr(patch, "get_data")]
    assert len(filled) == 4  # an area and its outline for each kind
    for patch in filled:
        heights, edges, _ = patch.get_data()
        assert np.sum(heights * np.diff(edges)) == pytest.approx(1)
    assert line(ax, "threshold 0.200").get_xdata() == [0.2, 0.2]


def test_reliability_shows_what_was_stated_and_what_came_true() -> None:
    bins = reliability(np.repeat([0.1, 0.9], 200), SAME)
    ax = plots.new_axes()
    scores.draw_reliability(ax, bins)
    dots = ax.collections[0].get_offsets()
    assert np.allclose(dots[:, 0], [0.1, 0.9])
    assert np.allclose(dots[:, 1], [SAME[:200].mean(), SAME[200:].mean()])


def test_rates_are_written_as_people_write_them() -> None:
    assert [plots.percent(rate).replace("\u202f", " ") for rate in (1, 0.1, 0.01, 0.0001)] == [
        "100 %", "10 %", "1 %", "0.01 %",
    ]  # fmt: skip


def drawn() -> Any:
    ax = plots.new_axes(*plots.SMALL)
    error_curves.draw_roc(ax, [error_curve(point=(0.1, 0.2))])
    return ax.figure


def test_a_figure_in_a_page_is_text_takes_the_colours_of_the_page_and_has_ids_of_its_own() -> None:
    one, other = (plots.figure_svg(drawn(), name, 'a "b" & c') for name in ("one", "other"))
    tree = xml.fromstring(one)
    assert tree.get("role") == "img" and tree.get("aria-label") == 'a "b" & c'
    assert tree.get("width") is None and tree.get("viewBox")  # as wide as the page makes it
    assert "false match rate (FMR)" in {node.text for node in tree.iter() if node.tag.endswith("text")}
    ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in (one, other)]
    assert len(set(ids[0])) == len(ids[0]) and not set(ids[0]) & set(ids[1])
    for target in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', one):
        assert "".join(target) in ids[0]
    assert "var(--blue)" in one and not re.search(r"#[0-9a-f]{6}\b", one, re.IGNORECASE)
    assert "font-family" not in one and "<script" not in one and "metadata" not in one


def test_equal_figures_are_equal_to_the_byte() -> None:
    assert plots.figure_svg(drawn(), "roc", "x") == plots.figure_svg(drawn(), "roc", "x")
    assert plots.figure_png(drawn()) == plots.figure_png(drawn())


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtra, match=r"facealike\[train\]"):
        plots.new_axes()
