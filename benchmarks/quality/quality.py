"""Whether the quality score matters: error rates at the model's threshold, by quality.

    python -m benchmarks.quality.quality collect DIR --split SPLIT [--split SPLIT] --out FILE.npz \\
        [--model FILE]
    python -m benchmarks.quality.quality fit FILE.npz [--model FILE] [--write]
    python -m benchmarks.quality.quality analyse FILE.npz [--model FILE] [--write]

DIR is LFW, one folder a person.  ``collect`` embeds each photo of the people of the splits named, and for
those with two photos or more two photos each in every degradation below as well.  Where a degraded face is
not found any more, that is counted, and the landmarks of the good photo, moved along, take its place:
other detectors may find it.  ``fit`` tells what the curves of ``facealike.quality.score`` are drawn from:
what each flaw costs and where its measures then lie, and how far the band's edges would have to move for the
verdicts outside it to stay as reliable as with good photos (``BELOW``, ``ABOVE``); it is for the validation
and calibration people.  ``analyse`` tells how errors rise as the score falls; it is for the test people,
by whom no curve was drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.docs_page import put
from benchmarks.common.record import ROOT, commit, processor, today
from benchmarks.quality.degradations import DEGRADATIONS
from benchmarks.quality.pairs import (
    Pairs,
    Photos,
    degraded_rows,
    errors,
    fnmr_interval,
    good_pairs,
    load,
    pairs_with_good,
    pairs_within,
    quantile,
    rate,
    share_left,
    weights,
)
from facealike import Face, Model, People, read_image
from facealike.detection.face_policy import LFW_FACE
from facealike.errors import FaceError
from facealike.quality.score import ABOVE, BELOW, FLAWS, face_quality

PAGE = ROOT / "docs" / "results" / "quality.md"
PHOTOS_A_PERSON = 2
MEASURES = (
    "eye_distance", "sharpness", "noise", "yaw", "pitch", "roll", "brightness", "contrast", "clipped",
    "side_light", "inside", "confidence",
)  # fmt: skip
CURVED = tuple(name for name in MEASURES if name in {flaw.measure for flaw in FLAWS})


def same_face(found: Face, known: Face) -> bool:
    """Whether the landmarks lie about where they should."""
    points, truth = np.array(found.landmarks), np.array(known.landmarks)
    apart = np.hypot(*(truth[1] - truth[0]))
    return bool(np.hypot(*(points.mean(axis=0) - truth.mean(axis=0))) < apart / 2)


def people_of(root: Path, splits: Sequence[str]) -> People:
    """The people of LFW in any of ``splits``."""
    everybody = People.from_folder(root)
    names = {name for split in splits for name in everybody.split(split).names}
    return everybody.select([everybody.names[label] in names for label in everybody.labels])


def collect(model: Model, root: Path, splits: Sequence[str], out: Path) -> None:
    people = people_of(root, splits)
    several = np.bincount(people.labels) > 1
    kind = str(model.file.detector_spec["kind"])
    rows: list[tuple[int, int, str, bool]] = []
    measures: list[list[float]] = []
    vectors: list[NDArray[np.float32]] = []
    taken = np.zeros(len(several), dtype=int)
    for index, (path, person) in enumerate(zip(people.paths, people.labels.tolist(), strict=True)):
        image = read_image(path)
        try:
            known = model.faces(image, LFW_FACE, quality=False)[0].face
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
    save(out, model, splits, rows, measures, vectors)


def save(
    out: Path, model: Model, splits: Sequence[str], rows: list[tuple[int, int, str, bool]],
    measures: list[list[float]], vectors: list[NDArray[np.float32]],
) -> None:  # fmt: skip
    photo, who, how, seen = zip(*rows, strict=True)
    np.savez(
        out, photo=np.array(photo), person=np.array(who), degradation=np.array(how), found=np.array(seen),
        measures=np.array(measures), names=np.array(MEASURES), vectors=np.concatenate(vectors),
        model=np.array(model.id), splits=np.array(" and ".join(splits)),
    )  # fmt: skip


# ---- what was measured ------------------------------------------------------------------------


class Degraded(NamedTuple):
    """A degradation: its rows, their pairs with a good photo, and the share that is left in these."""

    name: str
    rows: NDArray[np.int64]
    pairs: Pairs
    share: float


def by_degradation(photos: Photos, typical: float) -> Iterator[Degraded]:
    """Each degradation; "none" is the first, and what is left is left of that."""
    plain = None
    for name, rows in degraded_rows(photos):
        pairs = pairs_with_good(photos, rows)
        plain = pairs if plain is None else plain
        yield Degraded(name, rows, pairs, share_left(pairs, plain, typical))


def flaws(photos: Photos, threshold: float, typical: float) -> list[list[str]]:
    """A row a degradation: what is left of the score, and the errors with one and with two poor photos."""
    rows = []
    for name, mine, one, share in by_degradation(photos, typical):
        scores = [photos.quality[row].score for row in mine]
        here, there = errors(one, threshold), errors(pairs_within(photos, mine), threshold)
        rows.append(
            [
                name, f"{np.median(scores):.2f}", f"{share:.2f}",
                f"{photos.found[mine].mean():.2f}", f"{here.fnmr:.3f}", f"{here.fmr:.3f}", f"{there.fmr:.3f}",
            ]
        )  # fmt: skip
    return rows


def places(photos: Photos, typical: float) -> list[list[str]]:
    """A row a degradation: what is left of the score, and the median of each measure there."""
    rows = []
    for name, mine, _, share in by_degradation(photos, typical):
        told = [photos.quality[row].measures for row in mine]
        medians = [np.median([each[measure] for each in told if measure in each]) for measure in CURVED]
        rows.append([name, f"{share:.2f}", *(f"{m:.3g}" for m in medians)])
    return rows


def by_quality(
    pairs: Pairs, quality: NDArray[np.float64], cuts: Sequence[float], band: tuple[float, float],
    threshold: float, unit: float,
) -> list[list[str]]:  # fmt: skip
    """A row a bin of ``quality``: errors, and what the widened band makes of them.

    "certain" is an error outside the band: a wrong verdict that is not called uncertain.
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
    "people", "genuine pairs", "FNMR", "FMR", "certain FNMR, no margin", "certain FMR, no margin",
    "certain FNMR", "certain FMR", "uncertain, genuine", "uncertain, impostors",
)  # fmt: skip


