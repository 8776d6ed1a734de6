"""How often the intervals of ``facealike.metrics.bootstrap`` hold the truth, on simulated people.

    python -m benchmarks.accuracy.interval_coverage            # all scenarios, 400 populations each: an hour
    python -m benchmarks.accuracy.interval_coverage --scenario small --populations 100
    python -m benchmarks.accuracy.interval_coverage --write    # append to interval_coverage.csv

A population has people; each has a centre among those of all people and a number of photos, the
photos scatter about the centre, and a score is the cosine of two photos.  Some people scatter more
than others, some photos more than others of the same person.  The numbers of photos are drawn from
those of LFW's test people, of whom most have one and a few have dozens.  In the scenarios called
"default model" FMR, FNMR, EER, AUC and the dependence within people (the variance of either rate over that
of independent pairs) are near those of the default model d0c416ff03d3 on LFW's test people; in the others
near those of the models before it.  The truth comes from a million people of the same kind, of whom each
gives one genuine and one impostor pair.

For each statistic the script prints the share of populations whose nominal 95 % interval holds the
truth, and the shares in which it lies above and below the truth, for three intervals: ``percentile``
and ``bca`` as the library makes them, and ``plain``, the percentiles of the resamples as they are.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.record import RESULTS, append_rows, commit, today, versions
from facealike.calibration.operating_points import operating_points
from facealike.calibration.pairs import calibration_pairs
from facealike.datasets.pair_sampling import balanced_pairs
from facealike.metrics.all_pairs import exhaustive
from facealike.metrics.bootstrap import Values, Weigh, _difference, _samples, _spec, _statistic
from facealike.metrics.intervals import BootstrapOptions, Method, StatisticSpec, bounds
from facealike.metrics.weighted_pairs import Block, Pairs

CSV = RESULTS / "interval_coverage.csv"

# Photos a person -> people, among the test people of LFW in whom a face is found.
LFW_PHOTOS = {
    1: 610, 2: 99, 3: 44, 4: 21, 5: 19, 6: 7, 7: 7, 8: 8, 9: 6, 10: 4, 11: 1, 13: 3, 14: 1, 17: 1, 18: 2,
    20: 2, 22: 2, 24: 1, 29: 1, 30: 1, 31: 1, 39: 1, 44: 1,
}  # fmt: skip

DIMENSIONS = 24
FAILING = ((0, 3), (4, 10), (11, 30))  # people with a false non-match: rows of their own in the CSV
TARGETS = (0.1, 0.01, 0.001, 1e-4, 1e-5)  # FMRs of operating points
TRUE_IMPOSTORS = 20_000_000  # pairs that make the truth of an FMR of 1e-5
LEVEL = 0.95
METHODS_MEASURED: tuple[Method, ...] = ("percentile", "bca")
CHUNK = 50_000

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Bounds = dict[tuple[str, str], tuple[float, float]]
"""(low, high) by statistic and interval."""


@dataclass(frozen=True)
class Scenario:
    """People and the system that compares them.

    ``scatter`` of the photos about their person's centre, ``by_person`` and ``by_photo`` how much that
    differs (standard deviations of its logarithm), ``by_photos`` how it grows with the number of photos
    (the power).  ``drift`` is what the second system of a difference scatters more.  ``steep`` is the power
    by which the directions lose strength: the higher, the more some people resemble many.  ``all_pairs``:
    every photo is compared with every other, and the intervals are those of ``facealike.exhaustive``;
    ``calibration``: those of ``facealike.calibration.operating_points.operating_points`` from all pairs.
    """

    name: str
    people: int = 843
    scatter: float = 0.87
    by_person: float = 0.15
    by_photo: float = 0.4
    by_photos: float = 0.0
    threshold: float = 0.235
    photos: tuple[tuple[int, int], ...] = tuple(LFW_PHOTOS.items())
    drift: float = 0.08
    all_pairs: bool = False
    calibration: bool = False
    steep: float = 0.25

    @cached_property
    def strength(self) -> Floats:
        """The deviation of each direction, of centres and scatter alike."""
        strength = np.arange(1, DIMENSIONS + 1.0) ** -self.steep
        return strength / np.sqrt(np.mean(strength**2))

    def sizes(self, rng: np.random.Generator, count: int, power: int = 0) -> Labels:
        """Numbers of photos; with ``power`` 1 as a photo, with 2 as a genuine pair drawn at random has."""
        photos = np.array([n for n, _ in self.photos], dtype=np.int64)
        weight = np.array([people for _, people in self.photos], dtype=np.float64)
        weight *= (np.ones(len(photos)), 1.0 * photos, 1.0 * photos * (photos - 1))[power]
        return rng.choice(photos, count, p=weight / weight.sum())

    def scatters(self, rng: np.random.Generator, sizes: Labels) -> Floats:
        spread = self.scatter * np.exp(self.by_person * rng.normal(size=len(sizes)))
        return spread * (sizes / 5.0) ** self.by_photos

    def photo(self, rng: np.random.Generator, centres: Floats, scatter: Floats) -> tuple[Floats, Floats]:
        """One photo of each row as either system sees it, (n, d) unit vectors."""
        noise = (scatter * np.exp(self.by_photo * rng.normal(size=len(scatter))))[:, np.newaxis]
        first = noise * rng.normal(size=centres.shape) * self.strength
        other = noise * rng.normal(size=centres.shape) * self.strength
        second = (1 + self.drift) * (0.8 * first + 0.6 * other)
        return _unit(centres + first), _unit(centres + second)

    def faces(self, seed: int) -> tuple[tuple[Floats, Floats], Labels]:
        """The photos of a population as either system sees them, (n, d), and whose they are, (n,)."""
        rng = np.random.default_rng([2026, seed])
        sizes = self.sizes(rng, self.people)
        labels = np.repeat(np.arange(self.people), sizes)
        centres = rng.normal(size=(self.people, DIMENSIONS)) * self.strength
        return self.photo(rng, centres[labels], self.scatters(rng, sizes)[labels]), labels

    def population(self, seed: int) -> tuple[list[Floats], NDArray[np.bool_], Labels, Labels]:
        """The scores of both systems, the truth, and the two people of each pair."""
        systems, labels = self.faces(seed)
        pairs = balanced_pairs(labels, seed)
        scores = [np.sum(system[pairs.a] * system[pairs.b], axis=1) for system in systems]
        return scores, pairs.same, labels[pairs.a], labels[pairs.b]

    def truth(self, people: int) -> dict[str, float]:
        """The statistics of the population that all samples are drawn from."""
        rng = np.random.default_rng([2026, 9, 9])
        scores: list[list[Floats]] = [[], []]
        for power in (2, 1):
            for _ in range(people // CHUNK):
                for system, found in enumerate(self._true_scores(rng, power)):
                    scores[system].append(found)
        same = np.repeat([True, False], people // CHUNK * CHUNK)
        return statistics_of(
            self.threshold, [np.concatenate(found) for found in scores], same, *_loners(len(same) // 2)
        )

    def _true_scores(self, rng: np.random.Generator, power: int) -> Iterator[Floats]:
        centres = rng.normal(size=(CHUNK, DIMENSIONS)) * self.strength
        scatter = self.scatters(rng, self.sizes(rng, CHUNK, power))
        one, other = self.photo(rng, centres, scatter), self.photo(rng, centres, scatter)
        for a, b in zip(one, other, strict=True):
            yield np.sum(a * (b if power == 2 else np.roll(b, 1, axis=0)), axis=1)

    def true_impostors(self) -> Floats:
        """The scores of many independent impostor pairs, rising."""
        rng = np.random.default_rng([2026, 9, 10])
        chunks = range(TRUE_IMPOSTORS // CHUNK)
        scores = np.concatenate([next(self._true_scores(rng, 1)).astype(np.float32) for _ in chunks])
        return np.sort(scores)


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _loners(count: int) -> tuple[Labels, Labels]:
    """People for so many genuine and so many impostor pairs."""
    people = np.arange(count)
    return np.concatenate([people, people]), np.concatenate([people, np.roll(people, 1)])


DEFAULT_MODEL = Scenario("default model", scatter=0.32, by_person=0.1, steep=0.55, threshold=0.63)

SCENARIOS = [
    Scenario("lfw test people"),
    Scenario("lfw, all pairs", all_pairs=True),
    Scenario("small folder", people=150),
    Scenario("good system", scatter=0.62, threshold=0.3),
    Scenario("many photos, more scatter", by_photos=0.08),
    Scenario("rare errors", people=300, scatter=0.4, threshold=0.45),
    Scenario("equal numbers of photos", people=500, photos=((4, 1),)),
    DEFAULT_MODEL,
    replace(DEFAULT_MODEL, name="default model, 150 people", people=150),
    replace(DEFAULT_MODEL, name="default model, rare errors", people=300, threshold=0.53),
    replace(DEFAULT_MODEL, name="default model, operating points", calibration=True),
]

RATES = ["f1", "accuracy", "auc", "fmr", "fnmr", "eer", "fnmr@0.1", "fnmr@0.01", "fnmr@0.001"]
BALANCED, EXHAUSTIVE = (
    RATES[:-1],
    RATES[2:],
)  # FNMR at 0.001 needs more impostor pairs than a balanced list has
OWN = "threshold at FMR 0.01"
DIFFERENCE = "difference of f1"


def statistics_of(
    threshold: float, scores: list[Floats], same: NDArray[np.bool_], first: Labels, second: Labels
) -> dict[str, float]:
    """Every statistic of plain, unweighted pairs."""
    one, other = (Pairs(each, same, first, second) for each in scores)
    everybody = np.ones((1, one.people))
    block = one.block(everybody)
    values = {name: float(_statistic(name, threshold)(block)[0]) for name in RATES}
    values[OWN] = float(block.threshold_at_fmr(0.01)[0])
    values[DIFFERENCE] = values["f1"] - float(other.block(everybody).f1(threshold)[0])
    return values


def all_bounds(scenario: Scenario, seed: int, resamples: int) -> Bounds:
    """The bounds of each statistic and method in one population."""
    scores, same, first, second = scenario.population(seed)
    one, other = (Pairs(each, same, first, second) for each in scores)
    at = {name: _statistic(name, scenario.threshold) for name in BALANCED}
    at[OWN] = lambda block: Block.threshold_at_fmr(block, 0.01)
    kinds = {name: _spec(name, one) for name in at} | {DIFFERENCE: StatisticSpec()}
    difference = _difference(one, at["f1"], other, at["f1"])

    def evaluate(weigh: Weigh) -> Values:
        block = weigh(one)
        return {name: of(block) for name, of in at.items()} | {DIFFERENCE: difference(weigh)["difference"]}

    plan = BootstrapOptions(LEVEL, resamples, seed=seed)
    samples = _samples(evaluate, one, plan)
    found: Bounds = {}
    for name, kind in kinds.items():
        estimate, draws, without, dyads = (part[name] for part in samples)
        for method in METHODS_MEASURED:
            chosen = replace(plan, method=method)
            found[name, method] = bounds(float(estimate[0]), draws, without, dyads, chosen, kind)
        low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found[name, "plain"] = float(low), float(high)
    return found


def exhaustive_bounds(scenario: Scenario, seed: int, resamples: int) -> Bounds:
    """The same for every photo against every other."""
    (faces, _), labels = scenario.faces(seed)
    compared = exhaustive(faces, labels, block=512)
    found: Bounds = {}
    for method in METHODS_MEASURED:
        intervals = compared.intervals((0.1, 0.01, 0.001), scenario.threshold, LEVEL, resamples, method, seed)
        found |= {(name, method): (intervals[name].low, intervals[name].high) for name in EXHAUSTIVE}
    return {key: found[key] for key in sorted(found, key=lambda key: EXHAUSTIVE.index(key[0]))}


def failing_people(scenario: Scenario, seed: int) -> int:
    """How many people of a population have a false non-match."""
    scores, same, first, _ = scenario.population(seed)
    return len(np.unique(first[same & (scores[0] < scenario.threshold)]))


def operating_rows(scenario: Scenario, populations: int, resamples: int) -> list[dict[str, object]]:
    """How often the FMR interval of an operating point holds the FMR really had at its threshold."""
    impostors = scenario.true_impostors()
    ends: dict[float, list[tuple[float, float, float]]] = {target: [] for target in TARGETS}
    for seed in range(populations):
        (faces, _), labels = scenario.faces(seed)
        pairs = calibration_pairs(labels, seed)
        scores = np.sum(faces[pairs.a] * faces[pairs.b], axis=1).clip(-1, 1)
        first, second = labels[pairs.a], labels[pairs.b]
        for point in operating_points(scores, pairs.same, first, second, TARGETS, resamples, seed):
            true = 1 - np.searchsorted(impostors, np.float32(point.threshold)) / len(impostors)
            ends[point.fmr].append((point.fmr_low, point.fmr_high, true))
    rows = []
    for target, found in ends.items():
        low, high, true = np.array(found).T
        name = f"fmr at the threshold for FMR {target:g}"
        rows.append(_row(scenario, name, "percentile", float(true.mean()), low - true, high - true))
    return rows


def _row(
    scenario: Scenario, name: str, method: str, truth: float, low: Floats, high: Floats
) -> dict[str, object]:
    """One row of the CSV; ``low`` and ``high`` (populations,) are the bounds less the truth."""
    above, below = np.mean(low > 0), np.mean(high < 0)
    return {
        "scenario": scenario.name,
        "statistic": name,
        "interval": method,
        "truth": f"{truth:.4g}",
        "covered": f"{1 - above - below:.4f}",
        "above": f"{above:.4f}",
        "below": f"{below:.4f}",
        "width": f"{np.mean(high - low):.4g}",
    }


def measure(
    scenario: Scenario, populations: int, resamples: int, true_people: int
) -> list[dict[str, object]]:
    if scenario.calibration:
        return operating_rows(scenario, populations, resamples)
    truth = scenario.truth(true_people)
    of_one = exhaustive_bounds if scenario.all_pairs else all_bounds
    found: list[Bounds] = [of_one(scenario, seed, resamples) for seed in range(populations)]
    failing = np.array([failing_people(scenario, seed) for seed in range(populations)])
    rows: list[dict[str, object]] = []
    for name, method in found[0]:
        low, high = np.array([bounds_of[name, method] for bounds_of in found]).T - truth[name]
        rows.append(_row(scenario, name, method, truth[name], low, high))
        for fewest, most in FAILING:
            some = (fewest <= failing) & (failing <= most)
            if name in ("f1", "auc", "fnmr") and method == "percentile" and some.sum() >= 20:
                label = f"{name}, {fewest} to {most} people falsely rejected ({some.sum()} populations)"
                rows.append(_row(scenario, label, method, truth[name], low[some], high[some]))
    return rows


def table() -> str:
    """The share covered of each statistic and interval, a column a scenario, of all rows of the CSV."""
    with CSV.open(newline="", encoding="utf-8") as file:
        covered = {(r["scenario"], r["statistic"], r["interval"]): r["covered"] for r in csv.DictReader(file)}
    scenarios = [scenario.name for scenario in SCENARIOS if any(key[0] == scenario.name for key in covered)]
    lines = ["| statistic | interval | " + " | ".join(scenarios) + " |"]
    lines.append("| --- | --- |" + " ---: |" * len(scenarios))
    for statistic in [*RATES, OWN, DIFFERENCE, *(f"fmr at the threshold for FMR {t:g}" for t in TARGETS)]:
        for interval in ("percentile", "bca", "plain"):
            if interval == "bca" and ("@" in statistic or statistic in ("eer", OWN)):
                continue  # percentiles there, too
            cells = [covered.get((name, statistic, interval)) for name in scenarios]
            shares = " | ".join("" if cell is None else f"{100 * float(cell):.1f}" for cell in cells)
            if any(cells):
                lines.append(f"| {statistic} | {interval} | {shares} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how often intervals hold the truth.")
    parser.add_argument("--scenario", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--populations", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--people", type=int, default=1_000_000, help="people that make the truth")
    parser.add_argument("--write", action="store_true", help=f"append the rows to {CSV.name}")
    parser.add_argument("--table", action="store_true", help=f"print what is in {CSV.name} as Markdown")
    options = parser.parse_args()
    if options.table:
        print(table())
        return
    fixed: dict[str, object] = {
        "date": today(),
        "commit": commit(),
        "versions": versions("numpy"),
        "populations": options.populations,
        "resamples": options.resamples,
    }
    for scenario in SCENARIOS:
        if options.scenario not in (None, scenario.name):
            continue
        start = time.monotonic()
        rows = measure(scenario, options.populations, options.resamples, options.people)
        for row in rows:
            print(
                "  ".join(
                    f"{value!s:<24}" if i < 2 else f"{value!s:<10}" for i, value in enumerate(row.values())
                )
            )
        print(f"{time.monotonic() - start:.0f} s", flush=True)
        if options.write:
            append_rows(CSV, [{**fixed, **row} for row in rows])


if __name__ == "__main__":
    main()
