"""After training: calibration, evaluation, baseline comparison, figures and the model file.

Everything here uses the exported model and onnxruntime, as a user's comparison does.  Threshold and
probabilities are calibrated on the calibration people, who are used for nothing else; the test people are
evaluated last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from ...calibration.calibration import Calibration
from ...datasets.pair_sampling import balanced_pairs, listed_pairs
from ...datasets.people import People
from ...datasets.seen import Seen
from ...detection.registry import detector_license
from ...embedding.crop_cache import cached_crops
from ...embedding.face_model import Model
from ...errors import DataError, FaceError
from ...evaluation.calibrate import calibrate
from ...evaluation.scores_file import save_scores
from ...evaluation.verification import evaluate_pairs
from ...evaluation.verification_result import Evaluation
from ...evaluation.verification_table import table_dict, table_markdown
from ...imaging.photo_digest import photo_digests
from ...metrics.verification import best_f1_threshold
from ...model_file.alarms import alarms, unfit
from ...model_file.card import new_card
from ...model_file.model_file import ModelFile
from ...plotting.drawing import save_picture
from ...plotting.montage import predictions_montage, sample_pairs_montage
from ...reports.training_log import loss_curves
from ...types import Pair, PairIndices
from ...utils.atomic_write import write_text
from ...utils.escape import one_line
from ..model_card import INTENDED_USE, InitialWeights, initialization, license_names, licenses
from ..optim.mixed_precision import digits
from ..provenance import command_line, git_commit, machine, versions
from ..recipe.schema import Recipe
from .baseline_comparison import BaselineComparison, compare_with_baseline
from .dataset import Plan, describe, people_in
from .fitted import Fitted

REPORT_PAIRS = 10_000  # genuine pairs at most in each row of the table
ENOUGH_CALIBRATION = 100  # people; with fewer, the calibration of the start is more reliable
REPORT_SEED = 0  # the pairs of the table are the same for every run on the same photos


@dataclass(frozen=True, eq=False)
class FinalizedRun:
    """The model file and its results; ``comparison`` is None without test pairs."""

    file: ModelFile
    evaluations: tuple[Evaluation, ...]
    comparison: BaselineComparison | None
    warnings: tuple[str, ...]


def finalize_run(fitted: Fitted, recipe: Recipe) -> FinalizedRun:
    """Calibrate, evaluate all splits, compare with the default model, draw, and build the model file."""
    plan, run, cache = fitted.plan, fitted.run, fitted.cache
    people = {"train": plan.train.people, "validation": plan.validation.people, "test": plan.test}
    if plan.parts is not None:
        # Photos without a detected face are failures to acquire, as ``facealike evaluate`` counts them.
        people["validation"] = people_in(People.from_folder(plan.root), plan.parts.validation)
    pairs: dict[str, tuple[People, PairIndices]] = {}
    for name, group in people.items():
        try:
            pairs[name] = (group, balanced_pairs(group.labels, REPORT_SEED, REPORT_PAIRS))
        except DataError:
            if name != "test":
                raise
    listed = {name: listed_pairs(*both) for name, both in pairs.items()}
    draft = draft_model(fitted, recipe)
    calibration, messages = _calibration(draft, fitted, recipe, listed["validation"])
    file = replace(draft, calibration=calibration)
    model = Model(file, device="cpu")
    evaluations = [
        # Known here, whatever the folders are called.
        replace(
            evaluate_pairs(model, those, name, recipe.data.face, allow_overlap=True, cache=cache),
            leaked=name in seen(recipe),
        )
        for name, those in listed.items()
    ]
    by_name = {evaluation.name: evaluation for evaluation in evaluations}
    comparison = None
    if "test" in by_name:
        comparison = compare_with_baseline(by_name["test"], listed["test"], recipe.data.face, cache)
    final = by_name.get("test", by_name["validation"])
    wrong = unfit(alarms(final.to_dict(), f"{final.name} people"))
    warnings = (*((wrong,) if wrong else ()), *fitted.warnings, *messages)
    table = {name: evaluation.for_card() for name, evaluation in by_name.items()}
    results = {
        **table_dict(evaluations),
        "warnings": list(warnings),
        "comparison": comparison.to_dict() if comparison is not None else None,
    }
    if wrong:
        print(unfit_notice(wrong, recipe), file=sys.stderr, flush=True)
    write_text(run / "results.md", _markdown(evaluations, comparison, warnings))
    write_text(run / "results.json", json.dumps(results, indent=2) + "\n")
    save_scores(run / "scores.npz", evaluations, listed, plan.root)
    _draw(plan, recipe, run, cache, pairs, by_name)
    limits = f"NOT FIT FOR USE: {wrong}. {draft.card.limits}" if wrong else draft.card.limits
    file = replace(file, card=replace(draft.card, metrics=table, limits=limits))
    return FinalizedRun(file, tuple(evaluations), comparison, warnings)


def _calibration(
    draft: ModelFile, fitted: Fitted, recipe: Recipe, validation: Sequence[Pair]
) -> tuple[Calibration, tuple[str, ...]]:
    """Return the calibration and messages about it.

    It comes from the calibration people.  With too few of them, or with a recipe that splits photos, it is
    only a threshold from the validation pairs.  A model that kept its first weights keeps its calibration if
    there are few calibration people here.
    """
    model, message = Model(draft, device="cpu"), ""
    plan, cache, initial = fitted.plan, fitted.cache, fitted.initial
    if initial is not None and initial.kept and initial.file is not None and plan.parts is not None:
        before = initial.file.calibration
        if before.probability is not None and len(plan.parts.calibration) < ENOUGH_CALIBRATION:
            return before, (f"threshold and probabilities are those of the start: {before.people}",)
    if plan.parts is not None:
        names = frozenset(plan.parts.calibration)
        shared = (
            f"the {len(names)} people of the calibration chose the epoch as well, so its figures may be a "
            "little too good; facealike calibrate fits another on other people",
        ) if plan.parts.shared else ()  # fmt: skip
        try:
            calibration = calibrate(
                model, plan.root, face=recipe.data.face, cache=cache, seed=REPORT_SEED, names=names
            )
            return calibration, shared
        except (DataError, FaceError) as error:
            message = f"no probability and no operating points, and the threshold is from validation: {error}"
            print(f"warning: {one_line(message)}", file=sys.stderr, flush=True)
    measured = evaluate_pairs(
        model, validation, "validation", recipe.data.face, allow_overlap=True, cache=cache
    )
    threshold, _ = best_f1_threshold(measured.scores, measured.same)
    measured = replace(measured, threshold=threshold)
    numbers = {name: getattr(measured, name) for name in ("f1", "accuracy", "auc", "fmr", "fnmr")}
    calibration = Calibration(threshold, "best F1 on validation pairs", "validation", measured.pairs, numbers)
    return calibration, (message,) if message else ()


def _markdown(
    evaluations: Sequence[Evaluation], comparison: BaselineComparison | None, warnings: Sequence[str]
) -> str:
    parts = [table_markdown(evaluations).rstrip("\n")]
    if comparison is not None:
        parts.append(f"Compared with the default model: {comparison}")
    parts += [f"- Warning: {text}" for text in warnings]
    return "\n\n".join(parts) + "\n"


def unfit_notice(wrong: str, recipe: Recipe) -> str:
    """Return the notice for a model that is unfit for use, with what to do."""
    if recipe.network.start or recipe.network.kind == "dlib":
        cure = "look at pairs.png (is each folder one person?), add people, or use the default model as it is"
    else:
        cure = "train without --recipe, which begins from the default model, or use that as it is"
    rule = "!" * 60
    return f"{rule}\nDO NOT USE THIS MODEL: {wrong}.\nWhat to do: {cure}.\n{rule}"


def seen(recipe: Recipe) -> tuple[str, ...]:
    """Return the splits whose people took part in training."""
    return ("train",) if recipe.data.split == "identity" else ("train", "validation")


def draft_model(fitted: Fitted, recipe: Recipe) -> ModelFile:
    """Return the model file without metrics and without a threshold."""
    plan, device, initial = fitted.plan, fitted.device, fitted.initial
    licence = {**license_names(recipe, initial), "detector": detector_license(plan.detector)}
    card = new_card(
        recipe.card.name or recipe.name,
        licenses(recipe, initial),
        licence=licence,
        data={"folder": plan.root.name, "fingerprint": plan.fingerprint, **describe(plan)},
        recipe=recipe.to_dict(),
        provenance={
            "initialisation": initialization(recipe, initial),
            "outside_data": outside_data(plan, recipe),
            "command": command_line(["facealike"], sys.argv[1:]),
            "commit": git_commit(),
            "seed": recipe.seed,
            "machine": machine(),
            "device": device,
            "precision": digits(recipe.training.precision, device),
            "seconds": round(fitted.seconds),
            "epochs": len(fitted.rows),
            "versions": versions(),
        },
        intended_use=INTENDED_USE,
        limits=recipe.card.limits,
        trained_on=(training_record(plan), *_known_before(initial)),
    )
    return ModelFile(
        embedder=fitted.onnx,
        preprocessing=plan.preprocessing,
        detector_spec=plan.detector.spec,
        detector_weights=plan.detector.weights,
        card=card,
        calibration=Calibration(0.0, "none yet", "nobody", 0),
    )


def training_record(plan: Plan) -> Seen:
    """Return the record of training people and photos; unlabeled photos have no names."""
    unnamed = () if plan.unlabeled is None else plan.unlabeled.people.paths
    return Seen.of(plan.train.people.known_names(), photo_digests([*plan.train.people.paths, *unnamed]))


def _known_before(initial: InitialWeights | None) -> tuple[Seen, ...]:
    """Return the training records of the model that training began with."""
    return () if initial is None or initial.file is None else initial.file.card.trained_records


def outside_data(plan: Plan, recipe: Recipe) -> str:
    """Return in words what was trained on besides the folder of people."""
    if plan.unlabeled is None:
        return "none"
    count, folder = len(plan.unlabeled.people), Path(recipe.data.unlabeled).name
    return f"{count:,} photos without identity labels, from {folder}, each a class of its own"


def show_in_tensorboard(run: Path) -> None:
    """Add the figures of the run folder to its TensorBoard log."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run / "tensorboard")) as board:
        for picture in sorted(run.glob("*.png")):
            pixels = np.asarray(PillowImage.open(picture).convert("RGB"))
            board.add_image(picture.stem, pixels, dataformats="HWC")


def _draw(
    plan: Plan, recipe: Recipe, run: Path, cache: Path,
    pairs: dict[str, tuple[People, PairIndices]], by_name: dict[str, Evaluation],
) -> None:  # fmt: skip
    known = "validation" in seen(recipe)
    loss_curves(
        run / "log.csv",
        run / "loss.png",
        "other photos of the same people" if known else "people never seen in training",
    )
    for name, (people, index) in pairs.items():
        crops = cached_crops(
            people.paths, plan.detector, plan.preprocessing, recipe.data.face, cache, strict=False
        )
        shown = crops.found[index.a] & crops.found[index.b]
        some = PairIndices(index.a[shown], index.b[shown], index.same[shown])
        evaluation = by_name[name]
        if name == "train":
            save_picture(
                sample_pairs_montage(crops.take, some, "Pairs of the training people"), run / "pairs.png"
            )
        who = "seen in training" if evaluation.leaked else "never seen in training"
        page = predictions_montage(
            crops.take, some, evaluation.scores[shown], evaluation.threshold, f"{name}: people {who}"
        )
        save_picture(page, run / f"predictions-{name}.png")
    show_in_tensorboard(run)
