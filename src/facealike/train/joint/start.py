"""Begin a joint run with the branch of a model file, instead of dlib's blocks and a least-squares fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import DataError

PREFIX = "student.branch."


def branch_weights(network: bytes, names: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Return the float32 weights of the branch in the network of a joint model, rounded to 8 bits there.

    Args:
        network: The ONNX file of the model.
        names: Names and shapes of the branch's weights.

    Raises:
        DataError: The network has no such branch.
    """
    graph = onnx.load_model_from_string(network).graph
    stored = {
        each.name.partition(PREFIX)[2]: onnx.numpy_helper.to_array(each).astype(np.float32)
        for each in graph.initializer
        if PREFIX in each.name
    }
    return {name: _weight(stored, name, shape) for name, shape in names.items()}


def _weight(stored: Mapping[str, NDArray[np.float32]], name: str, shape: torch.Size) -> Tensor:
    values = stored.get(name)
    if values is None and f"{name}_quantized" in stored:
        values = stored[f"{name}_quantized"]
        scale = stored.get(f"{name}_quantized_scale", stored.get(f"{name}_scale"))
        if scale is not None:
            values = values * scale.reshape(scale.shape + (1,) * (values.ndim - max(1, scale.ndim)))
    if values is None or values.shape != tuple(shape):
        raise DataError(f"--start: the model has no branch with {name} of {tuple(shape)}")
    return torch.from_numpy(np.ascontiguousarray(values))


def rotation(target: NDArray[np.float32], embedded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the orthogonal matrix (d, d) that brings target vectors (n, d) nearest to embeddings (n, d).

    Cosines of the target stay as they are, so the last layer of a branch that learned another basis of the
    same target can be kept.

    Source:
        Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31, 1966.
    """
    left, _, right = np.linalg.svd(target.T.astype(np.float64) @ embedded)
    turned: NDArray[np.float32] = (left @ right).astype(np.float32)
    return turned
