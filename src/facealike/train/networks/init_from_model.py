"""Initialize a network with the weights of a model file.

A model file holds a network for inference: batch normalizations are folded into the convolutions before
them, and weights may have 16 or 8 bits.  Here they are unfolded: mean and variance of each convolution's
outputs are measured on some faces, and the normalization removes and restores them.  Before training the
network thus returns what the model returns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import TrainingError
from ...model_zoo.quantization import fold_batch_norms

Norm = nn.BatchNorm1d | nn.BatchNorm2d
Weighted = nn.Conv2d | nn.Linear


def start_from(network: nn.Module, content: bytes, faces: Tensor, whose: str) -> None:
    """Set the weights of ``network`` to those of an ONNX embedder.

    Args:
        network: The network to change.
        content: The ONNX file.
        faces: Normalized crops (n, 3, S, S) on which the layers' outputs are measured.
        whose: Name of the model in messages.

    Raises:
        TrainingError: The model holds another network.
    """
    stored = stored_weights(content)
    layers = list(normalized_layers(network))
    for name, layer, norm in layers:
        weight, bias = stored.get(f"{name}.weight"), stored.get(f"{name}.weight_bias")
        if weight is None or bias is None or weight.shape != tuple(layer.weight.shape):
            raise TrainingError(
                f"{whose} holds another network than the recipe's (its layer {name} differs), so its weights "
                "cannot be the start; use a model of the same [network], or leave out network.start"
            )
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            norm.running_mean.zero_()  # type: ignore[union-attr]
            norm.running_var.fill_(1.0 - norm.eps)  # type: ignore[union-attr]
            norm.weight.fill_(1.0)
            norm.bias.copy_(torch.from_numpy(bias))
    moments = _moments(network, [layer for _, layer, _ in layers], faces)
    for (_, layer, norm), (mean, variance) in zip(layers, moments, strict=True):
        _unfold(layer, norm, mean, variance)


def stored_weights(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Return weights and biases of an ONNX embedder of ours by their names in the network.

    They are float32, with batch normalizations folded into the layers before them.
    """
    model = onnx.load_model_from_string(content)
    if all(node.op_type != "DequantizeLinear" for node in model.graph.node):
        with tempfile.TemporaryDirectory() as folder:
            model = fold_batch_norms(content, Path(folder) / "folded.onnx")
    raw = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = {name: value for name, value in raw.items() if value.dtype == np.float32}
    for name, value in raw.items():
        whole = name.removesuffix("_quantized")
        scale = raw.get(f"{whole}_scale", raw.get(f"{name}_scale"))
        if whole != name and scale is not None:
            if (
                scale.ndim < value.ndim
            ):  # of each output channel; that of a linear layer has its shape already
                scale = scale.reshape(-1, *[1] * (value.ndim - 1))
            found[whole] = value * scale.astype(np.float32)
    if all(node.op_type != "BatchNormalization" for node in model.graph.node):
        # Exporters leave out a bias of zeros.
        for name in [name for name in found if name.endswith(".weight")]:
            found.setdefault(f"{name}_bias", np.zeros(len(found[name]), dtype=np.float32))
    return {name.removeprefix("network."): value.astype(np.float32) for name, value in found.items()}


def normalized_layers(network: nn.Module) -> Iterator[tuple[str, Weighted, Norm]]:
    """Yield each convolution or linear layer by its name, with the normalization behind it."""
    before: tuple[str, Weighted] | None = None
    for name, module in network.named_modules():
        if isinstance(module, Weighted):
            before = name, module
        elif isinstance(module, Norm) and before is not None:
            yield (*before, module)
            before = None


@torch.no_grad()
def _moments(network: nn.Module, layers: list[Weighted], faces: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return mean and variance of each output channel of the layers for ``faces``."""
    sums: dict[int, list[Tensor]] = {}

    def watch(number: int) -> Callable[..., None]:
        def seen(_: nn.Module, __: Any, out: Tensor) -> None:
            flat = out.double().transpose(0, 1).flatten(1)
            now = [torch.tensor(float(flat.shape[1])), flat.sum(dim=1), flat.square().sum(dim=1)]
            before = sums.get(number)
            sums[number] = now if before is None else [a + b for a, b in zip(before, now, strict=True)]

        return seen

    hooks = [layer.register_forward_hook(watch(number)) for number, layer in enumerate(layers)]
    training = network.training
    network.eval()
    try:
        for chunk in torch.split(faces, 64):
            network(chunk.contiguous(memory_format=torch.channels_last))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    moments = []
    for number in range(len(layers)):
        count, total, squares = sums[number]
        mean = total / count
        moments.append((mean.float(), (squares / count - mean.square()).clamp(min=1e-8).float()))
    return moments


@torch.no_grad()
def _unfold(layer: Weighted, norm: Norm, mean: Tensor, variance: Tensor) -> None:
    """Let the normalization remove and restore mean and variance, and scale the weights to norm 1.

    Before a normalization the norm of weights decides only how far a step turns them.  At norm 1, that of
    an orthogonal matrix, a step of Muon turns the weights of all layers alike.
    """
    matrix = layer.weight.reshape(len(layer.weight), -1)
    size = matrix.norm() / min(matrix.shape) ** 0.5
    # x -> x + bias, written as (x - mean) / deviation * deviation + (bias + mean).
    norm.bias.add_(mean)
    norm.weight.copy_((variance + norm.eps).sqrt())
    layer.weight.div_(size)
    norm.running_mean.copy_(mean / size)  # type: ignore[union-attr]
    # So that variance / size^2 + eps is (variance + eps) / size^2.
    norm.running_var.copy_((variance + norm.eps) / size**2 - norm.eps)  # type: ignore[union-attr]
