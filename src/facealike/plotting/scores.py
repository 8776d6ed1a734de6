"""Draw histograms of scores, and reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .style import BLUE, GRAY, INK, VERMILION, legend, legend_above, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BINS = 60  # of a histogram of scores


def draw_histogram(
    ax: Axes, scores: ArrayLike, same: ArrayLike, threshold: float,
    uncertain: tuple[float, float] | None = None,
) -> None:  # fmt: skip
    """Draw the distributions of the scores of genuine and of impostor pairs, each with area one.

    The threshold is a line and the ``uncertain`` interval a gray field.
    """
    values, genuine = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=np.bool_)
    edges = np.linspace(min(values.min(), threshold), max(values.max(), threshold) + 1e-9, BINS + 1)
    if uncertain is not None:
        ax.axvspan(*uncertain, color=GRAY, alpha=0.3, linewidth=0, label="uncertain")
    for of_kind, label, color, style in (
        (genuine, "same person", BLUE, "-"),
        (~genuine, "different people", VERMILION, "--"),
    ):
        height = np.histogram(values[of_kind], edges)[0] / max(of_kind.sum(), 1) / (edges[1] - edges[0])
        ax.stairs(height, edges, fill=True, color=color, alpha=0.18, linewidth=0)
        ax.stairs(height, edges, color=color, linestyle=style, linewidth=1.4, label=label)
    ax.axvline(threshold, color=INK, linewidth=1.2, label=f"threshold {threshold:.3f}")
    ax.set(xlabel="score (cosine)", ylabel="density of pairs", xlim=(edges[0], edges[-1]))
    ax.set_yticks([])
    style_axes(ax)
    legend_above(ax)


class Reliable(Protocol):
    """What a reliability plot needs, bin by bin; ``calibration_error.Reliability`` has it."""

    @property
    def probability(self) -> NDArray[np.float64]: ...
    @property
    def frequency(self) -> NDArray[np.float64]: ...
    @property
    def weight(self) -> NDArray[np.float64]: ...
    @property
    def ece(self) -> float: ...


def draw_reliability(ax: Axes, bins: Reliable) -> None:
    """Draw the share of genuine pairs over the predicted probability, and the diagonal.

    The area of a dot rises with the share of the pairs in its bin.
    """
    known = bins.weight > 0
    share = bins.weight[known] / bins.weight.sum()
    ax.plot([0, 1], [0, 1], ":", color=GRAY, label="perfect calibration")
    ax.plot(bins.probability[known], bins.frequency[known], "-", color=BLUE, linewidth=1)
    ax.scatter(
        bins.probability[known], bins.frequency[known], s=12 + 400 * share, color=BLUE, alpha=0.85,
        linewidth=0, label=f"pairs of a bin; ECE {bins.ece:.3f}", zorder=3,
    )  # fmt: skip
    ax.set(xlabel="predicted probability", ylabel="share of pairs of one person", xlim=(-0.03, 1.03))
    ax.set_ylim(-0.03, 1.03)
    style_axes(ax)
    legend(ax, "upper left")
