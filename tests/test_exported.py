"""A finished model in fewer bits, whatever made it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike.cli import app
from facealike.embedding.face_model import Model
from facealike.errors import DataError, UsageError
from facealike.metrics.similarity import cosine
from facealike.model_file.model_file import ModelFile
from facealike.model_zoo import export as exported
from facealike.model_zoo.quantization import apart, in_8_bits
from facealike.train import export_model
from tiny_model import tiny_model_file

SIZE = 32


def small_network(batch: str | int = "n", opset: int = 17) -> bytes:
    """As others export them: unnamed nodes, batch norm apart, any batch or one, old opsets."""
    random = np.random.default_rng(0)

    def drawn(name: str, *shape: int) -> onnx.TensorProto:
        fan = max(1, int(np.prod(shape[1:])))
        return numpy_helper.from_array((random.normal(size=shape) / fan**0.5).astype(np.float32), name)

    ones, zeros = np.ones(24, dtype=np.float32), np.zeros(24, dtype=np.float32)
    norm = {"scale": 2 * ones, "shift": ones, "mean": zeros, "variance": ones}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "w1"], ["a"], kernel_shape=[3, 3], strides=[2, 2]),
            helper.make_node("BatchNormalization", ["a", *norm], ["b"]),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[3, 3], strides=[2, 2]),
            helper.make_node("Conv", ["d", "w2"], ["e"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["e", "d"], ["f"]),
            helper.make_node("Relu", ["f"], ["g"]),
            helper.make_node("GlobalAveragePool", ["g"], ["h"]),
            helper.make_node("Flatten", ["h"], ["i"]),
            helper.make_node("MatMul", ["i", "w3"], ["embedding"]),
        ],
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 16])],
        [
            drawn("w1", 24, 3, 3, 3), drawn("w2", 24, 24, 3, 3), drawn("w3", 24, 16),
            *(numpy_helper.from_array(values, name) for name, values in norm.items()),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def pictures(count: int, seed: int) -> np.ndarray:
    """Crops that differ from each other in more than noise, uint8 (count, SIZE, SIZE, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


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
    assert not any(node.op_type == "BatchNormalization" for node in graph.node), "folded away"
    assert found.lost < 0.01


def test_what_cannot_be_done_is_told(
    file: ModelFile, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="in 8 or in 16 bits, not in 4"):
        export_model(Model(file), photos, 4, aligned=True)
    with pytest.raises(UsageError, match="no convolutions"):
        export_model(Model(tiny_model_file()), photos, aligned=True)
    short = replace(
        file, embedder=in_8_bits(file.embedder, Model(file).preprocessing.normalise(pictures(8, 3)))
    )
    with pytest.raises(UsageError, match="8 bits already"):
        export_model(Model(short), photos, aligned=True)
    with pytest.raises(DataError, match="no photos"):
        export_model(Model(file), tmp_path, aligned=True)
    PillowImage.fromarray(pictures(1, 4)[0]).save(tmp_path / "one.png")
    with pytest.raises(DataError, match="in 1 photos, and 32 are needed"):
        export_model(Model(file), tmp_path, aligned=True)
    monkeypatch.setattr(exported, "MOST_LOST", 1e-9)
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
    assert apart(wanted, wanted) == 0
    assert apart(wanted, wanted + np.float32(0.1)) == pytest.approx(0.02, rel=1e-5)
