"""What is done with each photo of a run, and what an engine is."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..detection.face_policy import FacePolicy
from ..embedding.face_model import Model
from .photo_file import PhotoRef


class Block(NamedTuple):
    """Photos of a run that follow on each other; what becomes of them is stored together."""

    number: int
    photos: list[PhotoRef]


class Part(NamedTuple):
    """The rows of a block, as the bytes of a Parquet file."""

    number: int
    content: bytes


@dataclass(frozen=True)
class Job:
    """How the photos of a run are embedded; pickled, it takes the model with it.

    Attributes:
        model: Embeds the faces.
        face: Which faces of a photo are meant.
        aligned: Each photo is a face crop already.
    """

    model: Model
    face: FacePolicy
    aligned: bool = False


class Engine(Protocol):
    """Embeds blocks, in any order."""

    def __call__(self, job: Job, blocks: Iterable[Block]) -> Generator[Part, None, None]: ...
