"""Every figure of facealike in one style: curves with bands, histograms, reliability, training.

Each ``draw_...`` draws into given axes of matplotlib, which is imported inside functions only.  The
colours are those of Okabe and Ito ("Color universal design", 2008), which all common kinds of
colour vision keep apart; where two things differ in colour they differ in the style of their line
too, so that a print in grey still tells them apart.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import MissingExtra, UsageError
from .escape import figure_text, html
from .files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .metrics import Roc

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
INK, GRID, PAPER = "#1A1A1A", "#DDDDDD", "#FFFFFF"

SMALL = (4.2, 3.3)  # inches: a figure that is still readable on a phone, two of them side by side on paper
BINS = 60  # of a histogram of scores

# What the colours are called in a page's style sheet, which has others for a dark screen.
CSS_COLOURS = {
    BLUE: "--blue", VERMILION: "--vermilion", GREEN: "--green", GREY: "--grey", INK: "--ink",
    GRID: "--grid", PAPER: "--paper",
}  # fmt: skip


class Band(Protocol):
    """A curve with its interval at each FMR; all float64 (k,).  ``bootstrap.RocBand`` is one."""

    @property
    def fmr(self) -> NDArray[np.float64]: ...
    @property
    def low(self) -> NDArray[np.float64]: ...
    @property
    def high(self) -> NDArray[np.float64]: ...


class Curve(NamedTuple):
    """One line of a figure by epoch or the like: values (n,), NaN where nothing was measured."""

    values: NDArray[np.float64]
    label: str
    colour: str
    style: str = "-"


# ---- figures ----------------------------------------------------------------------------------


def new_figure(width: float = 6.4, height: float = 4.8) -> Figure:
    """An empty figure, sizes in inches.  Raises MissingExtra without matplotlib."""
    # The object interface and not pyplot, which keeps state and may want a screen.
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("figures need matplotlib; run: pip install 'facealike[train]'") from None
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float = 6.4, height: float = 4.8) -> Axes:
    """The axes of a new figure, which is their ``.figure``."""
    return new_figure(width, height).subplots()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, such as ``evaluation.plot().figure``, whole or not at all.

    Raises UsageError unless ``path`` ends in .png, .svg or .pdf, DataError if it cannot be written.
    """
    ending = Path(path).suffix.lower().lstrip(".")
    if ending not in ("png", "svg", "pdf"):
        raise UsageError(f"{path}: a plot is written as .png, .svg or .pdf; change the ending")
    from matplotlib import rc_context

    # An equal figure is an equal file: no date, and ids that are not drawn anew each time.
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[ending]
    with rc_context({"svg.hashsalt": "facealike"}):
        write_bytes(path, _rendered(figure, ending, metadata=undated))


def figure_png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    return _rendered(figure, "png")


def _rendered(figure: Figure, kind: str, **settings: Any) -> bytes:
    """The figure as a file. Names may have letters that the font lacks; a frame stands for each of them."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be wide, too: then the figure is laid out without them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from|constrained_layout not applied")
        figure.savefig(buffer, format=kind, **settings)
    return buffer.getvalue()


def figure_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an ``<svg>`` element to put into a page: text as text, colours by the page.

    ``name``, of letters and hyphens, keeps the ids of several figures on one page apart.  ``alt``
    says in words what the figure shows.  The page's style sheet must set ``CSS_COLOURS``.
    """
    from matplotlib import rc_context

    undated = {"Date": None, "Creator": None}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        text = _rendered(figure, "svg", metadata=undated, transparent=True).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\1{name}-", text)
    for colour, variable in CSS_COLOURS.items():
        text = re.sub(re.escape(colour), f"var({variable})", text, flags=re.IGNORECASE)
    # matplotlib's own font is nowhere but here; the page's is.
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)  # as matplotlib wrote it until 3.9
    text = re.sub(r"; font-family: [^;\"]*", "", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    # role and label, since a screen reader would read each tick of an axis.
    return text.replace("<svg ", f'<svg role="img" aria-label="{html(alt)}" ', 1)


def style_axes(ax: Axes) -> None:
    """Grid, frame and colours as in all figures."""
    ax.set_axisbelow(True)
    ax.grid(True, which="major", color=GRID, linewidth=0.8)
    ax.tick_params(which="both", colors=INK, labelcolor=INK)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_color(INK)


def legend(ax: Axes, where: Any = "best") -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=where, framealpha=0.85, facecolor=PAPER, edgecolor=GRID, labelcolor=INK, fontsize=9)


