"""Options that all training runs share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from ..detection.base import Detector
from ..types import Progress


class TrainingKeywords(TypedDict, total=False):
    """The fields of ``TrainingOptions`` as keyword arguments of ``train``, ``distil`` and ``train_folds``."""

    detector: Detector | None
    device: str
    resume: bool
    cache: str | Path | None
    progress: Progress | None
    strict: bool
    devices: int
    nodes: int


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is carried out; the recipe decides what is trained.

    Examples:
        >>> options = TrainingOptions(device="cuda:0", cache="crops")
        >>> result = train("people", load_recipe("fine-tuned"), "mine.facealike", options=options)

    Args:
        detector: Finds the faces; None for the detector of the recipe.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        resume: Continue after the last whole epoch, with the draws that the run would have made.
        cache: Folder that keeps the face crops; None for "crops" beside the run folder.
        progress: Called with (done, total) photos while faces are cropped.
        strict: Raise at the first photo that cannot be read, instead of leaving it out.
        devices: Processes on each machine, one for each GPU or, on a CPU, for some of the cores.  Together
            they see the batches that one process would see.  ``train`` only.
        nodes: Machines.
    """

    detector: Detector | None = None
    device: str = "auto"
    resume: bool = False
    cache: str | Path | None = None
    progress: Progress | None = None
    strict: bool = False
    devices: int = 1
    nodes: int = 1

    def crops_folder(self, beside: Path) -> Path:
        """Return the folder of the face crops: ``cache``, or "crops" in the folder ``beside``."""
        return Path(self.cache) if self.cache is not None else beside / "crops"


def with_keywords(options: TrainingOptions | None, keywords: TrainingKeywords) -> TrainingOptions:
    """Return ``options``, or the default ones, with the fields in ``keywords`` replaced."""
    return replace(options or TrainingOptions(), **keywords)


def run_folder(out: Path, run: str | Path | None) -> Path:
    """Return the folder of a run: ``run``, or ``out`` without its ending, plus "-run"."""
    return Path(run) if run is not None else out.with_name(out.stem + "-run")
