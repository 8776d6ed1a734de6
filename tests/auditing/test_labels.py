"""Wrong names, and people who are one or two, among embeddings whose scores have a known distribution."""

from __future__ import annotations

import numpy as np
import pytest

from facealike.auditing.evidence import Evidence, posterior
from facealike.auditing.labels import KnownPeople, find_mislabeled
from facealike.auditing.people import find_same_people, find_several_people
from facealike.calibration.calibration import Calibration
from facealike.calibration.likelihood_ratio import likelihood_ratio
from facealike.errors import NotCalibrated
from support.known_scores import known_calibration

PEOPLE, PHOTOS = 40, 5


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence(known_calibration())


def vectors(people: int = PEOPLE, photos: int = PHOTOS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, genuine pairs with a cosine of about 0.7, impostor pairs of about 0."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(people, 128))
    labels = np.repeat(np.arange(people), photos)
    rows = centers[labels] + 0.65 * rng.normal(size=(len(labels), 128))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def known(rows: np.ndarray, labels: np.ndarray) -> KnownPeople:
    return KnownPeople(rows, labels, int(labels.max()) + 1, np.ones(len(rows), np.bool_))


def test_a_set_without_faults_has_none(evidence: Evidence) -> None:
    rows, labels = vectors()
    people = known(rows, labels)
    assert find_mislabeled(people, evidence) == [] and find_same_people(people, evidence) == []
    assert find_several_people(rows, [np.flatnonzero(labels == i) for i in range(PEOPLE)], evidence) == []


def test_a_photo_of_another_person_is_found_with_that_person(evidence: Evidence) -> None:
    rows, labels = vectors()
    labels = labels.copy()
    labels[[0, 12]] = 30, 31
    found = {one.row: one for one in find_mislabeled(known(rows, labels), evidence)}
    assert {row: one.other for row, one in found.items()} == {0: 0, 12: 2}
    assert all(one.probability > 0.99 and one.other_probability > 0.9 for one in found.values())


def test_a_photo_of_somebody_else_is_found_too(evidence: Evidence) -> None:
    rows, labels = vectors(PEOPLE + 1)
    labels = labels.copy()
    labels[PEOPLE * PHOTOS] = 7
    chosen = np.flatnonzero(labels < PEOPLE)
    (one,) = find_mislabeled(known(rows[chosen], labels[chosen]), evidence)
    assert one.row == PEOPLE * PHOTOS and one.other_probability < 0.5


def test_of_two_photos_that_disagree_neither_is_named(evidence: Evidence) -> None:
    rows, labels = vectors(PEOPLE + 2)
    keep = np.r_[0 : PEOPLE * PHOTOS, PEOPLE * PHOTOS, (PEOPLE + 1) * PHOTOS]
    rows, labels = rows[keep], np.minimum(labels[keep], PEOPLE)
    assert find_mislabeled(known(rows, labels), evidence) == []
    (one,) = find_several_people(rows, [np.flatnonzero(labels == i) for i in range(PEOPLE + 1)], evidence)
    assert one.person == PEOPLE and len(one.larger) == len(one.smaller) == 1 and one.probability > 0.5


def test_one_of_two_photos_is_named_where_it_agrees_with_another_person(evidence: Evidence) -> None:
    rows, labels = vectors()
    keep = np.r_[0:2, PHOTOS : len(rows)]
    rows, labels = rows[keep], labels[keep].copy()
    labels[10] = 0  # of person 2; person 0 has rows 0 and 1
    rows, labels = np.delete(rows, 1, axis=0), np.delete(labels, 1)
    (one,) = find_mislabeled(known(rows, labels), evidence)
    assert one.row == 9 and one.other == 2


def test_two_folders_in_one_and_one_in_two(evidence: Evidence) -> None:
    rows, labels = vectors()
    merged = np.where(labels == 5, 4, labels)
    rows_of = [np.flatnonzero(merged == i) for i in range(PEOPLE) if i != 5]
    (several,) = find_several_people(rows, rows_of, evidence)
    assert several.person == 4 and len(several.larger) == len(several.smaller) == PHOTOS
    split = labels.copy()
    split[:2] = PEOPLE
    (same,) = find_same_people(known(rows, split), evidence)
    assert (same.first, same.second) == (0, PEOPLE) and same.probability > 0.5


def test_the_evidence_of_one_pair_is_that_of_the_calibration(evidence: Evidence) -> None:
    ratio = likelihood_ratio(known_calibration())
    assert ratio is not None
    for score in (-0.5, 0.2, 0.5, 0.9):
        assert float(evidence.log_ratios(score, 1)) == pytest.approx(float(ratio.log_at(score)), abs=0.02)
    assert float(evidence.log_ratios(0.9, 0)) == 0
    assert 1 < float(evidence.log_ratios(0.9, 9) / evidence.log_ratios(0.9, 1)) < 2


def test_the_posterior_is_that_of_bayes() -> None:
    assert posterior(np.log([3.0, 1.0]), [0.25, 0.75]) == pytest.approx([0.5, 0.5])
    assert posterior([1000.0, 0.0], [1e-9, 1]) == pytest.approx([1, 0])


def test_a_model_without_probabilities_is_refused() -> None:
    with pytest.raises(NotCalibrated):
        Evidence(Calibration(0.9, "best F1", "validation", 10))
