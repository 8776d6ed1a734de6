"""What new templates look like: another person who is enrolled, or none of the person's other photos.

Each new template is searched among all other people.  The rates are those of an identification: of people who
are not enrolled, a share ``DUPLICATE_FPIR`` resembles somebody in the gallery as much as a probable duplicate
does, with all n photos of the new person counted as n searches.  From ``MARGIN`` times that rate on, the pair
is listed as a lookalike.

A photo is an outlier where its best score with the person's other templates is one that another person's
photo reaches with a probability of ``OUTLIER_FMR``: then it may show somebody else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..calibration.calibration import Calibration
from ..calibration.likelihood_ratio import likelihood_ratio
from ..calibration.survival_threshold import survival_threshold
from ..utils.result import Result
from ..utils.wording import in_percent
from ..verification.best_pair import rate_of_best, rate_of_one
from ..verification.wording import in_digits
from .base import GalleryStore, Hit
from .candidates import MARGIN
from .intake import Taken
from .mate_probability import mate_probabilities
from .template import Template
from .template_matrix import Near, TemplateMatrix, compare_in_store
from .threshold import threshold_at_fpir

Vectors = NDArray[np.float32]

DUPLICATE_FPIR = 0.01
"""Share of new people, none of whom is enrolled, who are reported as a probable duplicate."""

DUPLICATE_PRIOR = 0.01
"""The share of new people who are enrolled already under another name, for the probability."""

RAREST = 1e-5
"""Rates below it are one in a sentence."""

OUTLIER_FMR = 0.01
"""Share of photos of others that are no outliers among a person's templates."""


@dataclass(frozen=True, repr=False)
class Lookalike(Result):
    """A new person who looks like an enrolled one, or like another new one.

    Examples:
        >>> for one in gallery.enroll("Ann Smith", ["ann.jpg"]).lookalikes:
        ...     print(one.duplicate, one)

    Attributes:
        person: The new person, or the one with a new photo.
        photo: The new photo.
        other: Whom it looks like.
        other_photo: That person's photo.
        score: The cosine of the two.
        rate: The share of people not enrolled whose photos look as much like somebody in the gallery.
        probability: The probability that both are one person, if one of a hundred new people is enrolled
            already.
        duplicate: Whether the rate is at most that of a probable duplicate.
    """

    ASK: ClassVar[str] = "ask for .duplicate"

    person: str
    photo: str
    other: str
    other_photo: str
    score: float
    rate: float
    probability: float
    duplicate: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "person": self.person, "photo": self.photo, "other": self.other,
            "other_photo": self.other_photo, "score": self.score, "rate": self.rate,
            "probability": self.probability, "duplicate": self.duplicate,
        }  # fmt: skip

    def __str__(self) -> str:
        what = "probable duplicate of" if self.duplicate else "looks like"
        share = f"{'less than ' * (self.rate < RAREST)}{in_percent(max(self.rate, RAREST))} %"
        return (
            f"{self.person}: {what} {self.other} (score {self.score:.3f}, which {share} of "
            f"people not enrolled reach; probability {in_digits(self.probability)} if 1 % of new people are "
            f"enrolled already): {self.photo}, {self.other_photo}"
        )


@dataclass(frozen=True, repr=False)
class OutlierPhoto(Result):
    """A photo that looks like none of the person's other photos: it may show somebody else.

    Examples:
        >>> [one.photo for one in gallery.enroll("Ann", ["ann1.jpg", "ann2.jpg", "bob.jpg"]).outliers]
        ['bob.jpg']

    Attributes:
        person: The name.
        photo: The new photo.
        score: The highest cosine with the person's other templates.
    """

    ASK: ClassVar[str] = "ask for .score"

    person: str
    photo: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        return {"person": self.person, "photo": self.photo, "score": self.score}

    def __str__(self) -> str:
        return f"{self.photo}: looks like no other photo of {self.person} (best score {self.score:.3f})"


class Resemblance(NamedTuple):
    """What new templates look like: at most one lookalike for each pair of people."""

    lookalikes: tuple[Lookalike, ...] = ()
    outliers: tuple[OutlierPhoto, ...] = ()


