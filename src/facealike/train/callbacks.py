"""What the loop writes while it runs: checkpoints that are never half written, and the epoch log."""

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

from ..files import write_bytes, write_text

WATCHED = ("val_loss", "val_f1", "val_auc", "train_f1", "train_auc", "spread")
SAID = {"train_f1": "F1 train", "val_f1": "validation"}  # what an epoch's line on stderr says


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints written beside, flushed and renamed: after a kill the old or the new one is there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(Path(path), buffer.getvalue())


class PatientStopping(EarlyStopping):
    """Early stopping that also stays stopped: a run resumed after its last epoch trains no further one."""

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Bar(RichProgressBar):
    """Lightning's bar with the three numbers worth watching."""

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        shown = super().get_metrics(trainer, pl_module)
        names = {"train_loss_step": "loss", "val_f1": "F1 validation", "images/s": "images/s"}
        return {names[key]: shown[key] for key in names if key in shown}


class EpochLog(Callback):
    """One row an epoch, in ``log.csv``; part of the checkpoint, so a resumed run has one whole log.

    ``watched`` are the metrics that a row holds, where they were logged; ``said`` are those that the
    epoch's line names, and how.
    """

    def __init__(
        self, path: Path, images_per_epoch: int, echo: bool,
        watched: Sequence[str] = WATCHED, said: Mapping[str, str] = SAID,
    ) -> None:  # fmt: skip
        self._path, self._images, self._echo = path, images_per_epoch, echo
        self._watched, self._said = tuple(watched), dict(said)
        self.rows: list[dict[str, float]] = []
        self._started = self._trained = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._trained = time.perf_counter()  # the last one of the epoch ends what is timed
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
        text = io.StringIO()
        columns = ("epoch", "train_loss", *self._watched, "learning_rate", "images_per_second", "seconds")
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in entry.items()} for entry in self.rows)
        write_text(self._path, text.getvalue())
        if self._echo:
            watched = ", ".join(f"{word} {row[name]:.3f}" for name, word in self._said.items() if name in row)
            print(
                f"epoch {row['epoch']:.0f}/{trainer.max_epochs}  loss {row['train_loss']:.4f}  {watched}  "
                f"{row['images_per_second']:.0f} images/s",
                file=sys.stderr,
                flush=True,
            )
