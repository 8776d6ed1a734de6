"""Read what a training run left in its folder, of any version.

A report must not fail for an old run, so only the folder itself is required: each part that does not exist is
named in ``missing``, in a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import DataError, FacealikeError
from ..evaluation.scores_file import ScoredPairs, load_scores
from ..evaluation.verification_result import Evaluation
from ..model_file.model_file import ModelFile
from ..utils.escape import shown
from .training_log import TrainingLog, read_log

RATES = ("f1", "accuracy", "auc", "fmr", "fnmr", "eer", "far", "frr", "fta")


@dataclass(frozen=True)
class Result:
    """One evaluation of ``results.json``.

    ``numbers`` has those of ``RATES`` that are known and ``fnmr@F`` for each FMR F; ``intervals`` (low, high)
    of those that have one.  Counts that are not known are None.
    """

    name: str
    numbers: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    pairs: int | None = None
    genuine: int | None = None
    impostor: int | None = None
    people: int | None = None
    threshold: float | None = None
    threshold_from: str = ""
    leaked: bool | None = None
    failures: int = 0
    ece: float | None = None

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Result:
        """Return those entries of ``Evaluation.to_dict`` that are valid; others are left out."""
        numbers = {name: number for name in RATES if (number := _number(table.get(name))) is not None}
        for limit, value in _table(table.get("fnmr_at_fmr")).items():
            # An FMR that the impostor pairs do not support is None.
            if (number := _number(value)) is not None:
                numbers[f"fnmr@{limit}"] = number
        intervals = {}
        for name, entry in _table(table.get("intervals")).items():
            low, high = (_number(_table(entry).get(end)) for end in ("low", "high"))
            if low is not None and high is not None:
                intervals[name] = (low, high)
        counts = {name: _count(table.get(name)) for name in ("pairs", "genuine", "impostor", "people")}
        leaked = table.get("leaked")
        return cls(
            name=str(table.get("name", "?")),
            numbers=numbers,
            intervals=intervals,
            **counts,
            threshold=_number(table.get("threshold")),
            threshold_from=str(table.get("threshold_from", "")),
            leaked=leaked if isinstance(leaked, bool) else None,
            failures=_count(table.get("failures")) or 0,
            ece=_number(table.get("ece")),
        )


@dataclass(frozen=True, eq=False)
class Run:
    """All that is known of a run.

    ``warnings`` are those of the sanity checks, None for a run without them; ``comparison`` is the one with
    the default model, as the run wrote it.
    """

    folder: Path
    results: tuple[Result, ...] = ()
    scored: dict[str, ScoredPairs] = field(default_factory=dict)
    warnings: tuple[str, ...] | None = None
    comparison: dict[str, Any] | None = None
    log: TrainingLog | None = None
    model: ModelFile | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe as tables of settings; empty where it is not known."""
        if self.model is not None:
            return self.model.card.recipe
        return _table(self.facts.get("recipe"))

    @property
    def main(self) -> Result | None:
        """The main result: of the test, else of people never seen, else the last."""
        for fits in (lambda r: r.name == "test", lambda r: r.leaked is False, lambda r: True):
            for result in reversed(self.results):
                if fits(result):
                    return result
        return None

    def evaluation(self, name: str) -> Evaluation | None:
        """Return the evaluation with the score of every pair, where the run kept them."""
        return self.scored[name].evaluation if name in self.scored else None

    def held_out_validation(self) -> bool:
        """Return whether the people of the validation are not those of the training."""
        return bool(_table(self.recipe.get("data")).get("split", "identity") == "identity")


def read_run(folder: str | Path) -> Run:
    """Read everything of the run in ``folder`` that can be read.

    Raises:
        DataError: The folder does not exist or has nothing of a run.
    """
    run = Path(folder)
    if not run.is_dir():
        raise DataError(f"{shown(run)}: no such folder; give the folder that facealike train --run wrote")
    if not any((run / name).exists() for name in ("run.json", "results.json", "log.csv")):
        raise DataError(
            f"{shown(run)}: no training run is in this folder; give the one that facealike train --run wrote"
        )
    found, missing = Run(run), []
    for read in (_read_facts, _read_results, _read_scores, _read_log, _read_model):
        try:
            found = read(found)
        except FacealikeError as error:
            missing.append(str(error))
    return replace(found, missing=(*missing, *_not_there(found)))


def _read_facts(run: Run) -> Run:
    return replace(run, facts=_json(run.folder / "run.json", "the recipe and the data of the run"))


def _read_results(run: Run) -> Run:
    content = _json(run.folder / "results.json", "the table of results; the run is not finished")
    listed = content.get("evaluations")
    tables = [_table(entry) for entry in listed] if isinstance(listed, list) else []
    warnings = content.get("warnings")
    comparison = content.get("comparison")
    return replace(
        run,
        results=tuple(Result.from_dict(table) for table in tables if table),
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else None,
        comparison=comparison if isinstance(comparison, dict) else None,
    )


def _read_scores(run: Run) -> Run:
    path = run.folder / "scores.npz"
    if not path.exists():
        raise DataError(
            "scores.npz: the score of each pair, hence intervals, error curves, histograms, probabilities "
            "and the hardest mistakes; facealike of today keeps it"
        )
    scored = {one.evaluation.name: one for one in load_scores(path)}
    full = {name: Result.from_dict(one.evaluation.to_dict()) for name, one in scored.items()}
    named = {result.name for result in run.results}
    results = [full.get(result.name, result) for result in run.results]
    results += [result for name, result in full.items() if name not in named]
    return replace(run, scored=scored, results=tuple(results))


def _read_log(run: Run) -> Run:
    path = run.folder / "log.csv"
    if not path.exists():
        raise DataError("log.csv: the training curves")
    return replace(run, log=read_log(path))


def _read_model(run: Run) -> Run:
    path = run.folder / "model.facealike"
    if not path.exists():
        raise DataError("model.facealike: the model with its card; the run is not finished")
    return replace(run, model=ModelFile.read(path))


def _not_there(run: Run) -> list[str]:
    """What a current run has and this one lacks, beyond whole files."""
    missing = []
    if run.results and run.warnings is None:
        missing.append("the warnings of the sanity checks: this run was trained without them")
    if run.results and run.comparison is None:
        missing.append("the comparison with the default model on the same pairs")
    model = run.model
    if model is not None and model.calibration.probability is None:
        missing.append("the probability of a score: the model has no calibration for it")
    if model is not None and not model.calibration.operating_points:
        missing.append("thresholds for named false match rates: the model has none")
    return missing


# ---- untrusted JSON ---------------------------------------------------------------------------


def _json(path: Path, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path.name}: {what}") from None
    except (OSError, ValueError, RecursionError):
        raise DataError(f"{path.name} cannot be read: {what}") from None
    return _table(content)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if good else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
