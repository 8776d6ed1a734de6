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
    from .add_model import add_model
    from .bootstrap import Interval, difference_interval, pair_intervals
    from .byo import wrap_onnx
    from .calibrate import calibrate, with_detector
    from .compare import compare
    from .data import People
    from .detect import Detector, DlibDetector, YuNetDetector, shipped_detector
    from .embed import Embedder, Model
    from .embedded_photos import EmbeddedFace, EmbeddedPhoto
    from .embeddings_file import load_embeddings, save_embeddings
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
    from .group_protocol import evaluate_groups
    from .groups import GroupEvaluation
    from .identification import Identification, OpenSet, closed_set, open_set
    from .image import read_image
    from .licence import Licence
    from .model import Calibration, ModelCard, ModelFile, OperatingPoint, Preprocessing
    from .model_bundle import write_bundle
    from .model_store import StoredModel, remove_model, stored_models
    from .photo_warning import PhotoWarning
    from .protocols import View2, evaluate_view2
    from .quality import face_quality
    from .run_report import Report, report
    from .set_protocols import (
        IdentificationEvaluation,
        SetEvaluation,
        evaluate_exhaustive,
        evaluate_identification,
    )
    from .types import Box, Comparison, Face, Pair, Quality
    from .verify import Verification, verify_model

# What facealike promises, pinned by tests/test_public_names.py; a checker needs it as a plain list.
__all__ = [
    "Box", "Calibration", "Comparison", "DataError", "Detector", "DetectorError", "DeviceError",
    "DlibDetector", "DownloadError", "EmbeddedFace", "EmbeddedPhoto",
    "Embedder", "Evaluation", "Exhaustive", "Face", "FaceError",
    "FacealikeError", "GroupEvaluation", "Identification", "IdentificationEvaluation", "ImageError",
    "ImageNotFound", "ImageTooLarge", "Interval", "Licence", "LicenceRefused", "MissingExtra",
    "MixedModels", "Model", "ModelCard", "ModelError", "ModelFile", "NoFaceFound", "NotCalibrated",
    "OpenSet", "OperatingPoint", "Pair", "People", "PeopleOverlap", "PhotoWarning", "Preprocessing",
    "Quality", "RecipeError", "Report", "SetEvaluation", "SeveralFaces", "StoredModel", "TrainingError",
    "UnreadableImage", "UnsafeArchive", "UsageError", "Verification", "View2", "YuNetDetector",
    "__version__", "add_model", "calibrate", "closed_set", "compare", "difference_interval",
    "evaluate_exhaustive", "evaluate_groups", "evaluate_identification", "evaluate_pairs",
    "evaluate_split", "evaluate_view2", "exhaustive", "face_quality", "load_embeddings", "open_set",
    "pair_intervals", "read_image", "remove_model", "report", "save_embeddings", "shipped_detector",
    "stored_models", "verify_model", "with_detector", "wrap_onnx", "write_bundle",
]  # fmt: skip

_MODULES = {
    "add_model": ["add_model"],
    "bootstrap": ["Interval", "difference_interval", "pair_intervals"],
    "byo": ["wrap_onnx"],
    "calibrate": ["calibrate", "with_detector"],
    "compare": ["compare"],
    "data": ["People"],
    "detect": ["Detector", "DlibDetector", "YuNetDetector", "shipped_detector"],
    "embed": ["Embedder", "Model"],
    "embedded_photos": ["EmbeddedFace", "EmbeddedPhoto"],
    "embeddings_file": ["load_embeddings", "save_embeddings"],
    "evaluate": ["Evaluation", "evaluate_pairs", "evaluate_split"],
    "protocols": ["View2", "evaluate_view2"],
    "set_protocols": [
        "IdentificationEvaluation",
        "SetEvaluation",
        "evaluate_exhaustive",
        "evaluate_identification",
    ],
    "group_protocol": ["evaluate_groups"],
    "groups": ["GroupEvaluation"],
    "exhaustive": ["Exhaustive", "exhaustive"],
    "identification": ["Identification", "OpenSet", "closed_set", "open_set"],
    "image": ["read_image"],
    "licence": ["Licence"],
    "model": ["Calibration", "ModelCard", "ModelFile", "OperatingPoint", "Preprocessing"],
    "photo_warning": ["PhotoWarning"],
    "quality": ["face_quality"],
    "model_bundle": ["write_bundle"],
    "model_store": ["StoredModel", "remove_model", "stored_models"],
    "run_report": ["Report", "report"],
    "types": ["Box", "Comparison", "Face", "Pair", "Quality"],
    "verify": ["Verification", "verify_model"],
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