def legend_above(ax: Axes) -> None:
    """A legend over the frame, where there is no corner without curves."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, frameon=False, labelcolor=INK, fontsize=9,
            borderaxespad=0.2, columnspacing=1.2, handlelength=1.8,
        )  # fmt: skip


# ---- curves of error rates --------------------------------------------------------------------


class ErrorCurve(NamedTuple):
    """A ROC curve to draw: of how many pairs it was made, and what the figure says of it.

    ``band`` is the interval around it; ``point`` the (FMR, FNMR) of the threshold in use.
    """

    roc: Roc
    impostor: int
    genuine: int
    label: str = ""
    colour: str = BLUE
    style: str = "-"
    band: Band | None = None
    point: tuple[float, float] | None = None


def draw_roc(ax: Axes, curves: Sequence[ErrorCurve]) -> None:
    """The true match rate over the FMR, which has a logarithmic axis.

    A curve ends on the left at one impostor pair: below that nothing was measured.
    """
    left = min(1 / max(curve.impostor, 2) for curve in curves)
    guess = np.geomspace(left, 1, 100)
    ax.plot(guess, guess, ":", color=GREY, label="guessing")
    for curve in curves:
        fmr = rate_grid(curve.impostor)
        _shade(ax, curve, error=False)
        ax.plot(
            fmr,
            tmr_at(curve.roc, fmr),
            curve.style,
            color=curve.colour,
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
    """The FNMR over the FMR, both on logarithmic axes: lower is better, and small errors are not hidden.

    A curve ends at one impostor pair on the left and at one genuine pair below.
    """
    left = min(1 / max(curve.impostor, 2) for curve in curves)
    low = min(1 / curve.genuine for curve in curves)
    for curve in curves:
        fmr = rate_grid(curve.impostor)
        fnmr = 1 - tmr_at(curve.roc, fmr)
        _shade(ax, curve, error=True, floor=low)
        known = fnmr >= 1 / curve.genuine
        ax.plot(
            fmr[known], fnmr[known], curve.style, color=curve.colour, label=figure_text(curve.label) or None
        )
        if curve.point is not None:
            _mark(ax, curve, max(curve.point[0], left), max(curve.point[1], low))
    ax.set(xscale="log", yscale="log", xlim=(left, 1), ylim=(max(low, 5e-4), 1.05))
    ax.set(xlabel="false match rate (FMR)", ylabel="false non-match rate (FNMR)")
    name_rates(ax.xaxis)
    name_rates(ax.yaxis)
    style_axes(ax)
    legend(ax, "lower left")


def rate_grid(impostor: int, points: int = 160) -> NDArray[np.float64]:
    """False match rates from 1 / ``impostor`` to 1, evenly spaced on a logarithmic axis."""
    return np.geomspace(1 / max(impostor, 2), 1, points)


def tmr_at(roc: Roc, fmr: NDArray[np.float64]) -> NDArray[np.float64]:
    """The highest true match rate that keeps the FMR at or under each of ``fmr``."""
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
    ax.fill_between(band.fmr[known], low, high, color=curve.colour, alpha=0.22, linewidth=0)


def _mark(ax: Axes, curve: ErrorCurve, x: float, y: float) -> None:
    ax.plot([x], [y], "o", color=curve.colour, markersize=7, markeredgecolor=PAPER, zorder=5)


def name_rates(axis: Any) -> None:
    """Ticks such as 1 % and 0.1 %, which more people read than 10 to the -3."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda rate, _: percent(rate)))
    axis.set_minor_formatter(NullFormatter())


def percent(rate: float) -> str:
    """A rate as a tick has it: 100 %, 1 %, 0.01 %."""
    return f"{100 * rate:.6f}".rstrip("0").rstrip(".") + "\u202f%"


