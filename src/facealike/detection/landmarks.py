"""Five landmarks for a detector that finds boxes only: a small regressor over dlib's box.

The network sees the box with some surroundings, 64 px square, and answers where the five points
lie.  It is asked twice: the first answer turns and scales the crop upright, the second refines.
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
"""How much of the box's size is added on each side; chins and turned heads leave dlib's box."""

# Where the points of an upright face lie in the network's crop once it is turned by the first
# answer: the usual template, at the size and place it has on average in dlib's boxes on LFW.
UPRIGHT: NDArray[np.float64] = (TEMPLATE_112 - TEMPLATE_112.mean(axis=0)) * 0.477 + [31.1, 31.3]
UPRIGHT.setflags(write=False)


def box_matrix(box: Box) -> NDArray[np.float64]:
    """The (2, 3) transform from the photo to the network's crop around ``box``."""
    side = max(box.width, box.height) * (1 + 2 * SURROUNDINGS)
    x, y = box.centre
    scale = SIZE / side
    return np.array(
        [[scale, 0, SIZE / 2 - 0.5 - scale * (x - 0.5)], [0, scale, SIZE / 2 - 0.5 - scale * (y - 0.5)]]
    )


class Landmarker:
    """Five landmarks inside a box, by the ONNX regressor ``weights`` (bytes).

    The graph takes crops, float32 (n, 3, 64, 64) in 0..1, and gives points, (n, 10) in -1..1 of
    the crop.  Raises DetectorError where ``weights`` is no such graph.
    """

    def __init__(self, weights: bytes) -> None:
        try:
            # For so small a graph a second thread costs more than it gives.
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
        """The five landmarks of the face in ``box``, in pixels of ``image``."""
        first = self._ask(image, box_matrix(box))
        points = self._ask(image, similarity_transform(first, UPRIGHT))
        return tuple((float(x), float(y)) for x, y in points)

    def _ask(self, image: Image, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The network's answer (5, 2) on the crop that ``matrix`` cuts, in pixels of ``image``."""
        crop = warp(image, matrix, SIZE).astype(np.float32) / 255.0
        answer = self._session.run(None, {self._input: crop.transpose(2, 0, 1)[None]})[0]
        inside = answer.reshape(5, 2).astype(np.float64) * (SIZE / 2) + (SIZE / 2 - 0.5)
        return transform_points(invert(matrix), inside)


def shipped_landmarks() -> bytes:
    """The landmark network that comes with facealike."""
    file = resources.files("facealike") / "weights" / "landmarks.onnx"
    try:
        return file.read_bytes()
    except OSError as error:
        raise DetectorError("facealike/weights/landmarks.onnx is missing; install facealike again") from error
