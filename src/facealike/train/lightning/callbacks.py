"""Lightning callbacks: atomic checkpoints, early stopping, progress bar and epoch log."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar

from ...utils.atomic_write import file_beside, write_text

WATCHED = ("val_loss", "val_f1", "val_auc", "train_f1", "train_auc", "spread")
REPORTED = {"train_f1": "F1 train", "val_f1": "validation"}  # in the line of an epoch on stderr


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written to a temporary file, flushed and renamed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint; after a kill the old or the new one exists."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with file_beside(path) as beside, beside.open("wb") as stream:  # vectors of many people are long
            torch.save(checkpoint, stream)


class PatientStopping(EarlyStopping):
    """Early stopping that stays stopped: a run that is resumed after its last epoch trains no further one.

    Lightning stores callback states under the name of the class: renaming it breaks ``--resume``.
    """

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def time_left(seconds: float) -> str:
    """Return a duration in words: "40 s left", "5 min left", "3 h 20 min left"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(0, round(seconds))} s left"
    return f"{minutes} min left" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min left"


class Clock:
    """Estimate the remaining time of a run from the steps of this process."""

    def __init__(self) -> None:
        self._start, self._first = 0.0, 0

    def start(self, step: int) -> None:
        """Start before the first step, ``step``, of this process; a resumed run does not begin at 0."""
        self._start, self._first = time.perf_counter(), step

    def left(self, step: int, total: int) -> str:
        """Return the time left after ``step`` of ``total`` steps, or "" after the first step."""
        if step <= self._first:
            return ""
        return time_left((time.perf_counter() - self._start) / (step - self._first) * max(0, total - step))


class Bar(RichProgressBar):
    """Lightning's progress bar with loss, validation F1, speed and time left; epochs count from 1."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = Clock()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._clock.start(trainer.global_step)
        super().on_train_start(trainer, pl_module)

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}"

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        shown = super().get_metrics(trainer, pl_module)
        names = {"train_loss_step": "loss", "val_f1": "F1 validation", "images/s": "images/s"}
        found: dict[str, Any] = {names[key]: shown[key] for key in names if key in shown}
        left = self._clock.left(trainer.global_step, total_steps(trainer))
        return {**found, "run": left} if left else found


def total_steps(trainer: Any) -> int:
    """Return the steps of the whole run without early stopping."""
    return int(trainer.max_epochs * trainer.num_training_batches)


class EpochLog(Callback):
    """Writes ``log.csv``, one row per epoch.  The rows are part of the checkpoint.

    Lightning stores callback states under the name of the class: renaming it breaks ``--resume``.

    Args:
        path: The CSV file; None writes and prints nothing, for processes beside the first.
        images_per_epoch: Images of an epoch, for the speed.
        echo: Print a line per epoch on stderr.
        watched: Metrics of a row, if they were logged.
        reported: Metrics of the line and their names there.
    """

    def __init__(
        self, path: Path | None, images_per_epoch: int, echo: bool,
        watched: Sequence[str] = WATCHED, reported: Mapping[str, str] = REPORTED,
    ) -> None:  # fmt: skip
        self._path, self._images, self._echo = path, images_per_epoch, echo
        self._watched, self._reported = tuple(watched), dict(reported)
        self.rows: list[dict[str, float]] = []
        self._started = self._trained = 0.0
        self._clock = Clock()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._clock.start(trainer.global_step)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._trained = time.perf_counter()  # the last batch of the epoch ends the measured time
        if batch_idx > 0:
            rate = self._images / trainer.num_training_batches * (batch_idx + 1)
            pl_module.log("images/s", rate / (self._trained - self._started), prog_bar=True)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        seconds = self._trained - self._started
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row: dict[str, float] = {"epoch": trainer.current_epoch + 1}
        row["train_loss"] = metrics["train_loss_epoch"]
        row.update({name: metrics[name] for name in self._watched if name in metrics})
        row["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["images_per_second"] = self._images / seconds
        row["seconds"] = seconds
        self.rows.append(row)
        if self._path is None:
            return
        text = io.StringIO()
        columns = ("epoch", "train_loss", *self._watched, "learning_rate", "images_per_second", "seconds")
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in entry.items()} for entry in self.rows)
        write_text(self._path, text.getvalue())
        if self._echo:
            watched = ", ".join(
                f"{word} {row[name]:.3f}" for name, word in self._reported.items() if name in row
            )
            print(
                f"epoch {row['epoch']:.0f}/{trainer.max_epochs}  loss {row['train_loss']:.4f}  {watched}  "
                f"{row['images_per_second']:.0f} images/s  "
                f"{self._clock.left(trainer.global_step, total_steps(trainer))}",
                file=sys.stderr,
                flush=True,
            )
