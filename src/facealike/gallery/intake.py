"""Photos of named people become templates: each is decoded once, for its digest and for its face.

A photo is known by the digest of its pixels.  If it is enrolled already, or a correction states that it does
not show the person, no face is looked for in it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Set
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..detection.face_policy import FACE_POLICIES, FacePolicy
from ..embedding.batching import helpers
from ..embedding.cropper import FaceCrop, without_pixels
from ..embedding.face_model import MANY, Model
from ..errors import FacealikeError, UsageError
from ..imaging.photo_digest import pixels_digest
from ..imaging.read import Source, source_name
from ..utils.ordered_threads import map_ordered
from .person_verification import Probe
from .template import Correction, Template

BATCH = 64
"""Photos that are embedded, and stored, together."""

LEAD = 4
"""Photos a thread that are cropped ahead."""

CORRECTED = "a correction states that it does not show this person"


class Taken(NamedTuple):
    """What became of a photo: a template, or already known, or refused with a reason."""

    person: str
    photo: str
    template: Template | None = None
    reason: str | None = None


@dataclass(frozen=True)
class IntakePolicy:
    """What is enrolled.

    Attributes:
        face: Which face of a photo is meant; not ``all``.
        min_quality: Faces of a lower quality are refused.
        known: Digests of the photos of each person that are enrolled already.
        corrected: Digests of photos that do not show a person.

    Raises:
        UsageError: The face policy selects no single face.
    """

    face: FacePolicy
    min_quality: float = 0.0
    known: Mapping[str, Set[str]] | None = None
    corrected: Mapping[str, Set[str]] | None = None

    def __post_init__(self) -> None:
        check_face(self.face)

    def has(self, person: str, digest: str) -> bool:
        """Return whether the photo is enrolled already."""
        return digest in (self.known or {}).get(person, ())

    def contradicts(self, person: str, digest: str) -> bool:
        """Return whether a correction states that the photo does not show the person."""
        return digest in (self.corrected or {}).get(person, ())


def check_face(face: FacePolicy) -> None:
    """Raise UsageError for a face policy that does not select one face."""
    if face == "all":
        raise UsageError("a gallery takes one face of a photo; choose another face policy than all")
    if face not in FACE_POLICIES:
        raise UsageError(f"the face policy is one of {', '.join(FACE_POLICIES)}, not {face!r}")


def take_in(
    model: Model, photos: Iterable[tuple[str, Source]], policy: IntakePolicy, many: bool
) -> Generator[list[Taken], None, None]:
    """Yield what became of each photo, in order, ``BATCH`` photos at a time.

    Args:
        model: Embeds the faces.
        photos: Each with the name of the person.
        policy: What is enrolled.
        many: There are many photos, so that threads share the work.
    """
    cropper = model.cropper(many=many)
    embed = model.embed_many if many else model.embed_crops

    def crop(item: tuple[str, Source, str]) -> Taken | tuple[Taken, FaceCrop, str]:
        person, source, name = item
        path = os.fsdecode(source) if isinstance(source, str | os.PathLike) else name
        try:
            photo = cropper.photo(source, name)
            digest = pixels_digest(photo.whole)
            if policy.contradicts(person, digest):
                return Taken(person, path, reason=CORRECTED)
            if policy.has(person, digest):
                return Taken(person, path)
            (face,) = cropper.faces(photo, policy.face, quality=True)
        except FacealikeError as error:
            return Taken(person, path, reason=str(without_pixels(error)))
        reason = _too_poor(face, policy.min_quality)
        return (Taken(person, path), face, digest) if reason is None else Taken(person, path, reason=reason)

    def finished(chunk: list[Taken | tuple[Taken, FaceCrop, str]]) -> list[Taken]:
        crops = [one[1].crop for one in chunk if not isinstance(one, Taken)]
        vectors = iter(embed(np.stack(crops)) if crops else ())
        return [one if isinstance(one, Taken) else _with_template(*one, next(vectors)) for one in chunk]

    threads = helpers(None) if many else 0
    with closing(map_ordered(crop, _named(photos), threads, LEAD * threads)) as cropped:
        chunk: list[Taken | tuple[Taken, FaceCrop, str]] = []
        for one in cropped:
            chunk.append(one)
            if len(chunk) == BATCH:
                yield finished(chunk)
                chunk = []
        if chunk:
            yield finished(chunk)


def is_many(count: int) -> bool:
    """Return whether threads should share the work on so many photos."""
    return count >= MANY


def _named(photos: Iterable[tuple[str, Source]]) -> Iterator[tuple[str, Source, str]]:
    for number, (person, photo) in enumerate(photos, 1):
        yield person, photo, source_name(photo, f"image {number}")


def template_of(person: str, probe: Probe, min_quality: float, corrected: Mapping[str, Set[str]]) -> Taken:
    """Return what becomes of a face that is embedded already."""
    if probe.digest in corrected.get(person, ()):
        return Taken(person, probe.photo, reason=CORRECTED)
    reason = _too_poor(probe.face, min_quality)
    if reason is not None:
        return Taken(person, probe.photo, reason=reason)
    return _with_template(Taken(person, probe.photo), probe.face, probe.digest, probe.vector)


def corrected_photos(corrections: Iterable[Correction]) -> dict[str, set[str]]:
    """Return the digests of the photos that do not show a person, by person."""
    found: dict[str, set[str]] = {}
    for one in corrections:
        found.setdefault(one.person, set()).add(one.digest)
    return found


def _with_template(taken: Taken, face: FaceCrop, digest: str, vector: np.ndarray) -> Taken:
    quality = None if face.quality is None else face.quality.score
    source = taken.photo.encode("utf-8", "backslashreplace").decode()  # a name may be no Unicode
    return taken._replace(template=Template(vector, digest, quality, source))


def _too_poor(face: FaceCrop, least: float) -> str | None:
    if face.quality is None or face.quality.score >= least:
        return None
    why = ", ".join(face.quality.reasons) or "several small flaws"
    return f"a quality of {face.quality.score:.2f}, below {least:.2f}: {why}"
