"""Search a store for a face: candidates with their probabilities, and the decision."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..calibration.calibration import Calibration
from ..calibration.likelihood_ratio import likelihood_ratio
from ..errors import UsageError
from .aggregation import DEFAULT_AGGREGATION, Aggregation, check_aggregation, on_scale_of_one, person_score
from .base import GalleryStore, Hit
from .candidates import MARGIN, Candidate, Decision, decide
from .mate_probability import DEPTH, ENROLLED_PRIOR, check_enrolled_prior, mate_probabilities
from .template import NORM_TOLERANCE, Template
from .threshold import FpirThreshold, check_fpir, threshold_at_fpir

FPIR = 0.01
"""Default target: one of a hundred searches of people not enrolled returns a candidate."""

HIGHEST_LOWER = 0.5
"""Highest FPIR of the threshold from which on a candidate is uncertain instead of unknown."""


FACES = 4
"""A mean is at least as long as one of so many faces of different people; see ``on_scale_of_one``."""


@dataclass(frozen=True)
class SearchOptions:
    """What a search returns, and at which rates.

    Attributes:
        top: How many candidates.
        fpir: The target share of searches of people not enrolled that return a candidate.
        prior: The share of searches whose person is enrolled.
        aggregation: How the templates of a person give one score.

    Raises:
        UsageError: A value is out of range.
    """

    top: int = 5
    fpir: float = FPIR
    prior: float = ENROLLED_PRIOR
    aggregation: Aggregation = DEFAULT_AGGREGATION

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UsageError(f"a search returns one candidate or more, not {self.top}")
        check_fpir(self.fpir)
        check_enrolled_prior(self.prior)
        check_aggregation(self.aggregation)


@dataclass(frozen=True)
class Found:
    """What a search has found; see ``CandidateList``."""

    candidates: tuple[Candidate, ...]
    decision: Decision | None
    threshold: FpirThreshold | None
    not_enrolled: float | None = None


def search(
    store: GalleryStore, calibration: Calibration, vector: NDArray[np.float32], options: SearchOptions,
    without: Set[str], name: str,
) -> Found:  # fmt: skip
    """Search a store for the vector of a face.

    Args:
        store: Where the templates are.
        calibration: That of the model whose embeddings they are.
        vector: A unit vector (d,), or the mean of several of one person, which is shorter; its scores are
            put on the scale of single faces.
        options: What is returned.
        without: People who are left out.
        name: The face, for messages.

    Raises:
        UsageError: The vector has another width than the templates.
    """
    count = store.count()
    if count and vector.shape != (store.dimensions(),):
        raise UsageError(
            f"{name}: an embedding of {len(vector)} numbers, where those of this gallery have "
            f"{store.dimensions()}; embed with the gallery's model"
        )
    # Whoever is not among the first hundred by their best template is not the first by all of them.
    norm, typical = float(np.linalg.norm(vector)), calibration.typical_impostor or 0.0
    if norm > 1 - NORM_TOLERANCE:
        norm = 1.0  # a single face
    hits = store.search((vector / norm).astype(np.float32), max(options.top, DEPTH), without)
    held = store.templates_of([hit.person for hit in hits])
    hits = [hit._replace(score=norm * hit.score) for hit in hits]
    hits = _aggregated(hits, held, vector, options.aggregation, typical)
    if norm < 1:
        hits = [hit._replace(score=_of_one_face(hit.score, norm, typical)) for hit in hits]
    if not calibration.tail or not count:
        return Found(_candidates(hits[: options.top]), None if count else "unknown", None)
    target = threshold_at_fpir(calibration.tail, options.fpir, count)
    lower_fpir = min(MARGIN * options.fpir, max(options.fpir, HIGHEST_LOWER))
    lower = threshold_at_fpir(calibration.tail, lower_fpir, count)
    decided = decide([hit.score for hit in hits], target.threshold, lower.threshold)
    ratio = likelihood_ratio(calibration)
    if ratio is None:
        return Found(_candidates(hits[: options.top]), decided, target)
    probabilities, not_enrolled = mate_probabilities(
        [hit.score for hit in hits],
        [max(1, len(held.get(hit.person, ()))) for hit in hits],
        max(store.count_people() - len(without), len(hits)),
        ratio,
        options.prior,
    )
    return Found(_candidates(hits[: options.top], probabilities.tolist()), decided, target, not_enrolled)


def _aggregated(
    hits: list[Hit], held: Mapping[str, list[Template]], vector: NDArray[np.float32], how: Aggregation,
    typical: float,
) -> list[Hit]:  # fmt: skip
    """Return the people found with the scores of all their templates, the highest first."""
    if how == "best":
        return hits
    scored = []
    for hit in hits:
        # A person who was forgotten meanwhile has no template left.
        score = person_score(vector, held[hit.person], how, typical)[0] if hit.person in held else hit.score
        scored.append(hit._replace(score=score))
    return sorted(scored, key=lambda hit: (-hit.score, hit.person))


def _of_one_face(product: float, norm: float, typical: float) -> float:
    """Return the score of a single face from the product of a mean of faces."""
    return min(1.0, float(on_scale_of_one(np.float32(product), np.float32(norm**2), FACES, typical)))


def _candidates(hits: list[Hit], probabilities: list[float] | None = None) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(*hit, None if probabilities is None else probabilities[i]) for i, hit in enumerate(hits)
    )
