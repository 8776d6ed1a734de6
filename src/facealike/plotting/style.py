"""The style of every figure: colors, axes, legends, files.

matplotlib is imported inside functions only. The colors are those of Okabe and Ito ("Color universal
design", 2008), which all common kinds of color vision keep apart; where two things differ in color they
differ in the style of their line too, so that a print in gray still tells them apart.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra, UsageError
from ..utils.atomic_write import write_bytes
from ..utils.escape import html
from ..utils.extras import install_command

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BLUE, VERMILION, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#767676"
INK, GRID, PAPER = "#1A1A1A", "#DDDDDD", "#FFFFFF"

SMALL = (4.2, 3.3)  # inches: a figure that is still readable on a phone, two of them side by side on paper

# The names of the colors in the style sheet of a page, which has others for a dark screen.
CSS_COLORS = {
    BLUE: "--blue", VERMILION: "--vermilion", GREEN: "--green", GRAY: "--gray", INK: "--ink",
    GRID: "--grid", PAPER: "--paper",
}  # fmt: skip


# ---- figures ----------------------------------------------------------------------------------


def new_figure(width: float = 6.4, height: float = 4.8) -> Figure:
    """Return an empty figure, sizes in inches.  Raises MissingExtra without matplotlib."""
    # The object interface, since pyplot keeps state and may need a screen.
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        from .notebook_figure import NotebookFigure
    except ImportError:
        raise MissingExtra(f"figures need matplotlib; run: {install_command('train')}") from None
    figure = NotebookFigure(figsize=(width, height), dpi=150, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float = 6.4, height: float = 4.8) -> Axes:
    """Return the axes of a new figure, which is their ``.figure``."""
    return new_figure(width, height).subplots()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, such as ``evaluation.plot().figure``, whole or not at all.

    Raises:
        UsageError: ``path`` does not end in .png, .svg or .pdf.
        DataError: It cannot be written.
    """
    ending = Path(path).suffix.lower().lstrip(".")
    if ending not in ("png", "svg", "pdf"):
        raise UsageError(f"{path}: a plot is written as .png, .svg or .pdf; change the ending")
    from matplotlib import rc_context

    # Equal figures give equal files: no date, and ids that are not random.
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[ending]
    with rc_context({"svg.hashsalt": "facealike"}):
        write_bytes(path, _rendered(figure, ending, metadata=undated))


def figure_png(figure: Figure) -> bytes:
    """Return the figure as a PNG."""
    return _rendered(figure, "png")


def _rendered(figure: Figure, kind: str, **settings: Any) -> bytes:
    """The figure as a file; letters that the font lacks are drawn as frames."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be wide: then the figure is laid out without them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from|constrained_layout not applied")
        figure.savefig(buffer, format=kind, **settings)
    return buffer.getvalue()


def figure_svg(figure: Figure, name: str, alt: str) -> str:
    """Return the figure as an ``<svg>`` element for a page: text as text, colors by the page.

    Args:
        figure: The figure.
        name: Of letters and hyphens; keeps the ids of several figures on one page apart.
        alt: What the figure shows, in words.  The page's style sheet must set ``CSS_COLORS``.
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
    for color, variable in CSS_COLORS.items():
        text = re.sub(re.escape(color), f"var({variable})", text, flags=re.IGNORECASE)
    # The page does not have matplotlib's own font.
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)  # as matplotlib wrote it until 3.9
    text = re.sub(r"; font-family: [^;\"]*", "", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    # role and label, since a screen reader would read each tick of an axis.
    return text.replace("<svg ", f'<svg role="img" aria-label="{html(alt)}" ', 1)


def style_axes(ax: Axes) -> None:
    """Set grid, frame and colors as in all figures."""
    ax.set_axisbelow(True)
    ax.grid(True, which="major", color=GRID, linewidth=0.8)
    ax.tick_params(which="both", colors=INK, labelcolor=INK)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_color(INK)


def legend(ax: Axes, where: Any = "best") -> None:
    """Draw a legend, if there is anything to name."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=where, framealpha=0.85, facecolor=PAPER, edgecolor=GRID, labelcolor=INK, fontsize=9)


def legend_above(ax: Axes) -> None:
    """Draw a legend above the frame, where no corner is free of curves."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, frameon=False, labelcolor=INK, fontsize=9,
            borderaxespad=0.2, columnspacing=1.2, handlelength=1.8,
        )  # fmt: skip


def percent(rate: float) -> str:
    """Return a rate for a tick: 100 %, 1 %, 0.01 %."""
    return f"{100 * rate:.6f}".rstrip("0").rstrip(".") + "\u202f%"
