"""What facealike promises: these names and no others, each explained, at next to no cost."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

import facealike

PUBLIC = {
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
    "SetEvaluation",
    "ServiceError",
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
    "default_detector",
    "difference_interval",
    "decrypt_gallery",
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
}


def test_the_names_are_these() -> None:
    assert set(facealike.__all__) == PUBLIC and len(facealike.__all__) == len(PUBLIC)
    assert set(dir(facealike)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_each_name_is_there_and_has_a_docstring(name: str) -> None:
    value = getattr(facealike, name)
    documentation = value.__doc__
    assert documentation and documentation.strip()
    # dataclass writes its signature where there is no docstring; that explains nothing.
    assert not documentation.startswith(f"{name}(")
    assert value.__name__ == name


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_public_methods_have_docstrings_and_annotations(name: str) -> None:
    value = getattr(facealike, name)
    if not inspect.isclass(value) or issubclass(value, Exception):
        return
    for method_name, method in vars(value).items():
        function = getattr(method, "__func__", method)
        if method_name.startswith("_") or not inspect.isfunction(function):
            continue
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, f"{name}.{method_name}"
        unexplained = ("to_dict", "detect")  # the same everywhere; the class says it
        assert function.__doc__ or method_name in unexplained, f"{name}.{method_name} has no docstring"


def test_every_error_is_public_and_below_the_base() -> None:
    module = importlib.import_module("facealike.errors")
    errors = {name for name, value in vars(module).items() if inspect.isclass(value)}
    assert errors <= PUBLIC
    assert all(issubclass(getattr(facealike, name), facealike.FacealikeError) for name in errors)
    assert {getattr(facealike, name).exit_code for name in errors} == {2, 3, 4}


def test_the_imports_that_type_checkers_and_the_docs_read_are_the_modules_of_the_lazy_ones() -> None:
    tree = ast.parse(inspect.getsource(facealike))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    read = {alias.asname or alias.name: node.module for node in imports for alias in node.names}
    assert read == facealike._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = facealike.nonsense
    assert not hasattr(facealike, "nonsense")


def test_a_renamed_name_works_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facealike, "_RENAMED", {"likeness": "compare"})
    with pytest.warns(
        DeprecationWarning, match="facealike.likeness is renamed: use facealike.compare"
    ) as found:
        assert facealike.likeness is facealike.compare
    assert found[0].filename == __file__, "the warning names the caller"


def test_renamed_names_lead_to_public_names() -> None:
    assert set(facealike._RENAMED.values()) <= PUBLIC and not set(facealike._RENAMED) & PUBLIC


def test_importing_facealike_loads_nothing_heavy() -> None:
    script = (
        "import facealike, sys; heavy = {'numpy', 'PIL', 'onnxruntime', 'dlib', 'typer', 'rich', 'torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_submodule_imported_first_does_not_hide_the_function() -> None:
    script = (
        "import facealike.verification.compare, facealike.detection.yunet, facealike\n"
        "from facealike import compare\n"
        "assert callable(compare) and facealike.compare is compare\n"
        "from facealike.verification.compare import compare as again; assert again is compare"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
