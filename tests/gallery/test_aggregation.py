"""Several templates of a person give one score, on the scale of a single template."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facealike.errors import UsageError
from facealike.gallery.aggregation import Aggregation, check_aggregation, person_score
from facealike.gallery.template import Template


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def templates(vectors: NDArray[np.float32], quality: list[float | None] | None = None) -> list[Template]:
    of = quality or [None] * len(vectors)
    return [Template(one, "", q, "") for one, q in zip(vectors, of, strict=True)]


def slow_twin(query: list[float], vectors: list[list[float]], weights: list[float], typical: float) -> float:
    """Return the score of the weighted mean, in loops."""
    width = len(query)
    mean = [sum(w * v[k] for w, v in zip(weights, vectors, strict=True)) / sum(weights) for k in range(width)]
    product = sum(x * m for x, m in zip(query, mean, strict=True))
    part = max(sum(m * m for m in mean) - typical, (1 - typical) / len(vectors))
    return min(1.0, typical + (product - typical) * math.sqrt((1 - typical) / part))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000), st.floats(-0.2, 0.9))
def test_equals_the_slow_twin(count: int, seed: int, typical: float) -> None:
    rng = np.random.default_rng(seed)
    query, *held = unit(rng.normal(size=(count + 1, 8)) + 1.5)
    quality = rng.uniform(0.1, 1, count).tolist()
    stacked = templates(np.stack(held), quality)
    scores = [float(query @ one) for one in held]
    lists = query.tolist(), [one.tolist() for one in held]
    assert person_score(query, stacked, "best", typical) == (
        pytest.approx(max(scores), abs=1e-6), int(np.argmax(scores))
    )  # fmt: skip
    expected = slow_twin(*lists, [1.0] * count, typical) if count > 1 else scores[0]
    assert person_score(query, stacked, "mean", typical)[0] == pytest.approx(expected, abs=1e-5)
    assert person_score(query, stacked, "best-or-mean", typical)[0] == pytest.approx(
        max(expected, *scores), abs=1e-5
    )
    expected = slow_twin(*lists, quality, typical) if count > 1 else scores[0]
    assert person_score(query, stacked, "weighted", typical)[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("how", ["best-or-mean", "best", "mean", "weighted"])
def test_equal_templates_count_as_one(how: Aggregation) -> None:
    query, other = unit(np.random.default_rng(0).normal(size=(2, 16)) + 1)
    assert person_score(query, templates(np.stack([other] * 4)), how, 0.6)[0] == pytest.approx(
        float(query @ other), abs=1e-5
    )
    assert person_score(other, templates(other[None]), how, 0.6) == (pytest.approx(1, abs=1e-6), 0)


def test_an_unknown_quality_counts_in_full_and_a_poor_photo_less() -> None:
    good, poor = np.eye(4, dtype=np.float32)[:2]
    held = templates(np.stack([good, poor]), [None, 0.2])
    scores = {how: person_score(good, held, how, 0.0)[0] for how in ("best", "mean", "weighted")}  # type: ignore[arg-type]
    assert scores["mean"] < scores["weighted"] < scores["best"] == 1
    zero = [replace(one, quality=0.0) for one in held]
    assert person_score(good, zero, "weighted", 0.0)[0] == pytest.approx(scores["mean"])
    with pytest.raises(UsageError, match="best-or-mean, best, mean, weighted"):
        check_aggregation("median")


@pytest.mark.parametrize("count", [2, 4, 8])
def test_impostors_score_as_with_a_single_template_and_mates_higher(count: int) -> None:
    """Embeddings with a common part, one of the person and one of the photo, as the module states."""
    rng = np.random.default_rng(count)
    width, people = 64, 400

    def faces(photos: int) -> NDArray[np.float32]:
        common = np.zeros(width)
        common[0] = math.sqrt(0.8)
        own = rng.normal(size=(people, 1, width)) * math.sqrt(0.1 / width)
        photo = rng.normal(size=(people, photos, width)) * math.sqrt(0.1 / width)
        return unit(common + own + photo)

    held, strangers = faces(count + 1), faces(1)[:, 0]
    typical = float(np.median(held[:, 0] @ strangers.T))
    single, mean, cut = [], [], []
    for photos in held:
        group = templates(photos[1:])
        single += [float(photos[1] @ one) for one in strangers[:100]]
        mean += [person_score(one, group, "mean", typical)[0] for one in strangers[:100]]
        cut.append((float(photos[1] @ photos[0]), person_score(photos[0], group, "mean", typical)[0]))
    for share in (0.5, 0.99, 0.999):
        assert np.quantile(mean, share) == pytest.approx(np.quantile(single, share), abs=0.012)
    threshold = np.quantile(single, 0.999)
    missed = (np.array(cut) < threshold).mean(axis=0)
    assert missed[1] < 0.7 * missed[0]
