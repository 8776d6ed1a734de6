"""Draw error-versus-discard curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .error_curves import name_rates
from .style import BLUE, GRAY, INK, VERMILION, legend, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ((BLUE, "-"), (VERMILION, "--"), (INK, "-."), (GRAY, ":"))


class DiscardCurve(NamedTuple):
    """The FNMR (k,) over the share of photos left out (k,), and how the legend calls it."""

    discarded: NDArray[np.float64]
    fnmr: NDArray[np.float64]
    label: str


def draw_discard(ax: Axes, curves: Sequence[DiscardCurve], limit: float) -> None:
    """Draw step functions from no photo left out to ``limit``; lower is better.

    A dotted line is the FNMR that a random order would keep.
    """
    for number, curve in enumerate(curves):
        color, line = LINES[number % len(LINES)]
        ax.step(
            curve.discarded, curve.fnmr, line, where="post", color=color, label=curve.label, linewidth=1.5
        )
        ax.axhline(float(curve.fnmr[0]), color=color, linestyle=":", linewidth=0.8)
    highest = max(float(np.nanmax(curve.fnmr[curve.discarded <= limit])) for curve in curves)
    ax.set(xlim=(0, limit), ylim=(0, 1.35 * highest or 1))  # room for the legend
    ax.set(xlabel="share of photos left out, lowest quality first", ylabel="false non-match rate (FNMR)")
    name_rates(ax.xaxis)
    name_rates(ax.yaxis)
    style_axes(ax)
    legend(ax, "upper right")
