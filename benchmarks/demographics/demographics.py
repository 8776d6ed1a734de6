"""How often strangers of one group pass for one person: the tables of ``docs/results/demographics.md``.

    python -m benchmarks.demographics.demographics FAIRFACE/val.csv [--aligned | --detector NAME] \\
        [--cache CROPS] [--write]

Compares all pairs of photos within each race, gender, age and combination of FairFace's validation part, at
the threshold of the model and at those of its named FMRs, and finds the threshold that every group keeps.
The photos are tight chips of faces, in which the model's own detector may find little: ``--detector`` finds
the faces in its place, and is named in the result; ``--aligned`` takes the photos as they are, for a model
that cuts such chips itself.  With ``--write`` the page and its figure are made
anew and a line is appended to groups.csv.

Chips show less than the photos that a threshold was chosen on, and where a crop reaches beyond one it is
black.  ``--control LFW`` tells what that alone does: the FMR of the test people of LFW at these thresholds,
from their photos as they are and from the same photos cut to such chips.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances, commit, today
from facealike.datasets.people import People
from facealike.detection.base import Detector
from facealike.detection.registry import named_detector
from facealike.detection.select import select_faces
from facealike.embedding.face_model import Model
from facealike.errors import UsageError
from facealike.evaluation.demographics import evaluate_groups
from facealike.imaging.align import chip_matrix
from facealike.imaging.geometry import warp
from facealike.imaging.read import read_image
from facealike.metrics.demographic_groups import Point, WorstGroup
from facealike.metrics.demographic_rates import group_rates
from facealike.metrics.demographic_tables import group_rate, point_name
from facealike.metrics.demographics import GroupEvaluation
from facealike.plotting.style import save_figure
from facealike.utils.wording import rate_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from facealike.types import Face, Image

CSV = RESULTS / "demographics.csv"
PAGE = ROOT / "docs" / "results" / "demographics.md"
FIGURE = ROOT / "docs" / "results" / "figures" / "groups.svg"
CHIP = 144  # pixels of FairFace's chips in the small edition
FMRS = (0.1, 0.01, 0.001, 0.0001)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("list", type=Path, metavar="CSV")
    parser.add_argument("--model", default="default")
    parser.add_argument("--detector", help="dlib, dlib-landmarks, or a YuNet file")
    parser.add_argument("--aligned", action="store_true", help="the photos are the model's crops already")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--control", type=Path, metavar="LFW", help="the folder of LFW's people")
    parser.add_argument("--control-people", type=int, default=400)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and append to {CSV.name}")
    options = parser.parse_args()
    model = Model.load(None if options.model == "default" else options.model)
    detector = None if options.detector is None else named_detector(options.detector)
    result = evaluate_groups(
        model, options.list, cache=options.cache, resamples=options.resamples, detector=detector,
        aligned=options.aligned, face="central",  # FairFace's photos are chips of the face in the middle
    )  # fmt: skip
    print(result.to_markdown())
    tables = threshold_table(thresholds(result))
    if options.control is not None:
        found = control(model, detector or model.detector, options.control, options.control_people, result)
        tables += control_table(result.points, [*found, ("all pairs of the list", result)])
    print("\n".join(tables))
    print(json.dumps(result.for_card(), indent=1))
    if options.write:
        note = f"Model {model.id}, measured on {today()} at commit {commit()}."
        put(PAGE, "groups", "\n".join([note, "", result.to_markdown(), *tables]).strip())
        save_figure(cast("Figure", result.plot().figure), FIGURE)
        append_rows(CSV, [row(model, result)])


def thresholds(result: GroupEvaluation) -> list[tuple[str, WorstGroup]]:
    """For each level and each FMR that some of its groups can tell, the threshold that all of those keep."""
    found = []
    for level in result.levels:
        for fmr in FMRS:
            try:
                found.append((" x ".join(level), result.threshold_for_worst_group(fmr, level)))
            except UsageError:  # no group of this level is large enough
                continue
    return found


def threshold_table(lowest: list[tuple[str, WorstGroup]]) -> list[str]:
    lines = [
        "### The threshold that every group keeps",
        "",
        "The lowest threshold at which no group that has pairs enough exceeds the FMR.",
        "",
        "| FMR | groups by | threshold | decided by | groups measured | too small |",
        "| ---: | --- | ---: | --- | ---: | ---: |",
    ]
    for level, worst in sorted(lowest, key=lambda each: -each[1].fmr):
        lines.append(
            f"| {rate_text(worst.fmr)} | {level} | {worst.threshold} | {worst.group} | {worst.measured} | "
            f"{len(worst.refused)} |".replace("\u202f", " ")
        )
    return lines


def control(
    model: Model, detector: Detector, folder: Path, count: int, result: GroupEvaluation
) -> list[tuple[str, GroupEvaluation]]:
    """One photo each of LFW's test people, as it is and cut to a chip, at the same thresholds."""
    people = People.from_folder(folder).split("test")
    firsts = [people.paths[int((people.labels == one).argmax())] for one in range(len(people.names))][:count]
    whole: list[Image | None] = []
    cut: list[Image | None] = []
    for path in firsts:
        image = read_image(path)
        face = one_face(detector, image)
        whole.append(None if face is None else model.crop(image, face))
        chip = None if face is None else warp(image, chip_matrix(face, CHIP), CHIP)
        again = None if chip is None else one_face(detector, chip)
        cut.append(None if chip is None or again is None else model.crop(chip, again))
    named = (("LFW, photos as they are", whole), ("LFW, cut to chips", cut))
    return [(name, everybody(model, crops, result.points)) for name, crops in named]


