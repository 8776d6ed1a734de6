"""Embed the faces of many photos, in order: one row a photo, with the reason where it has no face."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..detection.face_policy import FACE_POLICIES, FacePolicy
from ..errors import FacealikeError, UsageError
from ..imaging.read import Source, check_several, source_name
from ..quality.result import Quality
from ..types import Embeddings, Face, Image
from ..utils.escape import shown
from ..utils.ordered_threads import map_ordered
from ..utils.result import Result, Shown
from .batching import helpers
from .cropper import FaceCrop, FaceCropper, crop_faces

OnError: TypeAlias = Literal["raise", "skip"]
"""What happens with a photo that cannot be embedded: its error is raised, or it is a row with a reason."""

LEAD = 4
"""Photos a thread that are drawn ahead of the rows; small, since a photo may be a large array."""


@dataclass(frozen=True, repr=False, eq=False)
class EmbeddedFace(Shown):
    """One face of a photo with its embedding, a unit vector, float32 (d,).

    ``face`` is in pixels of the whole upright photo, ``quality`` is that of this face, and ``number`` its
    place among the faces found, from 1, the most confident first; all are None where the photo is a face crop
    already (``aligned``).

    Examples:
        >>> for photo in model.stream(paths):
        ...     for face in photo.faces:
        ...         print(photo.photo, face.face.box, face.embedding.shape)
    """

    face: Face | None
    quality: Quality | None
    embedding: NDArray[np.float32]
    number: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "face": None if self.face is None else self.face.to_dict(),
            "quality": None if self.quality is None else self.quality.to_dict(),
            "embedding": [float(value) for value in self.embedding],
        }

    def __str__(self) -> str:
        face = "a face crop" if self.face is None else str(self.face)
        return face if self.quality is None else f"{face}, {self.quality}"


@dataclass(frozen=True, repr=False, eq=False)
class EmbeddedPhoto(Result):
    """One photo of several: its embedded faces, or the reason why there are none.

    ``index`` is the place of the photo among those given, from 0.  ``photo`` is its path as given, or
    ``image 3`` for the third where it has none; no pixels are kept.  ``faces`` are those that the face
    policy selects: at most one, or with ``all`` every face, the most confident first.  ``error`` is the error
    (NoFaceFound, SeveralFaces, an ImageError), None where there is none.

    Examples:
        >>> for photo in model.embed(paths, on_error="skip"):
        ...     print(photo.photo, photo.reason or len(photo.faces))
    """

    ASK: ClassVar[str] = "ask for .faces, which is empty where there is none, or for .reason"

    index: int
    photo: str
    faces: tuple[EmbeddedFace, ...] = ()
    error: FacealikeError | None = None

    @property
    def reason(self) -> str | None:
        """Return why the photo has no faces, in one sentence; None where it has some."""
        return None if self.error is None else str(self.error)

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "photo": self.photo,
            "faces": [face.to_dict() for face in self.faces],
            "error": None if self.error is None else type(self.error).__name__,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        if self.error is not None:
            return str(self.error)
        return f"{shown(self.photo)}: " + "; ".join(map(str, self.faces))

    def _brief(self) -> str:
        found = (
            "no face" if not self.faces else "1 face" if len(self.faces) == 1 else f"{len(self.faces)} faces"
        )
        return f"{found}, {shown(self.photo)}" if self.error is None else f"{found}, {self.reason}"


Cropped: TypeAlias = tuple[int, str, list[FaceCrop] | FacealikeError]
"""The place of a photo, its path, and its face crops or the error in their place."""


def embed_photos(
    cropper: FaceCropper, embed: Callable[[Image], Embeddings], photos: Iterable[Source], face: FacePolicy,
    on_error: OnError, batch: int, threads: int | None, quality: bool,
) -> Generator[EmbeddedPhoto, None, None]:  # fmt: skip
    """Yield one row a photo, in order; see ``Model.stream``, which checks the arguments."""
    places: deque[tuple[int, str]] = deque()
    count = -(-helpers(threads) // 2)

    def named() -> Iterator[tuple[Source, str]]:
        for index, photo in enumerate(photos):
            name = source_name(photo, f"image {index + 1}")
            places.append((index, os.fsdecode(photo) if isinstance(photo, str | os.PathLike) else name))
            yield photo, name

    def run(chunk: list[Cropped]) -> list[EmbeddedPhoto]:
        crops = [face.crop for _, _, faces in chunk if isinstance(faces, list) for face in faces]
        vectors = iter(embed(np.stack(crops)) if crops else ())
        rows = []
        for index, photo, faces in chunk:
            if isinstance(faces, FacealikeError):
                rows.append(EmbeddedPhoto(index, photo, error=faces))
            else:
                embedded = tuple(
                    EmbeddedFace(each.face, each.quality, next(vectors), each.number) for each in faces
                )
                rows.append(EmbeddedPhoto(index, photo, embedded))
        return rows

    cropped = crop_faces(cropper, named(), face, threads, LEAD, quality)
    chunks = _chunks(((*places.popleft(), each) for each in cropped), batch, on_error == "raise")
    with closing(cropped), closing(map_ordered(run, chunks, count, 2 * count)) as done:
        for rows in done:
            yield from rows


def _chunks(cropped: Iterable[Cropped], batch: int, raises: bool) -> Iterator[list[Cropped]]:
    """Yield photos to embed together: ``batch`` of them, or fewer where they have ``batch`` faces."""
    chunk: list[Cropped] = []
    count = 0
    try:
        for index, photo, faces in cropped:
            if isinstance(faces, FacealikeError):
                if raises:
                    raise faces
            else:
                count += len(faces)
            chunk.append((index, photo, faces))
            if max(count, len(chunk)) >= batch:
                yield chunk
                chunk, count = [], 0
    except Exception:
        yield chunk  # the rows before the error come first
        raise
    yield chunk


def check_photos(photos: object, face: FacePolicy, on_error: str, batch: int) -> None:
    """Raise UsageError for a single photo in place of several, or for an invalid option."""
    check_several(photos, "embed")
    if face not in FACE_POLICIES:
        raise UsageError(f"the face policy is one of {', '.join(FACE_POLICIES)}, not {face!r}")
    if on_error not in ("raise", "skip"):
        raise UsageError(f"on_error is 'raise' or 'skip', not {on_error!r}")
    if batch < 1:
        raise UsageError(f"a batch holds at least one crop, not {batch}")
