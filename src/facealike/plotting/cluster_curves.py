"""Draw the precision and recall of clusterings over the target FMR of their threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .error_curves import name_rates
from .style import BLUE, INK, VERMILION, legend, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_clusterings(
    ax: Axes, fmr: Sequence[float], precision: Sequence[float], recall: Sequence[float], f1: Sequence[float]
) -> None:
    """Draw B-cubed precision, recall and F1 over the FMR, logarithmic."""
    for values, color, line, label in (
        (precision, BLUE, "-", "precision"), (recall, VERMILION, "--", "recall"), (f1, INK, ":", "F1"),
    ):  # fmt: skip
        ax.plot(fmr, values, color=color, linestyle=line, marker="o", markersize=4, label=label)
    ax.set(xscale="log", xlabel="target false match rate (FMR) of the threshold", ylabel="B-cubed")
    name_rates(ax.xaxis)
    style_axes(ax)
    legend(ax)