def draw_rates(
    ax: Axes, names: Sequence[str], rates: NDArray[np.float64], stated: float | None, breaks: Sequence[int]
) -> None:
    """One line a name, from the top: a share with its interval on a logarithmic axis.

    ``rates`` (n, 3) are low, estimate and high, NaN where nothing was measured.  ``stated`` is the share
    to compare them with; a rule is drawn above each line whose number is in ``breaks``.
    """
    from matplotlib.ticker import LogLocator

    place = np.arange(len(names))
    low, middle, high = rates.T
    ax.errorbar(
        middle, place, xerr=[middle - low, high - middle], fmt="o", color=BLUE, markersize=4, linewidth=1,
        capsize=2,
    )  # fmt: skip
    if stated is not None:
        label = f"stated: {percent(float(f'{stated:.2g}'))}"
        ax.axvline(stated, color=VERMILION, linestyle="--", label=label)
    for number in breaks:
        ax.axhline(number - 0.5, color=GREY, linewidth=0.6)
    ax.set(xscale="log", xlabel="false match rate (FMR), 95 % interval", ylim=(len(names) - 0.5, -0.5))
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.set_yticks(place, list(map(figure_text, names)), fontsize=8)
    name_rates(ax.xaxis)
    style_axes(ax)
    legend(ax)


# ---- scores and probabilities -----------------------------------------------------------------


def draw_histogram(
    ax: Axes, scores: ArrayLike, same: ArrayLike, threshold: float,
    uncertain: tuple[float, float] | None = None,
) -> None:  # fmt: skip
    """How the scores of genuine and of impostor pairs lie, each kind with area one.

    The threshold is a line and the scores that are ``uncertain`` a grey field.
    """
    values, genuine = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=np.bool_)
    edges = np.linspace(min(values.min(), threshold), max(values.max(), threshold) + 1e-9, BINS + 1)
    if uncertain is not None:
        ax.axvspan(*uncertain, color=GREY, alpha=0.3, linewidth=0, label="uncertain")
    for of_kind, label, colour, style in (
        (genuine, "same person", BLUE, "-"),
        (~genuine, "different people", VERMILION, "--"),
    ):
        height = np.histogram(values[of_kind], edges)[0] / max(of_kind.sum(), 1) / (edges[1] - edges[0])
        ax.stairs(height, edges, fill=True, color=colour, alpha=0.18, linewidth=0)
        ax.stairs(height, edges, color=colour, linestyle=style, linewidth=1.4, label=label)
    ax.axvline(threshold, color=INK, linewidth=1.2, label=f"threshold {threshold:.3f}")
    ax.set(xlabel="score (cosine)", ylabel="density of pairs", xlim=(edges[0], edges[-1]))
    ax.set_yticks([])
    style_axes(ax)
    legend_above(ax)


class Reliable(Protocol):
    """What a reliability plot needs, bin by bin: ``reliability.Reliability`` has it."""

    @property
    def probability(self) -> NDArray[np.float64]: ...
    @property
    def frequency(self) -> NDArray[np.float64]: ...
    @property
    def weight(self) -> NDArray[np.float64]: ...
    @property
    def ece(self) -> float: ...


def draw_reliability(ax: Axes, bins: Reliable) -> None:
    """The share of genuine pairs over the probability that was stated, with the diagonal of no error.

    The area of a dot rises with the share of the pairs in its bin.
    """
    known = bins.weight > 0
    share = bins.weight[known] / bins.weight.sum()
    ax.plot([0, 1], [0, 1], ":", color=GREY, label="exactly as stated")
    ax.plot(bins.probability[known], bins.frequency[known], "-", color=BLUE, linewidth=1)
    ax.scatter(
        bins.probability[known], bins.frequency[known], s=12 + 400 * share, color=BLUE, alpha=0.85,
        linewidth=0, label=f"pairs of a bin; ECE {bins.ece:.3f}", zorder=3,
    )  # fmt: skip
    ax.set(xlabel="probability stated", ylabel="share of pairs of one person", xlim=(-0.03, 1.03))
    ax.set_ylim(-0.03, 1.03)
    style_axes(ax)
    legend(ax, "upper left")


# ---- training ---------------------------------------------------------------------------------


def draw_curves(ax: Axes, epoch: NDArray[np.float64], curves: Sequence[Curve], best: float | None) -> None:
    """Values by epoch, only where they were measured; ``best`` is the epoch to mark."""
    from matplotlib.ticker import MaxNLocator

    for curve in curves:
        # Only the cells that are filled: a gap would hide a curve that is measured every few epochs.
        known = np.isfinite(curve.values)
        if known.any():
            marker = "o" if known.sum() < 40 else ""
            ax.plot(
                epoch[known], curve.values[known], linestyle=curve.style, marker=marker, markersize=3,
                color=curve.colour, label=figure_text(curve.label),
            )  # fmt: skip
    style_axes(ax)
    if ax.lines:
        legend_above(ax)
    else:
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=GREY)
    if best is not None:
        ax.axvline(best, color=GREY, linestyle="--", linewidth=1, zorder=1)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
