"""Crop the faces of one photo of a request, in a thread or in a worker process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from ..detection.face_policy import FacePolicy
from ..embedding.cropper import NO_PIXELS, FaceCrop, PhotoLimits, without_pixels
from ..embedding.face_model import Model
from ..errors import FacealikeError, NoFaceFound, SeveralFaces
from ..imaging.photo_digest import pixels_digest
from ..types import Embeddings, Image

NO_VECTORS: Embeddings = np.zeros((0, 0), np.float32)
NO_VECTORS.setflags(write=False)


@dataclass(frozen=True)
class QueuedPhoto:
    """A photo to crop and embed.

    Attributes:
        name: What messages call it.
        data: The content of its file.
        face: Which face of it is meant.
        embed: Its faces are embedded, not only found.
        digest: The digest of its pixels is wanted, which takes decoding it whole.
        crops: The crops of its faces are wanted, not only their vectors.
    """

    name: str
    data: bytes = field(repr=False)
    face: FacePolicy
    embed: bool = True
    digest: bool = False
    crops: bool = False


@dataclass(frozen=True)
class PhotoFaces:
    """The faces of a photo.

    Attributes:
        name: What messages call the photo.
        shape: (H, W) of the upright photo.
        faces: The faces that the policy selects, with quality; without crops where none were wanted.
        vectors: Their unit vectors (n, d); (0, 0) where none were wanted.
        digest: The digest of the pixels; empty where it was not wanted.
        start: When the work began, as ``time.perf_counter`` has it, which all processes share.
        note: What is wrong with a damaged file that could be read.
    """

    name: str
    shape: tuple[int, int]
    faces: list[FaceCrop]
    vectors: Embeddings
    digest: str
    start: float
    note: str | None

    def stacked(self) -> Image:
        """Return the crops of the faces, uint8 (n, S, S, 3)."""
        return np.stack([face.crop for face in self.faces])

    def answered(self, photo: QueuedPhoto, vectors: Embeddings) -> PhotoFaces:
        """Return the faces with what ``photo`` wants of their vectors and crops."""
        faces = self.faces if photo.crops else [replace(face, crop=NO_PIXELS) for face in self.faces]
        return replace(self, faces=faces, vectors=vectors if photo.embed else NO_VECTORS)


class PhotoWork:
    """What every thread and process does with a photo before its faces are embedded.

    Args:
        model: Finds and crops the faces.
        limits: On each photo.
    """

    def __init__(self, model: Model, limits: PhotoLimits) -> None:
        self._cropper = model.cropper(many=True, limits=limits)

    def crop(self, photo: QueuedPhoto) -> PhotoFaces | FacealikeError:
        """Return the faces of a photo with their crops, or its error, which holds no pixels."""
        start = time.perf_counter()
        try:
            read = self._cropper.photo(photo.data, photo.name)
            faces = self._cropper.faces(read, photo.face, quality=True)
            digest = pixels_digest(read.whole) if photo.digest else ""
        except FacealikeError as error:
            return without_pixels(_for_callers(error, photo))
        return PhotoFaces(
            photo.name, (read.shape[0], read.shape[1]), faces, NO_VECTORS, digest, start, read.note
        )


def _for_callers(error: FacealikeError, photo: QueuedPhoto) -> FacealikeError:
    """Return the error with a hint for a caller over HTTP in place of the command line's options."""
    if isinstance(error, NoFaceFound):
        return NoFaceFound(f"{photo.name}: no face found; use a photo that shows the face larger and frontal")
    if isinstance(error, SeveralFaces) and photo.face == "only":
        return SeveralFaces(
            f"{photo.name}: several faces found where face 'only' allows one; crop the photo, or choose "
            "largest or central"
        )
    return error
