"""A real but tiny model: a fixed random projection of an averaged crop, a few kilobytes of ONNX.

It tells one photo from another and nothing about people, which is all that most tests need.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facealike.calibration.calibration import Calibration
from facealike.datasets.seen import identity_hash
from facealike.model_file.card import ModelCard
from facealike.model_file.model_file import ModelFile
from facealike.model_file.preprocessing import Preprocessing

DLIB_SPEC = {"kind": "dlib-hog", "min_confidence": 0.0, "max_side": 800}


def tiny_onnx(size: int = 32, dimensions: int = 16, seed: int = 0, batch: str | int = "n") -> bytes:
    """AveragePool 4x4, Flatten, MatMul with weights drawn from ``seed``: (n, 3, S, S) -> (n, d)."""
    cells = 3 * (size // 4) ** 2
    weights = np.random.default_rng(seed).normal(size=(cells, dimensions)).astype(np.float32) / cells**0.5
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["crops"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, dimensions])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_card(**changes: Any) -> ModelCard:
    card: dict[str, Any] = {
        "name": "tiny",
        "created": "2026-01-01",
        "licence": {"code": "Apache-2.0", "weights": "CC0-1.0", "training_data": "none"},
        "data": {"people": 1, "images": 2},
        "recipe": {"name": "tiny"},
        "provenance": {"command": "tests/support/tiny_model.py", "seed": 0},
        "metrics": {"test": {"f1": 0.5}},
        "identity_salt": "salt",
        "identity_hashes": (identity_hash("salt", "Ada_Lovelace"),),
        "intended_use": "tests",
        "limits": "it knows nothing about people",
    }
    return ModelCard(**{**card, **changes})


def tiny_model_file(
    size: int = 32,
    align: str = "box",
    detector_spec: dict[str, Any] | None = None,
    detector_weights: bytes | None = None,
    threshold: float = 0.9,
    seed: int = 0,
    card: ModelCard | None = None,
) -> ModelFile:
    """A whole model around ``tiny_onnx``; by default dlib's detector and crops by the box."""
    return ModelFile(
        embedder=tiny_onnx(size, seed=seed),
        preprocessing=Preprocessing(size, align),  # type: ignore[arg-type]
        detector_spec=detector_spec or DLIB_SPEC,
        detector_weights=detector_weights,
        card=card or tiny_card(),
        calibration=Calibration(threshold, "best F1", "validation", 10, {"f1": 0.5}),
    )


def astronaut() -> Any:
    """A portrait (NASA, public domain), RGB uint8 (512, 512, 3)."""
    from skimage import data

    return data.astronaut()


def hopper_path() -> str:
    """The path of another portrait (US Navy, public domain), a JPEG of 512 x 606."""
    from matplotlib import cbook

    return str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
