"""Embed blocks of photos in threads: what one process of a run does, whatever the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO, cast

from ..detection.face_policy import FacePolicy
from ..embedding.cropper import FaceCrop, FaceCropper
from ..embedding.embedded_photos import EmbeddedPhoto, embed_photos
from ..embedding.face_table import FaceRow, Status, table_bytes
from ..errors import NoFaceFound, SeveralFaces, UsageError
from ..imaging.photo_digest import pixels_digest
from ..imaging.read import Source
from ..utils.ordered_threads import map_ordered
from .job import Block, Job, Part
from .photo_file import PhotoFile, PhotoRef
from .places import is_url

READERS = 16
"""Threads that fetch photos by URL: they wait for the network and not for a core."""

FETCHED = 32
"""Photos that are fetched ahead."""

BATCH = 64
"""Photos that are embedded together."""


class DigestingCropper(FaceCropper):
    """A cropper that also notes the digest of each photo's pixels in its ``PhotoFile``."""

    def __call__(
        self, source: Source, policy: FacePolicy, name: str | None = None, quality: bool = False
    ) -> list[FaceCrop]:
        photo = self.photo(source, name)
        if isinstance(source, PhotoFile):
            source.digest = pixels_digest(photo.whole)
        return self.faces(photo, policy, quality)


def check_engine(workers: int | None, batch: int) -> None:
    """Raise UsageError for a number of workers or of photos in a batch that is not positive."""
    if workers is not None and workers < 1:
        raise UsageError(f"at least one worker is needed, not {workers}")
    if batch < 1:
        raise UsageError(f"a batch holds at least one crop, not {batch}")


def embed_blocks(
    job: Job, blocks: Iterable[Block], threads: int | None = None, batch: int = BATCH
) -> Generator[Part, None, None]:
    """Yield the rows of each block, in order; memory holds a few batches of photos and one block of rows.

    Args:
        job: How they are embedded.
        blocks: Drawn as their photos are needed.
        threads: None for one a core; 1 does all work in the caller's thread.
        batch: Photos to embed at a time.
    """
    model = job.model
    cropper = DigestingCropper(None if job.aligned else model.detector, model.preprocessing, many=True)
    begun: deque[Block] = deque()
    waiting: deque[PhotoFile] = deque()

    def files() -> Iterator[Source]:
        for block in blocks:
            begun.append(block)
            for file in _ready(block.photos):
                waiting.append(file)
                yield cast(BinaryIO, file)  # what read_image needs of one is read()

    rows: list[FaceRow] = []
    done = 0
    stream = embed_photos(cropper, model.embed_many, files(), job.face, "skip", batch, threads, True)
    with closing(stream):
        for photo in stream:
            file = waiting.popleft()
            rows += face_rows(file, photo)
            done += 1
            if done == len(begun[0].photos):
                yield Part(begun.popleft().number, table_bytes(rows, model, job.face))
                rows, done = [], 0


def _ready(photos: Sequence[PhotoRef]) -> Iterator[PhotoFile]:
    """Yield the photos of a block; those behind URLs are fetched ahead."""
    files = map(PhotoFile, photos)
    if not any(is_url(ref.place) for ref in photos):
        yield from files  # the thread that decodes a local photo reads it
        return
    with closing(map_ordered(PhotoFile.fetch, files, READERS, FETCHED)) as fetched:
        yield from fetched


def face_rows(file: PhotoFile, photo: EmbeddedPhoto) -> list[FaceRow]:
    """Return one row a face of a photo, or one row with the reason why it has none."""
    ref = file.ref
    row = FaceRow(ref.key, ref.source, ref.person, digest=file.digest, metadata=ref.metadata)
    if photo.error is not None:
        return [replace(row, status=_status(photo.error), reason=str(photo.error))]
    # A photo that is a face crop already is its only face.
    return [replace(row, face=one.number or 1, embedded=one) for one in photo.faces]


def _status(error: Exception) -> Status:
    if isinstance(error, SeveralFaces):
        return "several_faces"
    # UsageError: a detection outside the photo, or landmarks that collapse.
    return "no_face" if isinstance(error, NoFaceFound | UsageError) else "unreadable"
