"""Measure whether the probabilities of a search come true where people have several templates (needs LFW).

    python -m benchmarks.accuracy.probability_of_templates LFW --write

As in ``benchmarks.accuracy.identification``, half of the searches are of enrolled people, as the prior
states: half of the test people with more than n photos are enrolled with n and searched with another photo,
and the other half are searched without being enrolled.  ``FILL`` people who are no test people fill the
gallery with up to n templates each.  Only photos of these people are embedded.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.accuracy.identification import BINS, DRAWS, Searches, probability_rows
from benchmarks.accuracy.templates_per_person import Group, Vectors, score_matrix
from benchmarks.common.people_options import people_options, state_rows
from benchmarks.common.record import RESULTS
from facealike.calibration.calibration import Calibration
from facealike.calibration.likelihood_ratio import likelihood_ratio
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.gallery.aggregation import DEFAULT_AGGREGATION
from facealike.gallery.intake import IntakePolicy, take_in
from facealike.gallery.mate_probability import DEPTH, mate_probabilities

CSV = RESULTS / "probability_of_templates.csv"
COUNTS, FILL = (1, 2, 3), 1000


def half_enrolled(
    vectors: Vectors, test: list[Group], others: list[Group], count: int, calibration: Calibration,
    rng: np.random.Generator,
) -> Searches:  # fmt: skip
    """Enroll half of the people with ``count`` templates each, and search them all, ``DRAWS`` times.

    Args:
        vectors: All photos, (n, d).
        test: The photos of each test person.
        others: Those of each other person.
        count: Templates of a person.
        calibration: That of the model.
        rng: Draws people and photos.
    """
    ratio = likelihood_ratio(calibration)
    assert ratio is not None, "the model has no probability curve"
    several = [i for i, one in enumerate(test) if len(one) > count]
    half, quality = len(several) // 2, np.ones(len(vectors))
    parts = []
    for _ in range(DRAWS):
        people = rng.permutation(several)[: 2 * half]
        photos = [rng.permutation(test[i]) for i in people]
        fill = [rng.permutation(others[i])[:count] for i in rng.permutation(len(others))[:FILL]]
        groups = [one[:count] for one in photos[:half]] + fill
        sizes = np.array([len(one) for one in groups])
        probes = vectors[[one[count] for one in photos]]
        scores = score_matrix(
            probes, vectors, quality, groups, DEFAULT_AGGREGATION, calibration.typical_impostor or 0.0
        )
        for number, row in enumerate(scores):
            order = np.argsort(-row)[:DEPTH]
            found, absent = mate_probabilities(
                row[order].tolist(), sizes[order].tolist(), len(groups), ratio, 0.5
            )
            parts.append((people[number], found[0], order[0] == number, absent, number >= half))
    return Searches(*(np.array(each) for each in zip(*parts, strict=True)))


def measure(
    vectors: Vectors, test: list[Group], others: list[Group], calibration: Calibration, seed: int
) -> Iterator[dict[str, object]]:
    """Yield two rows for each number of templates; arguments are those of ``half_enrolled``."""
    rng = np.random.default_rng(seed)
    for count in COUNTS:
        found = half_enrolled(vectors, test, others, count, calibration, rng)
        for row in probability_rows(found, rng):
            yield {"templates": count, "bins": BINS, **row}


def main() -> None:
    options = people_options(__doc__, CSV).parse_args()
    everyone, model = People.from_folder(options.people), Model.load(options.model)
    listed: dict[str, list[tuple[str, object]]] = {}
    for label, path in zip(everyone.labels, everyone.paths, strict=True):
        listed.setdefault(everyone.names[label], []).append((everyone.names[label], path))
    rng = np.random.default_rng(options.seed)
    tested = [name for name, photos in listed.items() if split_of(name) == "test" and len(photos) > 1]
    others = [name for name in listed if split_of(name) != "test"]
    fill = [others[i] for i in rng.permutation(len(others))[: FILL + FILL // 5]]
    chosen = [one for name in tested for one in listed[name]]
    chosen += [one for name in fill for one in listed[name][: max(COUNTS)]]
    held = [one for batch in take_in(model, chosen, IntakePolicy(LFW_FACE), True) for one in batch]
    used = [one for one in held if one.template is not None]
    vectors = np.stack([one.template.vector for one in used if one.template is not None])
    names = np.array([one.person for one in used])
    groups = {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}
    state_rows(
        measure(
            vectors, [groups[name] for name in tested if name in groups],
            [groups[name] for name in fill if name in groups], model.calibration.check(), options.seed,
        ),
        CSV, model.id, options,
    )  # fmt: skip


if __name__ == "__main__":
    main()
