"""Whether the quality score matters: error rates at the model's threshold, by quality.

    python benchmarks/quality.py collect DIR --out FILE.npz [--model FILE]
    python benchmarks/quality.py analyse FILE.npz [--model FILE] [--write]

DIR is LFW, one folder a person; only its validation people are used, none of whom the shipped model
was trained or calibrated on.  ``collect`` embeds each of their photos, and for the people with two
photos or more two photos each in every degradation below as well.  Where a degraded face is
not found any more, that is counted, and the landmarks of the good photo, moved along, take its place:
other detectors may find it.  ``analyse`` tells what each flaw costs (the curves of
``facealike.quality``), how errors rise as the score falls, and how far the band's edges would have to
move for the verdicts outside it to stay as reliable as with good photos (``BELOW``, ``ABOVE``).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from degradations import DEGRADATIONS
from facealike import Face, Model, People, read_image
from facealike.errors import FaceError
from facealike.quality import ABOVE, BELOW, Quality, face_quality, judge

PAGE = Path(__file__).parent.parent / "docs" / "quality.md"
MARK, END = "<!-- measured: benchmarks/quality.py -->", "<!-- end -->"
PHOTOS_A_PERSON = 2
MEASURES = (
    "eye_distance", "sharpness", "yaw", "pitch", "roll", "brightness", "contrast", "clipped", "side_light",
    "inside", "confidence",
)  # fmt: skip


def same_face(found: Face, known: Face) -> bool:
    """Whether the landmarks lie about where they should."""
    points, truth = np.array(found.landmarks), np.array(known.landmarks)
    apart = np.hypot(*(truth[1] - truth[0]))
    return bool(np.hypot(*(points.mean(axis=0) - truth.mean(axis=0))) < apart / 2)


def collect(model: Model, root: Path, out: Path) -> None:
    people = People.from_folder(root).split("validation")
    several = np.bincount(people.labels) > 1
    kind = str(model.file.detector_spec["kind"])
    rows: list[tuple[int, int, str, bool]] = []
    measures: list[list[float]] = []
    vectors: list[NDArray[np.float32]] = []
    taken = np.zeros(len(several), dtype=int)
    for index, (path, person) in enumerate(zip(people.paths, people.labels.tolist(), strict=True)):
        image = read_image(path)
        try:
            known = model.faces(image, "central")[0]
        except FaceError:
            continue
        taken[person] += 1
        whole = several[person] and taken[person] <= PHOTOS_A_PERSON
        crops = []
        for name, degrade in DEGRADATIONS.items():
            if name != "none" and not whole:
                break
            poor, moved = degrade(image, known)
            found = [known] if name == "none" else model.detector.detect(poor)
            faces = [face for face in found if same_face(face, moved)]
            face = faces[0] if faces else moved
            rows.append((index, person, name, bool(faces)))
            told = face_quality(poor, face, kind).measures
            measures.append([told.get(measure, np.nan) for measure in MEASURES])
            crops.append(model.crop(poor, face))
        vectors.append(model.embed_crops(np.stack(crops)))
        if index % 50 == 49:
            print(f"{index + 1} of {len(people)} photos", flush=True)
    save(out, model, rows, measures, vectors)


def save(
    out: Path, model: Model, rows: list[tuple[int, int, str, bool]], measures: list[list[float]],
    vectors: list[NDArray[np.float32]],
) -> None:  # fmt: skip
    photo, who, how, seen = zip(*rows, strict=True)
    np.savez(
        out, photo=np.array(photo), person=np.array(who), degradation=np.array(how), found=np.array(seen),
        measures=np.array(measures), names=np.array(MEASURES), vectors=np.concatenate(vectors),
        model=np.array(model.id),
    )  # fmt: skip


# ---- analyse ----------------------------------------------------------------------------------


class Photos(NamedTuple):
    """What ``collect`` has found, a row a photo in a degradation; ``good`` are the rows without one."""

    photo: NDArray[np.int64]
    person: NDArray[np.int64]
    degradation: NDArray[np.str_]
    found: NDArray[np.bool_]
    vectors: NDArray[np.float32]
    quality: list[Quality]
    good: NDArray[np.int64]

    @property
    def parts(self) -> NDArray[np.float64]:
        """(n, 6): what is left of each part."""
        names = sorted({name for quality in self.quality for name in quality.parts})
        return np.array([[quality.parts.get(name, 1.0) for name in names] for quality in self.quality])


def load(path: Path, model: Model) -> Photos:
    content = np.load(path)
    if str(content["model"]) != model.id:
        raise SystemExit(f"{path}: collected with model {content['model']}, not {model.id}")
    kind = str(model.file.detector_spec["kind"])
    names = content["names"].tolist()
    told = [
        judge({name: value for name, value in zip(names, row, strict=True) if np.isfinite(value)}, kind)
        for row in content["measures"].tolist()
    ]
    good = np.flatnonzero(content["degradation"] == "none")
    return Photos(
        content["photo"], content["person"], content["degradation"], content["found"], content["vectors"],
        told, good,
    )  # fmt: skip


class Pairs(NamedTuple):
    """Pairs of rows: their score, persons, and ``PairQuality`` as two arrays."""

    score: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    least: NDArray[np.float64]
    shared: NDArray[np.float64]

    @property
    def same(self) -> NDArray[np.bool_]:
        return self.first == self.second

    def where(self, kept: NDArray[np.bool_]) -> Pairs:
        return Pairs(*(column[kept] for column in self))


def pairs_of(photos: Photos, a: NDArray[np.int64], b: NDArray[np.int64]) -> Pairs:
    """The pairs of rows ``a`` and ``b``, both (n,)."""
    parts = photos.parts
    least, shared = np.minimum(parts[a], parts[b]), np.maximum(parts[a], parts[b])
    score = np.einsum("ij,ij->i", photos.vectors[a], photos.vectors[b]).astype(np.float64)
    return Pairs(score, photos.person[a], photos.person[b], least.prod(axis=1), shared.prod(axis=1))


def good_pairs(photos: Photos) -> Pairs:
    """All pairs of photos as they are."""
    a, b = np.triu_indices(len(photos.good), 1)
    return pairs_of(photos, photos.good[a], photos.good[b])


def pairs_with_good(photos: Photos, rows: NDArray[np.int64]) -> Pairs:
    """Each of ``rows`` with every photo as it is, but never with its own."""
    a, b = np.repeat(rows, len(photos.good)), np.tile(photos.good, len(rows))
    other = photos.photo[a] != photos.photo[b]
    return pairs_of(photos, a[other], b[other])


def pairs_within(photos: Photos, rows: NDArray[np.int64]) -> Pairs:
    """All pairs of ``rows``: two photos with the same flaw."""
    a, b = np.triu_indices(len(rows), 1)
    return pairs_of(photos, rows[a], rows[b])


def weights(pairs: Pairs) -> NDArray[np.float64]:
    """Each person's genuine pairs count as one, for a few people have most of them; impostors alike."""
    counts = np.bincount(pairs.first[pairs.same], minlength=int(pairs.first.max(initial=0)) + 1)
    return np.where(pairs.same, 1 / np.maximum(counts[pairs.first], 1), 1.0)


