"""The probability that a candidate is the person: against a slow twin, and in simulated searches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facealike.calibration.likelihood_ratio import likelihood_ratio
from facealike.errors import UsageError
from facealike.gallery.mate_probability import DEPTH, check_enrolled_prior, mate_probabilities
from support.known_scores import GENUINE, IMPOSTOR, known_calibration

RATIO = likelihood_ratio(known_calibration())


def slow_twin(scores: list[float], templates: list[int], prior: float) -> list[float]:
    """Return P(H_1), ..., P(H_N), P(H_0): each hypothesis' prior times its likelihood, normalized.

    Likelihoods are relative to that of H_0, under which each score is that of an impostor.
    """
    assert RATIO is not None
    joint = []
    for score, count in zip(scores, templates, strict=True):
        joint.append(prior / len(scores) * math.exp(float(RATIO.log_at(score))) / count)
    joint.append(1 - prior)
    return [one / sum(joint) for one in joint]


def test_equals_the_slow_twin() -> None:
    assert RATIO is not None
    rng = np.random.default_rng(0)
    for prior in (0.5, 0.01, 0.999):
        for people in (1, 2, 7):
            scores = np.sort(rng.uniform(-0.2, 0.9, people))[::-1].tolist()
            templates = rng.integers(1, 6, people).tolist()
            found, none = mate_probabilities(scores, templates, people, RATIO, prior)
            assert [*found.tolist(), none] == pytest.approx(slow_twin(scores, templates, prior))
            assert found.sum() + none == pytest.approx(1)
    assert mate_probabilities([], [], 0, RATIO)[1] == 1
    for prior in (0, 1, -0.1, 2, float("nan"), "half"):
        with pytest.raises(UsageError, match="share of searches whose person is enrolled"):
            check_enrolled_prior(prior)  # type: ignore[arg-type]


@pytest.mark.parametrize(("templates", "people", "prior"), [(1, 20, 0.5), (1, 300, 0.3), (4, 50, 0.5)])
def test_the_probabilities_come_true_in_a_simulation(templates: int, people: int, prior: float) -> None:
    """Genuine scores of a person's templates are equal, impostor scores independent, as the module states."""
    assert RATIO is not None
    rng = np.random.default_rng(templates + people)
    stated, true, none, absent = [], [], [], []
    for _ in range(4000):
        z = rng.normal(IMPOSTOR.mean, IMPOSTOR.stdev, (people, templates)).max(axis=1)
        enrolled = rng.random() < prior
        if enrolled:
            z[0] = rng.normal(GENUINE.mean, GENUINE.stdev)
        order = np.argsort(-z)[:DEPTH]
        found, not_enrolled = mate_probabilities(
            np.tanh(z[order]).tolist(), [templates] * len(order), people, RATIO, prior
        )
        stated.append(found[0])
        true.append(enrolled and order[0] == 0)
        none.append(not_enrolled)
        absent.append(not enrolled)
    for p, happened in ((np.array(stated), np.array(true)), (np.array(none), np.array(absent))):
        for low, high in ((0, 0.2), (0.2, 0.8), (0.8, 1.01)):
            some = (p >= low) & (p < high)
            error = 4 * math.sqrt(0.25 / some.sum()) * 0.6
            assert abs(p[some].mean() - happened[some].mean()) < max(0.02, error), (low, high, some.sum())
    assert abs(np.mean(stated) - np.mean(true)) < 0.02
