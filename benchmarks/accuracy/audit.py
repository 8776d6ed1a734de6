"""Plant faults among the people of LFW and count what ``facealike audit`` finds (needs LFW).

    python -m benchmarks.accuracy.audit LFW --split train,validation,calibration --write
    python -m benchmarks.accuracy.audit LFW --split test --write
    python -m benchmarks.accuracy.audit LFW --split all --write

The folder is copied as links, and in it, each of other people,

    swap        a photo is moved to the folder of another person; both have at least two photos before
    exact       a photo is there twice
    resized, compressed, mirrored, cropped
                a photo is there again at half the size, as a JPEG of quality 60, mirrored, or without 5 % of
                its width and height
    merged      the folder of a person is put into that of another; both have at least two photos
    split       half of the photos of a person, at least two, are put into a new folder

A finding that was not planted counts as false: LFW's own errors, of which no list is at hand, lower the
precision.  Each is printed, so that it can be looked at.  A photo of a merged folder that is found as one
with a wrong name is neither: its name is wrong.  ``seconds`` are those of the whole audit.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from benchmarks.common.people_options import people_options, state_rows
from benchmarks.common.record import RESULTS
from facealike.auditing.audit import audit
from facealike.auditing.result import Audit
from facealike.datasets.people import People
from facealike.datasets.splits import SPLITS, split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model

CSV = RESULTS / "audit.csv"

CHANGES = ("resized", "compressed", "mirrored", "cropped")


@dataclass
class Planted:
    """What was planted: photos with a wrong name, copies with their kind, and people who are one or two.

    ``moved`` are the photos that were put into the folder of another person when two were merged.
    """

    swaps: set[str] = field(default_factory=set)
    copies: dict[frozenset[str], str] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    split: set[frozenset[str]] = field(default_factory=set)


def plant(people: People, root: Path, swaps: int, copies: int, groups: int, seed: int) -> Planted:
    """Write the people with faults into ``root``; return what is wrong with them."""
    photos: dict[str, list[Path]] = {name: [] for name in people.names}
    for path, label in zip(people.paths, people.labels, strict=True):
        photos[people.names[label]].append(path)
    for name, paths in photos.items():
        (root / name).mkdir()
        for path in paths:
            (root / name / path.name).symlink_to(path.resolve())
    rng, planted = np.random.default_rng(seed), Planted()
    order = [people.names[i] for i in rng.permutation(len(people.names))]
    free = dict.fromkeys(order)

    def take(least: int) -> str:
        name = next(name for name in free if len(photos[name]) >= least)
        del free[name]
        return name

    for _ in range(groups):
        name = take(4)
        (root / f"{name}_again").mkdir()
        for path in photos[name][len(photos[name]) // 2 :]:
            (root / name / path.name).rename(root / f"{name}_again" / path.name)
        planted.split.add(frozenset((name, f"{name}_again")))
    for _ in range(groups):
        one, other = take(2), take(2)
        for path in photos[other]:
            (root / other / path.name).rename(root / one / path.name)
            planted.moved.add(str(root / one / path.name))
        (root / other).rmdir()
        planted.merged.add(one)
    for _ in range(swaps):
        one, other = take(2), take(2)
        path = photos[one][int(rng.integers(len(photos[one])))]
        (root / one / path.name).rename(root / other / path.name)
        planted.swaps.add(str(root / other / path.name))
    kinds = itertools.cycle(CHANGES)
    for i in range(copies):
        name = take(1)
        path = photos[name][int(rng.integers(len(photos[name])))]
        kind = "exact" if i % 2 == 0 else next(kinds)
        copy = root / name / f"copy_{i}.jpg"
        _copy(path, copy, kind, rng)
        planted.copies[frozenset((str(root / name / path.name), str(copy)))] = kind
    return planted


def _copy(path: Path, to: Path, kind: str, rng: np.random.Generator) -> None:
    if kind == "exact":
        to.write_bytes(path.read_bytes())
        return
    with PillowImage.open(path) as opened:
        photo = opened.convert("RGB")
    width, height = photo.size
    if kind == "resized":
        photo = photo.resize((width // 2, height // 2), PillowImage.Resampling.LANCZOS)
    elif kind == "mirrored":
        photo = ImageOps.mirror(photo)
    elif kind == "cropped":
        across, down = round(0.05 * width), round(0.05 * height)
        left, top = int(rng.integers(across + 1)), int(rng.integers(down + 1))
        photo = photo.crop((left, top, left + width - across, top + height - down))
    photo.save(to, "JPEG", quality=60 if kind == "compressed" else 90)


def rows(result: Audit, planted: Planted) -> Iterator[dict[str, object]]:
    """Yield what was planted and found, and how many findings were not planted."""

    def row(kind: str, planted: int, found: int, false: int) -> dict[str, object]:
        every = found + false
        precision = f"{found / every:.4f}" if every else ""
        return {
            "kind": kind, "planted": planted, "found": found, "false": false,
            "recall": f"{found / planted:.4f}" if planted else "", "precision": precision,
        }  # fmt: skip

    wrong = {fault.photo for fault in result.of("mislabeled")}
    false = wrong - planted.swaps - planted.moved
    yield row("swap", len(planted.swaps), len(wrong & planted.swaps), len(false))
    copies = {
        frozenset((fault.photo, fault.other_photo))
        for fault in [*result.of("copy"), *result.of("shared_copy")]
    }
    found = copies & set(planted.copies)
    yield row("copy", len(planted.copies), len(found), len(copies - found))
    for kind in ("exact", *CHANGES):
        every = {pair for pair, each in planted.copies.items() if each == kind}
        yield {**row(kind, len(every), len(copies & every), 0), "false": "", "precision": ""}
    several = {fault.person for fault in result.of("several_people")}
    yield row("merged", len(planted.merged), len(several & planted.merged), len(several - planted.merged))
    same = {frozenset((fault.person, fault.other)) for fault in result.of("same_people")}
    yield row("split", len(planted.split), len(same & planted.split), len(same - planted.split))


def show_unplanted(result: Audit, planted: Planted) -> None:
    """Print each finding that was not planted, to be looked at, and each planted fault that was missed."""
    for fault in result.serious:
        pair = frozenset((fault.photo, fault.other_photo))
        known = {
            "mislabeled": fault.photo in planted.swaps | planted.moved,
            "several_people": fault.person in planted.merged,
            "same_people": frozenset((fault.person, fault.other)) in planted.split,
        }.get(fault.kind, pair in planted.copies)  # fmt: skip
        if not known:
            print(f"not planted: {fault.kind} {fault.score} {fault} [{fault.other_photo}]")
    swaps = [fault.probability or 0 for fault in result.of("mislabeled") if fault.photo in planted.swaps]
    print("lowest probabilities of swaps found:", [round(value, 3) for value in sorted(swaps)[:8]])
    found = {frozenset((fault.photo, fault.other_photo)) for fault in result.serious}
    for pair, kind in planted.copies.items():
        if pair not in found:
            print(f"missed: {kind} {sorted(pair)}")
    for photo in sorted(planted.swaps - {fault.photo for fault in result.of("mislabeled")}):
        print(f"missed: swap {photo}")


def measure(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    wanted = SPLITS if options.split == "all" else options.split.split(",")
    everyone = People.from_folder(options.people)
    chosen = np.array([split_of(name) in wanted for name in everyone.names])
    people = everyone.select(chosen[everyone.labels])
    model = Model.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        planted = plant(people, Path(folder), options.swaps, options.copies, options.groups, options.seed)
        started = time.perf_counter()
        result = audit(folder, model, face=LFW_FACE)
        seconds = time.perf_counter() - started
        if options.out is not None:
            options.out.write_text(result.page(), encoding="utf-8")
        print(result, f"{seconds:.1f} s", flush=True)
        show_unplanted(result, planted)
        shared = {"split": options.split, "people": result.people, "photos": result.photos}
        for row in rows(result, planted):
            yield {**shared, "seconds": f"{seconds:.1f}", **row}


def main() -> None:
    parser = people_options(__doc__, CSV)
    parser.add_argument("--split", default="test", help="splits, separated by commas, or all")
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--groups", type=int, default=10, help="merged people, and as many that are split")
    parser.add_argument("--out", type=Path, help="write the report of the audit here; it shows faces")
    options = parser.parse_args()
    state_rows(measure(options), CSV, Model.load(options.model).id, options)


if __name__ == "__main__":
    main()
