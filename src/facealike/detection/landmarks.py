"""Five landmarks for a detector that finds boxes only: a small regressor on dlib's box.

The network's input is the box with a margin, 64 px square; its output is the places of the five points.
It runs twice: the first output rotates and scales the crop upright, the second refines it.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DetectorError
from ..imaging.align import TEMPLATE_112
from ..imaging.geometry import invert, similarity_transform, transform_points, warp
from ..types import Box, Image, Point
from .crop_network import CropNetwork, crop_matrix

SIZE = 64
SURROUNDINGS = 0.3
"""Margin on each side, as a share of the box; chins and turned heads reach beyond dlib's box."""

# Points of an upright face in the network's crop once the first output has rotated it: the usual
# template, at the mean size and place that it has in dlib's boxes on LFW.
UPRIGHT: NDArray[np.float64] = (TEMPLATE_112 - TEMPLATE_112.mean(axis=0)) * 0.477 + [31.1, 31.3]
UPRIGHT.setflags(write=False)


def box_matrix(box: Box) -> NDArray[np.float64]:
    """Return the (2, 3) transform from the photo to the network's crop around ``box``."""
    return crop_matrix(box, SIZE, 1 + 2 * SURROUNDINGS)


class Landmarker:
    """Find five landmarks inside a box with an ONNX regressor.

    The graph takes crops, float32 (n, 3, 64, 64) in 0..1, and returns points, (n, 10) in -1..1 of the crop.

    Args:
        weights: The ONNX file.

    Raises:
        DetectorError: ``weights`` is no such graph.
    """

    def __init__(self, weights: bytes) -> None:
        self._weights, self._network = weights, CropNetwork(weights, "the landmark network", 10)

    def __reduce__(self) -> tuple[Any, ...]:
        return Landmarker, (self._weights,)

    def __call__(self, image: Image, box: Box) -> tuple[Point, ...]:
        """Return the five landmarks of the face in ``box``, in pixels of ``image``."""
        first = self._predict(image, box_matrix(box))
        points = self._predict(image, similarity_transform(first, UPRIGHT))
        return tuple((float(x), float(y)) for x, y in points)

    def _predict(self, image: Image, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The network's output (5, 2) on the crop by ``matrix``, in pixels of ``image``."""
        output = self._network(warp(image, matrix, SIZE)[None])
        inside = output.reshape(5, 2).astype(np.float64) * (SIZE / 2) + (SIZE / 2 - 0.5)
        return transform_points(invert(matrix), inside)


def default_landmarks() -> bytes:
    """Return the ONNX file of the landmark network that comes with facealike."""
    file = resources.files("facealike") / "weights" / "landmarks.onnx"
    try:
        return file.read_bytes()
    except OSError as error:
        raise DetectorError("facealike/weights/landmarks.onnx is missing; install facealike again") from error
