"""Enroll, list, identify, verify and forget in galleries."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from ..client.fields import DEFAULT_PEOPLE, GALLERY_NAME, MOST_PEOPLE
from ..client.schemas import (
    Enrolled,
    EnrollRequest,
    Forgotten,
    Galleries,
    Identified,
    IdentifyRequest,
    People,
    Verified,
    VerifyRequest,
)
from ..detection.face_policy import FacePolicy
from ..errors import FacealikeError
from ..gallery.candidates import CandidateList
from ..gallery.enroll_person import NothingEnrolled
from ..gallery.gallery import Gallery
from ..gallery.person_verification import PersonVerification, Probe
from ..gallery.search import SearchOptions
from ..gallery.unusable import NotErased
from ..verification.compare import CompareOptions
from .access import Caller, needs
from .photo_routes import PHOTO
from .photo_work import PhotoFaces, QueuedPhoto
from .problems import RESPONSES
from .resources import Resources, Used, found_in
from .uploads import request_body

router = APIRouter(prefix="/v1/galleries", tags=["galleries"], responses=RESPONSES)
Reader = Annotated[Caller, Depends(needs("read"))]
Enroller = Annotated[Caller, Depends(needs("enroll"))]
Admin = Annotated[Caller, Depends(needs("admin"))]
Name = Annotated[str, Path(pattern=GALLERY_NAME, description="The name of the gallery.")]
Limit = Annotated[int, Query(ge=1, le=MOST_PEOPLE, description="Most people of the page.")]
After = Annotated[
    str | None, Query(pattern="^[0-9]{1,40}$", description="The next of the page before; none begins.")
]
Search = Annotated[str, Query(max_length=200, description="Part of the names, in capital or small letters.")]


@router.get("")
async def galleries(used: Used, _: Reader) -> Galleries:
    """Return the names of all galleries."""
    return Galleries(galleries=await used.galleries.names())


@router.get("/{name}/people")
async def people(
    name: Name, used: Used, _: Reader, limit: Limit = DEFAULT_PEOPLE, after: After = None, search: Search = ""
) -> People:
    """Return a page of the enrolled people with the number of their templates, the newest first.

    What is called next in the answer is the after of the next page, and null on the last one.
    """

    def page(gallery: Gallery) -> People:
        found = gallery.store.people_page(limit, after, search)
        return People(people=found.people, next=found.next, total=gallery.store.count_people())

    return await used.galleries.run(name, page)


@router.post(
    "/{name}/people", openapi_extra=request_body(EnrollRequest, {"person": "Grace", "photos": [PHOTO]})
)
async def enroll(name: Name, request: Request, used: Used, caller: Enroller) -> Enrolled:
    """Enroll a person with one or more photos; the gallery is made if there is none.

    A photo counts once.  What the answer counts as added is on the disk.
    """
    used.queue.check_room()
    async with used.uploads.read(request, EnrollRequest) as asked:
        photos = [
            QueuedPhoto(f"photo {number}", data, asked.face, digest=True)
            for number, data in enumerate(asked.photos, 1)
        ]
        taken = await used.queue.faces(photos)
    probes = [_probe(photo) for photo in taken if isinstance(photo, PhotoFaces)]
    failed = [
        (photo.name, str(error))
        for photo, error in zip(photos, taken, strict=True)
        if isinstance(error, FacealikeError)
    ]
    if not probes:
        raise NothingEnrolled(asked.person, failed)

    def add(gallery: Gallery) -> Enrolled:
        try:
            result = gallery.enroll_faces(asked.person, probes, asked.min_quality)
        except NothingEnrolled as error:
            used.audit.write("enroll", name, caller.key, "refused")
            raise NothingEnrolled(asked.person, (*error.refused, *failed)) from None
        used.audit.write("enroll", name, caller.key, "enrolled", added=result.added)
        told = result.to_dict()
        told["refused"] += [{"photo": photo, "reason": reason} for photo, reason in failed]
        return Enrolled.model_validate(told)

    return await used.galleries.run(name, add, create=True)


@router.post(
    "/{name}/identify", openapi_extra=request_body(IdentifyRequest, {"photo": PHOTO, "fpir": 0.01, "top": 5})
)
async def identify(name: Name, request: Request, used: Used, caller: Reader) -> Identified:
    """Return who a face may be: match, uncertain or unknown, and the candidates."""
    used.queue.check_room()
    async with used.uploads.read(request, IdentifyRequest) as asked:
        options = SearchOptions(asked.top, asked.fpir, asked.prior)
        probe = await _searched(used, asked.photo, asked.face)

    def search(gallery: Gallery) -> CandidateList:
        found = gallery.identify_face(probe, options)
        used.audit.write("identify", name, caller.key, found.decision or "not calibrated")
        return found

    found = await used.galleries.run(name, search)
    quality = None if probe.face.quality is None else probe.face.quality.to_dict()
    return Identified.model_validate(
        {**found.to_dict(), "quality": quality, "sentences": list(found.lines())}
    )


@router.post("/{name}/verify", openapi_extra=request_body(VerifyRequest, {"photo": PHOTO, "person": "Grace"}))
async def verify(name: Name, request: Request, used: Used, caller: Reader) -> Verified:
    """Return whether a photo shows an enrolled person; the best of the person's templates decides."""
    used.queue.check_room()
    async with used.uploads.read(request, VerifyRequest) as asked:
        options = CompareOptions(asked.threshold, asked.face, prior=asked.prior, fmr=asked.fmr)
        probe = await _searched(used, asked.photo, asked.face)

    def decide(gallery: Gallery) -> PersonVerification:
        result = gallery.verify_face(probe, asked.person, options)
        used.audit.write("verify", name, caller.key, result.verdict)
        return result

    result = await used.galleries.run(name, decide)
    return Verified.model_validate({**result.to_dict(), "sentences": list(result.lines())})


@router.delete("/{name}/people/{person:path}")
async def forget(name: Name, person: str, used: Used, caller: Admin) -> Forgotten:
    """Remove a person for good."""

    def remove(gallery: Gallery) -> int:
        try:
            removed = gallery.forget(person)
        except NotErased:
            used.audit.write("forget", name, caller.key, "forgotten, not erased")
            raise
        used.audit.write("forget", name, caller.key, "forgotten", removed=removed)
        return removed

    return Forgotten(person=person, removed=await used.galleries.run(name, remove))


async def _searched(used: Resources, photo: bytes, face: FacePolicy) -> Probe:
    queued = QueuedPhoto("the photo", photo, face, digest=True)
    return _probe(found_in((await used.queue.faces([queued]))[0]))


def _probe(photo: PhotoFaces) -> Probe:
    return Probe(photo.name, photo.faces[0], photo.vectors[0], photo.start, photo.digest)
