"""The request and the answer of ``POST /v1/cluster``: the faces of photos, grouped by person."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .fields import MOST_CLUSTERED, GalleryName, Photo, Rate, Share
from .schemas import Answer, Decided


class ClusterRequest(Decided):
    """Photos whose faces are to be grouped by person; without a threshold that of an FMR of 0.0001."""

    PHOTOS = ("photos",)
    MOST_FILES = MOST_CLUSTERED

    photos: Annotated[list[Photo], Field(min_length=1, max_length=MOST_CLUSTERED)]
    min_quality: Annotated[Share, Field(description="Do not group faces of a lower quality.")] = 0.8
    same_photo: Annotated[
        bool, Field(description="Two faces of one photo may be one person, as in a collage.")
    ] = False
    name_from: Annotated[
        GalleryName | None, Field(description="Name people who are enrolled in this gallery.")
    ] = None
    fpir: Annotated[
        Rate, Field(description="With name_from: share of people not enrolled that get a name.")
    ] = 0.001


class UnusedPhoto(Answer):
    """A photo without a usable face, by its place in the request from 1."""

    photo: int
    kind: Literal["no_face", "unreadable", "several_faces"]
    reason: str


class ClusteredFace(Answer):
    """A face of a photo, by the photo's place in the request from 1; ``person`` is None for a poor face."""

    photo: int
    face: int
    box: tuple[float, float, float, float]
    quality: float
    person: int | None
    score: float | None


class PersonPair(Answer):
    """Two people who may be one; see ``facealike.PersonPair``."""

    a: int
    b: int
    score: float


class PersonMatch(Answer):
    """A person and the enrolled person they were named after; see ``facealike.PersonMatch``."""

    person: int
    name: str
    enrolled: str
    score: float
    probability: float | None
    threshold: float
    fpir: float


class Clustered(Answer):
    """Faces grouped by person: people are numbered from 1, the most faces first."""

    model: str
    photos: int
    people: int
    single: int
    threshold: float
    fmr: float | None
    extrapolated: bool
    faces: list[ClusteredFace]
    review: list[PersonPair]
    matches: list[PersonMatch]
    left_out: dict[str, int]
    unused: list[UnusedPhoto]
    sentences: list[str]
