"""Find and embed every face of many photos, in order; a cache on disk makes a second run quick."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..detection.face_policy import FacePolicy
from ..embedding.batching import chunks, helpers
from ..embedding.cropper import FaceCrop, without_pixels
from ..embedding.face_model import MANY, Model
from ..embedding.unused_photos import NO_FACE, photo_without_face, unused_photo, warn_unused
from ..errors import FacealikeError, ImageError, SeveralFaces
from ..imaging.photo_warning import UnusedPhoto
from ..imaging.read import read_file
from ..imaging.thumbnail import jpeg_thumbnail
from ..types import Face
from ..utils.ordered_threads import map_ordered
from .face_cache import FaceCache, StoredFace

BATCH = 64
"""Photos that are embedded, and stored, together."""

LEAD = 4
"""Photos a thread that are cropped ahead."""

THUMBNAIL = 96
"""The side of the picture of a face, in pixels."""


class PhotoFace(NamedTuple):
    """A face of a photo: ``number`` counts the faces of one photo from 1, the most confident first."""

    photo: str
    number: int
    face: Face
    quality: float
    embedding: NDArray[np.float32]
    thumbnail: bytes


@dataclass(frozen=True)
class PhotoFaces:
    """The faces of many photos, in order, and the photos that have none.

    ``unused`` are the photos without a face, those that could not be read, and those that show several faces
    under the policy ``only``.  ``digests`` has the SHA-256 of the file of each photo but the latter two.
    """

    photos: int
    faces: tuple[PhotoFace, ...]
    unused: tuple[UnusedPhoto, ...]
    digests: Mapping[str, str] = field(default_factory=dict)


class _Cropped(NamedTuple):
    """A photo after its thread: known by its digest, or cropped, or failed."""

    photo: str
    digest: str = ""
    faces: list[FaceCrop] | None = None
    error: FacealikeError | None = None


def photo_faces(
    model: Model, photos: Sequence[str], policy: FacePolicy, cache: str | os.PathLike[str] | None,
    progress: Callable[[int, int], None] | None = None,
) -> PhotoFaces:  # fmt: skip
    """Return the faces of the photos; one that cannot be used ends nothing.

    Args:
        model: Embeds the faces.
        photos: Paths.
        policy: Which faces of a photo are meant.
        cache: A folder that keeps faces and embeddings; None keeps none.
        progress: Called with (done, total) photos.

    Raises:
        DataError: The cache is damaged or cannot be written.
    """
    faces: list[PhotoFace] = []
    unused: list[UnusedPhoto] = []
    digests: dict[str, str] = {}
    with (
        closing(FaceCache(cache, model, policy)) as stored,
        closing(_embedded(model, photos, policy, stored)) as rows,
    ):
        for done, (photo, digest, found) in enumerate(rows, 1):
            if isinstance(found, FacealikeError):
                unused.append(unused_photo(photo, found))
            else:
                digests[photo] = digest
                faces += [PhotoFace(photo, i, *one) for i, one in enumerate(found, 1)]
                if not found:
                    unused.append(photo_without_face(photo))
            if progress is not None:
                progress(done, len(photos))
    warn_unused(unused, len(photos))
    return PhotoFaces(len(photos), tuple(faces), tuple(unused), digests)


def _embedded(
    model: Model, photos: Sequence[str], policy: FacePolicy, stored: FaceCache
) -> Generator[tuple[str, str, list[StoredFace] | FacealikeError], None, None]:
    """Yield each photo with the digest of its file and its faces, or with its error."""
    many = len(photos) >= MANY
    cropper = model.cropper(many=many)
    embed = model.embed_many if many else model.embed_crops

    def crop(photo: str) -> _Cropped:
        try:
            # Read once for digest and decoder, since the file might change in between.
            content = read_file(photo)
            digest = hashlib.sha256(content).hexdigest()
            if digest in stored.known:
                return _Cropped(photo, digest)
            return _Cropped(photo, digest, cropper(content, policy, photo, quality=True))
        except NO_FACE:
            return _Cropped(photo, digest, [])
        except (ImageError, SeveralFaces) as error:
            return _Cropped(photo, error=without_pixels(error))

    threads = helpers(None) if many else 0
    with closing(map_ordered(crop, photos, threads, LEAD * threads)) as cropped:
        for chunk in chunks(cropped, BATCH):
            crops = [one.crop for row in chunk for one in row.faces or ()]
            vectors = iter(embed(np.stack(crops)) if crops else ())
            fresh = {
                row.digest: [_stored(face, next(vectors)) for face in row.faces]
                for row in chunk
                if row.faces is not None
            }
            stored.add(fresh)
            for row in chunk:
                found = fresh.get(row.digest)
                faces = row.error or (stored.faces(row.digest) if found is None else found)
                yield row.photo, row.digest, faces


def _stored(face: FaceCrop, vector: NDArray[np.float32]) -> StoredFace:
    assert face.face is not None and face.quality is not None  # no face crops here, and quality is asked for
    return StoredFace(face.face, face.quality.score, vector, jpeg_thumbnail(face.crop, THUMBNAIL, quality=80))
