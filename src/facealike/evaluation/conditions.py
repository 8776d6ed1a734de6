"""What was tested, on what, where and when."""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..embedding.face_model import Model
from ..utils.ordered_threads import available_cores
from ..utils.processor import read_processor
from ..utils.result import Shown

PACKAGES = ("onnxruntime", "numpy", "pillow")


@dataclass(frozen=True, repr=False)
class Conditions(Shown):
    """The model, the data and the machine of a test.

    Args:
        model: The id of the model.
        name: Its name.
        created: The date on its card.
        about: Further entries of its card, in words: intended use, limits, licenses.
        detector: The kind of its detector.
        data: The name of the folder of people.
        split: Its part.
        seed: Of everything that is drawn at random.
        date: Of the test, UTC, as 2026-01-31.
        machine: Processor and cores.
        versions: Of facealike, Python and the packages that decide the figures.
    """

    model: str
    name: str
    created: str
    about: dict[str, str]
    detector: str
    data: str
    split: str
    seed: int
    date: str
    machine: str
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "name": self.name,
            "created": self.created,
            "about": self.about,
            "detector": self.detector,
            "data": self.data,
            "split": self.split,
            "seed": self.seed,
            "date": self.date,
            "machine": self.machine,
            "versions": self.versions,
        }

    def __str__(self) -> str:
        return f"model {self.model} ({self.name}) on {self.data}, {self.split}, {self.date}, {self.machine}"


def conditions(model: Model, root: str | Path, split: str, seed: int) -> Conditions:
    """Return the conditions of a test that runs now, on this machine."""
    card, spec = model.file.card, model.detector.spec
    about = {"intended use": card.intended_use, "limits": card.limits}
    about |= {f"license of the {part.replace('_', ' ')}": text for part, text in card.licence.items()}
    versions = {"facealike": __version__, "Python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in PACKAGES}
    return Conditions(
        model=model.id,
        name=card.name,
        created=card.created,
        about={name: text for name, text in about.items() if text},
        detector=str(spec["kind"]),
        data=Path(root).resolve().name,
        split=split,
        seed=seed,
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        machine=f"{read_processor().name}, {available_cores()} cores",
        versions=versions,
    )
