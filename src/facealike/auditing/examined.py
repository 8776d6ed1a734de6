"""Read, detect and embed each photo of a set once, with all that an audit needs to know of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ..detection.face_policy import FacePolicy
from ..embedding.batching import chunks, helpers
from ..embedding.cropper import FaceCrop, FaceCropper, without_pixels
from ..embedding.face_model import MANY, Model
from ..embedding.unused_photos import NO_FACE, unused_photo
from ..errors import FacealikeError, ImageError, SeveralFaces
from ..imaging.photo_digest import PhotoDigest, photo_digest
from ..imaging.read import read_file
from ..imaging.thumbnail import jpeg_thumbnail
from ..quality.result import Quality
from ..types import Image, Progress
from ..utils.ordered_threads import map_ordered

BATCH = 64
"""Photos that are embedded together."""

LEAD = 4
"""Photos a thread that are read ahead."""

THUMBNAIL, QUALITY = 96, 75
"""The side of the picture of a face in pixels, and the quality of its JPEG."""

SIDE = 32
"""The side of the gray pictures that are compared for copies, in pixels."""


class ExaminedFace(NamedTuple):
    """The face of a photo that the policy selects.

    ``thumbnail`` is a JPEG, ``found`` how many faces the photo shows, and ``number`` which of them it is,
    from 1, the most confident first.
    """

    embedding: NDArray[np.float32]
    quality: Quality
    thumbnail: bytes
    found: int
    number: int


@dataclass(frozen=True, eq=False)
class ExaminedPhoto:
    """One photo after it was read.

    Attributes:
        path: As given.
        digest: None where it cannot be read.
        gray: The whole photo, uint8 (SIDE, SIDE); None where it cannot be read.
        face: None where none was found or the photo cannot be used.
        problem: Why it cannot be used, without its name; empty otherwise.
        several: Whether the problem is that it shows several faces under the policy ``only``.
        thumbnail: A small picture of the whole photo, as JPEG.
    """

    path: str
    digest: PhotoDigest | None = None
    gray: NDArray[np.uint8] | None = None
    face: ExaminedFace | None = None
    problem: str = ""
    several: bool = False
    thumbnail: bytes = b""


class _Read(NamedTuple):
    """A photo after its thread: everything but the embedding."""

    photo: ExaminedPhoto
    crop: FaceCrop | None = None


def examine_photos(
    model: Model, paths: Sequence[str | os.PathLike[str]], face: FacePolicy, progress: Progress | None = None
) -> list[ExaminedPhoto]:
    """Return each photo, examined, in order; one that cannot be used ends nothing.

    Args:
        model: Embeds the faces.
        paths: The photos.
        face: Which face of a photo is meant.
        progress: Called with (done, total).
    """
    many = len(paths) >= MANY
    reader = _Reader(model.cropper(many=many), face)
    embed = model.embed_many if many else model.embed_crops
    threads = helpers(None) if many else 0
    examined: list[ExaminedPhoto] = []
    with closing(map_ordered(reader, [os.fspath(path) for path in paths], threads, LEAD * threads)) as rows:
        for chunk in chunks(rows, BATCH):
            crops = [row.crop.crop for row in chunk if row.crop is not None]
            vectors = iter(embed(np.stack(crops)) if crops else ())
            for row in chunk:
                examined.append(
                    row.photo if row.crop is None else _with_face(row.photo, row.crop, next(vectors))
                )
                if progress is not None:
                    progress(len(examined), len(paths))
    return examined


class _Reader:
    """Read one photo, in any thread."""

    def __init__(self, cropper: FaceCropper, face: FacePolicy) -> None:
        self._cropper, self._face = cropper, face

    def __call__(self, path: str) -> _Read:
        try:
            # Read once for digest and decoder, since the file might change in between.
            content = read_file(path)
            photo = self._cropper.photo(content, path)
            digest = photo_digest(content, path)
            gray, thumbnail = gray_square(photo.reduced), jpeg_thumbnail(photo.reduced, THUMBNAIL, QUALITY)
        except ImageError as error:
            return _Read(_unusable(path, error))
        read = ExaminedPhoto(path, digest, gray, thumbnail=thumbnail)
        try:
            (crop,) = self._cropper.faces(photo, self._face, quality=True)
            return _Read(read, crop)
        except NO_FACE:
            return _Read(read)
        except (ImageError, SeveralFaces) as error:
            unused = _unusable(path, error)
            return _Read(ExaminedPhoto(path, digest, gray, None, unused.problem, unused.several, thumbnail))


def _unusable(path: str, error: FacealikeError) -> ExaminedPhoto:
    row = unused_photo(path, without_pixels(error))
    return ExaminedPhoto(path, problem=row.reason, several=row.kind == "several_faces")


def _with_face(photo: ExaminedPhoto, crop: FaceCrop, vector: NDArray[np.float32]) -> ExaminedPhoto:
    assert crop.quality is not None and crop.found is not None and crop.number is not None
    thumbnail = jpeg_thumbnail(crop.crop, THUMBNAIL, QUALITY)
    face = ExaminedFace(vector, crop.quality, thumbnail, crop.found, crop.number)
    return ExaminedPhoto(photo.path, photo.digest, photo.gray, face)


def gray_square(image: Image) -> NDArray[np.uint8]:
    """Return an image in gray, scaled to (SIDE, SIDE) whatever its shape."""
    picture = PillowImage.fromarray(image).convert("L")
    return np.asarray(picture.resize((SIDE, SIDE), PillowImage.Resampling.BOX))