def one_poor(photos: Photos) -> Pairs:
    """Every degraded photo beside every good one."""
    return pairs_with_good(photos, np.flatnonzero(photos.degradation != "none"))


def both_poor(photos: Photos) -> Pairs:
    """All pairs of photos that are degraded alike."""
    alike = [pairs_within(photos, mine) for name, mine in degraded_rows(photos) if name != "none"]
    return Pairs(*(np.concatenate(columns) for columns in zip(*alike, strict=True)))


def scale_of(model: Model) -> tuple[float, tuple[float, float], float]:
    """Threshold, band, and the score of a typical stranger."""
    calibration = model.calibration
    assert calibration.band is not None and calibration.typical_impostor is not None
    return calibration.threshold, calibration.band, calibration.typical_impostor


def told_of(photos: Photos, model: Model) -> str:
    poor = np.mean([photos.quality[row].poor for row in photos.good])
    degraded = len(np.unique(photos.photo[photos.degradation != "none"]))
    return (
        f"Model {model.id}; {len(photos.good):,} photos of {len(np.unique(photos.person))} {photos.people}, "
        f"{degraded} of these photos also degraded in {len(DEGRADATIONS) - 1} ways. Of the photos as they "
        f"are, {poor:.1%} count as poor. Measured {today()} at commit {commit()} on {processor()}."
    )


def fit(photos: Photos, model: Model) -> str:
    """What the curves of ``facealike.quality.score`` are drawn from."""
    threshold, band, typical = scale_of(model)
    one, two, before = one_poor(photos), both_poor(photos), dict(degraded_rows(photos))["none"]
    shift = partial(shifts, cuts=CUTS, unit=threshold - typical)
    down = shift(one, pairs_with_good(photos, before), one.least, edge=band[0], genuine=True)
    up = shift(two, pairs_within(photos, before), two.shared, edge=band[1], genuine=False)
    return "\n\n".join(
        [
            told_of(photos, model),
            table(("degradation", "share left", *(name.replace("_", " ") for name in CURVED)),
                  places(photos, typical)),
            table(("least quality", "median", "further down"), down),
            table(("shared quality", "median", "further up"), up),
        ]
    )  # fmt: skip


def analyse(photos: Photos, model: Model) -> str:
    """What the score and the wider band are worth."""
    threshold, band, typical = scale_of(model)
    one, two, good = one_poor(photos), both_poor(photos), good_pairs(photos)
    told = partial(by_quality, band=band, threshold=threshold, unit=threshold - typical)
    genuine = one.least[one.same]
    deciles = [*np.unique(np.quantile(genuine, np.linspace(0, 0.9, 10)).round(4)), 1.01]
    natural = [*np.unique(np.quantile(good.least[good.same], (0, 0.1, 0.25, 0.5)).round(4)), 1.01]
    return "\n\n".join(
        [
            told_of(photos, model),
            "### What each flaw costs",
            table(FLAW_COLUMNS, flaws(photos, threshold, typical)),
            "### One of the two photos degraded, by decile of quality",
            table(("least quality", *COLUMNS), told(one, one.least, deciles)),
            "### Both photos degraded alike",
            table(("shared quality", *COLUMNS), told(two, two.shared, CUTS)),
            "### Photos as they are",
            table(("least quality", *COLUMNS), told(good, good.least, natural)),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("step", choices=("collect", "fit", "analyse"))
    parser.add_argument("source", type=Path)
    parser.add_argument("--split", action="append", choices=("validation", "calibration", "test"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{PAGE.name}")
    arguments = parser.parse_args()
    model = Model.load(arguments.model, threads=1)
    if arguments.step == "collect":
        if arguments.out is None or not arguments.split:
            parser.error("collect needs --split and --out")
        collect(model, arguments.source, arguments.split, arguments.out)
        return
    photos = load(arguments.source, model)
    tables = (fit if arguments.step == "fit" else analyse)(photos, model)
    print(tables)
    if arguments.write:
        put(PAGE, arguments.step, f"\n{tables}\n")


if __name__ == "__main__":
    main()