def find_resemblance(
    store: GalleryStore, calibration: Calibration, new: Sequence[tuple[str, Template]],
    corrected: Mapping[str, Set[str]], matrix: TemplateMatrix | None = None,
) -> Resemblance:  # fmt: skip
    """Compare new templates with those in a store and with each other.

    Args:
        store: Where the new templates are not yet.
        calibration: That of the model; one without probabilities finds nothing.
        new: Templates with the name of their person.
        corrected: Digests of photos that do not show a person.
        matrix: The templates of the store, where there are many new ones.
    """
    ratio = likelihood_ratio(calibration)
    if not new or ratio is None:
        return Resemblance()
    vectors = np.stack([template.vector for _, template in new])
    among = vectors @ vectors.T
    near = compare_in_store(store, new) if matrix is None else matrix.compare(new)
    best: dict[frozenset[str], tuple[int, Hit]] = {}
    for row, (person, template) in enumerate(new):
        for hit in (near[row].other, _among_new(new, among, row)):
            if hit is None or template.digest in corrected.get(hit.person, ()):
                continue
            pair = frozenset((person, hit.person))
            if pair not in best or hit.score > best[pair][1].score:
                best[pair] = (row, hit)
    photos = Counter(person for person, _ in new)
    count, people = (store.count(), store.count_people()) if matrix is None else (len(matrix), matrix.people)
    cuts: dict[int, list[float]] = {}
    lookalikes = []
    for row, hit in best.values():
        person, template = new[row]
        searched = (count + len(new)) * photos[person]
        if searched not in cuts:
            rates = (DUPLICATE_FPIR, DUPLICATE_FPIR * MARGIN)
            cuts[searched] = [threshold_at_fpir(calibration.tail, one, searched).threshold for one in rates]
        if hit.score < cuts[searched][1]:
            continue
        pairs = photos[person] * max(1, len(store.templates_of([hit.person]).get(hit.person, ())))
        (probability,), _ = mate_probabilities([hit.score], [pairs], max(people, 1), ratio, DUPLICATE_PRIOR)
        rate = rate_of_best(ratio.fmr_at(hit.score), searched)
        lookalikes.append(
            Lookalike(
                person, template.source, hit.person, hit.source, hit.score, rate, float(probability),
                hit.score >= cuts[searched][0],
            )
        )  # fmt: skip
    lookalikes.sort(key=lambda one: -one.score)
    return Resemblance(tuple(lookalikes), tuple(_outliers(calibration, new, near, among)))


def _among_new(new: Sequence[tuple[str, Template]], among: Vectors, row: int) -> Hit | None:
    """Return the best of the other new people for a new template."""
    others = [i for i, (who, _) in enumerate(new) if who != new[row][0]]
    if not others:
        return None
    best = max(others, key=lambda i: float(among[row, i]))
    return Hit(new[best][0], float(among[row, best]), new[best][1].source)


def _outliers(
    calibration: Calibration, new: Sequence[tuple[str, Template]], near: Sequence[Near], among: Vectors
) -> Iterator[OutlierPhoto]:
    """Yield the photos that look like none of the person's others, stored or new."""
    for row, (person, template) in enumerate(new):
        own = list(near[row].own)
        own += [float(among[row, i]) for i, (who, _) in enumerate(new) if who == person and i != row]
        if own and max(own) < survival_threshold(calibration.tail, rate_of_one(OUTLIER_FMR, len(own)))[0]:
            yield OutlierPhoto(person, template.source, max(own))


class Screening:
    """Compares what is enrolled in one call, batch by batch, and refuses probable duplicates where asked.

    Args:
        store: Where the templates go.
        calibration: That of the model.
        corrected: Digests of photos that do not show a person.
        refuse: Refuse the photos of a person who is a probable duplicate of another.
        many: There are many batches, so that the templates of the store are held in memory.
    """

    def __init__(
        self, store: GalleryStore, calibration: Calibration, corrected: Mapping[str, Set[str]], refuse: bool,
        many: bool,
    ) -> None:  # fmt: skip
        self._store, self._calibration, self._corrected = store, calibration, corrected
        self._refuse, self._many = refuse, many
        self._matrix: TemplateMatrix | None = None
        self._duplicates: dict[str, str] = {}
        self.lookalikes: list[Lookalike] = []
        self.outliers: list[OutlierPhoto] = []

    def screened(self, batch: Sequence[Taken]) -> list[Taken]:
        """Return a batch, in which the photos of probable duplicates are refused where that is asked for."""
        new = _new(batch)
        if new and self._many and self._matrix is None:
            self._matrix = TemplateMatrix(self._store)
        found = find_resemblance(self._store, self._calibration, new, self._corrected, self._matrix)
        self.lookalikes += found.lookalikes
        self.outliers += found.outliers
        for one in found.lookalikes:
            if one.duplicate and self._refuse:
                self._duplicates.setdefault(one.person, f"{one}; enroll it under that name, or accept both")
        accepted = [
            one._replace(template=None, reason=self._duplicates[one.person])
            if one.template is not None and one.person in self._duplicates
            else one
            for one in batch
        ]
        if self._matrix is not None:
            self._matrix.add(_new(accepted))
        return accepted


def _new(batch: Sequence[Taken]) -> list[tuple[str, Template]]:
    return [(one.person, one.template) for one in batch if one.template is not None]
