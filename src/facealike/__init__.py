"""facealike: how alike two faces are, and how sure you may be.

    from facealike import compare
    print(compare("one.jpg", "other.jpg"))

Names are loaded on first use, so that ``import facealike`` itself costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .bootstrap import Interval, difference_interval, pair_intervals
    from .calibrate import calibrate
    from .compare import compare
    from .data import People
    from .detect import Detector, DlibDetector, YuNetDetector
    from .embed import Embedder, Model, load_embeddings, save_embeddings
    from .errors import (
        DataError,
        DetectorError,
        DeviceError,
        DownloadError,
        FacealikeError,
        FaceError,
        ImageError,
        ImageNotFound,
        ImageTooLarge,
        LicenceRefused,
        MissingExtra,
        MixedModels,
        ModelError,
        NoFaceFound,
        NotCalibrated,
        PeopleOverlap,
        RecipeError,
        SeveralFaces,
        TrainingError,
        UnreadableImage,
        UnsafeArchive,
        UsageError,
    )
    from .evaluate import Evaluation, evaluate_pairs, evaluate_split
    from .exhaustive import Exhaustive, exhaustive
    from .identification import Identification, OpenSet, closed_set, open_set
    from .image import read_image
    from .model import Calibration, ModelCard, ModelFile, OperatingPoint, Preprocessing
    from .protocols import View2, evaluate_view2
    from .run_report import Report, report
    from .set_protocols import (
        IdentificationEvaluation,
        SetEvaluation,
        evaluate_exhaustive,
        evaluate_identification,
    )
    from .types import Box, Comparison, Face, Pair

# What facealike promises, pinned by tests/test_public_names.py; a checker needs it as a plain list.
__all__ = [
    "Box", "Calibration", "Comparison", "DataError", "Detector", "DetectorError", "DeviceError",
    "DlibDetector", "DownloadError", "Embedder", "Evaluation", "Exhaustive", "Face", "FaceError", "FacealikeError",
    "Identification", "IdentificationEvaluation", "ImageError", "ImageNotFound", "ImageTooLarge",
    "Interval", "LicenceRefused", "MissingExtra", "MixedModels", "Model", "ModelCard", "ModelError", "ModelFile",
    "NoFaceFound", "NotCalibrated", "OpenSet", "OperatingPoint", "Pair", "People", "PeopleOverlap", "Preprocessing",
    "RecipeError", "Report", "SetEvaluation", "SeveralFaces", "TrainingError", "UnreadableImage",
    "UnsafeArchive", "UsageError", "View2", "YuNetDetector", "__version__", "calibrate", "closed_set",
    "compare", "difference_interval", "evaluate_exhaustive", "evaluate_identification", "evaluate_pairs",
    "evaluate_split", "evaluate_view2", "exhaustive", "load_embeddings", "open_set", "pair_intervals",
    "read_image", "report", "save_embeddings",
]  # fmt: skip

_MODULES = {
    "bootstrap": ["Interval", "difference_interval", "pair_intervals"],
    "calibrate": ["calibrate"],
    "compare": ["compare"],
    "data": ["People"],
    "detect": ["Detector", "DlibDetector", "YuNetDetector"],
    "embed": ["Embedder", "Model", "load_embeddings", "save_embeddings"],
    "evaluate": ["Evaluation", "evaluate_pairs", "evaluate_split"],
    "protocols": ["View2", "evaluate_view2"],
    "set_protocols": [
        "IdentificationEvaluation",
        "SetEvaluation",
        "evaluate_exhaustive",
        "evaluate_identification",
    ],
    "exhaustive": ["Exhaustive", "exhaustive"],
    "identification": ["Identification", "OpenSet", "closed_set", "open_set"],
    "image": ["read_image"],
    "model": ["Calibration", "ModelCard", "ModelFile", "OperatingPoint", "Preprocessing"],
    "run_report": ["Report", "report"],
    "types": ["Box", "Comparison", "Face", "Pair"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_HOME.update({name: "errors" for name in __all__ if name not in _HOME and name != "__version__"})


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'facealike' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps ``facealike.compare`` the function.

    On importing a submodule Python binds it to its package, over whatever has the same name there.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
