"""Measure whether the maps of ``explain`` rank the places that carry a score (needs LFW).

    python -m benchmarks.accuracy.explain LFW --write

Deletion and insertion of Petsiuk, Das and Saenko, "RISE", BMVC 2018: the pixels of one face are covered in
the order of its map, or uncovered in it, in steps of 10 %, and the score with the other face is drawn against
the share.  A good order has a small area below the curve of deletion and a large one below that of
insertion; their difference is the gain.  The same curves follow three orders that know nothing of the pair:
random maps as smooth as ours, random pixels, and from the center of the crop outwards.  100 genuine and 100
impostor pairs of test people; both faces of a pair, averaged; intervals are from resampling people.

The fill was chosen on 20 pairs of validation people: the rows ``fill``.  ``seconds`` is one ``explain`` from
two image files, with the threads that onnxruntime chooses.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.docs_page import put
from benchmarks.common.people_options import people_options, state_rows
from benchmarks.common.record import RESULTS, ROOT
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.errors import NoFaceFound
from facealike.types import Image
from facealike.utils.markdown_table import markdown_table
from facealike.verification.explain import explain
from facealike.verification.face_regions import REGIONS, region_masks
from facealike.verification.occlusion import Fill, fill_of, occlusion_map, patch_masks, score_falls

CSV, PAGE = RESULTS / "explain.csv", ROOT / "docs" / "results" / "explain.md"
EACH, FILL_EACH, STEPS, RESAMPLES = 100, 10, 10, 2000
TIMED = 10  # pairs of each kind
BESIDE = "change by covering the surroundings"

Floats = NDArray[np.float64]
Row = dict[str, object]


class PhotoPair(NamedTuple):
    """Two photos, the people in them, and what a model makes of them."""

    paths: tuple[Path, Path]
    people: tuple[int, int]
    crops: Image
    landmarks: tuple[Floats, Floats]
    vectors: NDArray[np.float32]

    @property
    def same(self) -> bool:
        return self.people[0] == self.people[1]


def draw_pairs(
    everyone: People, split: str, each: int, model: Model, rng: np.random.Generator
) -> list[PhotoPair]:
    """Return ``each`` genuine pairs of as many people, and ``each`` impostor pairs, of photos with a face."""
    labels = np.asarray(everyone.labels)
    chosen = [i for i, name in enumerate(everyone.names) if split_of(name) == split]
    several = [i for i in chosen if (labels == i).sum() > 1]
    found: list[PhotoPair] = []
    for i in rng.permutation(several):
        if len(found) == each:
            break
        a, b = rng.permutation(np.flatnonzero(labels == i))[:2]
        found += _pair(everyone, int(a), int(b), model)
    while len(found) < 2 * each:
        i, j = rng.choice(chosen, 2, replace=False)
        a, b = rng.choice(np.flatnonzero(labels == i)), rng.choice(np.flatnonzero(labels == j))
        found += _pair(everyone, int(a), int(b), model)
    return found


def _pair(everyone: People, a: int, b: int, model: Model) -> list[PhotoPair]:
    try:
        faces = [model.faces(everyone.paths[i], LFW_FACE, quality=False)[0] for i in (a, b)]
    except NoFaceFound:
        return []
    landmarks = [model.preprocessing.crop_landmarks(each.face) for each in faces]
    assert landmarks[0] is not None and landmarks[1] is not None
    crops = np.stack([each.crop for each in faces])
    people = int(everyone.labels[a]), int(everyone.labels[b])
    places = landmarks[0], landmarks[1]
    return [
        PhotoPair((everyone.paths[a], everyone.paths[b]), people, crops, places, model.embed_crops(crops))
    ]


def areas(
    crop: Image, other: NDArray[np.float32], order: Floats, model: Model, fill: Image
) -> tuple[float, float]:
    """Return the areas below the curves of deletion and of insertion, as means of the score.

    Args:
        crop: The face that is covered, uint8 (S, S, 3).
        other: The embedding of the other face, (d,).
        order: The importance of each pixel, (S, S); the most important is covered first.
        model: Embeds crops.
        fill: What covered pixels show, uint8 (S, S, 3).
    """
    place = np.empty(order.size, dtype=np.int64)
    place[np.argsort(-order, axis=None, kind="stable")] = np.arange(order.size)
    rank = place.reshape(order.shape)[..., None]
    curves = []
    for before, after in ((crop, fill), (fill, crop)):
        steps = [np.where(rank < order.size * k / STEPS, after, before) for k in range(STEPS + 1)]
        curves.append(model.embed_crops(np.stack(steps)).astype(np.float64) @ other.astype(np.float64))
    deletion, insertion = (float(np.trapezoid(curve, dx=1 / STEPS)) for curve in curves)
    return deletion, insertion


def sides(pair: PhotoPair) -> Iterator[tuple[Image, Floats, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield crop, landmarks, vector and the other's vector of each face."""
    for i in (0, 1):
        yield pair.crops[i], pair.landmarks[i], pair.vectors[i], pair.vectors[1 - i]


