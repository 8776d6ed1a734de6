"""The probability that an enrolled person is the one on a photo, and that the person is not enrolled.

There are N + 1 hypotheses: the photo shows the k-th of N enrolled people (H_k), or none of them (H_0).  With
a prior p that the person is enrolled, and no person more likely than another, P(H_k) = p / N and
P(H_0) = 1 - p.  Given a hypothesis, the score of the mate has the density f1 of genuine pairs and those of
all others the density f0 of impostor pairs, each independent of the others.  In P(scores | H_k) /
P(scores | H_0) all but the mate's factor cancels, which leaves the likelihood ratio L_k = f1(s_k) / f0(s_k).
By Bayes

    P(H_k | scores) = (p / N) L_k / D    and    P(H_0 | scores) = (1 - p) / D,
    D = 1 - p + (p / N) (L_1 + ... + L_N).

A person with n templates had n chances to score high as an impostor.  As for verification, L_k is divided by
n, which is cautious: it takes the genuine scores of the templates as equal, and the impostor scores as
independent.  Of people beyond the best ``DEPTH`` only the expectation enters: the mean ratio of impostor
pairs below the lowest score that is known.

Scores of one photo are not independent: one that resembles a person resembles others too.
``docs/results/identification.md`` has the calibration measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..calibration.likelihood_ratio import LikelihoodRatio
from ..errors import UsageError
from ..utils.json_fields import is_number

ENROLLED_PRIOR = 0.5
"""The default share of searches whose person is enrolled."""

DEPTH = 100
"""People whose scores enter a probability one by one."""


def check_enrolled_prior(prior: float) -> None:
    """Raise UsageError for a prior that does not lie between 0 and 1, both excluded."""
    if not is_number(prior) or not 0 < prior < 1:
        raise UsageError(
            f"the prior is the share of searches whose person is enrolled, between 0 and 1, not {prior}"
        )


def mate_probabilities(
    scores: Sequence[float], templates: Sequence[int], people: int, ratio: LikelihoodRatio,
    prior: float = ENROLLED_PRIOR,
) -> tuple[NDArray[np.float64], float]:  # fmt: skip
    """Return the probability of each person, and that of no enrolled person.

    Args:
        scores: The score of each of the best people, (n,).
        templates: How many templates each of them has, (n,).
        people: How many people were searched; the others score below all of ``scores``.
        ratio: The likelihood ratio of the model's scores.
        prior: The probability, before the search, that the person is enrolled.
    """
    if not scores:
        return np.zeros(0), 1.0
    each = prior / people
    weights = each * np.exp(ratio.log_at(scores)) / np.asarray(templates)
    others = each * max(people - len(scores), 0) * ratio.mean_below(min(scores))
    total = 1 - prior + float(weights.sum()) + others
    return weights / total, (1 - prior) / total
