"""Make a trained model ready to ship: a threshold, probabilities, and what was measured of it on its card.

    python benchmarks/ship_model.py MODEL LFW --out src/facealike/weights/default.facealike \\
        [--pairs pairs.txt] [--groups FAIRFACE/val.csv [--worst-group 0.1]] [--cache CROPS]

Probabilities come from all people of LFW but the test's, and so does the threshold (best F1), unless
``--worst-group`` asks for the lowest one at which every group that is large enough keeps that FMR: every
race, gender, age and combination of them, or only those that ``--by`` names.  Every other photo of the list
decides about it, and the rest is what the card tells of groups.  FairFace's photos are dlib's chips: a model
that cuts such chips takes them as they are, for crops that reach beyond a photo's edges are black there.  The
test people, View 2 (``--pairs``; of a model that saw nobody of LFW) and those groups decide about nothing.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from facealike.calibrate import calibrate
from facealike.embed import Model
from facealike.evaluate import evaluate_split
from facealike.group_protocol import evaluate_groups, for_worst_group
from facealike.groups import GroupEvaluation
from facealike.protocols import evaluate_view2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("people", type=Path, metavar="LFW", help="the folder of LFW's people")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, help="LFW's pairs.txt, for View 2")
    parser.add_argument("--groups", type=Path, help="FairFace's val.csv, beside its photos")
    parser.add_argument(
        "--worst-group", type=float, metavar="FMR", help="the FMR that every group is to keep"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep calibration and card; choose the threshold again, no more"
    )
    parser.add_argument("--by", metavar="COLUMNS", help="the groups that decide, such as race or race,gender")
    parser.add_argument("--limits", help="what the card says of them, in place of the recipe's words")
    parser.add_argument("--cache", type=Path, help="the folder of face crops")
    options = parser.parse_args()
    if options.worst_group is not None and options.groups is None:
        parser.error("--worst-group needs --groups")
    model = Model.load(options.model, "cpu")
    by = None if options.by is None else tuple(options.by.split(","))
    if options.keep:
        if options.worst_group is None:
            parser.error("--keep needs --groups and --worst-group")
        model = for_the_worst(model, options.groups, options.worst_group, by, options.cache)
        model.file.write(options.out)
        print(f"{options.out}: model {model.id}, {model.file.calibration}")
        return
    model = calibrated(model, options.people, options.cache)
    card: dict[str, Any] = {}
    if options.groups is not None:
        model, judged = by_groups(model, options.groups, options.worst_group, by, options.cache)
        card["groups"] = judged.for_card()
        print(judged)
    test = evaluate_split(model, options.people, "test", cache=options.cache)
    card["test"] = test.to_dict()
    print(test)
    if options.pairs is not None:
        view2 = evaluate_view2(model, options.people, options.pairs, cache=options.cache)
        card["lfw-view2"] = view2.to_dict()
        print(view2)
    file = model.file
    limits = options.limits or file.card.limits
    whole = replace(file.card, metrics={**file.card.metrics, **card}, limits=limits)
    replace(file, card=whole).write(options.out)
    print(f"{options.out}: model {model.id}, threshold {model.threshold:.3f} ({file.calibration.rule})")


def calibrated(model: Model, people: Path, cache: Path | None) -> Model:
    found = calibrate(model, people, split="unseen", cache=cache)
    return Model(replace(model.file, calibration=found), "cpu")


def by_groups(
    model: Model, listed: Path, worst_group: float | None, by: tuple[str, ...] | None, cache: Path | None
) -> tuple[Model, GroupEvaluation]:
    """The model, its threshold from half of the list if it is to keep an FMR, and the other half's rates."""
    if worst_group is not None:
        model = for_the_worst(model, listed, worst_group, by, cache)
    return model, rates(model, listed, "judging", 2, cache)


def for_the_worst(
    model: Model, listed: Path, fmr: float, by: tuple[str, ...] | None, cache: Path | None
) -> Model:
    """The model with the threshold at which every group of the deciding half keeps ``fmr``."""
    worst = rates(model, listed, "deciding", 1, cache).threshold_for_worst_group(fmr, by)
    print(worst)
    found = for_worst_group(model.file.calibration, worst, f"every other photo of {listed.name}")
    return Model(replace(model.file, calibration=found), "cpu")


def rates(model: Model, listed: Path, name: str, first: int, cache: Path | None) -> GroupEvaluation:
    """The FMRs of groups on every other photo of the list, from line ``first`` on."""
    with listed.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    aligned = model.file.preprocessing.align == "chip"
    with tempfile.TemporaryDirectory() as folder:
        half = Path(folder) / f"{listed.stem}-{name}.csv"
        with half.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([rows[0], *rows[first::2]])
        return evaluate_groups(model, half, listed.parent, aligned=aligned, cache=cache)


if __name__ == "__main__":
    main()
