"""Samplers: every genuine pair in turn, strangers that are strangers, and any step on its own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.errors import DataError
from facealike.train.data.samplers import (
    Batch,
    IdentitySampler,
    ImageSampler,
    MixedSampler,
    PairSampler,
    image_weights,
    ordered_positive_pairs,
)

# Person 2 is missing, 5 and 9 have one photo, and nobody's photos stand together.
LABELS = np.array([4, 0, 1, 0, 5, 4, 1, 0, 9, 4, 0], dtype=np.int64)

label_sets = st.lists(st.integers(0, 6), min_size=0, max_size=24).map(
    lambda values: np.array(values, dtype=np.int64)
)
seeds = st.integers(0, 2**40)


def slow_pairs(labels: np.ndarray) -> set[tuple[int, int]]:
    return {
        (i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j and labels[i] == labels[j]
    }


def same_batches(one: Batch, other: Batch) -> bool:
    if not np.array_equal(one.images, other.images) or (one.pairs is None) != (other.pairs is None):
        return False
    return one.pairs is None or all(
        np.array_equal(a, b) for a, b in zip(one.pairs, other.pairs or (), strict=True)
    )


# ---- genuine pairs ----------------------------------------------------------------------------


@given(label_sets)
def test_ordered_positive_pairs_are_those_of_two_loops(labels: np.ndarray) -> None:
    found = ordered_positive_pairs(labels)
    assert found.shape == (len(slow_pairs(labels)), 2)
    assert found.dtype == np.int64
    assert set(map(tuple, found.tolist())) == slow_pairs(labels)


# ---- PairSampler ------------------------------------------------------------------------------


@given(label_sets, st.integers(3, 40), seeds)
@settings(deadline=None)
def test_pairs_of_each_batch(labels: np.ndarray, batch_size: int, seed: int) -> None:
    """Each genuine pair shows one person; the impostor pair is one of its two images and a stranger."""
    if not slow_pairs(labels) or len(set(labels.tolist())) < 2:
        with pytest.raises(DataError, match="two people"):
            PairSampler(labels, batch_size, seed)
        return
    sampler = PairSampler(labels, batch_size, seed)
    each = batch_size // 3
    for step in range(3):
        images, pairs = sampler.batch(step)
        assert len(images) == 3 * each
        assert pairs is not None
        a, positive, b, negative = (images[part] for part in pairs)
        assert len(a) == len(positive) == len(b) == len(negative) == each
        for k in range(each):
            assert a[k] != positive[k]
            assert labels[a[k]] == labels[positive[k]]
            assert b[k] in (a[k], positive[k])
            assert labels[b[k]] != labels[negative[k]]


@pytest.mark.parametrize("batch_size", [3, 4, 6, 9, 30, 500])
def test_a_pass_holds_every_ordered_pair_once(batch_size: int) -> None:
    """Also where batches do not divide the pairs, or are larger than all of them."""
    sampler = PairSampler(LABELS, batch_size, seed=5)
    total, seen = len(slow_pairs(LABELS)), []
    for step in range(0, 3 * total):
        images, pairs = sampler.batch(step)
        assert pairs is not None
        seen += list(zip(images[pairs[0]].tolist(), images[pairs[1]].tolist(), strict=True))
        if len(seen) >= 3 * total:
            break
    passes = [seen[k * total : (k + 1) * total] for k in range(3)]
    for one in passes:
        assert Counter(one) == dict.fromkeys(slow_pairs(LABELS), 1)
    assert passes[0] != passes[1] != passes[2], "each pass has an order of its own"


def test_steps_of_a_pass_of_pairs() -> None:
    total = len(slow_pairs(LABELS))
    assert total == 4 * 3 + 2 * 1 + 3 * 2
    assert PairSampler(LABELS, 3, 0).steps == total
    assert PairSampler(LABELS, 12, 0).steps == total // 4
    assert PairSampler(LABELS, 500, 0).steps == 1


def test_the_stranger_meets_either_image_and_may_be_anybody() -> None:
    sampler = PairSampler(LABELS, 30, seed=1)
    sides, strangers = Counter(), set()
    for step in range(60):
        images, pairs = sampler.batch(step)
        assert pairs is not None
        sides.update(np.where(pairs[2] == pairs[0], "first", "second").tolist())
        strangers.update(images[pairs[3]].tolist())
    assert 0.4 < sides["first"] / sides.total() < 0.6
    assert strangers == set(range(len(LABELS))), "people with a single photo are strangers too"


def test_a_stranger_is_found_among_hundreds_of_photos_of_one_person() -> None:
    labels = np.zeros(300, dtype=np.int64)
    labels[17] = 3
    images, pairs = PairSampler(labels, 60, 0).batch(0)
    assert pairs is not None
    assert set(images[pairs[3]].tolist()) == {17}


# ---- IdentitySampler --------------------------------------------------------------------------


@given(label_sets, st.integers(4, 40), st.integers(2, 5), seeds)
@settings(deadline=None)
def test_batches_of_people(labels: np.ndarray, batch_size: int, per_identity: int, seed: int) -> None:
    if len(set(labels.tolist())) < 2:
        with pytest.raises(DataError, match="two people"):
            IdentitySampler(labels, batch_size, per_identity, seed)
        return
    sampler = IdentitySampler(labels, batch_size, per_identity, seed)
    images, pairs = sampler.batch(4)
    assert pairs is None
    people = max(2, batch_size // per_identity)
    assert len(images) == people * per_identity
    sizes = Counter(labels.tolist())
    for group in images.reshape(people, per_identity):
        (person,) = set(labels[group].tolist())
        counts = Counter(group.tolist())
        # As many different photos as there are, and none oftener than it must be.
        assert len(counts) == min(per_identity, sizes[person])
        assert max(counts.values()) == -(-per_identity // sizes[person])


def test_everybody_comes_once_a_pass() -> None:
    labels = np.repeat(np.arange(12) * 3, 4)
    sampler = IdentitySampler(labels, batch_size=12, per_identity=3, seed=2)
    assert sampler.steps == 3
    for turn in range(3):
        people = [
            labels[sampler.batch(step).images].reshape(4, 3)[:, 0] for step in range(3 * turn, 3 * turn + 3)
        ]
        assert sorted(np.concatenate(people).tolist()) == sorted(set(labels.tolist()))


def test_a_single_photo_is_repeated() -> None:
    images = IdentitySampler(np.array([0, 1], dtype=np.int64), 8, 4, 0).batch(0).images
    assert sorted(images.tolist()) == [0] * 4 + [1] * 4


@pytest.mark.parametrize(("share", "singles"), [(0.0, 0), (0.25, 2), (0.5, 4), (0.01, 1), (1.0, 7)])
def test_the_share_of_people_with_one_photo(share: float, singles: int) -> None:
    """Of eight people a batch; some of each kind unless the share is nothing."""
    labels = np.concatenate([np.repeat(np.arange(20), 3), np.arange(100, 140)])
    sampler = IdentitySampler(labels, batch_size=16, per_identity=2, seed=3, single_share=share)
    for step in range(12):
        people = labels[sampler.batch(step).images].reshape(8, 2)[:, 0]
        assert (people >= 100).sum() == singles


@pytest.mark.parametrize("labels", [np.arange(8), np.repeat(np.arange(4), 2)])
def test_a_share_is_passed_over_where_there_is_one_kind_of_people(labels: np.ndarray) -> None:
    sampler = IdentitySampler(labels, batch_size=8, per_identity=2, seed=3, single_share=0.5)
    assert len(sampler.batch(0).images) == 8


def test_there_is_always_somebody_else_in_a_batch() -> None:
    """One person with several photos cannot fill a batch alone."""
    labels = np.array([0, 0, 0, 1, 2, 3], dtype=np.int64)
    with pytest.raises(DataError, match="single_share"):
        IdentitySampler(labels, 8, 2, 0, single_share=0.0)
    assert len(set(labels[IdentitySampler(labels, 8, 2, 0, single_share=0.5).batch(0).images].tolist())) > 1


# ---- ImageSampler -----------------------------------------------------------------------------


@given(label_sets, st.integers(1, 40), seeds)
@settings(deadline=None)
def test_a_pass_holds_every_image_once(labels: np.ndarray, batch_size: int, seed: int) -> None:
    if len(set(labels.tolist())) < 2:
        with pytest.raises(DataError, match="two people"):
            ImageSampler(labels, batch_size, seed)
        return
    sampler = ImageSampler(labels, batch_size, seed)
    size = min(batch_size, len(labels))
    assert sampler.steps == len(labels) // size
    seen: list[int] = []
    for step in range(2 * len(labels)):
        images, pairs = sampler.batch(step)
        assert pairs is None
        assert len(images) == size
        seen += images.tolist()
    assert sorted(seen[: len(labels)]) == list(range(len(labels)))
    assert sorted(seen[len(labels) : 2 * len(labels)]) == list(range(len(labels)))


# ---- all of them ------------------------------------------------------------------------------

MAKERS = {
    "pairs": lambda seed: PairSampler(LABELS, 9, seed),
    "identities": lambda seed: IdentitySampler(LABELS, 8, 2, seed),
    "single_share": lambda seed: IdentitySampler(LABELS, 8, 2, seed, 0.3),
    "images": lambda seed: ImageSampler(LABELS, 4, seed),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_batch_depends_on_seed_and_step_alone(kind: str) -> None:
    make = MAKERS[kind]
    one, other, different = make(3), make(3), make(4)
    forwards = [one.batch(step) for step in range(20)]
    backwards = [other.batch(step) for step in reversed(range(20))][::-1]
    assert all(same_batches(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not all(same_batches(batch, different.batch(step)) for step, batch in enumerate(forwards))
    assert not all(same_batches(batch, forwards[0]) for batch in forwards)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_global_random_state_is_left_alone(kind: str) -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    MAKERS[kind](0).batch(7)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


# ---- MixedSampler -----------------------------------------------------------------------------


def test_a_mixed_batch_shows_all_images_and_holds_genuine_pairs() -> None:
    """The first half walks through all images, the second shows people with several of theirs."""
    sampler = MixedSampler(LABELS, batch_size=8, per_identity=2, seed=3, single_share=0.0)
    assert sampler.steps == len(LABELS) // 4
    seen: Counter[int] = Counter()
    for step in range(len(LABELS)):
        batch = sampler.batch(step)
        assert same_batches(batch, sampler.batch(step))
        assert len(batch.images) == 8
        assert batch.pairs is None
        seen.update(batch.images[:4].tolist())
        people = LABELS[batch.images[4:]].reshape(2, 2)
        assert (people[:, 0] == people[:, 1]).all()
        assert set(people.ravel().tolist()) <= {0, 1, 4}  # 5 and 9 have one photo
    assert set(seen.values()) == {4}, "each image four times in as many passes"


# ---- weighted images --------------------------------------------------------------------------


def test_weights_of_images_are_those_of_the_words() -> None:
    sizes = Counter(LABELS.tolist())
    for weighting, power in (("images", 0.0), ("identities", 1.0), ("root", 0.5)):
        expected = [sizes[label] ** -power for label in LABELS.tolist()]
        assert image_weights(LABELS, weighting) == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("weighting", ["identities", "root"])
@given(labels=label_sets, seed=seeds)
@settings(deadline=None, max_examples=40)
def test_each_pass_draws_an_image_its_share_rounded(weighting: str, labels: np.ndarray, seed: int) -> None:
    if len(np.unique(labels)) < 2:
        return
    sampler = ImageSampler(labels, len(labels), seed, weighting)  # type: ignore[arg-type]
    weights = image_weights(labels, weighting)  # type: ignore[arg-type]
    share = weights / weights.sum() * len(labels)
    for step in range(3):
        drawn = np.bincount(sampler.batch(step).images, minlength=len(labels))
        assert drawn.sum() == len(labels)
        assert (np.abs(drawn - share) < 1 + 1e-6).all()


def test_all_people_are_seen_equally_often_and_all_images_of_one_person() -> None:
    labels = np.repeat(np.arange(40), [100, 20, *[1] * 38])
    sampler = ImageSampler(labels, 16, 3, "identities")
    drawn = np.concatenate([sampler.batch(step).images for step in range(6000)])
    people = np.bincount(labels[drawn]) / len(drawn)
    assert people == pytest.approx(np.full(40, 1 / 40), rel=0.1)
    images = np.bincount(drawn, minlength=len(labels))[:100]
    assert images.min() > 0, "every photo of the person with a hundred is seen in time"
    root = ImageSampler(labels, 16, 3, "root")
    drawn = np.concatenate([root.batch(step).images for step in range(2000)])
    people = np.bincount(labels[drawn]).astype(float)
    assert people[0] / people[1] == pytest.approx(5**0.5, rel=0.1)
    assert people[1] / people[2:].mean() == pytest.approx(20**0.5, rel=0.1)


def test_weighting_by_images_is_the_sampler_of_before() -> None:
    plain, named = ImageSampler(LABELS, 4, 5), ImageSampler(LABELS, 4, 5, "images")
    assert all(same_batches(plain.batch(step), named.batch(step)) for step in range(12))
    turn = np.random.default_rng([5, 1, 0]).permutation(len(LABELS))
    assert plain.batch(0).images.tolist() == turn[:4].tolist()


def test_any_weighted_step_can_be_asked_for_on_its_own() -> None:
    one, other = (MixedSampler(LABELS, 10, 2, 1, share=0.4, weighting="root") for _ in range(2))
    batches = [one.batch(step) for step in range(9)]
    for step in (8, 2, 5, 2):
        assert same_batches(other.batch(step), batches[step])
