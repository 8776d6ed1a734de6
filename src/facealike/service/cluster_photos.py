"""Group the faces of the photos of one request by person, in memory; nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence

from ..client.schemas import Clustered, ClusterRequest
from ..clustering.cluster import group_faces
from ..clustering.corrections import Corrections
from ..clustering.faces import PhotoFace
from ..clustering.faces import PhotoFaces as FoundFaces
from ..clustering.options import ClusterOptions, ClusterThreshold
from ..errors import FacealikeError, UsageError
from .face_queue import PhotoFaces

MOST_FACES = 2000
"""Faces of one request: their pairs are compared, so that time grows with the square."""


def options_of(asked: ClusterRequest) -> ClusterOptions:
    """Return how the faces of a request are grouped."""
    return ClusterOptions(
        asked.fmr, asked.threshold, min_quality=asked.min_quality, same_photo=asked.same_photo
    )


def check_count(taken: Sequence[PhotoFaces | FacealikeError]) -> None:
    """Refuse more faces than are grouped.

    Raises:
        UsageError: There are more.
    """
    if sum(len(one.faces) for one in taken if isinstance(one, PhotoFaces)) > MOST_FACES:
        raise UsageError(f"the photos show more than {MOST_FACES:,} faces; send fewer photos")


def clustered(
    taken: Sequence[PhotoFaces | FacealikeError], model: str, threshold: ClusterThreshold,
    options: ClusterOptions,
) -> Clustered:  # fmt: skip
    """Return the people of photos.

    Args:
        taken: The faces of each photo, or its error, in the order of the request.
        model: The id of the model that embedded them.
        threshold: See ``cluster_threshold``.
        options: How they are grouped.
    """
    faces: list[PhotoFace] = []
    refused: list[dict[str, object]] = []
    for number, photo in enumerate(taken, 1):
        if isinstance(photo, FacealikeError):
            reason = str(photo).removeprefix(f"photo {number}: ")
            refused.append({"photo": f"photo {number}", "reason": reason})
            continue
        for place, (face, vector) in enumerate(zip(photo.faces, photo.vectors, strict=True), 1):
            assert face.face is not None and face.quality is not None  # the queue detects and assesses
            # Numbers of one width, so that names sort as the photos do.
            faces.append(PhotoFace(f"{number:06}", place, face.face, face.quality.score, vector, b""))
    result = group_faces(
        FoundFaces(len(taken), tuple(faces), (), ()), model, threshold, options, Corrections()
    )
    return Clustered.model_validate(
        {
            "model": model,
            "photos": len(taken),
            "people": result.people,
            "single": result.single,
            "threshold": threshold.value,
            "fmr": threshold.fmr,
            "extrapolated": threshold.extrapolated,
            "faces": [{**one.to_dict(), "photo": int(one.photo)} for one in result.faces],
            "review": [pair.to_dict() for pair in result.review],
            "refused": refused,
            "sentences": [str(result)],
        }
    )
