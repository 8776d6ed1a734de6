"""Draw error curves: ROC, DET, and rates by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..utils.escape import figure_text
from .style import BLUE, GRAY, PAPER, VERMILION, legend, percent, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..metrics.verification import Roc


class Band(Protocol):
    """A curve with its interval at each FMR, all float64 (k,), such as ``bootstrap.RocBand``."""

    @property
    def fmr(self) -> NDArray[np.float64]: ...
    @property
    def low(self) -> NDArray[np.float64]: ...
    @property
    def high(self) -> NDArray[np.float64]: ...


class ErrorCurve(NamedTuple):
    """A ROC curve to draw.

    Args:
        roc: The curve.
        impostor: The number of impostor pairs.
        genuine: The number of genuine pairs.
        label: In the legend.
        color: Of the line.
        style: Of the line.
        band: The interval around it.
        point: (FMR, FNMR) at the threshold in use.
    """

    roc: Roc
    impostor: int
    genuine: int
    label: str = ""
    color: str = BLUE
    style: str = "-"
    band: Band | None = None
    point: tuple[float, float] | None = None


def draw_roc(ax: Axes, curves: Sequence[ErrorCurve]) -> None:
    """Draw the true match rate over the FMR, which has a logarithmic axis.

    A curve ends on the left at one impostor pair: nothing is measured below.
    """
    left = min(1 / max(curve.impostor, 2) for curve in curves)
    guess = np.geomspace(left, 1, 100)
    ax.plot(guess, guess, ":", color=GRAY, label="guessing")
    for curve in curves:
        fmr = rate_grid(curve.impostor)
        _shade(ax, curve, error=False)
        ax.plot(
            fmr,
            tmr_at(curve.roc, fmr),
            curve.style,
            color=curve.color,
            label=figure_text(curve.label) or None,
        )
        if curve.point is not None:
            _mark(ax, curve, max(curve.point[0], left), 1 - curve.point[1])
    ax.set(xscale="log", xlim=(left, 1), ylim=(0, 1.01))
    ax.set(xlabel="false match rate (FMR)", ylabel="true match rate (1 − FNMR)")
    name_rates(ax.xaxis)
    style_axes(ax)
    legend(ax, "lower right")


def draw_det(ax: Axes, curves: Sequence[ErrorCurve]) -> None:
    """Draw the FNMR over the FMR, both on logarithmic axes: lower is better.

    A curve ends at one impostor pair on the left and at one genuine pair below.
    """
    from matplotlib.ticker import LogLocator

    left = min(1 / max(curve.impostor, 2) for curve in curves)
    low = min(1 / curve.genuine for curve in curves)
    for curve in curves:
        fmr = rate_grid(curve.impostor)
        fnmr = 1 - tmr_at(curve.roc, fmr)
        _shade(ax, curve, error=True, floor=low)
        known = fnmr >= 1 / curve.genuine
        ax.plot(
            fmr[known], fnmr[known], curve.style, color=curve.color, label=figure_text(curve.label) or None
        )
        if curve.point is not None:
            _mark(ax, curve, max(curve.point[0], left), max(curve.point[1], low))
    ax.set(xscale="log", yscale="log", xlim=(left, 1), ylim=(max(low, 5e-4), 1.05))
    ax.set(xlabel="false match rate (FMR)", ylabel="false non-match rate (FNMR)")
    ax.xaxis.set_major_locator(LogLocator(numticks=6))  # in a small figure more labels overlap
    name_rates(ax.xaxis)
    name_rates(ax.yaxis)
    style_axes(ax)
    legend(ax, "lower left")


def rate_grid(impostor: int, points: int = 160) -> NDArray[np.float64]:
    """Return FMRs from 1 / ``impostor`` to 1, evenly spaced on a logarithmic axis."""
    return np.geomspace(1 / max(impostor, 2), 1, points)


def tmr_at(roc: Roc, fmr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest true match rate that keeps the FMR at or under each of ``fmr``."""
    # A grid's point that equals a rate but for rounding still counts as equal.
    found: NDArray[np.float64] = roc.tmr[np.searchsorted(roc.fmr, fmr * (1 + 1e-9), side="right") - 1]
    return found


def _shade(ax: Axes, curve: ErrorCurve, error: bool, floor: float = 0.0) -> None:
    band = curve.band
    if band is None:
        return
    known = band.fmr >= (1 - 1e-9) / curve.impostor
    low, high = band.low[known], band.high[known]
    if error:
        low, high = np.maximum(1 - high, floor), np.maximum(1 - low, floor)
    ax.fill_between(band.fmr[known], low, high, color=curve.color, alpha=0.22, linewidth=0)


def _mark(ax: Axes, curve: ErrorCurve, x: float, y: float) -> None:
    ax.plot([x], [y], "o", color=curve.color, markersize=7, markeredgecolor=PAPER, zorder=5)


def name_rates(axis: Any) -> None:
    """Label ticks in percent, such as 1 % and 0.1 %."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda rate, _: percent(rate)))
    axis.set_minor_formatter(NullFormatter())


def draw_rates(
    ax: Axes, names: Sequence[str], rates: NDArray[np.float64], target: float | None, breaks: Sequence[int]
) -> None:
    """Draw one line a name, from the top: a share with its interval on a logarithmic axis.

    Args:
        ax: The axes.
        names: One a line.
        rates: (n, 3): low, estimate and high, NaN where nothing was measured.
        target: The share to compare them with.
        breaks: A rule is drawn above each line with such a number.
    """
    from matplotlib.ticker import LogLocator

    place = np.arange(len(names))
    low, middle, high = rates.T
    ax.errorbar(
        middle, place, xerr=[middle - low, high - middle], fmt="o", color=BLUE, markersize=4, linewidth=1,
        capsize=2,
    )  # fmt: skip
    if target is not None:
        label = f"target: {percent(float(f'{target:.2g}'))}"
        ax.axvline(target, color=VERMILION, linestyle="--", label=label)
    for number in breaks:
        ax.axhline(number - 0.5, color=GRAY, linewidth=0.6)
    ax.set(xscale="log", xlabel="false match rate (FMR), 95 % interval", ylim=(len(names) - 0.5, -0.5))
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.set_yticks(place, list(map(figure_text, names)), fontsize=8)
    name_rates(ax.xaxis)
    style_axes(ax)
    legend(ax)
