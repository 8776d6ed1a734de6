"""Train the experiments that ``experiments.toml`` lists, one factor at a time, and keep their record.

    python -m benchmarks.training.ablations LFW_FOLDER --out RUNS [--cache CROPS] [--only NAME ...]
    python -m benchmarks.training.ablations --table

Each experiment names a recipe, what it changes, its seeds and the question it answers.  What is
missing in ``experiments.csv`` is trained, one run after the other; a run that was cut short goes on.
Only the validation people are looked at: nothing here ever opens a photo of the test to judge it.
``--table`` writes the tables of ``docs/results/ablations.md`` anew.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, append_rows, today
from facealike.detection.face_policy import LFW_FACE
from facealike.train.recipe.load import load_recipe
from facealike.train.recipe.schema import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "results" / "ablations.md"


@dataclass(frozen=True)
class Experiment:
    """One entry of the list; ``factor`` groups those that answer one question."""

    name: str
    question: str
    factor: str = ""
    recipe: str = "cosface"
    settings: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    outside_data: bool = False

    def of_seed(self, seed: int) -> Recipe:
        return load_recipe(self.recipe, [f"data.face={LFW_FACE}", *self.settings, f"seed={seed}"])


def read_list(path: Path) -> list[Experiment]:
    """The experiments of a TOML file; ``common`` settings go before each one's own ``set``."""
    table = tomllib.loads(path.read_text("utf-8"))
    found = []
    for entry in table["experiment"]:
        settings = (*table.get("common", []), *entry.pop("set", []))
        seeds = tuple(entry.pop("seeds", [0]))
        found.append(Experiment(settings=settings, seeds=seeds, **entry))
    names = [experiment.name for experiment in found]
    if len(set(names)) != len(names):
        raise SystemExit(f"{path}: two experiments have one name")
    return found


def read_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def row_of(rows: Sequence[dict[str, str]], experiment: Experiment, seed: int) -> dict[str, str] | None:
    """The latest row of that run, if it was made with what the list says now."""
    wanted = (experiment.name, str(seed), experiment.recipe, " ".join(experiment.settings))
    keys = ("name", "seed", "recipe", "settings")
    return next((row for row in reversed(rows) if tuple(row[key] for key in keys) == wanted), None)


def run(experiment: Experiment, seed: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Train, without judging the result on anybody but the validation people."""
    import torch

    from facealike.detection.registry import named_detector
    from facealike.train import TrainingOptions
    from facealike.train.embedder.run import fit
    from facealike.train.provenance import git_commit, machine

    recipe = experiment.of_seed(seed)
    digest = hashlib.sha256(json.dumps(recipe.to_dict(), sort_keys=True).encode()).hexdigest()[:8]
    folder = arguments.out / f"{experiment.name}-{seed}-{digest}"
    detector = named_detector(arguments.detector) if arguments.detector else None
    fitted = fit(
        arguments.folder, recipe, folder / "model.facealike", folder,
        TrainingOptions(
            detector, arguments.device, resume=True, cache=arguments.cache or arguments.out / "crops"
        ),
    )  # fmt: skip
    last = fitted.rows[-1]
    best = max(fitted.rows, key=lambda entry: entry["val_f1"])
    train, validation = fitted.plan.train.people, fitted.plan.validation.people
    return {
        "name": experiment.name, "seed": seed, "recipe": experiment.recipe,
        "settings": " ".join(experiment.settings), "epochs": len(fitted.rows),
        "val_f1_last": f"{last['val_f1']:.4f}", "val_auc_last": f"{last['val_auc']:.4f}",
        "val_f1_best": f"{best['val_f1']:.4f}", "val_auc_best": f"{best['val_auc']:.4f}",
        "best_epoch": int(best["epoch"]), "train_f1_last": f"{last['train_f1']:.4f}",
        "gap": f"{last['train_f1'] - last['val_f1']:.4f}",
        "train_people": len(train.names), "train_images": len(train), "val_people": len(validation.names),
        "images_per_second": f"{statistics.median(r['images_per_second'] for r in fitted.rows):.0f}",
        "seconds": f"{fitted.seconds:.0f}", "threads": torch.get_num_threads(), "machine": machine(),
        "commit": git_commit(), "date": today(),
    }  # fmt: skip


def summary(values: Sequence[float]) -> str:
    """The mean, and the standard deviation where there are several seeds."""
    mean = statistics.mean(values)
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ± {statistics.stdev(values):.3f}"


def tables(experiments: Sequence[Experiment], rows: Sequence[dict[str, str]]) -> str:
    """One Markdown table for each factor, with what was measured so far."""
    lines: list[str] = []
    for factor in dict.fromkeys(experiment.factor for experiment in experiments):
        made = []
        for experiment in (e for e in experiments if e.factor == factor):
            found = [row for seed in experiment.seeds if (row := row_of(rows, experiment, seed))]
            if found:
                made.append(table_line(experiment, found))
        if made:
            lines += ["", f"### {factor or 'Experiments'}", ""]
            lines += [
                "| experiment | question | F1 last epoch | F1 best epoch | AUC | gap to training pairs "
                "| images/s | seeds |",
                "| --- | --- | --- | --- | --- | --- | --- | --- |", *made,
            ]  # fmt: skip
    return "\n".join(lines).strip("\n")


def table_line(experiment: Experiment, rows: Sequence[dict[str, str]]) -> str:
    def numbers(key: str) -> list[float]:
        return [float(row[key]) for row in rows]

    outside = " (**outside data**)" if experiment.outside_data else ""
    cells = [
        f"`{experiment.name}`{outside}", experiment.question, summary(numbers("val_f1_last")),
        summary(numbers("val_f1_best")), summary(numbers("val_auc_last")), summary(numbers("gap")),
        f"{statistics.median(numbers('images_per_second')):.0f}",
        ", ".join(row["seed"] for row in rows),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def write_page(page: Path, experiments: Sequence[Experiment], rows: Sequence[dict[str, str]]) -> None:
    """Replace what stands between the two markers of the page."""
    put(page, "experiments", f"\n{tables(experiments, rows)}\n")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--detector", default="")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--list", type=Path, default=HERE / "ablations.toml")
    parser.add_argument("--csv", type=Path, default=RESULTS / "ablations.csv")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args(words)
    experiments = read_list(arguments.list)
    if unknown := set(arguments.only) - {experiment.name for experiment in experiments}:
        parser.error(f"no experiment is called {', '.join(sorted(unknown))}")
    if arguments.folder is not None:
        if arguments.out is None:
            parser.error("--out says where the runs are kept")
        for experiment in experiments:
            if arguments.only and experiment.name not in arguments.only:
                continue
            for seed in experiment.seeds:
                if row_of(read_rows(arguments.csv), experiment, seed) is None:
                    print(f"{experiment.name}, seed {seed}: {experiment.question}", flush=True)
                    row = run(experiment, seed, arguments)
                    append_rows(arguments.csv, [row])
                    print(json.dumps(row), flush=True)
    elif not arguments.table:
        parser.error("give the folder of people, or --table")
    if arguments.table:
        write_page(arguments.page, experiments, read_rows(arguments.csv))


if __name__ == "__main__":
    main()
