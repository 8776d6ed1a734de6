"""Each loss against explicit loops over pairs, triplets and classes, in float64."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facealike.train.losses.criterion import Criterion, pair_tensors
from facealike.train.recipe.schema import LossSpec

Vectors = NDArray[np.float64]
LABELS = np.array([3, 0, 1, 0, 3, 3, 1, 4, 0, 5])  # 2 is missing, 4 and 5 are there once
PEOPLE, DIMENSIONS = 6, 5


def batch(seed: int) -> Vectors:
    """Embeddings of any length, some near their own people and some not."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(PEOPLE, DIMENSIONS))
    return (centres[LABELS] + rng.normal(size=(len(LABELS), DIMENSIONS))) * rng.uniform(0.2, 9)


def unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def distance(vectors: Vectors, i: int, j: int) -> float:
    return float(np.linalg.norm(unit(vectors)[i] - unit(vectors)[j]))


def criterion(name: str, margin: float, miner: str = "all", scale: float = 16.0) -> Criterion:
    torch.manual_seed(1)
    return Criterion(LossSpec(name, margin, scale, miner), PEOPLE, DIMENSIONS)  # type: ignore[arg-type]


def value(loss: Criterion, vectors: Vectors, pairs: tuple[Any, ...] | None = None) -> float:
    found = loss(
        torch.tensor(vectors, dtype=torch.float32),
        torch.tensor(LABELS),
        pair_tensors(pairs, torch.device("cpu")),
    )
    assert found.shape == ()
    return float(found.detach())


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def genuine() -> list[tuple[int, int]]:
    return [(i, j) for i, j in itertools.permutations(range(len(LABELS)), 2) if LABELS[i] == LABELS[j]]


def impostor() -> list[tuple[int, int]]:
    return [(i, j) for i, j in itertools.permutations(range(len(LABELS)), 2) if LABELS[i] != LABELS[j]]


def triplets() -> list[tuple[int, int, int]]:
    return [(a, p, n) for a, p in genuine() for n in range(len(LABELS)) if LABELS[n] != LABELS[a]]


# ---- contrastive ------------------------------------------------------------------------------


