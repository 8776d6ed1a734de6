"""What travels between client and service, version 1: the words of the command line's ``--json``.

A field is never removed or changed within a version; one may be added.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .fields import (
    MOST_PHOTOS,
    AnyFace,
    FaceNumber,
    OneFace,
    PairFace,
    Person,
    Photo,
    Prior,
    Rate,
    Share,
    Threshold,
)


class Request(BaseModel):
    """Base of requests: an unknown field is an error.

    ``PHOTOS`` names the fields that are photos, ``MOST_FILES`` is how many a request has at most.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    PHOTOS: ClassVar[tuple[str, ...]] = ()
    MOST_FILES: ClassVar[int] = MOST_PHOTOS


class Decided(Request):
    """Base of requests that decide at a threshold: the model's, or one of the caller's."""

    threshold: Threshold | None = None
    fmr: Annotated[Rate | None, Field(description="Take the threshold for this false match rate.")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Decided:
        if self.threshold is not None and self.fmr is not None:
            raise ValueError("give a threshold or an fmr, not both")
        return self


class CompareRequest(Decided):
    """Two photos to compare."""

    PHOTOS = ("first", "second")

    first: Photo
    second: Photo
    face: PairFace = "largest"
    first_face: FaceNumber | None = None
    second_face: FaceNumber | None = None
    prior: Prior = 0.5

    @model_validator(mode="after")
    def _numbered_or_any(self) -> CompareRequest:
        if self.face == "any" and (self.first_face or self.second_face):
            raise ValueError("give the number of a face, or the face policy any, not both")
        return self


class DetectRequest(Request):
    """A photo whose faces are wanted."""

    PHOTOS = ("photo",)

    photo: Photo
    face: AnyFace = "all"


class EmbedRequest(Request):
    """A photo whose faces are to be embedded."""

    PHOTOS = ("photo",)

    photo: Photo
    face: AnyFace = "largest"


class EnrollRequest(Request):
    """Photos of a person to enroll."""

    PHOTOS = ("photos",)

    person: Person
    photos: Annotated[list[Photo], Field(min_length=1, max_length=MOST_PHOTOS)]
    face: OneFace = "largest"
    min_quality: Annotated[Share, Field(description="Refuse faces of a lower quality.")] = 0.0


class IdentifyRequest(Request):
    """A photo of a face to search in a gallery."""

    PHOTOS = ("photo",)

    photo: Photo
    top: Annotated[int, Field(ge=1, le=100, description="How many candidates.")] = 5
    fpir: Annotated[
        Rate, Field(description="Share of searches of people not enrolled that return a candidate.")
    ] = 0.01
    prior: Prior = 0.5
    face: OneFace = "largest"


class VerifyRequest(Decided):
    """A photo, and the person whom it may show."""

    PHOTOS = ("photo",)

    photo: Photo
    person: Person
    face: OneFace = "largest"
    prior: Prior = 0.5


class Answer(BaseModel):
    """Base of answers: fields of a later release are ignored."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class FaceBox(Answer):
    """A face; coordinates are pixels of the upright photo."""

    box: tuple[float, float, float, float]
    confidence: float
    landmarks: list[tuple[float, float]] | None


class FaceQuality(Answer):
    """The quality of a face; see ``facealike.Quality``."""

    score: float
    poor: bool
    reasons: list[str]
    parts: dict[str, float]
    measures: dict[str, float]


class _Comparison(Answer):
    """The fields of ``facealike.Comparison``, and the sentences that say the same."""

    score: float
    threshold: float
    threshold_from: str
    band: tuple[float, float] | None
    same: bool
    verdict: Literal["same", "different"]
    uncertain: bool
    widening: tuple[float, float]
    warnings: list[str]
    probability: float | None
    prior: float
    fmr: float | None
    fmr_is_bound: bool
    threshold_fmr: float | None
    threshold_fmr_is_bound: bool
    threshold_fnmr: tuple[float, float] | None
    threshold_rates_of: str | None
    faces: tuple[FaceBox | None, FaceBox | None]
    faces_found: tuple[int | None, int | None]
    best_of: int
    face_numbers: tuple[int, int] | None
    quality: tuple[FaceQuality | None, FaceQuality | None]
    model: str
    device: str
    milliseconds: dict[str, float]
    sentences: list[str]

    def __bool__(self) -> bool:
        """Return ``same``."""
        return self.same


class Compared(_Comparison):
    """The answer to ``compare``."""


class Verified(_Comparison):
    """The answer to ``verify``."""

    person: str
    templates: int
    corrected: bool


class DetectedFace(Answer):
    """A face and its number among all that were found, from 1, as ``first_face`` of a comparison takes it."""

    number: int | None = None
    face: FaceBox
    quality: FaceQuality | None


class Detected(Answer):
    """The faces of a photo, the most confident first, and its size in pixels."""

    width: int
    height: int
    found: int
    faces: list[DetectedFace]
    warnings: list[str]


class EmbeddedFace(DetectedFace):
    embedding: list[float]


class Embedded(Answer):
    """The embeddings of faces: unit vectors of the model ``model``."""

    model: str
    found: int
    faces: list[EmbeddedFace]
    warnings: list[str]


class RefusedPhoto(Answer):
    photo: str
    reason: str


class Lookalike(Answer):
    """Another person whom a new one looks like; see ``facealike.Lookalike``."""

    photo: str
    other: str
    score: float
    rate: float
    probability: float
    duplicate: bool


class OutlierPhoto(Answer):
    """A photo that looks like none of the person's others; see ``facealike.OutlierPhoto``."""

    photo: str
    score: float


class Enrolled(Answer):
    """What became of the photos of a person; what is ``added`` is on the disk."""

    person: str
    added: int
    known: int
    refused: list[RefusedPhoto]
    lookalikes: list[Lookalike]
    outliers: list[OutlierPhoto]


class People(Answer):
    """A page of enrolled people with the number of templates of each, the newest first.

    ``next`` is the ``after`` of the next page, None on the last one; ``total`` counts all people with a
    template.
    """

    people: dict[str, int]
    next: str | None = None
    total: int | None = None


class Galleries(Answer):
    """The names of all galleries."""

    galleries: list[str]


class FoundPerson(Answer):
    person: str
    score: float
    probability: float | None = None


class IdentificationThreshold(Answer):
    """See ``facealike.FpirThreshold``."""

    fpir: float
    templates: int
    fmr: float
    threshold: float
    extrapolated: bool


class Identified(Answer):
    """The answer to ``identify``; ``decision`` is None where the model is not calibrated."""

    face: FaceBox | None
    decision: Literal["match", "uncertain", "unknown"] | None
    candidates: list[FoundPerson]
    threshold: IdentificationThreshold | None
    not_enrolled: float | None
    prior: float
    quality: FaceQuality | None
    sentences: list[str]


class Forgotten(Answer):
    """How many templates were removed with a person."""

    person: str
    removed: int


class Health(Answer):
    status: Literal["ok", "ready", "not ready"]


class Readiness(Health):
    """Whether the service can do its work, and why not."""

    reason: str | None = None


class Problem(BaseModel):
    """An error (RFC 9457).  ``error`` is the class of the Python error."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    error: str
    errors: list[dict[str, Any]] | None = None
