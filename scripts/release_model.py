"""Make a trained model ready to ship: a threshold, probabilities, and what was measured of it on its card.

    python scripts/release_model.py MODEL LFW --out src/facealike/weights/default.facealike \\
        [--pairs pairs.txt] [--groups FAIRFACE/val.csv [--worst-group 0.1]] [--cache CROPS]

Probabilities come from all people of LFW but the test's, and so does the threshold (``--fmr``), unless
``--worst-group`` asks for the lowest one at which every group that is large enough keeps that FMR: every
race, gender, age and combination of them, or only those that ``--by`` names.  Every other photo of the list
decides about it then, and the rest is what the card tells of groups; else all photos are.  FairFace's photos
are dlib's chips: a model that cuts such chips takes them as they are, for crops that reach beyond a photo's
edges are black there.  The test people, View 2 (``--pairs``; of an embedder that learned from no LFW) and
those groups decide about nothing.

The card names what each part saw (``data.seen``), and the calibration records its people and their photos as
salted digests, so that ``evaluate`` refuses them.  ``--keep`` does only that to a model that is calibrated
already, and chooses the threshold again where ``--worst-group`` is given.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE, FacePolicy
from facealike.embedding.face_model import Model
from facealike.errors import UsageError
from facealike.evaluation.calibrate import calibrate
from facealike.evaluation.demographics import evaluate_groups, for_worst_group
from facealike.evaluation.leakage import record_people
from facealike.evaluation.lfw_view2 import evaluate_view2
from facealike.evaluation.verification import evaluate_split
from facealike.metrics.demographics import GroupEvaluation
from facealike.model_file.model_file import ModelFile

CHIP_FACE: FacePolicy = "central"
CAUTION = "LFW is not new to every part."
FACELESS = 0.01  # share of the people of whom at most no face is found: a calibration lacks them


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("people", type=Path, metavar="LFW", help="the folder of LFW's people")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, help="LFW's pairs.txt, for View 2")
    parser.add_argument("--groups", type=Path, help="FairFace's val.csv, beside its photos")
    parser.add_argument("--fmr", type=float, default=0.001, help="the FMR of the threshold (0.001)")
    parser.add_argument(
        "--worst-group", type=float, metavar="FMR", help="the FMR that every group is to keep"
    )
    parser.add_argument(
        "--keep", action="store_true",
        help="keep curves and metrics; record who was seen, with --worst-group choose the threshold again",
    )  # fmt: skip
    parser.add_argument(
        "--points", action="store_true", help="keep calibration and card; measure the operating points again"
    )
    parser.add_argument("--by", metavar="COLUMNS", help="the groups that decide, such as race or race,gender")
    parser.add_argument("--limits", help="what the card says of them, in place of the recipe's words")
    parser.add_argument("--cache", type=Path, help="the folder of face crops")
    options = parser.parse_args()
    if options.worst_group is not None and options.groups is None:
        parser.error("--worst-group needs --groups")
    model = Model.load(options.model, "cpu")
    by = None if options.by is None else tuple(options.by.split(","))
    if options.points:
        again = calibrate(model, options.people, split="unseen", face=LFW_FACE, cache=options.cache)
        kept = replace(model.file.calibration, operating_points=again.operating_points)
        replace(model.file, calibration=kept).write(options.out)
        print(f"{options.out}: model {model.id}", *kept.operating_points, sep="\n")
        return
    if options.keep:
        if options.worst_group is not None:
            model = for_the_worst(model, options.groups, options.worst_group, by, options.cache)
        file = with_seen(recorded(model.file, options.people), options.limits)
        file.write(options.out)
        print(f"{options.out}: model {model.id}, {file.calibration}; {file.calibration.seen[0]}")
        return
    model = calibrated(model, options.people, options.fmr, options.cache)
    card: dict[str, Any] = {}
    if options.groups is not None:
        model, judged = by_groups(model, options.groups, options.worst_group, by, options.cache)
        card["groups"] = judged.for_card()
        print(judged)
    test = evaluate_split(model, options.people, "test", face=LFW_FACE, cache=options.cache)
    card["test"] = test.for_card()
    print(test)
    if options.pairs is not None:
        view2 = evaluate_view2(model, options.people, options.pairs, cache=options.cache)
        card["lfw-view2"] = view2.for_card()
        print(view2)
    file = model.file
    file = replace(file, card=replace(file.card, metrics={**file.card.metrics, **card}))
    with_seen(file, options.limits).write(options.out)
    print(f"{options.out}: model {model.id}, threshold {model.threshold:.3f} ({file.calibration.rule})")


def calibrated(model: Model, people: Path, fmr: float, cache: Path | None) -> Model:
    found = calibrate(model, people, rule=fmr, split="unseen", face=LFW_FACE, cache=cache)
    return Model(replace(model.file, calibration=found), "cpu")


def recorded(file: ModelFile, people: Path) -> ModelFile:
    """The model with a record of the people of its calibration: everybody in ``people`` but the test people.

    Raises UsageError where the calibration was made with more of them than the folder holds, or with fewer by
    more than ``FACELESS``.
    """
    everybody = People.from_folder(people)
    unseen = everybody.select([split_of(everybody.names[label]) != "test" for label in everybody.labels])
    everyone, found = len(unseen.names), int(file.calibration.people.split()[0].replace(",", ""))
    if not (1 - FACELESS) * everyone <= found <= everyone:
        raise UsageError(
            f"{people}: {everyone:,} calibration people, but the model was calibrated on "
            f"{file.calibration.people}; name the folder it was calibrated on"
        )
    seen = (record_people(unseen),)
    return with_faces(replace(file, calibration=replace(file.calibration, seen=seen)))


def with_faces(file: ModelFile) -> ModelFile:
    """The model whose calibration records which face of each photo was meant, LFW's and FairFace's."""
    calibration = replace(file.calibration, face=LFW_FACE)
    if calibration.threshold_people is not None:
        calibration = replace(calibration, threshold_face=face_of_chips(file))
    return replace(file, calibration=calibration)


def face_of_chips(file: ModelFile) -> FacePolicy | Literal["aligned"]:
    """Return how a face of a FairFace chip is chosen: not at all by a model that cuts chips itself."""
    return "aligned" if file.preprocessing.align == "chip" else CHIP_FACE


def with_seen(file: ModelFile, limits: str | None) -> ModelFile:
    """The model whose card names the data that each part saw, and says so among its limits."""
    card = file.card
    seen = who_saw_what(file)
    return replace(
        file,
        card=replace(
            card, data={**card.data, "seen": seen}, limits=with_caution(limits or card.limits, card.metrics)
        ),
    )


def who_saw_what(file: ModelFile) -> dict[str, str]:
    """The data of each part of a model that was made as ``make model`` makes it."""
    photos, cohort = file.card.data.get("photos"), file.card.provenance.get("cohort")
    seen = {"embedder": f"{photos:,} training photos of FairFace, nobody of LFW"}
    if cohort:
        seen["cohort"] = f"{cohort.split()[0]} training photos of FairFace"
    return {
        **seen,
        "detector": "training people of LFW, training faces of FairFace, free wallpapers, described by YuNet",
        "probabilities": f"{file.calibration.people.split()[0]} people of LFW: all but the test people",
        "threshold": file.calibration.threshold_from,
        "quality": "LFW's validation and calibration people",
    }


def with_caution(limits: str, metrics: Mapping[str, Any]) -> str:
    """``limits``, what they lack of group figures, and that LFW is not new to every part."""
    told = [limits.partition(CAUTION)[0].rstrip()]
    told.append(CAUTION)
    spread = metrics.get("groups", {}).get("spread", {})
    if spread:
        worst = max(spread.values(), key=lambda found: found["worst_fmr"][0])
        rate, low, high = (f"{100 * value:.1f}" for value in worst["worst_fmr"])
        told.append(
            f"Group figures are in-domain, trained and tested on FairFace; the worst, {worst['worst']}, is "
            f"an FMR of {rate} % [{low}, {high}]."
        )
    return " ".join(told)


def by_groups(
    model: Model, listed: Path, worst_group: float | None, by: tuple[str, ...] | None, cache: Path | None
) -> tuple[Model, GroupEvaluation]:
    """The model and the rates of groups: of all photos, or of half if the others choose the threshold."""
    if worst_group is None:
        return model, rates(model, listed, "all", slice(1, None), cache)
    model = for_the_worst(model, listed, worst_group, by, cache)
    return model, rates(model, listed, "judging", slice(2, None, 2), cache)


def for_the_worst(
    model: Model, listed: Path, fmr: float, by: tuple[str, ...] | None, cache: Path | None
) -> Model:
    """The model with the threshold at which every group of the deciding half keeps ``fmr``."""
    worst = rates(model, listed, "deciding", slice(1, None, 2), cache).threshold_for_worst_group(fmr, by)
    print(worst)
    half = f"every other photo of {listed.name}"
    found = for_worst_group(model.file.calibration, worst, half, face_of_chips(model.file))
    return Model(replace(model.file, calibration=found), "cpu")


def rates(model: Model, listed: Path, name: str, lines: slice, cache: Path | None) -> GroupEvaluation:
    """The FMRs of groups on some lines of the list, whose first one has the names of its columns."""
    with listed.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    aligned = model.file.preprocessing.align == "chip"
    with tempfile.TemporaryDirectory() as folder:
        some = Path(folder) / (listed.name if name == "all" else f"{listed.stem}-{name}.csv")
        with some.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([rows[0], *rows[lines]])
        return evaluate_groups(model, some, listed.parent, face=CHIP_FACE, aligned=aligned, cache=cache)


if __name__ == "__main__":
    main()
