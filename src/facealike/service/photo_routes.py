"""Compare, explain, detect, embed, cluster, and the model that does so."""

from __future__ import annotations

import asyncio
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from .. import __version__
from ..client.clustering import Clustered, ClusterRequest
from ..client.explanation import Explained, ExplainRequest
from ..client.fields import MOST_CLUSTERED, MOST_PHOTOS
from ..client.model_description import Limits, ModelDescription
from ..client.schemas import (
    Compared,
    CompareRequest,
    Detected,
    DetectRequest,
    Embedded,
    EmbedRequest,
)
from ..clustering.names import check_naming
from ..clustering.options import cluster_threshold
from ..detection.face_policy import FacePolicy, policy_difference
from ..embedding.cropper import FaceCrop
from ..embedding.face_model import Model
from ..errors import FacealikeError, UsageError
from ..plotting.drawing import png
from ..plotting.explanation import overlays_of, scale_of
from ..types import Embeddings
from ..utils.wording import short_rule
from ..verification.compare import CompareOptions, EmbeddedFaces, compare_faces
from ..verification.explain import explain_faces
from ..verification.occlusion import Embed
from ..verification.result import Comparison
from .access import Caller, Entry, needs
from .cluster_photos import check_count, clustered, grouped, named, options_of
from .model_report import card_of, group_rates, operating_rates
from .photo_work import PhotoFaces, QueuedPhoto
from .problems import RESPONSES
from .resources import Resources, Used, found_in
from .uploads import request_body

PHOTO = "/9j/4AAQSkZJRgABAQ..."
"""Of the examples: the beginning of a JPEG in base64."""

PNG = "image/png"

router = APIRouter(prefix="/v1", tags=["photos"], responses=RESPONSES)
Reader = Annotated[Caller, Depends(needs("read"))]


@router.post(
    "/compare",
    openapi_extra=request_body(CompareRequest, {"first": PHOTO, "second": PHOTO, "face": "largest"}),
)
async def compare(request: Request, used: Used, _: Reader) -> Compared:
    """Compare two photos: the verdict, its probability, the operating point, and the faces used."""
    used.queue.check_room(2)
    async with used.uploads.read(request, CompareRequest) as asked:
        pair = await _pair(used, asked)
    return _compared(pair, compare_faces(pair.first, pair.second, used.model, pair.options), used.model)


