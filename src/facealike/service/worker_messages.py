"""What the service and its worker processes send each other through pipes: frames of pickled messages.

A frame is its length, eight bytes, and the pickle of one message.  Both ends are the same program of the same
user; what comes over the network is never unpickled.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

from ..embedding.cropper import PhotoLimits
from ..embedding.face_model import Model
from ..errors import FacealikeError
from ..types import Embeddings, Image
from .photo_work import PhotoFaces, QueuedPhoto

LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Setup:
    """The first message to a worker process.

    Attributes:
        model: Finds, crops and embeds.
        batch: Most faces that are embedded together.
        limits: On each photo.
    """

    model: Model
    batch: int
    limits: PhotoLimits


@dataclass(frozen=True)
class Failure:
    """Why a worker has no answer: an error that the request raises, or the trace of any other."""

    error: FacealikeError | None
    trace: str

    def raised(self) -> Exception:
        """Return the error to raise."""
        return self.error or RuntimeError(f"a worker process failed:\n{self.trace}")


Work: TypeAlias = QueuedPhoto | Image
"""A photo, or crops (n, S, S, 3) to embed."""

Result: TypeAlias = PhotoFaces | FacealikeError | Embeddings | Failure
"""The faces of a photo or its error, the vectors (n, d) of crops, or why there are none."""


def framed(message: Any) -> bytes:
    """Return the frame of a message."""
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(content)) + content


def read_message(stream: BinaryIO) -> Any:
    """Return the next message.

    Raises:
        EOFError: The other end is closed.
    """
    (length,) = LENGTH.unpack(_exactly(stream, LENGTH.size))
    return pickle.loads(_exactly(stream, length))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content
