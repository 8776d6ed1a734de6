"""The figures of a run's report, each with a caption."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.verification_result import FAILURE_SCORE, Evaluation
from ..metrics.bootstrap import RocBand, roc_band
from ..plotting.error_curves import ErrorCurve, draw_det, draw_roc, rate_grid
from ..plotting.scores import draw_histogram, draw_reliability
from ..plotting.style import BLUE, GRAY, SMALL, figure_png, figure_svg, new_axes, percent
from ..utils.wording import rate_text
from .elements import Block, Picture, Pictures
from .training_log import TrainingLog, best_text, draw_losses, draw_quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND_POINTS = 48  # along a ROC curve at which its interval is computed


def picture(name: str, title: str, draw: Callable[[Axes], None], alt: str, caption: str) -> Picture:
    """Draw a small figure.  Raises MissingExtra without matplotlib."""
    ax = new_axes(*SMALL)
    draw(ax)
    figure: Figure = ax.figure  # type: ignore[assignment]
    return Picture(name, title, figure_svg(figure, name, alt), figure_png(figure), alt, caption)


def error_curves(main: Evaluation, known: Evaluation | None) -> Block:
    """Draw ROC and DET of the main evaluation, beside that on the people of the training."""
    band = _band(main)
    curves = [
        ErrorCurve(main.roc, main.impostor, main.genuine, _who(main), BLUE, "-", band, (main.fmr, main.fnmr))
    ]
    if known is not None:
        curves.append(
            ErrorCurve(known.roc, known.impostor, known.genuine, "people of the training", GRAY, "--")
        )
    shaded = " The band is the 95 % interval at each false match rate by itself." if band is not None else ""
    also = " The dashed curve is that of people it was trained on." if known is not None else ""
    at = f"false match rate {rate_text(main.fmr)}, false non-match rate {rate_text(main.fnmr)}"
    roc = picture(
        "roc",
        "ROC curve",
        lambda ax: draw_roc(ax, curves),
        f"ROC curve of {_who(main)}, area {main.auc:.3f}; the dot is the threshold in use: {at}.",
        "For every threshold there could be: the share of pairs of one person that are recognised "
        f"(upwards) against the share of pairs of strangers taken for one person (to the right).{shaded} "
        f"The dot is the threshold in use.{also} The higher the curve, the better; it does not say which "
        "threshold to use.",
    )
    det = picture(
        "det",
        "DET curve",
        lambda ax: draw_det(ax, curves),
        f"DET curve of {_who(main)}; at the threshold in use: {at}.",
        "The same pairs as errors against errors, so that lower is better and small rates can be read. "
        f"The curve ends at {percent(float(f'{1 / main.impostor:.2g}'))}, which is one pair of strangers in "
        f"{main.impostor:,}: of lower false match rates this test says nothing, and near its end the curve "
        "rests on a handful of pairs.",
    )
    return Pictures((roc, det))


def score_histogram(main: Evaluation, uncertain: tuple[float, float] | None) -> Picture:
    """Draw the distribution of the scores, with the threshold."""
    kept = main.scores > FAILURE_SCORE
    lost = int(np.sum(~kept))
    left_out = f" {lost:,} pairs in which no face was found have no score and are not drawn." if lost else ""
    band = (
        " In the gray field the answer is uncertain: other people to choose the threshold on could have "
        "put it anywhere in there." if uncertain else ""
    )  # fmt: skip
    return picture(
        "scores",
        "Scores",
        lambda ax: draw_histogram(ax, main.scores[kept], main.same[kept], main.threshold, uncertain),
        f"Histograms of the scores of {_who(main)}: pairs of one person lie higher than pairs of strangers, "
        f"the threshold at {main.threshold:.3f} between them.",
        "How often each score occurs among pairs of one person and among pairs of different people. "
        f"What lies on the wrong side of the threshold is decided wrongly.{band} Each kind has the same "
        f"area here, whatever its share is where the model is used.{left_out}",
    )


def reliability_picture(main: Evaluation) -> Picture | None:
    """Draw the reliability of the probabilities; None where there are none."""
    bins = main.reliability
    if bins is None:
        return None
    return picture(
        "reliability",
        "Reliability",
        lambda ax: draw_reliability(ax, bins),
        f"Reliability plot: predicted probability against observed frequency, expected calibration error "
        f"{bins.ece:.3f}; the closer the dots to the dotted diagonal, the better.",
        "Each dot gathers the pairs that were given about the same probability; its size is their share. "
        "On the dotted line, of the pairs given 80 % just 80 % show one person. On average the distance from "
        f"it is {bins.ece:.3f} (expected calibration error, {int(bins.pairs.sum()):,} pairs). All this holds "
        "where half of all pairs show one person; where another share does, give compare that share.",
    )


def training_curves(log: TrainingLog, held_out: bool) -> Block:
    """Draw loss, F1 and AUC by epoch."""
    validation = "people never seen" if held_out else "other photos of them"
    best = "" if log.best is None else f" Dashed line: {best_text(log, log.best)}."
    loss = picture(
        "loss",
        "Loss by epoch",
        lambda ax: draw_losses(ax, log, "validation", "training"),
        f"Loss by epoch over {len(log['epoch'])} epochs.",
        "What the training makes smaller. That it falls says that the network fits the people of the "
        "training, not that it knows others.",
    )
    quality = picture(
        "quality",
        "F1 and AUC by epoch",
        lambda ax: draw_quality(ax, log, "validation", "training"),
        f"F1 and ROC AUC by epoch.{best}",
        f"After each epoch, on pairs of the training and of the validation ({validation}).{best} "
        "A growing distance between dashed and full lines is overfitting. Each F1 is the best that a "
        "threshold of its own would give, so it is a little higher than those of the table.",
    )
    return Pictures((loss, quality))


def _band(main: Evaluation) -> RocBand | None:
    if main.first is None or main.second is None:
        return None
    grid = rate_grid(main.impostor, BAND_POINTS)
    return roc_band(main.scores, main.same, main.first, main.second, grid)


def _who(main: Evaluation) -> str:
    seen = {False: "never seen", True: "seen in training", None: "seen or not, unknown"}[main.leaked]
    return f"{main.name} (people {seen})"