def rate(wrong: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    return float(np.average(wrong, weights=weight)) if len(wrong) else float("nan")


class Errors(NamedTuple):
    """FNMR and FMR at the threshold, and the number of people and pairs behind the FNMR."""

    fnmr: float
    fmr: float
    people: int
    genuine: int


def errors(pairs: Pairs, threshold: float) -> Errors:
    same, weight = pairs.same, weights(pairs)
    below = pairs.score < threshold
    return Errors(
        rate(below[same], weight[same]), rate(~below[~same], weight[~same]),
        len(np.unique(pairs.first[same])), int(same.sum()),
    )  # fmt: skip


def fnmr_interval(pairs: Pairs, threshold: float, resamples: int = 1000) -> tuple[float, float]:
    """The 95 % interval of the FNMR by resampling people."""
    genuine = pairs.where(pairs.same)
    people, index = np.unique(genuine.first, return_inverse=True)
    own = np.bincount(index, genuine.score < threshold) / np.bincount(index)
    drawn = np.random.default_rng(0).integers(0, len(people), (resamples, len(people)))
    low, high = np.quantile(own[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def quantile(values: NDArray[np.float64], weight: NDArray[np.float64], part: float) -> float:
    """The weighted quantile: the least value with at least ``part`` of the weight up to it."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(reached, part)), len(values) - 1)])


def share_left(poor: Pairs, good: Pairs, typical: float) -> float:
    """What is left of the genuine scores' distance from a typical stranger's."""
    means = [np.average(p.score[p.same], weights=weights(p)[p.same]) - typical for p in (poor, good)]
    return float(means[0] / means[1])


def flaws(photos: Photos, threshold: float, typical: float) -> list[list[str]]:
    """A row a degradation: what is left of the score, and the errors with one and with two poor photos."""
    degraded = np.isin(photos.photo, photos.photo[photos.degradation == "blur 2"])
    rows = []
    for name in DEGRADATIONS:
        mine = np.flatnonzero((photos.degradation == name) & degraded)
        one, two = pairs_with_good(photos, mine), pairs_within(photos, mine)
        if name == "none":
            plain = one
        scores = [photos.quality[row].score for row in mine]
        here, there = errors(one, threshold), errors(two, threshold)
        rows.append(
            [
                name, f"{np.median(scores):.2f}", f"{share_left(one, plain, typical):.2f}",
                f"{photos.found[mine].mean():.2f}", f"{here.fnmr:.3f}", f"{here.fmr:.3f}", f"{there.fmr:.3f}",
            ]
        )  # fmt: skip
    return rows


def by_quality(
    pairs: Pairs, quality: NDArray[np.float64], cuts: Sequence[float], band: tuple[float, float],
    threshold: float, unit: float,
) -> list[list[str]]:  # fmt: skip
    """A row a bin of ``quality``: errors, and what the widened band makes of them.

    "sure" is an error outside the band: a wrong verdict that is not called uncertain.
    """
    rows = []
    for low, high in pairwise(cuts):
        mine = pairs.where((quality >= low) & (quality < high))
        if not mine.same.any() or mine.same.all():
            continue
        found, spread = errors(mine, threshold), fnmr_interval(mine, threshold)
        below = np.interp(mine.least, *zip(*BELOW, strict=True)) * unit
        above = np.interp(mine.shared, *zip(*ABOVE, strict=True)) * unit
        start, end = band[0] - below, np.minimum(band[1] + above, 1.0)
        same, weight = mine.same, weights(mine)
        sure = {
            "plain": (mine.score < band[0], mine.score >= band[1]),
            "wide": (mine.score < start, mine.score >= end),
        }
        uncertain = (mine.score >= start) & (mine.score < end)
        told = [f"{low:.2f} to {min(high, 1.0):.2f}", str(found.people), f"{found.genuine:,}"]
        told += [f"{found.fnmr:.3f} [{spread[0]:.3f}, {spread[1]:.3f}]", f"{found.fmr:.3f}"]
        for wrong_no, wrong_yes in sure.values():
            told.append(f"{rate(wrong_no[same], weight[same]):.3f}")
            told.append(f"{rate(wrong_yes[~same], weight[~same]):.3f}")
        told.append(f"{rate(uncertain[same], weight[same]):.2f}")
        told.append(f"{rate(uncertain[~same], weight[~same]):.2f}")
        rows.append(told)
    return rows


def shifts(
    pairs: Pairs, good: Pairs, quality: NDArray[np.float64], cuts: Sequence[float], edge: float, unit: float,
    genuine: bool,
) -> list[list[str]]:  # fmt: skip
    """How far ``edge`` of the band must move, in units, for the errors beyond it to stay as with ``good``."""
    rows = []
    plain, weight = good.where(good.same == genuine), weights(good)[good.same == genuine]
    beyond = rate(plain.score < edge if genuine else plain.score >= edge, weight)
    for low, high in pairwise(cuts):
        kept = (quality >= low) & (quality < high) & (pairs.same == genuine)
        mine = pairs.where(kept)
        if len(mine.score) < 30:
            continue
        moved = quantile(mine.score, weights(mine), beyond if genuine else 1 - beyond)
        shift = (edge - moved if genuine else moved - edge) / unit
        middle = float(np.median(quality[kept]))
        rows.append([f"{low:.2f} to {min(high, 1.0):.2f}", f"{middle:.2f}", f"{shift:.2f}"])
    return rows


def table(columns: Sequence[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


CUTS = (0.0, 0.15, 0.22, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.01)
FLAW_COLUMNS = (
    "degradation", "quality", "share left", "found", "FNMR, one poor", "FMR, one poor", "FMR, both poor",
)  # fmt: skip
COLUMNS = (
    "people", "genuine pairs", "FNMR", "FMR", "sure FNMR, band as it was", "sure FMR, band as it was",
    "sure FNMR", "sure FMR", "uncertain, one person", "uncertain, strangers",
)  # fmt: skip


def analyse(path: Path, model: Model) -> str:
    """The tables of docs/quality.md."""
    photos = load(path, model)
    calibration = model.calibration
    threshold, band, typical = calibration.threshold, calibration.band, calibration.typical_stranger
    assert band is not None and typical is not None
    unit = threshold - typical
    good = good_pairs(photos)
    degraded = np.flatnonzero(photos.degradation != "none")
    before = photos.good[np.isin(photos.photo[photos.good], photos.photo[degraded])]
    one, one_before = pairs_with_good(photos, degraded), pairs_with_good(photos, before)
    alike = [
        pairs_within(photos, np.flatnonzero(photos.degradation == name))
        for name in DEGRADATIONS
        if name != "none"
    ]
    two = Pairs(*(np.concatenate(columns) for columns in zip(*alike, strict=True)))
    two_before = pairs_within(photos, before)
    shift = partial(shifts, cuts=CUTS, unit=unit)
    told = partial(by_quality, band=band, threshold=threshold, unit=unit)
    genuine = one.least[one.same]
    deciles = [*np.unique(np.quantile(genuine, np.linspace(0, 0.9, 10)).round(4)), 1.01]
    natural = [*np.unique(np.quantile(good.least[good.same], (0, 0.1, 0.25, 0.5)).round(4)), 1.01]
    poor = np.mean([photos.quality[row].poor for row in photos.good])
    return "\n\n".join(
        [
            f"Model {model.id}; {len(photos.good)} photos of {len(np.unique(photos.person))} validation "
            f"people, {len(np.unique(photos.photo[degraded]))} of these photos also degraded in "
            f"{len(DEGRADATIONS) - 1} ways. Of the photos as they are, {poor:.1%} count as poor.",
            "### What each flaw costs",
            table(FLAW_COLUMNS, flaws(photos, threshold, typical)),
            "### One of the two photos degraded, by decile of quality",
            table(("least quality", *COLUMNS), told(one, one.least, deciles)),
            "### Both photos degraded alike",
            table(("shared quality", *COLUMNS), told(two, two.shared, CUTS)),
            "### Photos as they are",
            table(("least quality", *COLUMNS), told(good, good.least, natural)),
            "### How far the band must move",
            table(
                ("least quality", "median", "further down"),
                shift(one, one_before, one.least, edge=band[0], genuine=True),
            ),
            table(
                ("shared quality", "median", "further up"),
                shift(two, two_before, two.shared, edge=band[1], genuine=False),
            ),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("step", choices=("collect", "analyse"))
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{PAGE.name}")
    arguments = parser.parse_args()
    model = Model.load(arguments.model, threads=1)
    if arguments.step == "collect":
        if arguments.out is None:
            parser.error("collect needs --out")
        collect(model, arguments.source, arguments.out)
        return
    tables = analyse(arguments.source, model)
    print(tables)
    if arguments.write:
        text = PAGE.read_text("utf-8")
        start, end = text.index(MARK) + len(MARK), text.index(END)
        PAGE.write_text(f"{text[:start]}\n\n{tables}\n\n{text[end:]}", "utf-8")


if __name__ == "__main__":
    main()
