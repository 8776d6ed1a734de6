"""A finished model in fewer bits, whatever made it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from PIL import Image as PillowImage
from typer.testing import CliRunner

import facealike.train
from facealike import export_model
from facealike.cli import app
from facealike.embedding.face_model import Model
from facealike.errors import DataError, UsageError
from facealike.metrics.similarity import cosine
from facealike.model_file.model_file import ModelFile
from facealike.model_zoo import export as exported
from facealike.model_zoo.quantization import quantize_int8, relative_error
from support.small_network import SIZE, pictures, small_network  # noqa: F401
from support.tiny_model import tiny_model_file


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for number, picture in enumerate(pictures(40, 1)):
        (root / f"{number % 3}").mkdir(exist_ok=True)
        PillowImage.fromarray(picture).save(root / f"{number % 3}" / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def file() -> ModelFile:
    return replace(tiny_model_file(), embedder=small_network())


@pytest.mark.parametrize("bits", [8, 16])
def test_a_model_in_fewer_bits_is_smaller_and_another_one(file: ModelFile, photos: Path, bits: int) -> None:
    before = Model(file)
    found = export_model(before, photos, bits, aligned=True)
    after = Model(found.file)
    assert after.id != before.id and found.faces == 40
    assert found.after == len(found.file.embedder) and found.before == len(file.embedder)
    assert found.file.calibration.rule == "none" and found.file.card.metrics == {}
    assert before.id in found.file.card.provenance["bits"]
    assert found.file.card.trained_records == file.card.trained_records, "whom it knows, it still knows"
    # On faces that it was not fitted to, all the same; the slow twin of what it says it lost.
    crops = pictures(30, 2)
    a, b = before.embed_crops(crops), after.embed_crops(crops)
    assert float(cosine(a, b).min()) > 0.99
    a, b = before.embed_crops(pictures(40, 1)), after.embed_crops(pictures(40, 1))
    middle = sum(a) / len(a)
    lost = sum(np.sum((x - y) ** 2) for x, y in zip(a, b, strict=True))
    spread = sum(np.sum((x - middle) ** 2) for x in a)
    assert 0 < found.lost == pytest.approx(lost / spread, rel=1e-3)


@pytest.mark.parametrize(("batch", "opset"), [(1, 17), ("n", 11), (1, 12)])
def test_networks_of_others(file: ModelFile, photos: Path, batch: str | int, opset: int) -> None:
    other = replace(file, embedder=small_network(batch, opset))
    found = export_model(Model(other), photos, aligned=True)
    graph = onnx.load_model_from_string(found.file.embedder).graph
    assert sum(node.op_type == "Conv" for node in graph.node) == 2
    assert sum(weight.data_type == TensorProto.INT8 for weight in graph.initializer) >= 2
    assert not any(node.op_type == "BatchNormalization" for node in graph.node), "fold_batch_norms away"
    assert found.lost < 0.01


def test_what_cannot_be_done_is_told(
    file: ModelFile, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="in 8 or in 16 bits, not in 4"):
        export_model(Model(file), photos, 4, aligned=True)
    with pytest.raises(UsageError, match="no convolutions"):
        export_model(Model(tiny_model_file()), photos, aligned=True)
    short = replace(
        file, embedder=quantize_int8(file.embedder, Model(file).preprocessing.normalize(pictures(8, 3)))
    )
    with pytest.raises(UsageError, match="8 bits already"):
        export_model(Model(short), photos, aligned=True)
    with pytest.raises(DataError, match="no photos"):
        export_model(Model(file), tmp_path, aligned=True)
    PillowImage.fromarray(pictures(1, 4)[0]).save(tmp_path / "one.png")
    with pytest.raises(DataError, match="in 1 photos, and 32 are needed"):
        export_model(Model(file), tmp_path, aligned=True)
    monkeypatch.setattr(exported, "MAX_RELATIVE_ERROR", 1e-9)
    for bits, advice in ((8, "try --bits 16"), (16, "leave it as it is")):
        with pytest.raises(UsageError, match=advice):
            export_model(Model(file), photos, bits, aligned=True)


def test_the_command(file: ModelFile, photos: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "m.facealike", tmp_path / "small.facealike"
    file.write(source)
    words = ["export", str(source), str(photos), "--aligned", "--out", str(out)]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    written = ModelFile.read(out)
    assert told["model_id"] == written.id and told["bits"] == 8 and told["out"] == str(out)
    assert written.embedder == export_model(Model(file), photos, aligned=True).file.embedder, "the same again"
    assert CliRunner().invoke(app, [*words, "--bits", "7"]).exit_code == 2
    plain = CliRunner().invoke(app, words)
    assert plain.exit_code == 0 and "not calibrated yet" in plain.stdout


def test_how_far_apart_vectors_are() -> None:
    wanted = np.array([[0.0, 0], [2, 0]], dtype=np.float32)  # a variance of 1
    assert relative_error(wanted, wanted) == 0
    assert relative_error(wanted, wanted + np.float32(0.1)) == pytest.approx(0.02, rel=1e-5)


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from facealike.__main__ import main
main()
"""
"""The program where these packages are not installed."""


def program(blocked: set[str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    script = WITHOUT.format(blocked=blocked)
    return subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True)


@pytest.mark.parametrize("cohort", [False, True])
def test_export_needs_no_torch(file: ModelFile, photos: Path, tmp_path: Path, cohort: bool) -> None:
    source, out = tmp_path / "m.facealike", tmp_path / "small.facealike"
    file.write(source)
    blocked = {"torch", "lightning", "pytorch_metric_learning", "onnxscript", "tensorboard", "matplotlib"}
    words = ["export", source, photos, "--aligned", "--out", out]
    done = program(blocked, *words, *(["--cohort"] if cohort else []))
    if cohort:  # scikit-learn is loaded; these photos are too few
        assert done.returncode == 2 and "40 faces is too small" in done.stderr, done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert ModelFile.read(out).id != file.id


@pytest.mark.parametrize("package", ["onnx", "sklearn"])
def test_without_the_extra_one_sentence_names_it(
    file: ModelFile, photos: Path, tmp_path: Path, package: str
) -> None:
    source, out = tmp_path / "m.facealike", tmp_path / "small.facealike"
    file.write(source)
    done = program({package}, "export", source, photos, "--aligned", "--out", out)
    assert done.returncode == 2 and not out.exists() and not done.stdout
    assert done.stderr == (
        f"facealike: exporting a model needs {package}, which is not installed; "
        'run: pip install "facealike[export]"\n'
    )


@pytest.mark.parametrize("name", ["export_model", "Exported"])
def test_the_old_place_of_a_public_name_works_and_warns(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"use facealike.{name}"):
        assert getattr(facealike.train, name) is getattr(facealike, name)
