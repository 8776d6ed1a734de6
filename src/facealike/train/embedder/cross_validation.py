"""Cross-validation on LFW View 2: one model for each fold, trained on the people of the other folds.

A fold has no influence on the model that is scored on it: its people are not trained on, no epoch is
selected (the last one is used), and its threshold comes from the pairs of the other folds, each scored by
its own model.  People in no pair are left out, because the list does not assign them to a fold.

    OUT/settings.json     what all folds share; --resume is checked against it
    OUT/fold-K/           the run of the fold, as in run.py, with model.facealike
    OUT/fold-K/fold.json  training people, time, results
    OUT/fold-K/scores.csv the pairs of the fold and their scores; written last, as the completion marker
    OUT/scores.csv, view2.json, view2.md   once all folds are done

Folds are independent: several processes may work on some of them each.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...datasets.pair_lists import read_pairs
from ...datasets.people import People
from ...detection.base import Detector, fingerprint
from ...detection.registry import named_detector
from ...embedding.face_model import Model
from ...errors import DataError, TrainingError, UsageError
from ...evaluation.lfw_view2 import View2, fold_numbers, view2
from ...evaluation.verification import evaluate_pairs
from ...evaluation.verification_result import Evaluation
from ...imaging.photo_warning import without_repeated_warnings
from ...types import Pair
from ...utils.atomic_write import write_text
from ...utils.escape import csv_path, shown
from ...utils.locking import own_folder
from ...utils.result import Result
from ..distributed.world import refuse_several
from ..options import TrainingKeywords, TrainingOptions, with_keywords
from ..recipe.names import comparable
from ..recipe.schema import Recipe
from .finalize import draft_model
from .fitted import Fitted
from .run import fit

if TYPE_CHECKING:
    from typing_extensions import Unpack

COLUMNS = ("fold", "a", "b", "same", "score")


@dataclass(frozen=True, repr=False)
class FoldsResult(Result):
    """The result of ``train_folds``.

    Args:
        out: Folder of the folds.
        done: Finished folds.
        missing: Folds that are not finished.
        view2: The result of LFW View 2; None until all folds are done.
    """

    ASK: ClassVar[str] = "ask .missing, the folds that are not done"

    out: Path
    done: tuple[int, ...]
    missing: tuple[int, ...]
    view2: View2 | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "out": str(self.out),
            "done": list(self.done),
            "missing": list(self.missing),
            "view2": None if self.view2 is None else self.view2.to_dict(),
        }

    def __str__(self) -> str:
        if self.view2 is not None:
            return f"{self.view2}\nresults in {self.out}"
        return (
            f"{len(self.done)} of {len(self.done) + len(self.missing)} folds are done in {self.out}; "
            f"missing: {', '.join(map(str, self.missing))}"
        )


def train_folds(
    people_dir: str | Path,
    recipe: Recipe,
    pairs_file: str | Path,
    out: str | Path,
    folds: Sequence[int] | None = None,
    options: TrainingOptions | None = None,
    **keywords: Unpack[TrainingKeywords],
) -> FoldsResult:
    """Train and score ``folds`` of a list of pairs; summarize once every fold is done.

    Examples:
        >>> result = train_folds("lfw", load_recipe("lfw"), "pairs.txt", "folds", device="cuda:0")

    Args:
        people_dir: A folder with one sub-folder of photos for each person.
        recipe: Decides all but the training people and when to stop: all epochs are trained and the last
            one is kept.
        pairs_file: LFW's pairs.txt or a CSV of pairs with folds.
        out: Folder of the folds and of the results.
        folds: Numbers of the folds to train now; None for all.
        options: See ``TrainingOptions``.  ``resume`` skips finished folds and continues one that was
            begun; ``cache`` is ``out``/crops by default.
        **keywords: Fields of ``TrainingOptions``; they replace those of ``options``.

    Raises:
        DataError: The list has no folds, or one person is in several of them; and the errors of ``train``.
    """
    root, out = Path(people_dir), Path(out)
    options = with_keywords(options, keywords)
    refuse_several(
        options, "folds need no other process; train some of them in each with --folds 1-5 and --folds 6-10"
    )
    options = replace(options, cache=options.crops_folder(out))
    recipe = replace(recipe, training=replace(recipe.training, patience=0, keep="last"))
    pairs = read_pairs(pairs_file, root)
    numbers = fold_numbers(pairs, shown(pairs_file))
    every = tuple(sorted(set(numbers.tolist())))
    wanted = every if folds is None else tuple(sorted(set(folds)))
    unknown = [fold for fold in wanted if fold not in every]
    if unknown or not wanted:
        raise UsageError(f"the folds of this list are {every[0]} to {every[-1]}; choose some of them")
    detector = options.detector if options.detector is not None else named_detector(recipe.crop.detector)
    options = replace(options, detector=detector)
    _check_pairs(pairs, root)
    _agree(out, recipe, detector, _digest(pairs, root), options.resume, wanted)
    for fold in wanted:
        folder = _folder(out, fold)
        with own_folder(folder, "give this one other --folds", error=TrainingError):
            if not (folder / "scores.csv").exists():
                print(f"fold {fold} of {len(every)}", file=sys.stderr, flush=True)
                mine = [pair for pair in pairs if pair.fold == fold]
                others = {_person(path) for pair in pairs if pair.fold != fold for path in (pair.a, pair.b)}
                begun = options.resume and (folder / "checkpoints" / "last.ckpt").exists()
                fitted = fit(
                    root, recipe, folder / "model.facealike", folder, replace(options, resume=begun), others
                )
                with without_repeated_warnings():
                    _score(fitted, recipe, mine, fold, root)
    return summarize(out, pairs, root)


def summarize(out: Path, pairs: Sequence[Pair], root: Path) -> FoldsResult:
    """Read the scores of all folds; if none is missing, evaluate them and write the result."""
    every = sorted({int(pair.fold or 0) for pair in pairs})
    done = [fold for fold in every if (_folder(out, fold) / "scores.csv").exists()]
    missing = tuple(fold for fold in every if fold not in done)
    if missing:
        return FoldsResult(out, tuple(done), missing, None)
    scores: list[float] = []
    ordered: list[Pair] = []
    for fold in every:
        mine = [pair for pair in pairs if pair.fold == fold]
        scores += _read_scores(_folder(out, fold) / "scores.csv", mine, root)
        ordered += mine
    facts = [json.loads((_folder(out, fold) / "fold.json").read_text("utf-8")) for fold in every]
    names = sorted({_person(path) for pair in pairs for path in (pair.a, pair.b)})
    number = {name: i for i, name in enumerate(names)}
    first, second = (
        np.array([number[_person(path)] for path in side])
        for side in ([pair.a for pair in ordered], [pair.b for pair in ordered])
    )
    # No photo is in two folds.  Older runs did not record these counts.
    pooled = Evaluation(
        "LFW View 2, trained fold by fold", np.array(scores), np.array([bool(pair.same) for pair in ordered]),
        0.0, "not set", len(names), failures=sum(fact["failures"] for fact in facts),
        face=facts[0].get("face"), first=first, second=second,
        photos=_sum(facts, "photos_compared"), missing=_sum(facts, "photos_without_face"),
        copied_pairs=_sum(facts, "copied_pairs") or 0,
    )  # fmt: skip
    result = view2(pooled, np.array([pair.fold for pair in ordered]))
    # One threshold for the scores of ten models: the mean of their thresholds.
    threshold = float(np.mean([fold.threshold for fold in result.folds]))
    result = replace(
        result, evaluation=replace(pooled, threshold=threshold, threshold_from="the mean of the folds'")
    )
    write_text(out / "scores.csv", _csv(ordered, scores, root))
    write_text(out / "view2.json", json.dumps({**result.to_dict(), "runs": facts}, indent=2) + "\n")
    write_text(out / "view2.md", result.to_markdown() + _remarks(facts))
    return FoldsResult(out, tuple(done), (), result)


def _sum(facts: Sequence[dict[str, Any]], name: str) -> int | None:
    """Return the sum over the folds, or None where one of them does not state it."""
    return sum(int(fact[name]) for fact in facts) if all(name in fact for fact in facts) else None


def _remarks(facts: Sequence[dict[str, Any]]) -> str:
    people = [fact["people"] for fact in facts]
    photos = [fact["photos"] for fact in facts]
    outside = facts[0].get("outside_photos", 0)
    hours = sum(fact["seconds"] for fact in facts) / 3600
    train_f1 = np.mean([fact["train_f1"] for fact in facts])
    failures, pairs = (sum(fact[name] for fact in facts) for name in ("failures", "pairs"))
    notes = [
        f"Recipe `{facts[0]['recipe']}`: each model was trained on {min(people):,} to {max(people):,} people "
        f"({min(photos):,} to {max(photos):,} photos) of the other folds, {facts[0]['epochs']} epochs, the "
        f"last one kept; {hours:.1f} hours in all.",
        f"On balanced pairs of the people it was trained on, a model's best F1 is {train_f1:.4f} on average.",
        f"A pair in which a face was not found counts as wrong: {failures:,} of {pairs:,}.",
    ]
    if outside:
        notes.append(f"Outside data: {outside:,} photos without identity labels were trained on as well.")
    if facts[0].get("warm_start"):
        notes.append(f"Not from LFW alone: each model began with {facts[0]['initialization']}.")
    return "\n" + "".join(f"- {note}\n" for note in notes)


def _score(fitted: Fitted, recipe: Recipe, pairs: list[Pair], fold: int, root: Path) -> None:
    """Score the fold with its model, through the finished file."""
    file = draft_model(fitted, recipe)
    file.write(fitted.run / "model.facealike")
    # This also checks the card's digests for people of the fold.
    evaluation = evaluate_pairs(
        Model(file, device="cpu"), pairs, f"fold {fold}", recipe.data.face, cache=fitted.cache
    )
    facts = {
        "fold": fold,
        "recipe": recipe.name,
        "face": recipe.data.face,
        "initialization": file.card.provenance["initialisation"],
        "warm_start": bool(recipe.network.start) or recipe.network.kind == "dlib",
        "model_id": file.id,
        "people": len(fitted.plan.train.people.names),
        "photos": len(fitted.plan.train.people),
        "outside_photos": len(fitted.plan.unlabeled.people) if fitted.plan.unlabeled else 0,
        "epochs": len(fitted.rows),
        "seconds": round(fitted.seconds),
        "device": fitted.device,
        "train_f1": round(fitted.rows[-1]["train_f1"], 6),
        "auc": round(evaluation.auc, 6),
        "pairs": evaluation.pairs,
        "failures": evaluation.failures,
        "photos_compared": evaluation.photos,
        "photos_without_face": evaluation.missing,
        "copied_pairs": evaluation.copied_pairs,
    }
    write_text(fitted.run / "fold.json", json.dumps(facts, indent=2) + "\n")
    write_text(fitted.run / "scores.csv", _csv(pairs, evaluation.scores.tolist(), root))


# ---- files ------------------------------------------------------------------------------------


def _folder(out: Path, fold: int) -> Path:
    return out / f"fold-{fold}"


def _person(path: str) -> str:
    return Path(path).parent.name


def _relative(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix()


def _check_pairs(pairs: Sequence[Pair], root: Path) -> None:
    """Raise DataError unless each photo of a pair lies in the folder of a person."""
    known = set(People.from_folder(root).names)
    for pair in pairs:
        for path in (pair.a, pair.b):
            if Path(path).parent.parent != root or _person(path) not in known:
                raise DataError(
                    f"{shown(path)}: this photo is not {shown(root)}/PERSON/PHOTO; correct the list"
                )
        if (_person(pair.a) == _person(pair.b)) is not pair.same:
            raise DataError(
                f"{shown(pair.a)} and {shown(pair.b)}: the list and the folders disagree about who this is; "
                "correct the list"
            )


def _digest(pairs: Sequence[Pair], root: Path) -> str:
    lines = [f"{p.fold}\t{_relative(p.a, root)}\t{_relative(p.b, root)}\t{p.same}\n" for p in pairs]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _agree(
    out: Path, recipe: Recipe, detector: Detector, pairs: str, resume: bool, folds: Sequence[int]
) -> None:
    """Write settings.json, or raise TrainingError where other folds were trained with other settings."""
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file; choose a folder for the folds")
    begun = [f for f in folds if any((_folder(out, f) / n).exists() for n in ("run.json", "scores.csv"))]
    if begun and not resume:
        raise TrainingError(
            f"{out} already holds fold {', '.join(map(str, begun))}; go on with --resume, "
            "or choose another --out"
        )
    now = json.loads(
        json.dumps({"recipe": recipe.to_dict(), "detector": fingerprint(detector), "pairs": pairs})
    )
    path = out / "settings.json"
    if path.exists():
        try:
            before = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            raise TrainingError(f"{path} cannot be read; choose another --out") from None
        before = before if isinstance(before, dict) else {}
        old, new = ({**each, "recipe": comparable(each.get("recipe"))} for each in (before, now))
        changed = [key for key in new if new[key] != old.get(key)]
        if changed:
            raise TrainingError(
                f"{out} cannot be continued, because the {' and the '.join(changed)} changed since; use what "
                "it was started with, or choose another --out"
            )
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: this folder cannot be made ({error.strerror})") from None
    write_text(path, json.dumps(now, indent=2) + "\n")


def _csv(pairs: Sequence[Pair], scores: Sequence[float], root: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair, score in zip(pairs, scores, strict=True):
        a, b = csv_path(_relative(pair.a, root)), csv_path(_relative(pair.b, root))
        writer.writerow([pair.fold, a, b, int(bool(pair.same)), repr(score)])
    return text.getvalue()


def _read_scores(path: Path, pairs: Sequence[Pair], root: Path) -> list[float]:
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8", "surrogateescape"))))
    expected = [(csv_path(_relative(pair.a, root)), csv_path(_relative(pair.b, root))) for pair in pairs]
    if [(row.get("a"), row.get("b")) for row in rows] != expected:
        raise DataError(
            f"{path}: not the scores of this fold's pairs; remove the file and train the fold again"
        )
    return [float(row["score"]) for row in rows]
