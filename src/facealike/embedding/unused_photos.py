"""Photos without a usable face: which errors leave a photo out, and the warnings about them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import FacealikeError, ImageError, NoFaceFound, SeveralFaces, UsageError
from ..imaging.photo_warning import NO_FACE_REASON, UnusedPhoto, UnusedPhotoWarning
from ..imaging.read import read_image
from ..types import Image
from ..utils.escape import shown

NO_FACE = (NoFaceFound, UsageError)
"""Errors of a photo without a crop; UsageError: a detection outside the photo, or collapsed landmarks."""

UNUSED = (ImageError, SeveralFaces)
"""Errors of a photo that is left out where a run is not strict."""

NAMED = 3
"""Photos with several faces that a warning names; all have the same reason."""


def readable_photos(paths: Iterable[Path]) -> Iterator[tuple[Path, Image]]:
    """Yield each photo that can be read, RGB uint8 (H, W, 3); warn of the others."""
    unused: list[UnusedPhoto] = []
    count = 0
    for path in paths:
        count += 1
        try:
            image = read_image(path)
        except ImageError as error:
            unused.append(unused_photo(path, error))
        else:
            yield path, image
    warn_unused(unused, count)


def unused_photo(path: str | os.PathLike[str], error: FacealikeError) -> UnusedPhoto:
    """Return the row of a photo that ended with ``error``, of ``NO_FACE`` or ``UNUSED``."""
    if isinstance(error, NO_FACE):
        return photo_without_face(path)
    reason = str(error).removeprefix(f"{shown(path)}: ")
    return UnusedPhoto(
        os.fspath(path), reason, "several_faces" if isinstance(error, SeveralFaces) else "unreadable"
    )


def photo_without_face(path: str | os.PathLike[str]) -> UnusedPhoto:
    """Return the row of a photo in which no face was found."""
    return UnusedPhoto(os.fspath(path), NO_FACE_REASON, "no_face")


def warn_unused(unused: Sequence[UnusedPhoto], photos: int) -> None:
    """Warn of each photo that could not be read, and of how many photos were left out."""
    unread = [one for one in unused if one.kind == "unreadable"]
    several = [shown(one.photo) for one in unused if one.kind == "several_faces"]
    sentences = [f"{shown(one.photo)}: {one.reason} (left out)" for one in unread]
    if unread:
        sentences.append(
            f"{len(unread):,} of {photos:,} photos could not be read; they are left out, and counted apart "
            "from photos without a face"
        )
    if several:
        sentences.append(
            f"{len(several):,} of {photos:,} photos show several faces where the policy 'only' allows one; "
            f"they are left out: {', '.join(several[:NAMED])}{', ...' if len(several) > NAMED else ''}"
        )
    for sentence in sentences:
        warnings.warn(sentence, UnusedPhotoWarning, stacklevel=3)
