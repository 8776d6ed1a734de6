"""Tell which way up a detected face is, and whether it is a face at all.

Landmarks do not tell: a detector puts the eyes on top.  A small network sees the detected box with a margin
and returns five probabilities: the face is upright, or turned by 90, 180 or 270 degrees counterclockwise, or
the box holds no face.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DetectorError
from ..imaging.geometry import warp
from ..types import Box, Face, Image
from ..utils.onnx_session import Session
from ..utils.onnx_writer import with_metadata

SIZE = 48
"""Side of the network's crops, in pixels."""
VIEW = 1.5
"""Side of the crop in the photo, relative to the longer side of the box."""
TURNS = 4
"""Quarter turns that are told apart; class ``TURNS`` is "no face"."""
CHUNK = 64  # crops at a time
ENTRY = "facealike.orientation"
"""Name of the entry in a detector's ONNX metadata that holds this network, in base64."""


def crop_matrix(box: Box, size: int = SIZE, view: float = VIEW) -> NDArray[np.float64]:
    """Return the (2, 3) transform from the photo to a square crop of ``size`` pixels around ``box``."""
    scale = size / (view * max(box.width, box.height))
    # A box is counted from pixel edges, a point from pixel centers.
    x, y = (size / 2 - 0.5 - scale * (c - 0.5) for c in box.center)
    return np.array([[scale, 0, x], [0, scale, y]])


class Orientation:
    """The network: crops, float32 (n, 3, SIZE, SIZE) in 0..1, to probabilities (n, 5).

    Args:
        weights: Its ONNX file.

    Raises:
        DetectorError: ``weights`` is no such graph.
    """

    def __init__(self, weights: bytes) -> None:
        try:
            # With so small a graph a second thread is slower.
            self._session = Session(weights, "the orientation network", threads=1)
        except Exception as error:  # onnxruntime has no error class of its own to catch
            raise DetectorError("the orientation network is no ONNX graph that can be run") from error
        shape = self._session.get_outputs()[0].shape
        if len(shape) != 2 or shape[1] != TURNS + 1:
            raise DetectorError(f"the orientation network must give five numbers a face, not shape {shape}")
        self._input = self._session.get_inputs()[0].name

    def __call__(self, image: Image, faces: Sequence[Face]) -> NDArray[np.float32]:
        """Return the probabilities (n, 5) of the faces of a photo."""
        made = [np.zeros((0, TURNS + 1), np.float32)]
        for start in range(0, len(faces), CHUNK):
            crops = [warp(image, crop_matrix(face.box), SIZE) for face in faces[start : start + CHUNK]]
            batch = np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / 255
            made.append(self._session.run(None, {self._input: batch})[0])
        return np.concatenate(made)


def with_orientation(detector: bytes, network: bytes) -> bytes:
    """Return a detector's ONNX file that carries the orientation network ``network``."""
    return with_metadata(detector, ENTRY, base64.b64encode(network).decode("ascii"))


def carried_orientation(session: Session) -> Orientation | None:
    """Return the orientation network that a detector's file carries, if any.

    Raises:
        DetectorError: It is damaged.
    """
    entry = session.metadata().get(ENTRY)
    if entry is None:
        return None
    try:
        return Orientation(base64.b64decode(entry, validate=True))
    except binascii.Error:
        raise DetectorError(
            "the orientation network that the detector carries is damaged; use another file"
        ) from None
