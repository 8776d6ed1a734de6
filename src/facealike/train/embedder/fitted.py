"""The state of a run between training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..model_card import InitialWeights
from .dataset import Plan


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained network that is not evaluated yet.

    Args:
        plan: The data of the run.
        onnx: The exported network.
        run: The run folder.
        cache: The folder of the face crops.
        device: The device, as the card names it.
        rows: The epochs of the log.
        warnings: Messages of the sanity checks.
        initial: The weights that training began with; None for random ones.
    """

    plan: Plan
    onnx: bytes
    run: Path
    cache: Path
    device: str
    rows: list[dict[str, float]]
    warnings: tuple[str, ...] = ()
    initial: InitialWeights | None = None

    @property
    def seconds(self) -> float:
        """Time spent in epochs, over all processes of the run."""
        return sum(row["seconds"] for row in self.rows)
