"""Group the faces of the photos of one request by person, in memory; nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence

from ..client.clustering import Clustered, ClusterRequest
from ..clustering.cluster import group_faces
from ..clustering.corrections import Corrections
from ..clustering.faces import PhotoFace
from ..clustering.faces import PhotoFaces as FoundFaces
from ..clustering.names import name_people
from ..clustering.options import ClusterOptions, ClusterThreshold
from ..clustering.result import Clustering
from ..embedding.unused_photos import photo_without_face, unused_photo
from ..errors import FacealikeError, UsageError
from ..gallery.gallery import Gallery
from ..imaging.photo_warning import UnusedPhoto
from .photo_work import PhotoFaces

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


def grouped(
    taken: Sequence[PhotoFaces | FacealikeError], model: str, threshold: ClusterThreshold,
    options: ClusterOptions,
) -> Clustering:  # fmt: skip
    """Return the faces of photos grouped by person.

    Args:
        taken: The faces of each photo, or its error, in the order of the request.
        model: The id of the model that embedded them.
        threshold: See ``cluster_threshold``.
        options: How they are grouped.
    """
    faces: list[PhotoFace] = []
    unused: list[UnusedPhoto] = []
    for number, photo in enumerate(taken, 1):
        if isinstance(photo, FacealikeError):
            unused.append(unused_photo(f"photo {number}", photo))
            continue
        if not photo.faces:
            unused.append(photo_without_face(f"photo {number}"))
        for place, (face, vector) in enumerate(zip(photo.faces, photo.vectors, strict=True), 1):
            assert face.face is not None and face.quality is not None  # the queue detects and assesses
            faces.append(PhotoFace(_name(number), place, face.face, face.quality.score, vector, b""))
    found = FoundFaces(len(taken), tuple(faces), tuple(unused))
    return group_faces(found, model, threshold, options, Corrections())


def named(
    result: Clustering, taken: Sequence[PhotoFaces | FacealikeError], gallery: Gallery, fpir: float
) -> Clustering:
    """Return groups whose people are named who are enrolled in a gallery; see ``name_people``."""
    digests = {
        _name(number): photo.digest for number, photo in enumerate(taken, 1) if isinstance(photo, PhotoFaces)
    }
    return name_people(result, gallery, fpir, digests)


def _name(number: int) -> str:
    return f"{number:06}"  # of one width, so that names sort as the photos do


def clustered(result: Clustering, threshold: ClusterThreshold) -> Clustered:
    """Return the answer for groups."""
    unused = [{**one.to_dict(), "photo": int(one.photo.removeprefix("photo "))} for one in result.unused]
    return Clustered.model_validate(
        {
            "model": result.model,
            "photos": result.photos,
            "people": result.people,
            "single": result.single,
            "threshold": threshold.value,
            "fmr": threshold.fmr,
            "extrapolated": threshold.extrapolated,
            "faces": [{**one.to_dict(), "photo": int(one.photo)} for one in result.faces],
            "review": [pair.to_dict() for pair in result.review],
            "matches": [match.to_dict() for match in result.matches],
            "left_out": result.left_out,
            "unused": unused,
            "sentences": [str(result)],
        }
    )
