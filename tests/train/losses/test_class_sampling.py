"""Classes of a sample: the loss against loops, who is in it, and the optimizer of the rows that it uses."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from facealike.train.losses import class_sampling
from facealike.train.losses.class_sampling import SampledClasses, first_vectors
from facealike.train.losses.criterion import classifier
from facealike.train.optim.row_adamw import RowAdamW
from facealike.train.recipe.schema import LossSpec

PEOPLE, DIMENSIONS = 40, 6
LABELS = torch.tensor([3, 0, 39, 0, 3, 17])
EMBEDDINGS = torch.randn(6, DIMENSIONS, generator=torch.Generator().manual_seed(2)) * torch.tensor(
    [[0.5], [4.0], [9.0], [1.0], [2.0], [3.0]]
)
NAMES = ("cosface", "arcface", "adaface")


def sampled(name: str, share: float, margin: float = 0.3) -> SampledClasses:
    torch.manual_seed(1)
    return SampledClasses(LossSpec(name, margin, 16.0, class_share=share), PEOPLE, DIMENSIONS)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.2])
def test_the_sample_of_all_classes_is_the_full_softmax(name: str, margin: float) -> None:
    """Loss, gradient of embeddings and of class vectors."""
    mine = sampled(name, 1.0, margin)
    full = classifier(LossSpec(name, margin, 16.0), PEOPLE, DIMENSIONS)  # type: ignore[arg-type]
    assert not isinstance(full, SampledClasses)
    full.W.data.copy_(mine.vectors.T)
    results = []
    for loss, table in ((mine, mine.vectors), (full, full.W)):
        embeddings = EMBEDDINGS.clone().requires_grad_()
        value = loss(embeddings, LABELS)
        value.backward()
        assert embeddings.grad is not None and table.grad is not None
        gradient = table.grad.to_dense()
        results.append(
            (value.detach(), embeddings.grad, gradient if gradient.shape[0] == PEOPLE else gradient.T)
        )
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def slow(embeddings: torch.Tensor, vectors: torch.Tensor, classes: list[int], margin: float) -> float:
    """ArcFace over ``classes``, by loops."""
    losses = []
    for embedding, label in zip(embeddings.tolist(), LABELS.tolist(), strict=True):
        logits = {}
        for number in classes:
            vector = vectors[number].tolist()
            product = sum(a * b for a, b in zip(embedding, vector, strict=True))
            cosine = product / math.hypot(*embedding) / math.hypot(*vector)
            logits[number] = 16 * (math.cos(math.acos(cosine) + margin) if number == label else cosine)
        losses.append(math.log(sum(map(math.exp, logits.values()))) - logits[label])
    return sum(losses) / len(losses)


def test_only_the_classes_of_the_sample_take_part() -> None:
    loss = sampled("arcface", 0.25)
    loss.at_step(7)
    classes = loss.chosen(LABELS).tolist()
    assert len(classes) == 10 and classes == sorted(set(classes)) and {0, 3, 17, 39} <= set(classes)
    value = loss(EMBEDDINGS, LABELS)
    assert float(value.detach()) == pytest.approx(slow(EMBEDDINGS, loss.vectors, classes, 0.3), rel=1e-4)
    value.backward()
    assert loss.vectors.grad is not None and loss.vectors.grad.is_sparse
    used = loss.vectors.grad.coalesce().indices()[0].tolist()
    assert used == classes and bool((loss.vectors.grad.to_dense()[classes].abs().sum(dim=1) > 0).all())


def test_each_step_has_its_own_sample_and_all_classes_come() -> None:
    loss = sampled("cosface", 0.25)
    seen = torch.zeros(PEOPLE)
    for seed in range(600):
        loss.at_step(seed)
        seen[loss.chosen(LABELS)] += 1
    assert bool((seen[LABELS] == 600).all())
    others = seen[[number for number in range(PEOPLE) if number not in LABELS.tolist()]]
    # 6 of 36 each time: 100 expected, with a deviation of 9.
    assert float(others.min()) > 60 and float(others.max()) < 140
    loss.at_step(5)
    first = loss.chosen(LABELS)
    loss.at_step(6)
    assert not torch.equal(loss.chosen(LABELS), first)
    loss.at_step(5)
    assert torch.equal(loss.chosen(LABELS), first)


def test_a_batch_of_more_people_than_the_sample_keeps_all_of_them() -> None:
    loss = sampled("cosface", 0.05)
    assert loss.sampled == 2 and loss.chosen(LABELS).tolist() == [0, 3, 17, 39]


def test_first_vectors_do_not_depend_on_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_sampling, "BLOCK", 7)

    def drawn(start: int, stop: int) -> torch.Tensor:
        torch.manual_seed(4)
        return first_vectors(PEOPLE, 5000, slice(start, stop))

    whole = drawn(0, PEOPLE)
    for cuts in ((0, 20, 40), (0, 1, 6, 7, 8, 39, 40)):
        parts = [drawn(*ends) for ends in itertools.pairwise(cuts)]
        assert torch.equal(torch.cat(parts), whole)
    assert float(whole.std()) == pytest.approx(0.01, rel=0.02)
    assert len({row[0] for row in whole.tolist()}) == PEOPLE


def test_a_row_is_that_of_an_optimizer_that_saw_its_steps_alone() -> None:
    """With changing rates and betas, repeated rows, and a dense parameter beside the table."""
    generator = torch.Generator().manual_seed(0)
    table = torch.nn.Parameter(torch.randn(12, 3, generator=generator))
    dense = torch.nn.Parameter(torch.ones(2))
    group = {"params": [table], "weight_decay": 0.1, "rows": True}
    optimizer = RowAdamW([{"params": [dense]}, group], lr=0.05, weight_decay=0.1)
    twins = [torch.nn.Parameter(row.clone()) for row in table.detach()]
    alone = [torch.optim.AdamW([twin], lr=0.05, weight_decay=0.1) for twin in twins]
    plain = torch.nn.Parameter(torch.ones(2))
    other = torch.optim.AdamW([plain], lr=0.05, weight_decay=0.1)
    counts = [0] * 12
    for number in range(30):
        setting = {"lr": 0.05 / (1 + number), "betas": (0.85 + 0.003 * number, 0.999)}
        for each in (optimizer, other, *alone):
            for entry in each.param_groups:
                entry.update(setting)
            each.zero_grad()
        rows = torch.randint(0, 11, (5,), generator=generator)  # row 11 never comes
        weights = torch.randn(5, 3, generator=generator)
        (torch.nn.functional.embedding(rows, table, sparse=True) * weights).sum().backward()
        dense.grad, plain.grad = torch.full((2,), 0.3), torch.full((2,), 0.3)
        optimizer.step()
        other.step()
        for row in rows.unique().tolist():
            counts[row] += 1
            twins[row].grad = weights[rows == row].sum(dim=0)
            alone[row].step()
    torch.testing.assert_close(table.detach(), torch.stack([twin.detach() for twin in twins]))
    torch.testing.assert_close(dense, plain)
    state = optimizer.state[table]
    assert state["step"].tolist() == counts and 0 in counts and max(counts) < 30
    for row, each in enumerate(alone):
        if counts[row]:
            expected = each.state[twins[row]]
            torch.testing.assert_close(state["exp_avg"][row], expected["exp_avg"])
            torch.testing.assert_close(state["exp_avg_sq"][row], expected["exp_avg_sq"])
