"""Run a small network on a square crop around a detected box."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DetectorError, FacealikeError
from ..types import Box, Image
from ..utils.onnx_session import Session


def crop_matrix(box: Box, size: int, view: float) -> NDArray[np.float64]:
    """Return the (2, 3) transform from the photo to a square crop of ``size`` pixels around ``box``.

    Args:
        box: The box of a face.
        size: Side of the crop in pixels.
        view: Its side in the photo, relative to the longer side of the box.
    """
    scale = size / (max(box.width, box.height) * view)
    # A box is counted from pixel edges, a point from pixel centers.
    x, y = (size / 2 - 0.5 - scale * (center - 0.5) for center in box.center)
    return np.array([[scale, 0, x], [0, scale, y]])


class CropNetwork:
    """An ONNX network from crops, float32 (n, 3, S, S) in 0..1, to rows of numbers.

    Args:
        weights: The ONNX file.
        name: Its name in messages.
        numbers: How many numbers a crop gives.

    Raises:
        DetectorError: ``weights`` is no such graph.
    """

    WORDS: ClassVar = {5: "five", 10: "ten"}

    def __init__(self, weights: bytes, name: str, numbers: int) -> None:
        try:
            # With so small a graph a second thread is slower.
            self._session = Session(weights, name, threads=1)
            shape = self._session.get_outputs()[0].shape
        except FacealikeError as error:
            raise DetectorError(str(error)) from None
        except Exception as error:  # onnxruntime has no error class of its own to catch
            raise DetectorError(f"{name} is no ONNX graph that can be run") from error
        if len(shape) != 2 or shape[1] != numbers:
            words = self.WORDS.get(numbers, numbers)
            raise DetectorError(f"{name} must give {words} numbers a face, not shape {shape}")
        self._input = self._session.get_inputs()[0].name

    def __call__(self, crops: Image) -> NDArray[np.float32]:
        """Return the rows (n, numbers) of crops, uint8 (n, S, S, 3)."""
        batch = crops.astype(np.float32).transpose(0, 3, 1, 2) / 255.0
        rows: NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        return rows
