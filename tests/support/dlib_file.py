"""A file in the format of dlib's face network with random weights, and dlib's own file where it is."""

from __future__ import annotations

import numpy as np
import pytest

from facealike.errors import MissingExtra
from facealike.model_zoo.dlib_weights import BLOCKS, DIMENSIONS, STEM, find_dlib_weights


def dlib_weights() -> bytes:
    """dlib's own file; the test is skipped where the package with it is not installed."""
    try:
        return find_dlib_weights().read_bytes()
    except MissingExtra as error:
        pytest.skip(str(error))


def whole(*numbers: int) -> bytes:
    """Whole numbers as dlib writes them."""
    written = b""
    for number in numbers:
        digits = abs(number).to_bytes(max(1, (abs(number).bit_length() + 7) // 8), "little")
        written += bytes([len(digits) | 0x80 * (number < 0)]) + digits
    return written


def name(text: str) -> bytes:
    return whole(len(text)) + text.encode()


def tensor(values: np.ndarray) -> bytes:
    """(n,) or (n, k) float32."""
    samples, channels = values.shape if values.ndim == 2 else (len(values), 1)
    return whole(2, samples, channels, 1, 1) + values.astype("<f4").tobytes()


def random_file(seed: int = 0) -> tuple[bytes, list[dict[str, np.ndarray]]]:
    """The file and what it should hold: weight, bias, gamma and beta of each convolution, the matrix."""
    rng = np.random.default_rng(seed)
    parts = [b"\x01\x01\x01", name("loss_metric_2"), bytes(100), name("input_rgb_image_sized")]
    layers: list[dict[str, np.ndarray]] = []

    def convolution(inputs: int, outputs: int, side: int, stride: int, padding: int) -> None:
        scale = (2 / (inputs * side * side)) ** 0.5
        layer = {
            "weight": (rng.standard_normal((outputs, inputs, side, side)) * scale).astype(np.float32),
            "bias": rng.standard_normal(outputs).astype(np.float32) * 0.1,
            "gamma": rng.uniform(0.3, 0.7, outputs).astype(np.float32),
            "beta": rng.standard_normal(outputs).astype(np.float32) * 0.1,
        }
        layers.append(layer)
        parts.extend([
            name("con_4"), tensor(np.concatenate([layer["weight"].ravel(), layer["bias"]])),
            whole(outputs, side, side, stride, stride, padding, padding), bytes(50),
            name("affine_"), tensor(np.concatenate([layer["gamma"], layer["beta"]])), bytes(30),
        ])  # fmt: skip

    convolution(3, STEM, 7, 2, 0)
    width = STEM
    for outputs, down in BLOCKS:
        convolution(width, outputs, 3, 2 if down else 1, 0 if down else 1)
        convolution(outputs, outputs, 3, 1, 1)
        width = outputs
    matrix = (rng.standard_normal((width, DIMENSIONS)) * 0.1).astype(np.float32)
    layers.append({"matrix": matrix})
    parts.extend([name("fc_2"), whole(DIMENSIONS, width), tensor(matrix), bytes(70)])
    return b"".join(parts), layers
