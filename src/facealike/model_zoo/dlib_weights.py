"""dlib's face network, read from its ``.dat`` file.

The network is the ResNet of ``dlib_face_recognition_resnet_model_v1.dat`` (King, "High quality face
recognition with deep metric learning", dlib blog, 2017; public domain).  The PyPI package
``face_recognition_models`` carries it; its file is read, the package is never imported.  Descriptors
are those of dlib itself to some 1e-6, at a twentieth of the time.

The file lists layers from the input to the output.  A whole number is one byte, whose low four bits
say how many bytes follow and whose high bit is the sign, and those bytes, little-endian.  A tensor is
the version 2, four sides, and little-endian float32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtra, ModelError
from ..utils.extras import install_command

PACKAGE = "face_recognition_models"
WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"

SIZE = 150
DIMENSIONS = 128
MEAN = (122.782, 117.001, 104.298)
"""What the network takes from red, green and blue, in pixel values from 0 to 255."""
STD = 256.0

# Width of each block and whether it halves the resolution.
BLOCKS = (
    *((32, False),) * 3, (64, True), *((64, False),) * 3, (128, True), *((128, False),) * 2,
    (256, True), *((256, False),) * 2, (256, True),
)  # fmt: skip
STEM = 32
GAP = 400
"""No two layers' parameters lie further apart in the file; names are searched within it."""

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Convolution:
    """Weights (out, in, k, k) and biases (out,), with dlib's affine layer behind it multiplied in."""

    weight: Floats = field(repr=False)
    bias: Floats = field(repr=False)
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class Block:
    """Two convolutions with a ReLU between, added to the input; where ``down``, to its 2x2 average.

    Where the two shapes differ the smaller is filled up with zeros at the end: channels, rows, columns.
    """

    first: Convolution
    second: Convolution
    down: bool


@dataclass(frozen=True, eq=False)
class DlibResNet:
    """dlib's face network: the stem (then ReLU and 3x3 max-pooling), the blocks, and the matrix (256, 128).

    A ReLU follows each block; the last one's output is averaged over space before the matrix.
    """

    stem: Convolution
    blocks: tuple[Block, ...]
    matrix: Floats = field(repr=False)

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        layers = [self.stem, *(layer for block in self.blocks for layer in (block.first, block.second))]
        return self.matrix.size + sum(layer.weight.size + layer.bias.size for layer in layers)


def find_dlib_weights() -> Path:
    """Return the path of dlib's face network in the installed package ``face_recognition_models``.

    Raises:
        MissingExtra: The package is not installed or lacks the file.
    """
    return package_file(WEIGHTS)


def package_file(name: str) -> Path:
    """Return the path of a file of the installed ``face_recognition_models``, without importing it.

    Raises:
        MissingExtra: The package is not installed or lacks the file.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == name and path.is_file():
            return path
    raise MissingExtra(f"dlib's file {name} is not installed; run: {install_command('dlib')}")


def read_dlib_resnet(data: bytes) -> DlibResNet:
    """Return the network in the content of dlib's ``.dat`` file.

    Raises:
        ModelError: The content is not such a file: a byte is invalid, or a layer is missing, has another
            shape or is one too many.
    """
    try:
        return _Reader(data).network()
    except _Unreadable as error:
        raise ModelError(
            f"not dlib's face network ({error}); use {WEIGHTS} as the package {PACKAGE} has it"
        ) from error


class _Unreadable(Exception):
    """What is wrong, and at which byte."""


class _Reader:
    """A place in the file and what can be read from there on."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def network(self) -> DlibResNet:
        self._seek("input_rgb_image_sized")
        stem = self._convolution(3, STEM, 7, 2, 0)
        blocks: list[Block] = []
        width = STEM
        for out, down in BLOCKS:
            stride, padding = (2, 0) if down else (1, 1)
            first = self._convolution(width, out, 3, stride, padding)
            blocks.append(Block(first, self._convolution(out, out, 3, 1, 1), down))
            width = out
        self._seek("fc_2")
        self._expect([DIMENSIONS, width], "outputs and inputs of the last layer")
        matrix = self._tensor(width, DIMENSIONS).reshape(width, DIMENSIONS)
        if any(name in self.data[self.at :] for name in (b"con_", b"affine_", b"fc_")):
            raise self._error("layers follow where the network should end")
        return DlibResNet(stem, tuple(blocks), matrix)

    def _convolution(self, inputs: int, outputs: int, side: int, stride: int, padding: int) -> Convolution:
        """A convolution and the affine layer behind it, as one."""
        shape = (outputs, inputs, side, side)
        count = outputs * inputs * side * side
        self._seek("con_4")
        values = self._tensor(count + outputs)
        self._expect([outputs, side, side, stride, stride, padding, padding], "shape of the convolution")
        self._seek("affine_")
        gamma, beta = np.split(self._tensor(2 * outputs).astype(np.float64), 2)
        weight = values[:count].reshape(shape) * gamma[:, None, None, None]
        bias = values[count:] * gamma + beta
        return Convolution(weight.astype(np.float32), bias.astype(np.float32), stride, padding)

    def _seek(self, name: str) -> None:
        """Go on behind ``name``, which must be the next layer that has parameters."""
        text = name.encode()
        found = self.data.find(bytes([1, len(text)]) + text, self.at, self.at + GAP)
        if found < 0:
            raise self._error(f"no layer {name} follows")
        self.at = found + 2 + len(text)

    def _integer(self) -> int:
        control = self.data[self.at] if self.at < len(self.data) else 0
        length = control & 0x0F
        digits = self.data[self.at + 1 : self.at + 1 + length]
        if not 1 <= length <= 8 or control & 0x70 or len(digits) < length:
            raise self._error("a whole number was expected")
        self.at += 1 + length
        value = int.from_bytes(digits, "little")
        return -value if control & 0x80 else value

    def _expect(self, wanted: list[int], what: str) -> None:
        found = [self._integer() for _ in wanted]
        if found != wanted:
            raise self._error(f"the {what} should be {wanted}, not {found}")

    def _tensor(self, samples: int, channels: int = 1) -> Floats:
        self._expect([2, samples, channels, 1, 1], "tensor")
        end = self.at + 4 * samples * channels
        if end > len(self.data):
            raise self._error("the file ends within a tensor")
        values = np.frombuffer(self.data[self.at : end], dtype="<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise self._error("a tensor holds numbers that are not finite")
        self.at = end
        return values

    def _error(self, text: str) -> _Unreadable:
        return _Unreadable(f"byte {self.at:,}: {text}")
