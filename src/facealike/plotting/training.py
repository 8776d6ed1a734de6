"""Draw curves of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..utils.escape import figure_text
from .style import GRAY, legend_above, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Curve(NamedTuple):
    """One line of a figure by epoch: values (n,), NaN where nothing was measured."""

    values: NDArray[np.float64]
    label: str
    color: str
    style: str = "-"


def draw_curves(ax: Axes, epoch: NDArray[np.float64], curves: Sequence[Curve], best: float | None) -> None:
    """Draw values by epoch, only where they were measured; ``best`` is the epoch to mark."""
    from matplotlib.ticker import MaxNLocator

    for curve in curves:
        # Only known cells: gaps would hide a curve that is measured every few epochs.
        known = np.isfinite(curve.values)
        if known.any():
            marker = "o" if known.sum() < 40 else ""
            ax.plot(
                epoch[known], curve.values[known], linestyle=curve.style, marker=marker, markersize=3,
                color=curve.color, label=figure_text(curve.label),
            )  # fmt: skip
    style_axes(ax)
    if ax.lines:
        legend_above(ax)
    else:
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=GRAY)
    if best is not None:
        ax.axvline(best, color=GRAY, linestyle="--", linewidth=1, zorder=1)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