def our_map(
    crop: Image, vector: NDArray[np.float32], other: NDArray[np.float32], model: Model, fill: Fill = "blur"
) -> Floats:
    size = len(crop)
    falls = score_falls(crop, vector, other, patch_masks(size), model.embed_crops, fill)
    return occlusion_map(falls, size).astype(np.float64)


def orders_of(size: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Return the orders that know nothing of the pair."""
    middle = np.arange(size) - (size - 1) / 2
    return {
        "random maps": occlusion_map(rng.normal(size=len(patch_masks(size))), size).astype(np.float64),
        "random pixels": rng.random((size, size)),
        "center": -np.hypot(middle[:, None], middle[None]),
    }


def interval(values: Floats, pairs: Sequence[PhotoPair], rng: np.random.Generator) -> Row:
    """Return the mean over pairs and its 95 % interval from resampling people."""
    _, who = np.unique([pair.people for pair in pairs], return_inverse=True)
    who = who.reshape(-1, 2)
    same = who[:, 0] == who[:, 1]
    people = int(who.max()) + 1
    means = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(rng.integers(0, people, people), minlength=people)
        weight = np.where(same, drawn[who[:, 0]], drawn[who[:, 0]] * drawn[who[:, 1]])
        if weight.sum():  # of few pairs, a resample may hold none
            means.append(weight @ values / weight.sum())
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "value": f"{values.mean():.5f}", "low": f"{low:.5f}", "high": f"{high:.5f}", "pairs": len(pairs),
    }  # fmt: skip


def curves(pairs: list[PhotoPair], model: Model, rng: np.random.Generator) -> Iterator[Row]:
    """Yield the areas of each order, and the gain of our maps less that of each other order."""
    found: dict[str, list[tuple[float, float]]] = {}
    for pair in pairs:
        both: dict[str, list[tuple[float, float]]] = {}
        for crop, _, vector, other in sides(pair):
            orders = {"map": our_map(crop, vector, other, model), **orders_of(len(crop), rng)}
            for name, order in orders.items():
                both.setdefault(name, []).append(areas(crop, other, order, model, fill_of(crop)))
        for name, each in both.items():
            found.setdefault(name, []).append((np.mean([a for a, _ in each]), np.mean([b for _, b in each])))
    values = {name: np.array(each) for name, each in found.items()}
    gain = {name: each[:, 1] - each[:, 0] for name, each in values.items()}
    same = np.array([pair.same for pair in pairs])
    for kind, chosen in (("all", same | ~same), ("genuine", same), ("impostor", ~same)):
        some = [pair for pair, taken in zip(pairs, chosen, strict=True) if taken]
        for name, each in values.items():
            for column, what in enumerate(("deletion", "insertion")):
                yield {"what": what, "order": name, "of": kind, **interval(each[chosen, column], some, rng)}
            yield {"what": "gain", "order": name, "of": kind, **interval(gain[name][chosen], some, rng)}
        for name in values:
            if name == "map":
                continue
            less = (gain["map"] - gain[name])[chosen]
            yield {"what": "gain of map less", "order": name, "of": kind, **interval(less, some, rng)}
            for column, what in enumerate(("deletion of map less", "insertion of map less")):
                less = (values["map"] - values[name])[chosen, column]
                yield {"what": what, "order": name, "of": kind, **interval(less, some, rng)}


def fills(pairs: list[PhotoPair], model: Model, rng: np.random.Generator) -> Iterator[Row]:
    """Yield the gain of the maps of each fill, on curves of either, and what covering the background does."""
    names: tuple[Fill, ...] = get_args(Fill)
    place = REGIONS.index("surroundings")
    for fill in names:
        gains: dict[str, list[float]] = {name: [] for name in names}
        beside = []
        for pair in pairs:
            for crop, landmarks, vector, other in sides(pair):
                order = our_map(crop, vector, other, model, fill)
                for name in names:
                    deletion, insertion = areas(crop, other, order, model, fill_of(crop, name))
                    gains[name].append(insertion - deletion)
                masks = region_masks(landmarks, len(crop))
                assert masks is not None
                rest = score_falls(crop, vector, other, masks[place : place + 1], model.embed_crops, fill)
                beside.append(abs(float(rest[0])))
        for name, each in gains.items():
            of_pairs = np.array(each).reshape(-1, 2).mean(axis=1)
            yield {
                "what": f"fill {fill}",
                "order": f"gain on {name}",
                "of": "all",
                **interval(of_pairs, pairs, rng),
            }
        of_pairs = np.array(beside).reshape(-1, 2).mean(axis=1)
        yield {
            "what": f"fill {fill}", "order": BESIDE, "of": "all",
            **interval(of_pairs, pairs, rng),
        }  # fmt: skip


def seconds(pairs: list[PhotoPair], model: Model) -> Iterator[Row]:
    """Yield the median and the longest time of one explanation."""
    took = []
    explain(*pairs[0].paths, model, face=LFW_FACE)  # the first one loads the detector
    for pair in pairs:
        start = time.perf_counter()
        explain(*pair.paths, model, face=LFW_FACE)
        took.append(time.perf_counter() - start)
    for name, value in (("median", np.median(took)), ("longest", max(took))):
        yield {
            "what": "seconds", "order": name, "of": "all", "value": f"{value:.3f}", "low": "", "high": "",
            "pairs": len(took),
        }  # fmt: skip


PARTS = ("seconds", "curves", "fills")
KINDS = ("all", "genuine", "impostor")
ORDERS = {
    "map": "map of `explain`", "random maps": "random maps", "random pixels": "random pixels",
    "center": "from the center outwards",
}  # fmt: skip


def tables(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the tables of the page, by the last row of each kind."""
    at = {(row["what"], row["order"], row["of"]): row for row in rows}

    def cell(*key: str) -> str:
        value, low, high = (f"{float(at[key][name]):.4f}" for name in ("value", "low", "high"))
        return f"{value} [{low}, {high}]"

    curves = ("deletion", "insertion", "gain")
    areas = [
        [text, kind, *(cell(curve, name, kind) for curve in curves)]
        for kind in KINDS
        for name, text in ORDERS.items()
    ]
    less = [
        [text, kind, *(cell(f"{curve} of map less", name, kind) for curve in curves)]
        for kind in KINDS
        for name, text in ORDERS.items()
        if name != "map"
    ]
    columns = ("gain on blur", "gain on mean", BESIDE)
    fill = [[name, *(cell(f"fill {name}", column, "all") for column in columns)] for name in get_args(Fill)]
    times = [at["seconds", name, "all"] for name in ("median", "longest")]
    curve = at["gain", "map", "genuine"]
    return "\n".join(
        [
            markdown_table(
                ["order", "pairs", "deletion, lower is better", "insertion, higher is better", "gain"],
                areas,
                (0, 1),
            ),
            "",
            markdown_table(["map of `explain` less", "pairs", *curves], less, (0, 1)),
            "",
            markdown_table(["fill", "gain, curves by blur", "gain, curves by mean color", BESIDE], fill),
            "",
            f"Seconds of one explanation, from two image files to the result, of {times[0]['pairs']} pairs: "
            + ", ".join(f"{row['order']} {row['value']}" for row in times)
            + f" ({times[0]['date']}, commit {times[0]['commit']}).",
            "",
            f"{curve['date']}, commit {curve['commit']}, {curve['machine']}, seed {curve['seed']}.",
        ]
    )


def main() -> None:
    parser = people_options(__doc__, CSV)
    parser.add_argument("--part", choices=PARTS, action="append", help="measure this only; may be repeated")
    parser.add_argument("--page", action="store_true", help=f"put the rows of the CSV into {PAGE.name}")
    options = parser.parse_args()
    everyone, model = People.from_folder(options.people), Model.load(options.model)

    def found() -> Iterator[Row]:
        parts = options.part or PARTS
        if "seconds" in parts:
            rng = np.random.default_rng(options.seed)
            yield from seconds(draw_pairs(everyone, "test", TIMED, model, rng), model)
        if "curves" in parts:
            rng = np.random.default_rng(options.seed)
            test = draw_pairs(everyone, "test", EACH, model, rng)
            yield from curves(test, model, np.random.default_rng(options.seed))
        if "fills" in parts:
            rng = np.random.default_rng(options.seed)
            yield from fills(draw_pairs(everyone, "validation", FILL_EACH, model, rng), model, rng)

    state_rows(found(), CSV, model.id, options)
    if options.page:
        with CSV.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["model"] == model.id]
        put(PAGE, "explain", tables(rows))


if __name__ == "__main__":
    main()