@router.post(
    "/explain",
    openapi_extra=request_body(ExplainRequest, {"first": PHOTO, "second": PHOTO, "overlays": True}),
    response_model=Explained,
    responses={200: {"content": {PNG: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def explain(request: Request, used: Used, _: Reader) -> Explained | Response:
    """Explain a comparison: which regions of each face carry the score.

    With Accept: image/png the answer is one picture of both faces, their maps, a legend and the sentence.
    """
    used.explainer.check_room()
    used.queue.check_room(2)
    async with used.uploads.read(request, ExplainRequest) as asked:
        pair = await _pair(used, asked, crops=True)
    as_picture = PNG in request.headers.get("accept", "")

    def run(embed: Embed) -> Explained | bytes:
        found = explain_faces(pair.first, pair.second, used.model, pair.options, embed)
        compared = _compared(pair, found.comparison, used.model)
        if as_picture:
            return png(found.picture())
        return Explained.model_validate(
            {
                **found.to_dict(),
                "scale": scale_of(found),
                "overlays": overlays_of(found) if asked.overlays else None,
                "comparison": compared,
                "sentences": list(found.lines()),
            }
        )

    answer = await used.explainer.run(run)
    return Response(answer, media_type=PNG) if isinstance(answer, bytes) else answer


@router.post("/detect", openapi_extra=request_body(DetectRequest, {"photo": PHOTO, "face": "all"}))
async def detect(request: Request, used: Used, _: Reader) -> Detected:
    """Find the faces of a photo, each with its quality."""
    used.queue.check_room()
    async with used.uploads.read(request, DetectRequest) as asked:
        photo = QueuedPhoto("the photo", asked.photo, asked.face, embed=False)
        found = found_in((await used.queue.faces([photo]))[0])
    height, width = found.shape
    faces = [_described(face) for face in found.faces]
    return Detected.model_validate(
        {"width": width, "height": height, "found": _count(found), "faces": faces, "warnings": _notes(found)}
    )


@router.post("/embed", openapi_extra=request_body(EmbedRequest, {"photo": PHOTO, "face": "largest"}))
async def embed(request: Request, used: Used, _: Reader) -> Embedded:
    """Embed the faces of a photo.  An embedding is biometric data: keep it as you would keep the photo."""
    used.queue.check_room()
    async with used.uploads.read(request, EmbedRequest) as asked:
        photo = QueuedPhoto("the photo", asked.photo, asked.face)
        found = found_in((await used.queue.faces([photo]))[0])
    faces = [
        {**_described(face), "embedding": vector.tolist()}
        for face, vector in zip(found.faces, found.vectors, strict=True)
    ]
    return Embedded.model_validate(
        {"model": used.model.id, "found": _count(found), "faces": faces, "warnings": _notes(found)}
    )


@router.post(
    "/cluster", openapi_extra=request_body(ClusterRequest, {"photos": [PHOTO, PHOTO], "min_quality": 0.8})
)
async def cluster(request: Request, used: Used, caller: Reader) -> Clustered:
    """Group the faces of photos by person; a photo that cannot be used ends nothing.  Nothing is kept.

    With name_from, people who match one enrolled person of that gallery get the name.
    """
    used.queue.check_room(MOST_PHOTOS)
    async with used.uploads.read(request, ClusterRequest) as asked:
        options = options_of(asked)
        threshold = cluster_threshold(used.model.calibration, options)  # refused before the work
        gallery, fpir = asked.name_from, asked.fpir
        if gallery is not None:
            check_naming(used.model.calibration, fpir)
            await used.galleries.run(gallery, lambda _: None)
        photos = [
            QueuedPhoto(f"photo {number}", data, options.face, digest=gallery is not None)
            for number, data in enumerate(asked.photos, 1)
        ]
        taken: list[PhotoFaces | FacealikeError] = []
        # A part at a time, so that other requests find room in the queue.
        for start in range(0, len(photos), MOST_PHOTOS):
            taken += await used.queue.faces(photos[start : start + MOST_PHOTOS])
            check_count(taken)
    groups = await asyncio.to_thread(grouped, taken, used.model.id, threshold, options)
    if gallery is not None:
        groups = await used.galleries.run(gallery, lambda opened: named(groups, taken, opened, fpir))
        outcome = "match" if groups.matches else "unknown"
        searched, found = len(groups.numbers), len(groups.matches)
        used.audit.write("identify", gallery, caller.key, outcome, people=searched, named=found)
    return clustered(groups, threshold)


@router.get("/model")
async def model(request: Request, used: Used, _: Reader) -> ModelDescription:
    """Return the model, its operating points, how far to trust them, and the limits of the service."""
    calibration, settings = used.model.calibration, used.settings
    known = not calibration.is_none
    entry: Entry = request.app.state.entry
    return ModelDescription(
        name=used.model.file.card.name,
        id=used.model.id,
        version=__version__,
        device=used.model.device,
        dimensions=used.model.embedder.dimensions,
        threshold=calibration.threshold if known else None,
        threshold_from=short_rule(calibration.rule) if known else None,
        calibration_people=calibration.people if known else None,
        calibration_pairs=calibration.pairs if known else None,
        operating_points=operating_rates(calibration),
        survival=list(calibration.tail),
        groups=group_rates(used.model.file.card),
        card=card_of(used.model.file.card),
        limits=Limits(
            bytes=settings.max_bytes,
            pixels=settings.max_pixels,
            faces=settings.max_faces,
            photos=MOST_PHOTOS,
            cluster_photos=MOST_CLUSTERED,
        ),
        key_required=entry.key_required(),
    )


class _Pair(NamedTuple):
    """The faces of two photos that are meant, and how they are compared."""

    first: EmbeddedFaces
    second: EmbeddedFaces
    options: CompareOptions
    chosen: bool
    notes: list[str]


async def _pair(used: Resources, asked: CompareRequest, crops: bool = False) -> _Pair:
    options = CompareOptions(asked.threshold, asked.face, prior=asked.prior, fmr=asked.fmr)
    numbers = (asked.first_face, asked.second_face)
    policies: list[FacePolicy] = ["all" if number else options.face_policy for number in numbers]
    photos = [
        QueuedPhoto("the first photo", asked.first, policies[0], crops=crops),
        QueuedPhoto("the second photo", asked.second, policies[1], crops=crops),
    ]
    first, second = (found_in(photo) for photo in await used.queue.faces(photos))
    notes = [f"{photo.name}: {photo.note}" for photo in (first, second) if photo.note]
    return _Pair(_chosen(first, numbers[0]), _chosen(second, numbers[1]), options, any(numbers), notes)


def _compared(pair: _Pair, result: Comparison, model: Model) -> Compared:
    """Return the answer of a comparison, with what is wrong with the photos among its warnings."""
    warnings = list(result.warnings)
    if pair.chosen:  # by the caller, whatever the policy
        other = policy_difference(pair.options.face, model.calibration.faces)
        warnings = [one for one in warnings if one != other]
    answer = {**result.to_dict(), "sentences": list(result.lines())}
    return Compared(**{**answer, "warnings": [*warnings, *pair.notes]})


def _chosen(photo: PhotoFaces, number: int | None) -> tuple[list[FaceCrop], Embeddings]:
    """Return the faces of a photo with their vectors, or only the one of a number, from 1."""
    if number is None:
        return photo.faces, photo.vectors
    if number > len(photo.faces):
        raise UsageError(f"{photo.name}: there is no face {number}; {len(photo.faces)} found")
    return photo.faces[number - 1 : number], photo.vectors[number - 1 : number]


def _described(face: FaceCrop) -> dict[str, object]:
    values = face.to_dict()
    return {name: values[name] for name in ("number", "face", "quality")}


def _count(photo: PhotoFaces) -> int:
    return photo.faces[0].found or 0


def _notes(photo: PhotoFaces) -> list[str]:
    return [photo.note] if photo.note else []
