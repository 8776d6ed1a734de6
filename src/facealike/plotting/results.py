"""Draw single results: a comparison, a calibration, the quality of a face."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from ..utils.escape import figure_text
from ..utils.wording import join_words, rate_text
from .error_curves import name_rates
from .style import BLUE, GRAY, GREEN, INK, VERMILION, legend, legend_above, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..calibration.calibration import Calibration
    from ..quality.result import Quality
    from ..verification.result import Comparison

POINTS = 400  # of a curve
TITLE_WIDTH = 60  # characters of a line of a title


def _title(text: str) -> str:
    return "\n".join(textwrap.wrap(text, TITLE_WIDTH)[:4])


def draw_comparison(ax: Axes, result: Comparison) -> None:
    """Draw the score, the threshold and its interval.

    The legend has the rates that the comparison knows: FMR and FNMR at the threshold, and the share of
    impostor pairs that score as high.
    """
    same, other = BLUE, VERMILION
    drawn = 0.5  # of the height; the legend has the rest
    known = [result.score, result.threshold, *(result.band or ())]
    room = max(0.25 * (max(known) - min(known)), 0.03)
    low, high = min(known) - room, max(known) + room
    ax.axvspan(low, result.threshold, 0, drawn, color=other, alpha=0.2, linewidth=0, label="different people")
    ax.axvspan(result.threshold, high, 0, drawn, color=same, alpha=0.2, linewidth=0, label="same person")
    if result.band is not None:
        ax.axvspan(*result.band, 0, drawn, color=GRAY, alpha=0.4, linewidth=0, label="uncertain")
    ax.axvline(result.threshold, 0, drawn, color=INK, linewidth=1.4, label=_threshold_text(result))
    text = f"score {result.score:.3f}"
    if result.fmr is not None:
        share = f"{'below ' * result.fmr_is_bound}{rate_text(result.fmr)}"
        text += f": {share} of impostor pairs score this high" if result.best_of == 1 else f": FMR {share}"
    color = same if result.same else other
    ax.plot([result.score] * 2, [0, 0.25], color=color, linewidth=2)
    ax.plot([result.score], [0.25], "o", color=color, markersize=11, label=text, zorder=5)
    ax.set(xlim=(low, high), ylim=(0, 1), xlabel="score (cosine)", title=_title(result.lines()[0]))
    ax.set_yticks([])
    style_axes(ax)
    ax.spines["left"].set_visible(False)
    ax.grid(False)
    legend(ax, "upper left")


def _threshold_text(result: Comparison) -> str:
    text = f"threshold {result.threshold:.3f}"
    if result.threshold_fmr is not None:
        text += f": FMR {'below ' * result.threshold_fmr_is_bound}{rate_text(result.threshold_fmr)}"
        if result.best_of > 1:
            text += f" for the best of {result.best_of:,} pairs"
    return text


def draw_calibration(ax: Axes, calibration: Calibration, prior: float, score: float | None = None) -> None:
    """Draw error rates over the threshold, logarithmic, and the probability on a second axis.

    Dots are the operating points: the target FMR, with the 95 % interval of the FMR measured there, and the
    FNMR.  A rate of zero has no place on the axis and is left out.  The threshold in use is a line, its
    interval a gray field. ``score``, if given, is marked.
    """
    points = sorted(calibration.operating_points, key=lambda point: point.threshold)
    typical = calibration.typical_impostor
    known = [calibration.threshold - 0.05, *(point.threshold for point in points)]
    low = max(-1.0, min([*known, *(at for at in (typical, score) if at is not None)]) - 0.05)
    ax.axvline(
        calibration.threshold, color=INK, linewidth=1.2, label=f"threshold {calibration.threshold:.3f}"
    )
    if calibration.band is not None:
        ax.axvspan(*calibration.band, color=GRAY, alpha=0.3, linewidth=0, label="95 % interval of it")
    if score is not None:
        ax.axvline(score, color=INK, linestyle=":", linewidth=1.6, label=f"score {score:.3f}")
    if calibration.tail:
        ax.plot(*zip(*calibration.tail, strict=True), "--", color=VERMILION, label="FMR")
    floor = _lowest_rate(calibration)
    if points:
        at = np.array([point.threshold for point in points])
        rates = np.array([(point.fmr_low, point.fmr, point.fmr_high) for point in points]).T
        lows, middle, highs = np.clip(rates, floor, 1.0)
        # The target FMR may lie outside the interval of the one that was measured.
        errors = np.maximum([middle - lows, highs - middle], 0)
        ax.errorbar(
            at, middle, yerr=errors, fmt="o", color=VERMILION, markersize=4, linewidth=1, capsize=2,
            label="target FMR, interval",
        )  # fmt: skip
    missed = [(point.threshold, point.fnmr) for point in points if point.fnmr > 0]
    if missed:
        ax.plot(*zip(*missed, strict=True), "s-.", color=GREEN, markersize=4, linewidth=1, label="FNMR")
    ax.set(xlim=(low, 1.0), yscale="log", ylim=(floor, 1.3))
    ax.set(xlabel="score (cosine)", ylabel="error rate on the calibration people")
    name_rates(ax.yaxis)
    style_axes(ax)
    if calibration.calibrator is not None:
        _draw_probability(ax, calibration, prior, low)
    legend_above(ax)


def _lowest_rate(calibration: Calibration) -> float:
    """A power of ten below every rate of a calibration."""
    rates = [rate for _, rate in calibration.tail]
    for point in calibration.operating_points:
        rates += [point.fmr, point.fmr_low, point.fnmr]
    known = [rate for rate in rates if rate > 0]
    return float(10 ** np.floor(np.log10(max(min(known, default=0.01), 1e-12)) - 0.01))


def _draw_probability(ax: Axes, calibration: Calibration, prior: float, low: float) -> None:
    scores = np.linspace(low, 1.0, POINTS)
    right = ax.twinx()
    values = np.array([calibration.probability_of(float(at), prior) for at in scores], dtype=np.float64)
    right.plot(scores, values, color=BLUE)
    # The legend is that of the axes below, so the curve has a name there.
    ax.plot([], [], color=BLUE, label=f"probability (right), prior {prior:.3g}")
    right.set(ylim=(0, 1.05), ylabel="probability of one person")
    right.spines["top"].set_visible(False)
    right.tick_params(colors=INK, labelcolor=INK)


def draw_quality(ax: Axes, quality: Quality) -> None:
    """Draw one bar for the quality and for each of its parts, with the measurements beside them."""
    bars = {"quality": quality.score, **quality.parts}
    place = np.arange(len(bars))
    colors = [VERMILION if quality.poor else BLUE, *[GREEN] * len(quality.parts)]
    ax.barh(place, list(bars.values()), color=colors, height=0.6)
    for at, value in enumerate(bars.values()):
        inside = value > 0.5
        ax.text(
            value - 0.02 if inside else value + 0.02, at, f"{value:.2f}", va="center", fontsize=9,
            ha="right" if inside else "left", color="white" if inside else INK,
        )  # fmt: skip
    ax.set_yticks(place, [figure_text(name) for name in bars])
    ax.set(
        xlim=(0, 1), ylim=(len(bars) - 0.4, -0.6), xlabel="share that is left of what speaks for one person"
    )
    reasons = join_words([figure_text(reason) for reason in quality.reasons])
    ax.set_title(_title(f"quality {quality.score:.2f}" + (f": {reasons}" if reasons else "")))
    style_axes(ax)
    if quality.measures:
        text = [
            f"{figure_text(name.replace('_', ' '))} {value:.3g}" for name, value in quality.measures.items()
        ]
        ax.text(
            1.03,
            0.5,
            "\n".join(["measured:", *text]),
            transform=ax.transAxes,
            va="center",
            fontsize=9,
            color=INK,
        )