def one_face(detector: Detector, image: Image) -> Face | None:
    faces = detector.detect(image)
    return select_faces(faces, "central", image.shape)[0] if faces else None


def everybody(model: Model, crops: list[Image | None], points: tuple[Point, ...]) -> GroupEvaluation:
    found = np.array([crop is not None for crop in crops])
    vectors = np.zeros((len(crops), model.embedder.dimensions), dtype=np.float32)
    vectors[found] = model.embed_crops(np.stack([crop for crop in crops if crop is not None]))
    return group_rates(vectors, found, np.arange(len(crops)), {"all": ["all"] * len(crops)}, points)


def control_table(points: tuple[Point, ...], found: list[tuple[str, GroupEvaluation]]) -> list[str]:
    lines = [
        "",
        "### What chips alone do",
        "",
        "The FMR of all pairs, of whatever group, at the same thresholds with the same detector.",
        "",
        "| photos | with a face | " + " | ".join(map(point_name, points)) + " |",
        "| --- | ---: |" + " ---: |" * len(points),
    ]
    for name, result in found:
        cells = [group_rate(rate) for rate in result.overall.rates]
        lines.append(f"| {name} | {result.overall.people:,} | {' | '.join(cells)} |")
    return [line.replace("\u202f", " ") for line in lines]


def row(model: Model, result: GroupEvaluation) -> dict[str, Any]:
    """One line a run: the point in use, over all groups and over those by all columns together."""
    everybody, point = result.overall, result.points[0]
    line: dict[str, Any] = {
        **circumstances(), "load": f"{os.getloadavg()[1]:.1f}", "model": model.id, "list": result.name,
        "detector": result.detector,
        "photos": everybody.photos, "not_found": everybody.missing, "threshold": f"{point.threshold:.6f}",
        "stated_fmr": "" if point.target is None else f"{point.target:.4g}",
        "fmr_of_all_pairs": f"{everybody.impostors.fmr_at(point.threshold):.4g}",
    }  # fmt: skip
    for level in result.levels:
        spread, name = result.disparity(level), "_".join(level)
        line[f"{name}_worst"] = "" if spread is None else spread.worst.name
        line[f"{name}_worst_fmr"] = "" if spread is None else f"{spread.worst_fmr.estimate:.4g}"
        over = None if spread is None else spread.max_min_ratio
        line[f"{name}_worst_over_best"] = "" if over is None else f"{over:.4g}"
    return line


if __name__ == "__main__":
    main()
