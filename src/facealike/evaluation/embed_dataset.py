"""Embed the photos of a test, with an optional cache of face crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..detection.face_policy import FacePolicy
from ..embedding.batching import in_batches
from ..embedding.crop_cache import cached_crops, stream_crops
from ..embedding.cropper import FaceCrop
from ..embedding.face_model import Model
from ..errors import NoFaceFound, UnreadableImage
from ..imaging.photo_warning import UnusedPhoto
from ..quality.result import Quality
from ..types import Embeddings, Image
from ..utils.escape import shown

BATCH = 64  # crops held and embedded at a time


class PhotoVectors(NamedTuple):
    """One embedding a photo.

    Args:
        vectors: Unit vectors (n, d), zeros for a photo without one.
        found: Whether each photo has one, bool (n,).
        unused: Photos without one, with the reasons.
    """

    vectors: Embeddings
    found: NDArray[np.bool_]
    unused: tuple[UnusedPhoto, ...] = ()

    def or_raise(self, no_face: str) -> PhotoVectors:
        """Return these photos, if any has a face.

        Raises:
            NoFaceFound: None has; ``no_face`` is the message.
            UnreadableImage: No photo can be read.
        """
        if self.found.any():
            return self
        unread = [one for one in self.unused if one.kind == "unreadable"]
        if unread and len(unread) == len(self.found):
            others = f" (nor can any of the other {len(unread) - 1:,} photos be read)" * (len(unread) > 1)
            raise UnreadableImage(f"{shown(unread[0].photo)}: {unread[0].reason}{others}")
        raise NoFaceFound(no_face)


def embed_photos(
    model: Model, photos: Sequence[str], face: FacePolicy, cache: str | Path | None,
    progress: Callable[[int, int], None] | None, strict: bool = False,
    qualities: list[Quality] | None = None,
) -> PhotoVectors:  # fmt: skip
    """Embed the face of each photo; a photo that cannot be used is left out.

    Args:
        model: The model.
        photos: Paths.
        face: Which face of a photo is used.
        cache: A folder that keeps the face crops; None for none.
        progress: Called with (done, total) photos.
        strict: Raise at the first photo that cannot be used.
        qualities: Filled with the quality of each face that is found, in the order of the photos; without a
            cache, which keeps none.
    """
    found = np.zeros(len(photos), dtype=np.bool_)
    vectors = np.zeros((len(photos), 0), dtype=np.float32)
    unused: list[UnusedPhoto] = []
    crops = _crops(model, photos, face, cache, progress, strict, unused, qualities)
    with closing(in_batches(model.embed_many, crops, BATCH)) as batches:
        for rows, some in batches:
            found[rows] = True
            vectors = _put(vectors, rows, some)
    return PhotoVectors(vectors, found, tuple(unused))


def _crops(
    model: Model, photos: Sequence[str], face: FacePolicy, cache: str | Path | None,
    progress: Callable[[int, int], None] | None, strict: bool, unused: list[UnusedPhoto],
    qualities: list[Quality] | None,
) -> Iterator[tuple[int, Image]]:  # fmt: skip
    """Yield the crop of each photo with a face and its index; the two lists are filled on the way."""
    detector, preprocessing = model.detector, model.preprocessing
    if cache is not None:
        cached = cached_crops(
            [Path(p) for p in photos], detector, preprocessing, face, Path(cache), progress, strict=strict
        )
        unused += cached.unused
        yield from ((int(i), np.array(cached.store[cached.rows[i]])) for i in np.flatnonzero(cached.found))
        return

    def assessed(found: FaceCrop) -> None:
        assert qualities is not None and found.quality is not None
        qualities.append(found.quality)

    each = None if qualities is None else assessed
    with closing(
        stream_crops(
            photos, detector, preprocessing, face, strict=strict, failed=unused.append, assessed=each
        )
    ) as stream:
        for i, crop in enumerate(stream):
            if progress is not None:
                progress(i + 1, len(photos))
            if crop is not None:
                yield i, crop


def _put(vectors: Embeddings, rows: list[int], batch: Embeddings) -> Embeddings:
    """Write a batch into its rows; the first batch decides the number of dimensions."""
    if vectors.shape[1] == 0:
        vectors = np.zeros((len(vectors), batch.shape[1]), dtype=np.float32)
    vectors[rows] = batch
    return vectors