def slow_contrastive(
    vectors: Vectors, margin: float, same: list[tuple[int, int]], different: list[tuple[int, int]]
) -> tuple[list[float], list[float]]:
    pull = [distance(vectors, i, j) ** 2 for i, j in same]
    push = [max(0.0, margin - distance(vectors, i, j)) ** 2 for i, j in different]
    return pull, push


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.3, 1.0, 2.0])
def test_contrastive_on_all_pairs_of_a_batch(seed: int, margin: float) -> None:
    pull, push = slow_contrastive(batch(seed), margin, genuine(), impostor())
    found = value(criterion("contrastive", margin), batch(seed))
    assert found == pytest.approx(mean(pull) + mean(push), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_contrastive_on_the_pairs_of_a_sampler(seed: int) -> None:
    pairs = (np.array([0, 1, 2]), np.array([4, 3, 6]), np.array([0, 3]), np.array([7, 9]))
    pull, push = slow_contrastive(batch(seed), 1.2, [(0, 4), (1, 3), (2, 6)], [(0, 7), (3, 9)])
    found = value(criterion("contrastive", 1.2), batch(seed), pairs)
    assert found == pytest.approx(mean(pull) + mean(push), rel=1e-4, abs=1e-5)


def test_the_pairs_of_a_sampler_are_believed_whatever_the_labels() -> None:
    pairs = (np.array([7, 1]), np.array([9, 2]), np.array([0, 1]), np.array([4, 3]))
    pull, push = slow_contrastive(batch(0), 1.5, [(7, 9), (1, 2)], [(0, 4), (1, 3)])
    found = value(criterion("contrastive", 1.5), batch(0), pairs)
    assert found == pytest.approx(mean(pull) + mean(push), rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_hard_contrastive_leaves_out_satisfied_pairs(seed: int) -> None:
    pull, push = slow_contrastive(batch(seed), 0.9, genuine(), impostor())
    violated = [loss for loss in push if loss > 0]
    assert 0 < len(violated) < len(push)
    found = value(criterion("contrastive", 0.9, "hard"), batch(seed))
    assert found == pytest.approx(mean(pull) + mean(violated), rel=1e-4)


def test_contrastive_of_people_far_apart_is_nothing() -> None:
    vectors = np.eye(PEOPLE)[LABELS][:, :PEOPLE]
    torch.manual_seed(0)
    loss = Criterion(LossSpec("contrastive", 1.0), PEOPLE, PEOPLE)
    assert value(loss, vectors) == pytest.approx(0, abs=1e-6)


# ---- triplet ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.1, 0.5])
def test_triplet_on_all_that_violate_the_margin(seed: int, margin: float) -> None:
    vectors = batch(seed)
    losses = [distance(vectors, a, p) - distance(vectors, a, n) + margin for a, p, n in triplets()]
    expected = mean([loss for loss in losses if loss > 0])
    assert value(criterion("triplet", margin), vectors) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_hard_triplet_takes_the_hardest_of_each_anchor(seed: int) -> None:
    """Hermans, Beyer and Leibe, 2017: the farthest positive and the nearest negative."""
    vectors, losses = batch(seed), []
    for a in range(len(LABELS)):
        own = [distance(vectors, a, p) for b, p in genuine() if b == a]
        other = [distance(vectors, a, n) for b, n in impostor() if b == a]
        if own:
            losses.append(max(own) - min(other) + 0.3)
    expected = mean([loss for loss in losses if loss > 0])
    assert value(criterion("triplet", 0.3, "hard"), vectors) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_semihard_triplet(seed: int) -> None:
    """Schroff, Kalenichenko and Philbin, 2015: negatives beyond the positive, within the margin."""
    vectors, losses = batch(seed), []
    for a, p, n in triplets():
        gap = distance(vectors, a, n) - distance(vectors, a, p)
        if 0 < gap <= 0.4:
            losses.append(0.4 - gap)
    assert losses
    assert value(criterion("triplet", 0.4, "semihard"), vectors) == pytest.approx(mean(losses), rel=1e-4)


@pytest.mark.parametrize("miner", ["all", "hard", "semihard"])
def test_no_triplet_that_counts_is_a_loss_of_zero_with_a_gradient(miner: str) -> None:
    vectors = torch.eye(PEOPLE)[LABELS].requires_grad_()
    loss = Criterion(LossSpec("triplet", 0.1, miner=miner), PEOPLE, PEOPLE)  # type: ignore[arg-type]
    found = loss(vectors, torch.tensor(LABELS))
    found.backward()
    assert float(found.detach()) == 0
    assert vectors.grad is not None
    assert torch.equal(vectors.grad, torch.zeros_like(vectors))


# ---- classification ---------------------------------------------------------------------------


def slow_classification(vectors: Vectors, weights: Vectors, scale: float, target: Any) -> float:
    losses = []
    for row, label in zip(unit(vectors), LABELS, strict=True):
        cosines = [float(row @ weights[:, k] / np.linalg.norm(weights[:, k])) for k in range(PEOPLE)]
        cosines[label] = target(cosines[label])
        logits = [scale * cosine for cosine in cosines]
        top = max(logits)
        losses.append(top + math.log(sum(math.exp(logit - top) for logit in logits)) - logits[label])
    return mean(losses)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 0.35])
