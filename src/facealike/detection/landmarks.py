"""Five landmarks for a detector that finds boxes only: a small regressor on dlib's box.

The network's input is the box with a margin, 64 px square; its output is the places of the five points.
It runs twice: the first output rotates and scales the crop upright, the second refines it.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DetectorError, FacealikeError
from ..imaging.align import TEMPLATE_112
from ..imaging.geometry import invert, similarity_transform, transform_points, warp
from ..types import Box, Image, Point
from ..utils.onnx_session import Session

SIZE = 64
SURROUNDINGS = 0.3
"""Margin on each side, as a share of the box; chins and turned heads reach beyond dlib's box."""

# Points of an upright face in the network's crop once the first output has rotated it: the usual
# template, at the mean size and place that it has in dlib's boxes on LFW.
UPRIGHT: NDArray[np.float64] = (TEMPLATE_112 - TEMPLATE_112.mean(axis=0)) * 0.477 + [31.1, 31.3]
UPRIGHT.setflags(write=False)


def box_matrix(box: Box) -> NDArray[np.float64]:
    """Return the (2, 3) transform from the photo to the network's crop around ``box``."""
    side = max(box.width, box.height) * (1 + 2 * SURROUNDINGS)
    x, y = box.center
    scale = SIZE / side
    return np.array(
        [[scale, 0, SIZE / 2 - 0.5 - scale * (x - 0.5)], [0, scale, SIZE / 2 - 0.5 - scale * (y - 0.5)]]
    )


class Landmarker:
    """Find five landmarks inside a box with an ONNX regressor.

    The graph takes crops, float32 (n, 3, 64, 64) in 0..1, and returns points, (n, 10) in -1..1 of the crop.

    Args:
        weights: The ONNX file.

    Raises:
        DetectorError: ``weights`` is no such graph.
    """

    def __init__(self, weights: bytes) -> None:
        try:
            # With so small a graph a second thread is slower.
            self._session = Session(weights, "the landmark network", threads=1)
            self._weights = weights
            shape = self._session.get_outputs()[0].shape
        except FacealikeError as error:
            raise DetectorError(str(error)) from None
        except Exception as error:  # onnxruntime has no error class of its own to catch
            raise DetectorError("the landmark network is no ONNX graph that can be run") from error
        if len(shape) != 2 or shape[1] != 10:
            raise DetectorError(f"the landmark network must give ten numbers a face, not shape {shape}")
        self._input = self._session.get_inputs()[0].name

    def __reduce__(self) -> tuple[Any, ...]:
        return Landmarker, (self._weights,)

    def __call__(self, image: Image, box: Box) -> tuple[Point, ...]:
        """Return the five landmarks of the face in ``box``, in pixels of ``image``."""
        first = self._predict(image, box_matrix(box))
        points = self._predict(image, similarity_transform(first, UPRIGHT))
        return tuple((float(x), float(y)) for x, y in points)

    def _predict(self, image: Image, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The network's output (5, 2) on the crop by ``matrix``, in pixels of ``image``."""
        crop = warp(image, matrix, SIZE).astype(np.float32) / 255.0
        output = self._session.run(None, {self._input: crop.transpose(2, 0, 1)[None]})[0]
        inside = output.reshape(5, 2).astype(np.float64) * (SIZE / 2) + (SIZE / 2 - 0.5)
        return transform_points(invert(matrix), inside)


def default_landmarks() -> bytes:
    """Return the ONNX file of the landmark network that comes with facealike."""
    file = resources.files("facealike") / "weights" / "landmarks.onnx"
    try:
        return file.read_bytes()
    except OSError as error:
        raise DetectorError("facealike/weights/landmarks.onnx is missing; install facealike again") from error
