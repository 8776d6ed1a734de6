"""After a run: the threshold, the table, the pictures and the finished model.

Everything here goes through the exported model and onnxruntime, as a user's comparison will.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from .. import __version__
from ..crops import cached_crops
from ..data import PairIndices, People, balanced_pairs, listed_pairs
from ..embed import Model
from ..errors import DataError
from ..evaluate import Evaluation, evaluate_pairs
from ..files import write_text
from ..metrics import best_f1_threshold
from ..model import Calibration, ModelCard, ModelFile, identity_hash
from ..montage import predictions_montage, sample_pairs_montage, save_image
from ..report import loss_curves, table_dict, table_markdown
from .plan import Plan, describe
from .recipe import Recipe

REPORT_PAIRS = 10_000  # genuine pairs, at most, in each row of the table
REPORT_SEED = 0  # the pairs of the table are the same for every run on the same photos

DETECTOR_LICENCE = {
    "yunet": "as the author of the YuNet file states (OpenCV's is MIT)",
    "dlib-hog": "dlib: Boost Software Licence 1.0",
    "dlib-landmarks": "dlib: Boost Software Licence 1.0; landmark network: Apache-2.0, taught by YuNet (MIT)",
}
INTENDED_USE = (
    "Comparing two photos of consenting people one to one, where a person can overrule the answer. Not for "
    "surveillance, and not for decisions with legal or similar effect without human review."
)


def finish(
    plan: Plan, recipe: Recipe, onnx: bytes, run: Path, cache: Path, device: str, seconds: float,
    rows: Sequence[dict[str, float]],
) -> tuple[ModelFile, list[Evaluation]]:  # fmt: skip
    """Choose the threshold on the validation pairs, judge all splits, draw, and put the model together."""
    people = {"train": plan.train.people, "validation": plan.validation.people, "test": plan.test}
    if recipe.data.split == "identity":
        # Photos without a detected face count as failures, as ``facealike evaluate`` counts them.
        people["validation"] = People.from_folder(plan.root).split("validation")
    draft = draft_model(plan, recipe, onnx, device, seconds, rows)
    pairs: dict[str, tuple[People, PairIndices]] = {}
    for name, group in people.items():
        try:
            pairs[name] = (group, balanced_pairs(group.labels, REPORT_SEED, REPORT_PAIRS))
        except DataError:
            if name != "test":
                raise
    model = Model(draft, device="cpu")
    judged = {
        name: evaluate_pairs(
            model, listed_pairs(*both), name, recipe.data.face, allow_overlap=True, cache=cache
        )
        for name, both in pairs.items()
    }
    threshold, _ = best_f1_threshold(judged["validation"].scores, judged["validation"].same)
    evaluations = [
        # Whatever the folders are called: who was trained on is known here.
        replace(judged[name], threshold=threshold, threshold_from="validation", leaked=name in seen(recipe))
        for name in judged
    ]
    by_name = {evaluation.name: evaluation for evaluation in evaluations}
    table = {name: evaluation.to_dict() for name, evaluation in by_name.items()}
    validation = by_name["validation"]
    numbers = {name: getattr(validation, name) for name in ("f1", "accuracy", "auc", "fmr", "fnmr")}
    file = replace(
        draft,
        card=replace(draft.card, metrics=table),
        calibration=Calibration(
            threshold, "best F1 on validation pairs", "validation", validation.pairs, numbers
        ),
    )
    write_text(run / "results.md", table_markdown(evaluations))
    write_text(run / "results.json", json.dumps(table_dict(evaluations), indent=2) + "\n")
    _draw(plan, recipe, run, cache, pairs, by_name)
    return file, evaluations


def seen(recipe: Recipe) -> tuple[str, ...]:
    """The splits whose people took part in training."""
    return ("train",) if recipe.data.split == "identity" else ("train", "validation")


def draft_model(
    plan: Plan, recipe: Recipe, onnx: bytes, device: str, seconds: float, rows: Sequence[dict[str, float]]
) -> ModelFile:
    """The model with all but its metrics and its threshold."""
    names = sorted(set(plan.train.people.names))
    salt = plan.fingerprint[:16]  # differs from data set to data set, yet equal runs give equal files
    licence = {
        "code": "Apache-2.0",
        "weights": recipe.card.weights_licence,
        "training_data": recipe.card.data_licence,
        "detector": DETECTOR_LICENCE[plan.detector.spec["kind"]],
    }
    card = ModelCard(
        name=recipe.card.name or recipe.name,
        created=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        licence=licence,
        data={"folder": plan.root.name, "fingerprint": plan.fingerprint, **describe(plan)},
        recipe=recipe.to_dict(),
        provenance={
            "initialisation": "random; no teacher, no pre-training",
            "outside_data": outside_data(plan, recipe),
            "command": shlex.join(["facealike", *sys.argv[1:]]),
            "commit": git_commit(),
            "seed": recipe.seed,
            "machine": machine(),
            "device": device,
            "seconds": round(seconds),
            "epochs": len(rows),
            "versions": versions(),
        },
        metrics={},
        identity_salt=salt,
        identity_hashes=tuple(identity_hash(salt, name) for name in names),
        intended_use=INTENDED_USE,
        limits=recipe.card.limits,
    )
    return ModelFile(
        embedder=onnx,
        preprocessing=plan.preprocessing,
        detector_spec=plan.detector.spec,
        detector_weights=plan.detector.weights,
        card=card,
        calibration=Calibration(0.0, "none yet", "nobody", 0),
    )


def outside_data(plan: Plan, recipe: Recipe) -> str:
    """What else than the folder of people was learnt from, in words."""
    if plan.unlabelled is None:
        return "none"
    count, folder = len(plan.unlabelled.people), Path(recipe.data.unlabelled).name
    return f"{count:,} photos of people nobody has named, from {folder}, each taken for a person of its own"


def git_commit() -> str:
    """The commit of the source tree this package runs from, "-dirty" if it is changed; or a word why not."""
    folder = Path(__file__).parent
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "not a git checkout"
    return text


def machine() -> str:
    """Processor, cores and memory, for the record."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def versions() -> dict[str, str]:
    names = ("torch", "lightning", "pytorch-metric-learning", "onnxruntime", "numpy", "pillow", "dlib-bin")
    found = {"facealike": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


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
        crops = cached_crops(people.paths, plan.detector, plan.preprocessing, recipe.data.face, cache)
        shown = crops.found[index.a] & crops.found[index.b]
        some = PairIndices(index.a[shown], index.b[shown], index.same[shown])
        evaluation = by_name[name]
        if name == "train":
            save_image(
                sample_pairs_montage(crops.take, some, "Pairs of the training people"), run / "pairs.png"
            )
        who = "seen in training" if evaluation.leaked else "never seen in training"
        page = predictions_montage(
            crops.take, some, evaluation.scores[shown], evaluation.threshold, f"{name}: people {who}"
        )
        save_image(page, run / f"predictions-{name}.png")
