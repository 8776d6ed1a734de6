"""Make the tables of ``docs/results`` anew: train what is missing, evaluate it, write.

    python -m benchmarks.accuracy.results LFW_FOLDER --runs RUNS [--cache CROPS] [--pairs PAIRS] [--folds]

Trains the recipe of the shipped model with seeds 0, 1 and 2 (RUNS/lfw-SEED.facealike, resumed where a
run was cut short; ``--found`` takes those that are there), judges each on the test people, the shipped
model on its probabilities and thresholds too, and on LFW View 2 if it saw nobody of LFW (``--pairs``), and
reads View 2 of the recipe from RUNS/view2, which ``--folds`` trains.  What is measured lands in
results.json; ``--only`` measures one part and keeps the rest of that file, and ``--page`` writes the page
from it without measuring anything.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, commit, processor, today
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.all_pairs import evaluate_exhaustive
from facealike.evaluation.lfw_view2 import evaluate_view2
from facealike.evaluation.verification import evaluate_split
from facealike.evaluation.verification_result import Evaluation
from facealike.plotting.style import new_axes, save_figure
from facealike.utils.atomic_write import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGES = ROOT / "docs" / "results"
PAGE_OF = {
    "held-out": "training.md", "view2": "training.md", "calibration": "default-model.md",
    "zero-shot": "default-model.md", "speed": "performance.md", "coverage": "interval-coverage.md",
}  # fmt: skip
FIGURES = PAGES / "figures"
RECORD = RESULTS / "results.json"
RECIPE, SEEDS = "lfw", (0, 1, 2)
TRAINING_PAIRS = 10_000  # genuine pairs of the training people, of 231,102


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("people", nargs="?", help="the folder of LFW's people")
    parser.add_argument("--runs", type=Path, help="where models and runs are, or will be")
    parser.add_argument("--cache", type=Path, help="the folder of face crops (default: RUNS/crops)")
    parser.add_argument("--pairs", type=Path, help="LFW's pairs.txt, for View 2")
    parser.add_argument("--folds", action="store_true", help="train the folds of View 2 that are missing")
    parser.add_argument("--found", action="store_true", help="train nothing; judge the seeds that are there")
    parser.add_argument("--only", choices=["shipped", "view2"], help="measure that alone, keep the rest")
    parser.add_argument("--page", action="store_true", help="only write the page from results.json")
    arguments = parser.parse_args()
    if not arguments.page:
        if arguments.people is None or arguments.runs is None:
            parser.error("give the folder of people and --runs, or --page")
        cache = arguments.cache or arguments.runs / "crops"
        if arguments.only:
            record = json.loads(RECORD.read_text("utf-8"))
            if arguments.only == "shipped":
                record["shipped"] = measure_shipped(arguments.people, cache, arguments.pairs)
            else:
                record["view2"] = view2(
                    arguments.people, arguments.runs, cache, arguments.pairs, arguments.folds
                )
        else:
            record = measure(
                arguments.people, arguments.runs, cache, arguments.pairs, arguments.folds, arguments.found
            )
        write_text(RECORD, json.dumps(record, indent=1) + "\n")
    record = json.loads(RECORD.read_text("utf-8"))
    for name, text in sections(record).items():
        put(PAGES / PAGE_OF[name], name, text.rstrip())


def measure(
    people: str, runs: Path, cache: Path, pairs: Path | None, folds: bool, found: bool
) -> dict[str, Any]:
    """Everything that the page states, ready for JSON."""
    runs.mkdir(parents=True, exist_ok=True)
    return {
        "date": today(),
        "machine": processor(),
        "commit": commit(),
        "seeds": [
            judge(train(people, runs, cache, seed), people, cache, seed)
            for seed in SEEDS
            if not found or model_of(runs, seed).exists()
        ],
        "shipped": measure_shipped(people, cache, pairs),
        "view2": view2(people, runs, cache, pairs, folds),
    }


def measure_shipped(people: str, cache: Path, pairs: Path | None) -> dict[str, Any]:
    shipped = Model.load()
    test = evaluate_split(shipped, people, "test", face=LFW_FACE, cache=cache)
    FIGURES.mkdir(exist_ok=True)
    draw(test)
    stranger = pairs is not None and not shipped.file.card.identity_hashes
    return {
        **summary(shipped, test),
        "reliability": None if test.reliability is None else test.reliability.to_dict(),
        "points": points(shipped, people, cache),
        "view2": evaluate_view2(shipped, people, pairs, cache=cache).to_dict() if stranger else None,
        "measured": f"{today()} at commit {commit()} on {processor()}",
    }


def model_of(runs: Path, seed: int) -> Path:
    return runs / f"{RECIPE}-{seed}.facealike"


def train(people: str, runs: Path, cache: Path, seed: int) -> Path:
    """The model of this seed, trained unless it is there."""
    out = model_of(runs, seed)
    if not out.exists():
        from facealike.train import load_recipe
        from facealike.train import train as run_training

        print(f"training seed {seed}", file=sys.stderr, flush=True)
        run_training(people, load_recipe(RECIPE, [f"seed={seed}"]), out, resume=True, cache=cache)
    return out


def judge(path: Path, people: str, cache: Path, seed: int) -> dict[str, Any]:
    model = Model.load(path)
    test = evaluate_split(model, people, "test", face=LFW_FACE, cache=cache)
    known = evaluate_split(model, people, "train", limit=TRAINING_PAIRS, face=LFW_FACE, cache=cache)
    return {"seed": seed, **summary(model, test), "train_f1": known.f1, "train_auc": known.auc}


def summary(model: Model, test: Evaluation) -> dict[str, Any]:
    return {"model": model.id, "trained_at": model.file.card.provenance.get("commit"), **test.to_dict()}


def points(model: Model, people: str, cache: Path) -> list[dict[str, Any]]:
    """What the thresholds of the named FMRs do to all pairs of the test people."""
    every = evaluate_exhaustive(model, people, "test", LFW_FACE, cache=cache).comparisons
    return [
        {
            **point.to_dict(),
            "test_fmr": every.fmr_at(point.threshold),
            "test_fnmr": every.fnmr_at(point.threshold),
            "test_impostor": every.impostor,
        }
        for point in model.file.calibration.operating_points
    ]


def view2(people: str, runs: Path, cache: Path, pairs: Path | None, folds: bool) -> dict[str, Any] | None:
    if folds:
        from facealike.train import load_recipe, train_folds

        if pairs is None:
            sys.exit("--folds needs --pairs, LFW's pairs.txt")
        train_folds(people, load_recipe(RECIPE), pairs, runs / "view2", resume=True, cache=cache)
    result = runs / "view2" / "view2.json"
    found: dict[str, Any] | None = json.loads(result.read_text("utf-8")) if result.exists() else None
    return found


def draw(test: Evaluation) -> None:
    for name, drawn in (("roc", test), ("reliability", test.reliability)):
        if drawn is not None:
            save_figure(cast("Figure", drawn.plot(new_axes()).figure), FIGURES / f"{name}.svg")


# ---- the page ---------------------------------------------------------------------------------


def sections(record: dict[str, Any]) -> dict[str, str]:
    return {
        "held-out": held_out(record),
        "calibration": calibration(record["shipped"]),
        "zero-shot": zero_shot(record["shipped"].get("view2")),
        "view2": folds_table(record["view2"]),
        "speed": speed(),
        "coverage": coverage(),
    }


def told(entry: dict[str, Any], name: str) -> str:
    found = entry["intervals"][name]
    return f"{entry[name]:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def held_out(record: dict[str, Any]) -> str:
    head = [
        "| seed | model | train F1 | **F1 on held-out people** | gap | AUC on held-out people "
        "| FNMR at FMR 1 % |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = [
        f"| {e['seed']} | {e['model']} | {e['train_f1']:.3f} | **{told(e, 'f1')}** | "
        f"{e['train_f1'] - e['f1']:.3f} | {told(e, 'auc')} | {e['fnmr_at_fmr']['0.01']:.3f} |"
        for e in record["seeds"]
    ]
    values = [e["f1"] for e in record["seeds"]]
    first = record["seeds"][0]
    spread = f", standard deviation {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return "\n".join([
        *head, *rows, "",
        f"Mean over the seeds **{statistics.mean(values):.3f}**{spread}. "
        f"{first['pairs']:,} pairs of {first['people']:,} people; in "
        f"{first['failures']} of them a face was not found, which is in no rate but FAR and FRR. In "
        f"brackets: 95 % intervals from resampling people. Measured {record['date']} "
        f"at commit {record['commit']} on {record['machine']}; models made at commit "
        + ", ".join(dict.fromkeys(e["trained_at"] for e in record["seeds"])) + ".",
    ])  # fmt: skip


def calibration(shipped: dict[str, Any]) -> str:
    lines = [
        f"Model {shipped['model']}: F1 {told(shipped, 'f1')}, AUC {told(shipped, 'auc')}, EER "
        f"{told(shipped, 'eer')} on the test people; threshold {shipped['threshold']:.3f} from "
        f"{shipped['threshold_from']}."
        + (f" Measured {shipped['measured']}." if "measured" in shipped else ""),
    ]
    if shipped["ece"] is not None:
        found = shipped["reliability"]
        lines += [
            "",
            f"Expected calibration error of its probabilities on the test people: **{shipped['ece']:.3f}** "
            f"({len(found['bins'])} bins that are not empty); Brier score {found['brier']:.3f}.",
            "",
            "![Reliability: stated probability against the share that came true](figures/reliability.svg)",
        ]
    if shipped["points"]:
        lines += [
            "",
            f"Every pair of the test people, {shipped['points'][0]['test_impostor']:,} of them impostors:",
            "",
            "| FMR asked for | threshold | calibration people | FMR, test people | FNMR, test people |",
            "| ---: | ---: | ---: | ---: | ---: |",
            *(
                f"| {p['fmr']:g} | {p['threshold']:.3f} | {p['fmr_low']:.2g} to {p['fmr_high']:.2g} | "
                f"{p['test_fmr']:.2g} | {p['test_fnmr']:.3f} |"
                for p in shipped["points"]
            ),
        ]
    return "\n".join(lines)


def zero_shot(found: dict[str, Any] | None) -> str:
    if found is None:
        return "The shipped model was trained on people of LFW, so it has no such figure."
    pooled = found["pooled"]
    rows = [
        f"| TAR at FAR {float(far):g} | {tar:.3f}{tar_interval(pooled, far)} |"
        for far, tar in found["tar_at_far"].items()
    ]
    return "\n".join([
        "| | |", "| --- | ---: |",
        f"| **accuracy** | **{found['accuracy']:.4f} ± {found['standard_error']:.4f}** |",
        f"| AUC, all folds together | {told(pooled, 'auc')} |", *rows,
        f"| pairs; of them without a face found | {pooled['pairs']:,}; {pooled['failures']} |",
    ])  # fmt: skip


def tar_interval(pooled: dict[str, Any], far: str) -> str:
    found = pooled["intervals"].get(f"fnmr@{float(far):g}")
    return "" if found is None else f" [{1 - found['high']:.3f}, {1 - found['low']:.3f}]"


def folds_table(found: dict[str, Any] | None) -> str:
    if found is None:
        return "Not measured yet."
    rows = [
        f"| {fold['fold']} | {fold['accuracy']:.4f} | {fold['threshold']:.4f} |" for fold in found["folds"]
    ]
    tars = ", ".join(f"{tar:.1%} at FAR {far}" for far, tar in found["tar_at_far"].items())
    mean = f"Mean accuracy **{found['accuracy']:.2%}**, standard error {found['standard_error']:.2%}"
    return "\n".join([
        f"{mean}; TAR {tars}.",
        "", "| fold | accuracy | threshold |", "| ---: | ---: | ---: |", *rows,
    ])  # fmt: skip


def last_row(name: str) -> dict[str, str]:
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[-1]


def speed() -> str:
    pairs, every = last_row("pairs.csv"), last_row("all_pairs.csv")
    seconds = sum(float(every[f"{step} median"]) for step in ("pairs", "figures", "intervals"))
    photos = int(every["photos"])
    return "\n".join([
        "| what | time | memory | measured |",
        "| --- | ---: | ---: | --- |",
        f"| {int(pairs['pairs']):,} pairs from image files, {pairs['cores']} cores | {pairs['seconds']} s | "
        f"{pairs['peak_mib']} MiB | {pairs['date']}, commit {pairs['commit']} |",
        f"| {photos:,} x {photos:,} cached embeddings, with all figures and intervals | {seconds:.1f} s | "
        f"{float(every['peak MiB max']):.0f} MiB | {every['date']}, commit {every['commit']} |",
    ])  # fmt: skip


def coverage() -> str:
    """The default intervals of the simulation that is like LFW; the page has all of them."""
    with (RESULTS / "interval_coverage.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["scenario"] == "lfw test people"]
    kept = [
        f"| {row['statistic']} | {float(row['truth']):.4f} | {float(row['covered']):.1%} |"
        for row in rows
        if row["interval"] == "percentile"
    ]
    return "\n".join([
        "| statistic | truth | covered |",
        "| --- | ---: | ---: |",
        *kept,
    ])  # fmt: skip


if __name__ == "__main__":
    main()
