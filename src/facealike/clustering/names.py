"""Name the people of a clustering after people enrolled in a gallery.

Each person is one search: the template is the mean of the faces, weighted by their quality, and the gallery
decides at a target FPIR as for any other search.  Only a ``match`` gives a name.  A person is never named
after two people, since a ``match`` has one candidate.  People who match the same enrolled person stay apart,
as ``Ann`` and ``Ann (2)``: average linkage has found their faces too different to be merged, and one of the
two names may be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.calibration import Calibration
from ..errors import MixedModels, UsageError
from ..gallery.aggregation import mean_template
from ..gallery.gallery import Gallery
from ..gallery.intake import corrected_photos
from ..gallery.search import Found, SearchOptions, search
from ..gallery.threshold import threshold_at_fpir
from ..imaging.photo_digest import photo_digests
from ..utils.escape import shown
from ..utils.result import Shown
from .folder_names import unused_name

if TYPE_CHECKING:
    from .result import ClusteredFace, Clustering

FPIR = 1e-3
"""Default target: one of a thousand people not enrolled gets a name.  It is lower than that of a single
search, since every person in the photos is searched, and most of them may not be enrolled;
docs/results/clustering.md has the shares of wrong names."""


@dataclass(frozen=True, repr=False)
class PersonMatch(Shown):
    """A person of a clustering and the enrolled person they were named after.

    Attributes:
        person: The number of the person.
        name: Their name in the clustering: that of the enrolled person, with a number where others have it.
        enrolled: The name in the gallery.
        score: The score of the faces' template with that person.
        probability: The probability that it is that person; None where the model has no curve for it.
        threshold: The score from which on the gallery has a match, at its target FPIR.
        fpir: That target.

    Examples:
        >>> for match in cluster("photos").name_from("people.db").matches:
        ...     print(match.person, match.name, match.probability)
    """

    person: int
    name: str
    enrolled: str
    score: float
    probability: float | None
    threshold: float
    fpir: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "person": self.person, "name": self.name, "enrolled": self.enrolled, "score": self.score,
            "probability": self.probability, "threshold": self.threshold, "fpir": self.fpir,
        }  # fmt: skip

    def __str__(self) -> str:
        return f"person {self.person} is {shown(self.name)}, score {self.score:.3f}"


def name_people(
    clustering: Clustering, gallery: Gallery, fpir: float, digests: Mapping[str, str] | None = None
) -> Clustering:
    """Return a clustering whose people are named after enrolled people; see ``Clustering.name_from``.

    Args:
        clustering: Groups that ``cluster`` has made.
        gallery: Where the people are enrolled.
        fpir: The target share of people not enrolled that get a name.
        digests: Those of the pixels of the photos, by name; None where the photos can be read for them.

    Raises:
        MixedModels: The gallery holds embeddings of another model.
        NotCalibrated: The model has no table of impostor scores.
        UsageError: ``fpir`` is out of range, or ``cluster`` has not made these groups.
    """
    check_naming(gallery.model.calibration, fpir)
    if clustering.kept is None:
        raise UsageError("these groups have no embeddings; cluster makes groups that can be named")
    if gallery.model.id != clustering.model:
        raise MixedModels("the gallery is of another model than the groups; group with the gallery's model")
    vectors: dict[int, list[NDArray[np.float32]]] = {}
    for face, vector in zip(clustering.faces, clustering.kept.embeddings, strict=True):
        if face.person is not None:
            vectors.setdefault(face.person, []).append(vector)
    matched = []
    for person in clustering.numbers:
        if person not in clustering.names:
            faces = clustering.faces_of(person)
            found = _search(person, faces, vectors[person], gallery, fpir, digests)
            if found is not None and found.decision == "match":
                matched.append((person, found))
    matched.sort(key=lambda each: (-each[1].candidates[0].score, each[0]))
    names = dict(clustering.names)
    taken = {name.casefold() for name in names.values()}
    matches = []
    for person, found in matched:
        first, threshold = found.candidates[0], found.threshold
        assert threshold is not None  # there is none without a decision
        names[person] = unused_name(first.person, taken)
        matches.append(
            PersonMatch(
                person, names[person], first.person, first.score, first.probability, threshold.threshold, fpir
            )
        )
    matches.sort(key=lambda match: match.person)
    return replace(clustering, names=names, matches=(*clustering.matches, *matches))


def check_naming(calibration: Calibration, fpir: float) -> None:
    """Check before long work that people can be named with a model at a target FPIR.

    Raises:
        NotCalibrated: The model has no table of impostor scores.
        UsageError: ``fpir`` is out of range.
    """
    threshold_at_fpir(calibration.check().tail, fpir, 1)


def _search(
    person: int, faces: Sequence[ClusteredFace], vectors: Sequence[NDArray[np.float32]], gallery: Gallery,
    fpir: float, digests: Mapping[str, str] | None,
) -> Found | None:  # fmt: skip
    """Return what the gallery has for a person; None where the faces have no mean."""
    template = mean_template(np.stack(vectors), [face.quality for face in faces])
    if not template.any():
        return None
    options = SearchOptions(fpir=fpir, aggregation=gallery.aggregation)
    store, calibration, name = gallery.store, gallery.model.calibration, f"person {person}"
    found = search(store, calibration, template, options, set(), name)
    corrections = corrected_photos(store.corrections())
    if found.decision != "unknown" and any(one.person in corrections for one in found.candidates):
        photos = sorted({face.photo for face in faces})
        if digests is None:
            pixels = {digest.pixels for digest in photo_digests(photos) if digest is not None}
        else:
            pixels = {digests[photo] for photo in photos}
        excluded = {one for one, of_photos in corrections.items() if of_photos & pixels}
        found = search(store, calibration, template, options, excluded, name)
    return found
