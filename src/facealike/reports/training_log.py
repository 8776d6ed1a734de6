"""Read the log of a training run and draw its curves (matplotlib, extra ``train``)."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..plotting.style import BLUE, GREEN, VERMILION, new_figure, save_figure
from ..plotting.training import Curve, draw_curves
from ..utils.escape import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LOG_COLUMNS = (
    "epoch", "train_loss", "val_loss", "val_f1", "val_auc", "train_f1", "train_auc",
    "learning_rate", "images_per_second", "seconds",
)  # fmt: skip


TRAINING = "people of the training"


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """The numbers of a training run by epoch: ``columns`` float64 (n,), NaN where a cell is empty."""

    columns: dict[str, NDArray[np.float64]]

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self.columns[name]

    @property
    def best(self) -> int | None:
        """The row with the highest F1 on unseen people, the first of equals.

        Without any F1 the highest AUC, then the lowest validation loss decides; None without all.
        """
        for name, sign in (("val_f1", 1), ("val_auc", 1), ("val_loss", -1)):
            known = np.isfinite(self[name])
            if known.any():
                return int(np.argmax(np.where(known, sign * self[name], -np.inf)))
        return None


def read_log(path: str | Path) -> TrainingLog:
    """Read the training log at ``path``: a CSV with a header, of which ``epoch`` and one loss are required.

    Unknown columns are ignored and missing ones are NaN.  Where an epoch occurs twice, as after a resumed
    run, the later row counts.

    Raises:
        DataError: The log cannot be read; the message names the file, and the line where there is one.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{shown(file)}: no training log can be read ({error.strerror}); check the path"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{shown(file)}: not a text file; give the CSV log of a training run") from None
    reader = csv.DictReader(io.StringIO(text), restval="")
    header = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    if "epoch" not in header or not {"train_loss", "val_loss"} & set(header):
        raise DataError(f"{shown(file)}: no column epoch or no loss; give the CSV log of a training run")
    rows: dict[float, dict[str, float]] = {}
    for record in reader:
        row = {name: _number(record.get(name, ""), file, reader.line_num, name) for name in LOG_COLUMNS}
        if math.isnan(row["epoch"]):
            raise DataError(f"{shown(file)}, line {reader.line_num}: no epoch; remove the line")
        rows[row["epoch"]] = row
    if not rows:
        raise DataError(f"{shown(file)}: no epoch is finished yet; wait for the first line")
    ordered = [rows[epoch] for epoch in sorted(rows)]
    return TrainingLog({name: np.array([row[name] for row in ordered]) for name in LOG_COLUMNS})


def _number(cell: str, file: Path, line: int, name: str) -> float:
    if not cell.strip():
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise DataError(f"{shown(file)}, line {line}: {name} is no number ({cell!r}); correct it") from None


def loss_curves(
    csv_path: str | Path, out: str | Path, validation: str = "people never seen in training"
) -> None:
    """Draw the loss, F1 and AUC by epoch, on people of the training and on others.

    Args:
        csv_path: The log.
        out: The file to write, .png, .svg or .pdf; written whole or not at all.
        validation: The name of the validation in the legend.

    Raises:
        DataError: The log cannot be read.
        MissingExtra: matplotlib is not installed.
    """
    log = read_log(csv_path)
    figure = new_figure(7.2, 6.0)
    above, below = figure.subplots(2, 1, sharex=True)
    draw_losses(above, log, validation)
    above.set_xlabel("")
    draw_quality(below, log, validation)
    if log.best is not None:
        above.set_title(best_text(log, log.best), fontsize=11)
    save_figure(figure, out)


def draw_losses(ax: Axes, log: TrainingLog, validation: str, training: str = TRAINING) -> None:
    """Draw the loss by epoch into ``ax``, the best epoch marked; the last two are names in the legend."""
    curves = (
        Curve(log["train_loss"], training, BLUE, "--"),
        Curve(log["val_loss"], validation, BLUE),
    )
    draw_curves(ax, log["epoch"], curves, _best_epoch(log))
    ax.set_ylabel("loss")


def draw_quality(ax: Axes, log: TrainingLog, validation: str, training: str = TRAINING) -> None:
    """Draw F1 and AUC by epoch into ``ax``, as ``draw_losses``."""
    curves = (
        Curve(log["train_auc"], f"ROC AUC, {training}", GREEN, "--"),
        Curve(log["val_auc"], f"ROC AUC, {validation}", GREEN),
        Curve(log["train_f1"], f"F1, {training}", VERMILION, "--"),
        Curve(log["val_f1"], f"F1, {validation}", VERMILION),
    )
    draw_curves(ax, log["epoch"], curves, _best_epoch(log))
    ax.set_ylabel("F1 and ROC AUC")


def best_text(log: TrainingLog, best: int) -> str:
    """Return the numbers of the row ``best`` in words."""
    shown_as = (("val_f1", "F1"), ("val_auc", "ROC AUC"), ("val_loss", "validation loss"))
    known = [f"{text} {log[name][best]:.3f}" for name, text in shown_as if np.isfinite(log[name][best])]
    return f"best epoch {log['epoch'][best]:g}: {', '.join(known)}"


def _best_epoch(log: TrainingLog) -> float | None:
    return None if log.best is None else float(log["epoch"][log.best])
