"""Who may import whom: only downwards, and torch only in the training room."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import facealike
from tiny_model import hopper_path, tiny_model_file

ROOT = Path(facealike.__file__).parent

# From the ground up: a module imports only from floors below its own.  Modules of one floor do not
# know each other.
FLOORS = [
    ["errors", "face_policy", "photo_warning", "escape", "wording", "once", "turns"],
    ["result", "files"],
    ["drawing", "plots"],
    ["score_plots"],
    ["types"],
    ["formats", "convert", "truncated"],
    ["image", "lock", "align", "metrics", "fields", "onnx_writer", "onnx_data", "workers"],
    ["sessions", "foreign", "csv_table"],
    ["device"],
    [
        "montage", "sampling", "landmarks", "weighted", "resampling", "tally", "archive", "probability",
        "document", "quality", "dlib_resnet", "openvino_ir", "onnx_fold", "licence",
        "detector_spec", "calibration_pairs", "best_pair",
        "download", "photo", "photo_digest", "folders",
    ],
    ["bootstrap", "reliability", "seen", "face_picture"],
    ["impostors"],
    ["group_tables"],
    ["groups"],
    ["exhaustive", "identification", "operating", "evaluation"],
    ["calibration_fields"],
    ["calibration"],
    ["model", "detect"],
    ["model_store", "model_page", "alarms", "pipeline"],
    ["embedded_photos"],
    ["registry", "embed"],
    ["embeddings_file"],
    ["byo", "dlib_model", "model_bundle", "verify"],
    ["add_model"],
    ["data", "lfw", "group_list", "overlap"],
    ["crops", "parts", "duplicates"],
    ["compare", "evaluate"],
    ["protocols", "set_protocols", "group_protocol", "calibrate", "scores_file", "compare_list"],
    ["report", "mistakes"],
    ["run_folder"],
    ["run_figures"],
    ["run_sections"],
    ["run_report"],
    ["train"],
    ["cli"],
    ["__main__"],
]  # fmt: skip
FLOOR = {module: number for number, modules in enumerate(FLOORS) for module in modules}
TRAINING_ONLY = {
    "torch", "lightning", "pytorch_metric_learning", "sklearn", "tensorboard", "onnx", "onnxscript",
    "openvino",
}  # fmt: skip
NEVER = {"scipy", "cv2", "skimage", "hypothesis", "pytest"}

Import = tuple[str, bool]
"""A module's full name, and whether it is imported for type checking only."""


def imports(path: Path) -> list[Import]:
    """Everything ``path`` imports, inside functions too; relative names are spelt out."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for statement in branch.body
        for node in ast.walk(statement)
    }
    package = ["facealike", *path.relative_to(ROOT).parent.parts]
    found: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node in typing_only) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            if node.module is None:  # from . import a, b
                found += [(f"{name}.{alias.name}", node in typing_only) for alias in node.names]
            else:
                found.append((name, node in typing_only))
    return found


def module_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


SOURCES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def test_every_module_has_a_floor() -> None:
    assert {module_of(path) for path in SOURCES} <= set(FLOOR), "give the new module a floor in FLOORS"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    mine = module_of(path)
    for name, typing_only in imports(path):
        parts = name.split(".")
        if parts[0] != "facealike" or typing_only or len(parts) == 1:
            continue
        other = parts[1]
        if other.startswith("__"):
            continue
        assert other == mine or FLOOR[other] < FLOOR[mine], f"{mine} must not import {other}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_torch_lives_in_the_training_room_only(path: Path) -> None:
    names = {name.split(".")[0] for name, typing_only in imports(path) if not typing_only}
    assert not names & NEVER
    if module_of(path) != "train":
        assert not names & TRAINING_ONLY


def test_the_walk_sees_imports_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above could not fail if ``imports`` saw nothing."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "x.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nfrom ..errors import A\nfrom . import run\n"
        "from .. import detect, align\nif TYPE_CHECKING:\n    import scipy\n"
        "def f():\n    import torch.nn\n"
    )
    assert sorted(imports(path)) == [
        ("facealike.align", False), ("facealike.detect", False), ("facealike.errors", False),
        ("facealike.train.run", False), ("scipy", True), ("torch.nn", False), ("typing", False),
    ]  # fmt: skip


HEAVY = "{'torch', 'lightning', 'matplotlib', 'sklearn', 'scipy', 'cv2', 'pytorch_metric_learning', 'onnx'}"


def run(script: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_whole_comparison_needs_only_the_base_install(tmp_path: Path) -> None:
    tiny_model_file().write(tmp_path / "tiny.facealike")
    script = (
        "import sys\n"
        "from facealike.cli import app\n"
        "try:\n"
        "    app(sys.argv[1:])\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0, stop.code\n"
        f"loaded = {HEAVY} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "assert 'onnxruntime' in sys.modules"
    )
    photo = hopper_path()
    assert "same person" in run(script, "compare", photo, photo, "-m", str(tmp_path / "tiny.facealike"))


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from facealike.cli import app\n"
        "try:\n"
        "    app(sys.argv[1:])\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0, stop.code\n"
        f"loaded = ({HEAVY} | {{'numpy', 'PIL', 'onnxruntime', 'dlib'}}) & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    for command in ([], ["compare"], ["calibrate"], ["train"], ["evaluate"], ["data"], ["model", "info"]):
        assert "Usage" in run(script, *command, "--help")
