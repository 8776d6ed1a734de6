"""Measure what an enrollment reports: duplicates, lookalikes and outliers, on people of LFW (needs LFW).

    python -m benchmarks.accuracy.enrollment LFW --write

A gallery has one photo each of people who are no test people, and of half of the test people with more than n
photos.  Those are enrolled once more under another name with n other photos: each that is not reported as a
probable duplicate of the right person is missed.  Each other test person with n photos or more is enrolled
anew with n photos: each that is reported is a false report.  For outliers, test people are enrolled with n of
their photos, and with one photo of somebody else in place of one of them.  All goes through
``find_resemblance`` and a store; intervals are from resampling people.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.people_options import embedded_people, people_options, state_rows
from benchmarks.common.record import RESULTS
from facealike.calibration.calibration import Calibration
from facealike.datasets.splits import split_of
from facealike.gallery.resemblance import Resemblance, find_resemblance
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template

CSV = RESULTS / "enrollment.csv"
SIZES, COUNTS, OUTLIER_COUNTS, DRAWS, RESAMPLES = (1000, 4000), (1, 2, 3), (2, 3, 5), 5, 1000

Group = NDArray[np.int64]
Row = dict[str, object]


def rate(each: list[bool], who: list[int], rng: np.random.Generator) -> dict[str, object]:
    """Return a share, its 95 % interval from resampling people, and of how many trials and people it is."""
    people, place = np.unique(who, return_inverse=True)
    hits, all_ = np.bincount(place, np.array(each, float)), np.bincount(place)
    shares = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(0, len(people), len(people))
        shares.append(hits[chosen].sum() / all_[chosen].sum())
    low, high = np.quantile(shares, [0.025, 0.975])
    return {
        "share": f"{np.mean(each):.4f}", "low": f"{low:.4f}", "high": f"{high:.4f}", "trials": len(each),
        "of": len(people),
    }  # fmt: skip


def measure(
    template: Callable[[int], Template], test: list[Group], others: list[Group], calibration: Calibration,
    seed: int,
) -> Iterator[Row]:  # fmt: skip
    """Yield a row for each share.

    Args:
        template: The template of a photo, by number.
        test: The photos of each test person.
        others: Those of each other person.
        calibration: That of the model.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    for size in SIZES:
        if size > len(others):
            continue
        for count in COUNTS:
            yield from duplicates(template, test, others, calibration, size, count, rng)
    for count in OUTLIER_COUNTS:
        yield from outliers(template, test, calibration, count, rng)


def duplicates(
    template: Callable[[int], Template], test: list[Group], others: list[Group], calibration: Calibration,
    size: int, count: int, rng: np.random.Generator,
) -> Iterator[Row]:  # fmt: skip
    """Yield how many duplicates are found, and how many people are reported falsely."""
    found: list[bool] = []
    false: list[bool] = []
    alike: list[bool] = []
    enrolled_of: list[int] = []
    new_of: list[int] = []
    for _ in range(DRAWS):
        several = rng.permutation([i for i, one in enumerate(test) if len(one) > count])
        enrolled = set(several[: len(several) // 2].tolist())
        photos = [rng.permutation(one) for one in test]
        fill = [rng.choice(others[i]) for i in rng.permutation(len(others))[: size - len(enrolled)]]
        rows = [(f"test {i}", template(photos[i][count])) for i in sorted(enrolled)]
        rows += [(f"other {i}", template(photo)) for i, photo in enumerate(fill)]
        with tempfile.TemporaryDirectory() as folder:
            store = SQLiteStore(Path(folder) / "g.db", "m")
            store.add_many(rows)
            for i, own in enumerate(photos):
                if len(own) < count:
                    continue
                new = [(f"new {i}", template(photo)) for photo in own[:count]]
                reported = find_resemblance(store, calibration, new, {}).lookalikes
                sure = [one.other for one in reported if one.duplicate]
                if i in enrolled:
                    enrolled_of.append(i)
                    found.append(f"test {i}" in sure)
                else:
                    new_of.append(i)
                    false.append(bool(sure))
                    alike.append(bool(reported))
            store.close()
    of = {"people": size, "photos": count}
    yield {"what": "duplicate found", **of, **rate(found, enrolled_of, rng)}
    yield {"what": "duplicate reported falsely", **of, **rate(false, new_of, rng)}
    yield {"what": "lookalike reported", **of, **rate(alike, new_of, rng)}


def outliers(
    template: Callable[[int], Template], test: list[Group], calibration: Calibration, count: int,
    rng: np.random.Generator,
) -> Iterator[Row]:  # fmt: skip
    """Yield how many photos of somebody else are reported, and how many of the person."""
    wrong: list[bool] = []
    right: list[bool] = []
    wrong_of: list[int] = []
    right_of: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "g.db", "m")

        def reported(numbers: list[int]) -> Resemblance:
            return find_resemblance(store, calibration, [("new", template(one)) for one in numbers], {})

        for _ in range(DRAWS):
            for i, one in enumerate(test):
                if len(one) < count:
                    continue
                own = rng.permutation(one)[:count].tolist()
                named = {each.photo for each in reported(own).outliers}
                right += [template(photo).source in named for photo in own]
                right_of += [i] * count
                stranger = int(rng.choice(test[(i + int(rng.integers(1, len(test)))) % len(test)]))
                named = {each.photo for each in reported([*own[:-1], stranger]).outliers}
                wrong.append(template(stranger).source in named)
                wrong_of.append(i)
        store.close()
    yield {"what": "photo of another reported", "people": 0, "photos": count, **rate(wrong, wrong_of, rng)}
    yield {"what": "photo of the person reported", "people": 0, "photos": count, **rate(right, right_of, rng)}


def main() -> None:
    options = people_options(__doc__, CSV, cache=True).parse_args()
    everyone, model, photos = embedded_people(options)
    labels = np.where(photos.found, np.asarray(everyone.labels), -1)

    def template(number: int) -> Template:
        return Template(photos.vectors[number], f"{number:064x}", None, str(number))

    groups = {name: np.flatnonzero(labels == i) for i, name in enumerate(everyone.names)}
    test = [rows for name, rows in groups.items() if len(rows) and split_of(name) == "test"]
    others = [rows for name, rows in groups.items() if len(rows) and split_of(name) != "test"]
    state_rows(
        measure(template, test, others, model.calibration.check(), options.seed), CSV, model.id, options
    )


if __name__ == "__main__":
    main()
