"""``verify_model``: hashes, a network that works, a detector that runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from facealike.errors import DetectorError, ModelError
from facealike.model_file.licenses import License
from facealike.model_file.model_file import ModelFile
from facealike.model_zoo.self_test import verify_model
from support.tiny_model import tiny_card, tiny_model_file


def network(nodes: list[object], *weights: object) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "d"])],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def written(tmp_path: Path, file: ModelFile) -> Path:
    file.write(tmp_path / "m.facealike")
    return tmp_path / "m.facealike"


def test_a_whole_model(tmp_path: Path) -> None:
    card = tiny_card(licences={"weights": License.named("MIT")})
    file = tiny_model_file(card=card)
    found = verify_model(written(tmp_path, file), "cpu")
    assert (found.model, found.dimensions, found.device) == (file.id, 16, "cpu")
    assert found.calibration == "threshold only" and not found.calibrated
    assert found.commercial is True and found.detector == "dlib-hog"
    assert json.loads(json.dumps(found.to_dict()))["sha256"].keys() == {"embedder.onnx"}
    assert "every part matches" in str(found) and "\n" not in str(found)


def test_the_shipped_model_is_whole_and_runs() -> None:
    found = verify_model()
    assert found == replace(verify_model("default"), milliseconds=found.milliseconds)
    assert set(found.sha256) == {"embedder.onnx", "detector.onnx"} and found.calibrated


def test_every_changed_byte_of_the_networks_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, tiny_model_file())
    content = path.read_bytes()
    start = content.index(tiny_model_file().embedder)
    for place in range(start, start + len(tiny_model_file().embedder), 997):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ModelError):
            verify_model(path)


def test_a_network_that_ignores_its_input(tmp_path: Path) -> None:
    constant = numpy_helper.from_array(np.ones((1, 4), np.float32), "c")
    zero = numpy_helper.from_array(np.zeros((3 * 32 * 32, 4), np.float32), "w")
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["z"]),
        helper.make_node("Add", ["z", "c"], ["y"]),
    ]
    file = replace(tiny_model_file(), embedder=network(nodes, zero, constant))
    with pytest.raises(ModelError, match="ignores its input"):
        verify_model(written(tmp_path, file))


def test_a_network_in_which_faces_of_a_batch_mix(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("ReduceMean", ["f"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["f", "m"], ["s"]),
        helper.make_node("Constant", [], ["e"], value_float=0.01),
        helper.make_node("Add", ["s", "e"], ["y"]),
    ]
    file = replace(tiny_model_file(), embedder=network(nodes))
    with pytest.raises(ModelError, match="depends on what else is in the batch"):
        verify_model(written(tmp_path, file))


def test_a_detector_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def detect(self, _: object) -> None:
            raise DetectorError("the detector failed")

    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: Failing())
    with pytest.raises(DetectorError, match=r"m\.facealike: the detector failed"):
        verify_model(written(tmp_path, tiny_model_file()))
