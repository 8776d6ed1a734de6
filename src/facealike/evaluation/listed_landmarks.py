"""Embed photos at landmarks that a list gives, so that no face is looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from ..embedding.batching import helpers, in_batches
from ..embedding.face_model import Model
from ..embedding.unused_photos import NO_FACE, UNUSED, unused_photo, warn_unused
from ..errors import FacealikeError
from ..imaging.photo_warning import UnusedPhoto
from ..imaging.read import read_image
from ..types import Box, Face, Image, Progress
from ..utils.ordered_threads import map_ordered
from .embed_dataset import BATCH, PhotoVectors


def embed_at_landmarks(
    model: Model, photos: Sequence[str], landmarks: NDArray[np.float64], progress: Progress | None,
    strict: bool,
) -> PhotoVectors:  # fmt: skip
    """Embed the face of each photo at its five landmarks; a photo that cannot be used is left out.

    Args:
        model: A model that aligns faces by their landmarks.
        photos: Paths.
        landmarks: Pixels of each photo, in the order of ``Face.landmarks``, (n, 5, 2).
        progress: Called with (done, total) photos.
        strict: Raise at the first photo that cannot be read.
    """
    found = np.zeros(len(photos), dtype=np.bool_)
    parts: list[NDArray[np.float32]] = []
    unused: list[UnusedPhoto] = []

    def crop(row: int) -> Image | FacealikeError:
        points = landmarks[row]
        try:
            box = Box(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
            face = Face(box, 1.0, tuple((x, y) for x, y in points.tolist()))
            return model.crop(read_image(photos[row]), face)
        except FacealikeError as error:
            return error

    def crops() -> Iterator[tuple[int, Image]]:
        with closing(map_ordered(crop, range(len(photos)), helpers(None))) as made:
            for row, one in enumerate(made):
                if progress is not None:
                    progress(row + 1, len(photos))
                if isinstance(one, NO_FACE) or (isinstance(one, UNUSED) and not strict):
                    unused.append(unused_photo(photos[row], one))
                elif isinstance(one, FacealikeError):
                    raise one
                else:
                    yield row, one

    with closing(in_batches(model.embed_many, crops(), BATCH)) as batches:
        for rows, some in batches:
            found[rows] = True
            parts.append(some)
    warn_unused(unused, len(photos))
    vectors = np.zeros((len(photos), parts[0].shape[1] if parts else 0), dtype=np.float32)
    if parts:
        vectors[found] = np.concatenate(parts)
    return PhotoVectors(vectors, found, tuple(unused))
