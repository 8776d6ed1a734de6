"""Classify which way up a detected face is, and whether it is a face at all.

Landmarks do not show it: a detector puts the eyes on top.  A small network sees the detected box with a
margin and returns five probabilities: the face is upright, or turned by 90, 180 or 270 degrees
counterclockwise, or the box holds no face.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DetectorError
from ..imaging.geometry import warp
from ..types import Face, Image
from ..utils.onnx_session import Session
from ..utils.onnx_writer import with_metadata
from .crop_network import CropNetwork, crop_matrix

SIZE = 48
"""Side of the network's crops, in pixels."""
VIEW = 1.5
"""Side of the crop in the photo, relative to the longer side of the box."""
TURNS = 4
"""Quarter turns that are distinguished; class ``TURNS`` is "no face"."""
CHUNK = 64  # crops at a time
ENTRY = "facealike.orientation"
"""Name of the entry in a detector's ONNX metadata that holds this network, in base64."""


class Orientation:
    """The network: crops, float32 (n, 3, SIZE, SIZE) in 0..1, to probabilities (n, 5).

    Args:
        weights: Its ONNX file.

    Raises:
        DetectorError: ``weights`` is no such graph.
    """

    def __init__(self, weights: bytes) -> None:
        self._network = CropNetwork(weights, "the orientation network", TURNS + 1)

    def __call__(self, image: Image, faces: Sequence[Face]) -> NDArray[np.float32]:
        """Return the probabilities (n, 5) of the faces of a photo."""
        made = [np.zeros((0, TURNS + 1), np.float32)]
        for start in range(0, len(faces), CHUNK):
            some = faces[start : start + CHUNK]
            crops = [warp(image, crop_matrix(face.box, SIZE, VIEW), SIZE) for face in some]
            made.append(self._network(np.stack(crops)))
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
