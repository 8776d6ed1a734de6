"""facealike: how alike two faces are, and how sure you may be.

    from facealike import compare
    print(compare("one.jpg", "other.jpg"))

Names are loaded on first use, so that ``import facealike`` itself costs next to nothing.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

# onnxruntime 1.32 sends events to its maker, and keeps an identifier of the machine in the user's cache
# folder, unless this is set before it is loaded.  Nothing is to leave the machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from .auditing.audit import audit
    from .auditing.faults import Fault
    from .auditing.result import Audit
    from .bulk.bulk_embedding import BulkEmbedding, embed_all
    from .bulk.local_engine import LocalEngine
    from .bulk.ray_engine import RayEngine
    from .calibration.calibration import Calibration
    from .calibration.operating_points import OperatingPoint
    from .clustering.cluster import cluster
    from .clustering.evaluation import ClusteringEvaluation, ClusteringEvaluator
    from .clustering.names import PersonMatch
    from .clustering.people_folders import PeopleFolders
    from .clustering.result import ClusteredFace, Clustering, PersonPair
    from .datasets.people import People
    from .detection.base import Detector
    from .detection.dlib_hog import DlibDetector
    from .detection.registry import default_detector
    from .detection.yunet import YuNetDetector
    from .embedding.cropper import FaceCrop
    from .embedding.embedded_photos import EmbeddedFace, EmbeddedPhoto
    from .embedding.embedder import Embedder
    from .embedding.embeddings_file import load_embeddings, save_embeddings
    from .embedding.face_model import Model
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
        LicenseRefused,
        MissingExtra,
        MixedModels,
        ModelError,
        NoFaceFound,
        NotCalibrated,
        PeopleOverlap,
        RecipeError,
        ServiceError,
        SeveralFaces,
        TrainingError,
        UnreadableImage,
        UnsafeArchive,
        UsageError,
        VideoError,
    )
    from .evaluation.all_pairs import AllPairsEvaluator, SetEvaluation, evaluate_exhaustive
    from .evaluation.calibrate import calibrate
    from .evaluation.demographics import GroupEvaluator, evaluate_groups
    from .evaluation.discard import DiscardEvaluation, DiscardEvaluator
    from .evaluation.evaluator import EvaluationOptions
    from .evaluation.full import FullEvaluator
    from .evaluation.full_result import FullEvaluation
    from .evaluation.identification import (
        IdentificationEvaluation,
        IdentificationEvaluator,
        evaluate_identification,
    )
    from .evaluation.lfw_view2 import View2, View2Evaluator, evaluate_view2
    from .evaluation.template_pairs import TemplateEvaluation, TemplateEvaluator
    from .evaluation.verification import PairEvaluator, SplitEvaluator, evaluate_pairs, evaluate_split
    from .evaluation.verification_result import Evaluation
    from .gallery.candidates import Candidate, CandidateList
    from .gallery.embedding_map import MapReport
    from .gallery.encryption import decrypt_gallery, encrypt_gallery, rekey_gallery
    from .gallery.enrollment import BulkEnrollment, Enrollment, RefusedPhoto
    from .gallery.gallery import Gallery
    from .gallery.gallery_key import write_new_key
    from .gallery.info import GalleryInfo
    from .gallery.integrity import GalleryCheck
    from .gallery.migration import GalleryMigration, migrate_gallery
    from .gallery.person_verification import PersonVerification
    from .gallery.portable import ImportedGallery
    from .gallery.resemblance import Lookalike, OutlierPhoto
    from .gallery.threshold import FpirThreshold
    from .imaging.photo_warning import PhotoWarning
    from .imaging.read import read_image
    from .metrics.all_pairs import Exhaustive, exhaustive
    from .metrics.bootstrap import Interval, difference_interval, pair_intervals
    from .metrics.clustering import ClusterAgreement, cluster_agreement
    from .metrics.demographics import GroupEvaluation
    from .metrics.error_discard import ErrorDiscard, error_discard
    from .metrics.extrapolation import Extrapolation, extrapolate
    from .metrics.identification import Identification, OpenSet, closed_set, open_set
    from .model_file.card import ModelCard
    from .model_file.licenses import License
    from .model_file.model_file import ModelFile, with_detector
    from .model_file.preprocessing import Preprocessing
    from .model_file.store import StoredModel, remove_model, stored_models
    from .model_zoo.bundle import write_bundle
    from .model_zoo.export import Exported, export_model
    from .model_zoo.install import add_model
    from .model_zoo.onnx_import import wrap_onnx
    from .model_zoo.self_test import Verification, verify_model
    from .quality.result import Quality
    from .quality.score import face_quality
    from .reports.run_report import Report, report
    from .types import Box, Face, Pair
    from .verification.compare import compare
    from .verification.explain import explain
    from .verification.explanation import Explanation
    from .verification.result import Comparison
    from .video.annotate import annotate_video
    from .video.frames import VideoFrame, read_frames
    from .video.result import Track, TrackedFace, VideoTracks
    from .video.tracking import track_faces

# Pinned by tests/repository/test_public_names.py; type checkers need a plain list.
__all__ = [
    "AllPairsEvaluator",
    "Audit",
    "Box",
    "BulkEmbedding",
    "BulkEnrollment",
    "Calibration",
    "Candidate",
    "CandidateList",
    "ClusterAgreement",
    "ClusteredFace",
    "Clustering",
    "ClusteringEvaluation",
    "ClusteringEvaluator",
    "Comparison",
    "DataError",
    "Detector",
    "DetectorError",
    "DeviceError",
    "DiscardEvaluation",
    "DiscardEvaluator",
    "DlibDetector",
    "DownloadError",
    "EmbeddedFace",
    "EmbeddedPhoto",
    "Embedder",
    "Enrollment",
    "ErrorDiscard",
    "Evaluation",
    "EvaluationOptions",
    "Exhaustive",
    "Explanation",
    "Exported",
    "Extrapolation",
    "Face",
    "FaceCrop",
    "FaceError",
    "FacealikeError",
    "Fault",
    "FpirThreshold",
    "FullEvaluation",
    "FullEvaluator",
    "Gallery",
    "GalleryCheck",
    "GalleryInfo",
    "GalleryMigration",
    "GroupEvaluation",
    "GroupEvaluator",
    "Identification",
    "IdentificationEvaluation",
    "IdentificationEvaluator",
    "ImageError",
    "ImageNotFound",
    "ImageTooLarge",
    "ImportedGallery",
    "Interval",
    "License",
    "LicenseRefused",
    "LocalEngine",
    "Lookalike",
    "MapReport",
    "MissingExtra",
    "MixedModels",
    "Model",
    "ModelCard",
    "ModelError",
    "ModelFile",
    "NoFaceFound",
    "NotCalibrated",
    "OpenSet",
    "OperatingPoint",
    "OutlierPhoto",
    "Pair",
    "PairEvaluator",
    "People",
    "PeopleFolders",
    "PeopleOverlap",
    "PersonMatch",
    "PersonPair",
    "PersonVerification",
    "PhotoWarning",
    "Preprocessing",
    "Quality",
    "RayEngine",
    "RecipeError",
    "RefusedPhoto",
    "Report",
    "ServiceError",
    "SetEvaluation",
    "SeveralFaces",
    "SplitEvaluator",
    "StoredModel",
    "TemplateEvaluation",
    "TemplateEvaluator",
    "Track",
    "TrackedFace",
    "TrainingError",
    "UnreadableImage",
    "UnsafeArchive",
    "UsageError",
    "Verification",
    "VideoError",
    "VideoFrame",
    "VideoTracks",
    "View2",
    "View2Evaluator",
    "YuNetDetector",
    "__version__",
    "add_model",
    "annotate_video",
    "audit",
    "calibrate",
    "closed_set",
    "cluster",
    "cluster_agreement",
    "compare",
    "decrypt_gallery",
    "default_detector",
    "difference_interval",
    "embed_all",
    "encrypt_gallery",
    "error_discard",
    "evaluate_exhaustive",
    "evaluate_groups",
    "evaluate_identification",
    "evaluate_pairs",
    "evaluate_split",
    "evaluate_view2",
    "exhaustive",
    "explain",
    "export_model",
    "extrapolate",
    "face_quality",
    "load_embeddings",
    "migrate_gallery",
    "open_set",
    "pair_intervals",
    "read_frames",
    "read_image",
    "rekey_gallery",
    "remove_model",
    "report",
    "save_embeddings",
    "stored_models",
    "track_faces",
    "verify_model",
    "with_detector",
    "wrap_onnx",
    "write_bundle",
    "write_new_key",
]

_MODULES = {
    "auditing.audit": ["audit"],
    "auditing.faults": ["Fault"],
    "auditing.result": ["Audit"],
    "bulk.bulk_embedding": ["BulkEmbedding", "embed_all"],
    "bulk.local_engine": ["LocalEngine"],
    "bulk.ray_engine": ["RayEngine"],
    "calibration.calibration": ["Calibration"],
    "calibration.operating_points": ["OperatingPoint"],
    "clustering.cluster": ["cluster"],
    "clustering.evaluation": ["ClusteringEvaluation", "ClusteringEvaluator"],
    "clustering.names": ["PersonMatch"],
    "clustering.people_folders": ["PeopleFolders"],
    "clustering.result": ["ClusteredFace", "Clustering", "PersonPair"],
    "datasets.people": ["People"],
    "detection.base": ["Detector"],
    "detection.dlib_hog": ["DlibDetector"],
    "detection.registry": ["default_detector"],
    "detection.yunet": ["YuNetDetector"],
    "embedding.cropper": ["FaceCrop"],
    "embedding.embedded_photos": ["EmbeddedFace", "EmbeddedPhoto"],
    "embedding.embedder": ["Embedder"],
    "embedding.embeddings_file": ["load_embeddings", "save_embeddings"],
    "embedding.face_model": ["Model"],
    "evaluation.all_pairs": ["AllPairsEvaluator", "SetEvaluation", "evaluate_exhaustive"],
    "evaluation.calibrate": ["calibrate"],
    "evaluation.demographics": ["GroupEvaluator", "evaluate_groups"],
    "evaluation.discard": ["DiscardEvaluation", "DiscardEvaluator"],
    "evaluation.evaluator": ["EvaluationOptions"],
    "evaluation.full": ["FullEvaluator"],
    "evaluation.full_result": ["FullEvaluation"],
    "evaluation.identification": [
        "IdentificationEvaluation",
        "IdentificationEvaluator",
        "evaluate_identification",
    ],
    "evaluation.lfw_view2": ["View2", "View2Evaluator", "evaluate_view2"],
    "evaluation.template_pairs": ["TemplateEvaluation", "TemplateEvaluator"],
    "evaluation.verification": ["PairEvaluator", "SplitEvaluator", "evaluate_pairs", "evaluate_split"],
    "evaluation.verification_result": ["Evaluation"],
    "gallery.candidates": ["Candidate", "CandidateList"],
    "gallery.embedding_map": ["MapReport"],
    "gallery.enrollment": ["BulkEnrollment", "Enrollment", "RefusedPhoto"],
    "gallery.encryption": ["decrypt_gallery", "encrypt_gallery", "rekey_gallery"],
    "gallery.gallery": ["Gallery"],
    "gallery.gallery_key": ["write_new_key"],
    "gallery.info": ["GalleryInfo"],
    "gallery.integrity": ["GalleryCheck"],
    "gallery.migration": ["GalleryMigration", "migrate_gallery"],
    "gallery.person_verification": ["PersonVerification"],
    "gallery.portable": ["ImportedGallery"],
    "gallery.resemblance": ["Lookalike", "OutlierPhoto"],
    "gallery.threshold": ["FpirThreshold"],
    "imaging.photo_warning": ["PhotoWarning"],
    "imaging.read": ["read_image"],
    "metrics.all_pairs": ["Exhaustive", "exhaustive"],
    "metrics.bootstrap": ["Interval", "difference_interval", "pair_intervals"],
    "metrics.clustering": ["ClusterAgreement", "cluster_agreement"],
    "metrics.demographics": ["GroupEvaluation"],
    "metrics.error_discard": ["ErrorDiscard", "error_discard"],
    "metrics.extrapolation": ["Extrapolation", "extrapolate"],
    "metrics.identification": ["Identification", "OpenSet", "closed_set", "open_set"],
    "model_file.card": ["ModelCard"],
    "model_file.licenses": ["License"],
    "model_file.model_file": ["ModelFile", "with_detector"],
    "model_file.preprocessing": ["Preprocessing"],
    "model_file.store": ["StoredModel", "remove_model", "stored_models"],
    "model_zoo.bundle": ["write_bundle"],
    "model_zoo.export": ["Exported", "export_model"],
    "model_zoo.install": ["add_model"],
    "model_zoo.onnx_import": ["wrap_onnx"],
    "model_zoo.self_test": ["Verification", "verify_model"],
    "quality.result": ["Quality"],
    "quality.score": ["face_quality"],
    "reports.run_report": ["Report", "report"],
    "types": ["Box", "Face", "Pair"],
    "verification.compare": ["compare"],
    "verification.explain": ["explain"],
    "verification.explanation": ["Explanation"],
    "verification.result": ["Comparison"],
    "video.annotate": ["annotate_video"],
    "video.frames": ["VideoFrame", "read_frames"],
    "video.result": ["Track", "TrackedFace", "VideoTracks"],
    "video.tracking": ["track_faces"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_HOME.update({name: "errors" for name in __all__ if name not in _HOME and name != "__version__"})


# Public names of the last release and what they are called now; each is kept for one release.
# To rename a public name: rename it everywhere, add one row here and one line to CHANGELOG.md (Changed).
_RENAMED: dict[str, str] = {
    "Licence": "License",
    "LicenceRefused": "LicenseRefused",
    "shipped_detector": "default_detector",
}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        new = _RENAMED[name]
        message = f"facealike.{name} is renamed: use facealike.{new}; the next release removes the old name"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[__name__], new)
    if name not in _HOME:
        raise AttributeError(f"module 'facealike' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
