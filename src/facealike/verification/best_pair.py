"""The best of all pairs of faces of two photos, with its error rates and its prior.

Each further pair is one more chance of a false match.  If one impostor pair reaches a score with probability
f, the best of n independent pairs does with 1 - (1 - f)^n.  Pairs that share a face are not independent;
where they tend to score high together, the true rate is lower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from ..detection.face_policy import FacePolicy
from ..errors import UsageError
from ..metrics.similarity import cosine
from ..types import Embeddings

PairFacePolicy: TypeAlias = FacePolicy | Literal["any"]
"""Which faces of two photos are compared; ``any``, only for comparisons, is the best pair of all."""

PAIR_POLICIES = ("largest", "central", "only", "any")


class BestPair(NamedTuple):
    """The pair of faces with the highest score: the index of each in its photo, and the number of pairs."""

    first: int
    second: int
    score: float
    of: int = 1

    @property
    def numbers(self) -> tuple[int, int]:
        """The two faces, counted from 1."""
        return self.first + 1, self.second + 1


def best_pair(first: Embeddings, second: Embeddings) -> BestPair:
    """Return the best of all pairs of a row of ``first`` (n, d) and one of ``second`` (m, d).

    Of equal pairs, that of the earlier faces, which are the more confident ones.
    """
    scores = first.astype(np.float64) @ second.astype(np.float64).T
    i, j = (int(k) for k in np.unravel_index(np.argmax(scores), scores.shape))
    return BestPair(i, j, float(cosine(first[i : i + 1], second[j : j + 1])[0]), scores.size)


def rate_of_best(rate: float, n: int) -> float:
    """Return the FMR of the best of ``n`` pairs, where ``rate`` is that of one: 1 - (1 - rate)^n."""
    if n == 1 or rate >= 1:
        return rate
    return -math.expm1(n * math.log1p(-rate))


def rate_of_one(rate: float, n: int) -> float:
    """Return the FMR of one pair where that of the best of ``n`` is ``rate``; inverse of ``rate_of_best``."""
    if n == 1 or rate >= 1:
        return rate
    return -math.expm1(math.log1p(-rate) / n)


def score_at(tail: Sequence[tuple[float, float]], fmr: float) -> float:
    """Return the score that a share ``fmr`` of the impostor pairs reach; inverse of ``Calibration.fmr_of``.

    Args:
        tail: ``Calibration.tail``, (score, FMR) points.
        fmr: The FMR of one pair.

    Raises:
        UsageError: ``fmr`` is below the smallest FMR in ``tail``.
    """
    if not tail:
        raise UsageError("the model has no thresholds for the best of several pairs; see facealike calibrate")
    scores, shares = np.array(tail).T
    if fmr < shares[-1]:
        raise UsageError(
            f"the best of several pairs needs a threshold for an FMR of {fmr:.2g} a pair, and the model "
            f"knows none below {shares[-1]:.2g}; give a higher FMR, or a threshold, or compare one face each"
        )
    return float(np.interp(np.log(fmr), np.log(shares[::-1]), scores[::-1]))


def prior_of_one(prior: float, n: int) -> float:
    """Return the prior of one of ``n`` pairs of faces: its odds are those of ``prior`` divided by ``n``.

    ``prior`` is the share of photo pairs that show a common person.  That person may be in any of the n
    pairs of faces, so each has the probability prior / n, and none has 1 - prior.
    """
    return prior if n == 1 else prior / (prior + n * (1 - prior))


def check_pair_policy(face: str) -> None:
    """Raise UsageError for a policy that selects no pair of faces."""
    if face not in PAIR_POLICIES:
        raise UsageError(
            "compare needs one face a photo, so choose largest, central or only, or any for the best pair "
            f"of all faces, not {face!r}"
        )
