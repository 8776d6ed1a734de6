"""What a worker process runs: batches of photos come in, their faces go out, until the service is gone.

Only the end of its input ends a worker.  Ctrl-C and the signals of a service manager reach it together with
the service, which still finishes what it has accepted; and a service that was killed closes the pipe, too.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import BinaryIO, TypeAlias

import numpy as np

from ..embedding.cropper import NO_PIXELS
from ..errors import FacealikeError
from ..types import Embeddings, Image
from .photo_work import NO_VECTORS, PhotoFaces, PhotoWork, QueuedPhoto
from .worker_messages import Failure, Result, Setup, Work, framed, read_message


class BatchWork:
    """Crop the photos of a batch one by one, and embed all their faces together.

    Args:
        setup: The model and the limits.
    """

    def __init__(self, setup: Setup) -> None:
        self._embedder, self._batch = setup.model.embedder.single_threaded, setup.batch
        self._work = PhotoWork(setup.model, setup.limits)
        size = setup.model.preprocessing.size
        self._embedder.embed(np.zeros((1, size, size, 3), np.uint8))  # so that the first photo is quick

    def __call__(self, batch: list[Work]) -> list[Result]:
        """Return the result of each, in order."""
        found = [self._cropped(each) if isinstance(each, QueuedPhoto) else None for each in batch]
        stacks = [_crops(each, faces) for each, faces in zip(batch, found, strict=True)]
        try:
            vectors = self._embedded(stacks)
        except Exception as error:  # of the network: every request of the batch has it
            failure = _failure(error)
            return [
                failure if len(crops) else _answered(each, faces, NO_VECTORS)
                for each, faces, crops in zip(batch, found, stacks, strict=True)
            ]
        return [_answered(*each) for each in zip(batch, found, vectors, strict=True)]

    def _embedded(self, stacks: list[Image]) -> list[Embeddings]:
        """Return the vectors of each stack of crops, all of them embedded together."""
        crops = [stack for stack in stacks if len(stack)]
        if not crops:
            return [NO_VECTORS] * len(stacks)
        vectors = self._embedder.embed(np.concatenate(crops), self._batch)
        return np.split(vectors, np.cumsum([len(stack) for stack in stacks])[:-1])

    def _cropped(self, photo: QueuedPhoto) -> PhotoFaces | FacealikeError | Failure:
        try:
            return self._work.crop(photo)
        except Exception as error:  # a fault of the program, or no memory: of this photo alone
            return _failure(error)


Cropped: TypeAlias = PhotoFaces | FacealikeError | Failure


def _crops(each: Work, found: Cropped | None) -> Image:
    """Return the crops that are to be embedded of a photo that was cropped, or of crops; perhaps none."""
    if not isinstance(each, QueuedPhoto):
        return each
    return found.stacked() if isinstance(found, PhotoFaces) and each.embed else NO_PIXELS


def _answered(each: Work, found: Cropped | None, vectors: Embeddings) -> Result:
    if not isinstance(each, QueuedPhoto) or found is None:
        return vectors
    return found.answered(each, vectors) if isinstance(found, PhotoFaces) else found


def _failure(error: Exception) -> Failure:
    ours = error if isinstance(error, FacealikeError) else None
    return Failure(ours, "".join(traceback.format_exception(error)))


def main() -> None:
    """Work for the service at the other end of stdin and stdout."""
    requests, answers = _channel()
    try:
        try:
            work = BatchWork(read_message(requests))
        except FacealikeError as error:
            _write(answers, _failure(error))
            return
        _write(answers, None)
        while True:
            _write(answers, work(read_message(requests)))
    except (EOFError, OSError):  # the service is gone
        os._exit(0)


def _channel() -> tuple[BinaryIO, BinaryIO]:
    """Return both pipes; what else writes to stdout writes to stderr from now on."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, answers


def _write(stream: BinaryIO, message: object) -> None:
    stream.write(framed(message))
    stream.flush()