def test_cosface(seed: int, margin: float) -> None:
    """Wang et al., CVPR 2018: the cosine to one's own class less the margin."""
    loss = criterion("cosface", margin)
    weights = loss.loss.W.detach().double().numpy()
    expected = slow_classification(batch(seed), weights, 16.0, lambda cosine: cosine - margin)
    assert value(loss, batch(seed)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_arcface(seed: int, margin: float) -> None:
    """Deng et al., CVPR 2019: the angle to one's own class plus the margin, in radians; beyond pi a
    line takes over, as in the authors' code."""

    def target(cosine: float) -> float:
        angle = math.acos(cosine)
        return math.cos(angle + margin) if angle + margin <= math.pi else cosine - margin * math.sin(margin)

    loss = criterion("arcface", margin)
    weights = loss.loss.W.detach().double().numpy()
    # The first person's class looks away from them, so that both branches are met.
    weights[:, 3] = -batch(seed)[0]
    loss.loss.W.data = torch.tensor(weights, dtype=torch.float32)
    expected = slow_classification(batch(seed), weights, 16.0, target)
    assert value(loss, batch(seed)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_subcentre_arcface(seed: int, margin: float) -> None:
    """Deng et al., ECCV 2020: each person has several vectors, and the nearest one counts."""
    loss = criterion("subcenter-arcface", margin)
    centres = loss.loss.W.detach().double().numpy().T.reshape(PEOPLE, 3, DIMENSIONS)
    losses = []
    for row, label in zip(unit(batch(seed)), LABELS, strict=True):
        cosines = [max(float(row @ v / np.linalg.norm(v)) for v in own) for own in centres]
        angle = math.acos(cosines[label])
        beyond = cosines[label] - margin * math.sin(margin)
        cosines[label] = math.cos(angle + margin) if angle + margin <= math.pi else beyond
        losses.append(math.log(sum(math.exp(16 * c) for c in cosines)) - 16 * cosines[label])
    assert value(loss, batch(seed)) == pytest.approx(mean(losses), rel=1e-3)


@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_adaface_follows_the_lengths(margin: float) -> None:
    """Kim et al., CVPR 2022, equations 10 to 13, over several steps; and what a checkpoint keeps."""
    loss = criterion("adaface", margin)
    weights = loss.loss.W.detach().double().numpy()
    average = deviation = 0.0
    for seed in range(5):
        lengths = np.linalg.norm(batch(seed), axis=1)
        part = 0.01 if seed else 1.0
        average += part * (lengths.mean() - average)
        deviation += part * (lengths.std() - deviation)
        z = np.clip(0.333 * (lengths - average) / (deviation + 1e-3), -1, 1)
        losses = []
        for row, label, quality in zip(unit(batch(seed)), LABELS, z, strict=True):
            cosines = [float(row @ weights[:, k] / np.linalg.norm(weights[:, k])) for k in range(PEOPLE)]
            angle = min(max(math.acos(cosines[label]) - margin * quality, 1e-3), math.pi - 1e-3)
            cosines[label] = math.cos(angle) - margin * (1 + quality)
            losses.append(math.log(sum(math.exp(16 * c) for c in cosines)) - 16 * cosines[label])
        assert value(loss, batch(seed)) == pytest.approx(mean(losses), rel=1e-3)
    state = loss.state_dict()
    assert float(state["loss.mean"]) == pytest.approx(average, rel=1e-4)
    assert float(state["loss.deviation"]) == pytest.approx(deviation, rel=1e-4)
    loss.eval()
    value(loss, 3 * batch(0))
    assert loss.state_dict()["loss.mean"] == state["loss.mean"], "only training moves it"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("miner", ["all", "hard"])
def test_multi_similarity(seed: int, miner: str) -> None:
    """Wang et al., CVPR 2019, equations 11 (which pairs count) and 13 (how much)."""
    rows, losses = unit(batch(seed)), []
    for a in range(len(LABELS)):
        own = [float(rows[a] @ rows[p]) for b, p in genuine() if b == a]
        other = [float(rows[a] @ rows[n]) for b, n in impostor() if b == a]
        if miner == "hard":
            hard_own = [s for s in own if s - 0.1 < max(other)]
            other = [s for s in other if own and s + 0.1 > min(own)]
            own = hard_own
        pull = math.log(1 + sum(math.exp(-2 * (s - 0.5)) for s in own)) / 2
        push = math.log(1 + sum(math.exp(16 * (s - 0.5)) for s in other)) / 16
        losses.append(pull + push)
    found = value(criterion("multi-similarity", 0.5, miner), batch(seed))
    assert found == pytest.approx(mean(losses), rel=1e-3)


def test_several_vectors_for_each_person() -> None:
    (vectors,) = criterion("subcenter-arcface", 0.2).parameters()
    assert vectors.shape == (DIMENSIONS, 3 * PEOPLE)


@pytest.mark.parametrize("name", ["arcface", "cosface", "adaface"])
def test_class_vectors_are_trained_too(name: str) -> None:
    parameters = dict(criterion(name, 0.2).named_parameters())
    assert {tuple(p.shape) for p in parameters.values()} == {(DIMENSIONS, PEOPLE)}
    assert not list(criterion("contrastive", 1.0).parameters())


# ---- gradients --------------------------------------------------------------------------------

KINDS = [
    ("contrastive", "all"), ("contrastive", "hard"), ("triplet", "all"), ("triplet", "hard"),
    ("triplet", "semihard"), ("arcface", "all"), ("cosface", "all"), ("adaface", "all"),
    ("subcenter-arcface", "all"), ("multi-similarity", "all"), ("multi-similarity", "hard"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "miner"), KINDS)
@pytest.mark.parametrize(
    "copies", [[(0, 4)], [(0, 1)], [(0, 4), (1, 3), (2, 7)], [(0, k) for k in range(10)]]
)
def test_gradients_are_finite_with_equal_embeddings(
    name: str, miner: str, copies: list[tuple[int, int]]
) -> None:
    """Of one person, of two people, and a batch that has collapsed into one point."""
    vectors = torch.tensor(batch(0), dtype=torch.float32)
    for source, target in copies:
        vectors[target] = vectors[source]
    vectors.requires_grad_()
    loss = criterion(name, 0.4, miner)
    loss(vectors, torch.tensor(LABELS)).backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()
    for parameter in loss.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize(("name", "miner"), KINDS)
def test_gradients_lead_downhill(name: str, miner: str) -> None:
    loss = criterion(name, 0.4, miner)
    vectors = torch.tensor(batch(2), dtype=torch.float32, requires_grad=True)
    optimiser = torch.optim.Adam([vectors, *loss.parameters()], lr=0.05)
    values = []
    for _ in range(40):
        found = loss(vectors, torch.tensor(LABELS))
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
        values.append(float(found.detach()))
    assert values[-1] < 0.7 * values[0]


@pytest.mark.parametrize(("name", "miner"), KINDS)
def test_bfloat16_embeddings_are_compared_with_all_digits(name: str, miner: str) -> None:
    vectors = torch.tensor(batch(1)).bfloat16()
    loss, labels = criterion(name, 0.4, miner), torch.tensor(LABELS)
    found = loss(vectors, labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(vectors.float(), labels))


def test_a_mean_over_many_images_is_exact_enough() -> None:
    """Above 25 rows torch may take a shortcut for distances that loses digits."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 3)
    vectors = rng.normal(size=(20, 8))[labels] + 0.01 * rng.normal(size=(60, 8))
    loss = Criterion(LossSpec("contrastive", 0.5), 20, 8)
    found = loss(torch.tensor(vectors, dtype=torch.float32), torch.tensor(labels))
    rows = unit(vectors)
    pull = [
        float(((rows[i] - rows[j]) ** 2).sum())
        for i, j in itertools.permutations(range(60), 2)
        if labels[i] == labels[j]
    ]
    push = [
        max(0.0, 0.5 - float(np.linalg.norm(rows[i] - rows[j]))) ** 2
        for i, j in itertools.permutations(range(60), 2)
        if labels[i] != labels[j]
    ]
    assert float(found) == pytest.approx(mean(pull) + mean(push), rel=1e-3)


# ---- a contrastive term beside classification -------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["arcface", "cosface"])
def test_pair_weight_adds_the_contrastive_loss_of_hard_pairs(seed: int, name: Any) -> None:
    alone = value(criterion(name, 0.2), batch(seed))
    torch.manual_seed(1)
    both = Criterion(LossSpec(name, 0.2, 16.0, pair_weight=0.7, pair_margin=0.9), PEOPLE, DIMENSIONS)
    pull, push = slow_contrastive(batch(seed), 0.9, genuine(), impostor())
    expected = alone + 0.7 * (mean(pull) + mean([loss for loss in push if loss > 0]))
    assert value(both, batch(seed)) == pytest.approx(expected, rel=1e-4)
    assert {tuple(p.shape) for p in both.parameters()} == {(DIMENSIONS, PEOPLE)}


def test_pair_weight_in_a_batch_of_strangers() -> None:
    """No genuine pair, and none too near: only the classification is left."""
    vectors = torch.eye(PEOPLE, requires_grad=True)
    torch.manual_seed(1)
    both = Criterion(LossSpec("cosface", 0.2, pair_weight=1.0, pair_margin=1.0), PEOPLE, PEOPLE)
    torch.manual_seed(1)
    alone = Criterion(LossSpec("cosface", 0.2), PEOPLE, PEOPLE)
    found = both(vectors, torch.arange(PEOPLE))
    assert float(found.detach()) == pytest.approx(float(alone(vectors, torch.arange(PEOPLE)).detach()))
    found.backward()
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()


def test_halves_learn_their_own() -> None:
    """Issue 19 E: with ``halves`` the first half is classified and the second compared."""
    spec = LossSpec(name="cosface", margin=0.2, scale=16.0, pair_weight=4.0, halves=True)
    torch.manual_seed(0)
    criterion = Criterion(spec, 3, 8)
    assert criterion.loss.W.shape == (4, 3)  # class vectors of half the dimensions
    embeddings, labels = torch.randn(9, 8), torch.arange(3).repeat(3)
    first, second = embeddings.chunk(2, dim=1)
    value = criterion(embeddings, labels)
    alone = criterion.loss(first, labels) + 4.0 * criterion.pair_loss(second, labels)
    assert float(value.detach()) == pytest.approx(float(alone.detach()), rel=1e-6)
    # What changes one half changes one term only.
    moved = torch.cat([first, torch.randn(9, 4)], dim=1)
    changed = criterion(moved, labels) - value
    expected = 4.0 * (criterion.pair_loss(moved[:, 4:], labels) - criterion.pair_loss(second, labels))
    assert float(changed.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert abs(float(changed.detach())) > 1e-3
