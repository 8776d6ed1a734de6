"""Who may import whom: packages only downwards, no circle, and each heavy dependency in its place.

The layers stand in ``pyproject.toml``; ``make lint`` checks them with import-linter.  Here each file has a
test of its own, so that a failure names the file.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import facealike
from support.paths import ROOT as PROJECT
from support.tiny_model import hopper_path, tiny_model_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(facealike.__file__).parent
SETTINGS: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
CONTRACTS = {each["id"]: each for each in SETTINGS["tool"]["importlinter"]["contracts"]}
LAYERS = [name.removeprefix("facealike.") for name in CONTRACTS["layers"]["layers"]]
HEIGHT = {name: -number for number, name in enumerate(LAYERS)}
"""A package imports only from those of a smaller height."""

ALLOWED = {
    "torch": {"train", "gallery"}, "lightning": {"train"}, "pytorch_metric_learning": {"train"},
    "tensorboard": {"train"},
    "onnxscript": {"train"}, "openvino": {"train"}, "onnx": {"train", "model_zoo"},
    "sklearn": {"train", "model_zoo"}, "matplotlib": {"plotting"}, "av": {"video"},
    "ray": {"bulk"}, "fsspec": {"bulk"},
    "fastapi": {"service"}, "starlette": {"service"}, "uvicorn": {"service"},
    "prometheus_client": {"service"}, "pydantic_settings": {"service"},
    "pydantic": {"client", "service"}, "httpx": {"client"},
    "scipy": set(), "cv2": set(), "skimage": set(), "hypothesis": set(), "pytest": set(),
}  # fmt: skip
"""The packages that may load a heavy dependency."""

LONGEST = 400  # lines of a file

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


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


SOURCES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
EACH = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def test_every_package_has_its_layer() -> None:
    assert {package_of(path) for path in SOURCES} == set(LAYERS)


def test_modules_lie_in_packages() -> None:
    modules = {path.name for path in ROOT.glob("*.py")}
    assert modules == {"__init__.py", "__main__.py", "_version.py", "errors.py", "types.py"}
    assert len([folder for folder in ROOT.iterdir() if (folder / "__init__.py").is_file()]) <= 25


def test_no_module_hides_a_public_function() -> None:
    """Python binds an imported submodule to its package, over a function of the same name."""
    assert not {package_of(path) for path in SOURCES} & set(facealike.__all__)


@EACH
def test_imports_go_downwards(path: Path) -> None:
    mine = package_of(path)
    for name, typing_only in imports(path):
        parts = name.split(".")
        if parts[0] != "facealike" or typing_only or len(parts) == 1:
            continue
        other = parts[1]
        if other.startswith("__"):
            continue
        assert other == mine or HEIGHT[other] < HEIGHT[mine], f"{mine} must not import {other}"


@EACH
def test_heavy_dependencies_stay_in_their_packages(path: Path) -> None:
    for name in {name.split(".")[0] for name, typing_only in imports(path) if not typing_only}:
        assert package_of(path) in ALLOWED.get(name, {package_of(path)}), f"{name} must not be loaded here"


@EACH
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST, "split it by its ideas"


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


HEAVY = (
    "{'torch', 'av', 'lightning', 'matplotlib', 'sklearn', 'scipy', 'cv2', 'pytorch_metric_learning', 'onnx'}"
)


COMMAND = (
    "import sys\n"
    "from facealike.cli import app\n"
    "try:\n"
    "    app(sys.argv[1:])\n"
    "except SystemExit as stop:\n"
    "    assert stop.code == 0, stop.code\n"
)
"""The command line in this process, so that what it loaded can be asked for afterwards."""


def run(script: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_whole_comparison_needs_only_the_base_install(tmp_path: Path) -> None:
    tiny_model_file().write(tmp_path / "tiny.facealike")
    script = COMMAND + (
        f"loaded = {HEAVY} & set(sys.modules)\nassert not loaded, loaded\nassert 'onnxruntime' in sys.modules"
    )
    photo = hopper_path()
    assert "same person" in run(script, "compare", photo, photo, "-m", str(tmp_path / "tiny.facealike"))


def test_help_loads_nothing_heavy() -> None:
    script = COMMAND + (
        f"loaded = ({HEAVY} | {{'numpy', 'PIL', 'onnxruntime', 'dlib'}}) & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    for command in ([], ["compare"], ["calibrate"], ["train"], ["evaluate"], ["data"], ["model", "info"]):
        assert "Usage" in run(script, *command, "--help")
