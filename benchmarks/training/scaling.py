"""What more faces and more steps bring: models of one recipe taught for longer, or on more photos.

    python -m benchmarks.training.scaling FAIRFACE/train LFW PAIRS --work RUNS --epochs N \\
        [--photos N] [--seed N] ...
    python -m benchmarks.training.scaling --page

Each call teaches one model of the recipe `distilled` (on `--photos` of the folder's, from all over it; on
all without) and adds its row to `scaling.csv`: how far it agrees with its teacher, and LFW's View 2, of whose
people it saw nobody.  There is no cohort in these models and no threshold.  A run that was cut short goes on.
The rate falls to nothing over each run's own length, so a row is what a schedule of that length gives, and
not a longer one that was stopped.  `--page` writes the table and curves of docs/results/distilled-student.md.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from facealike.datasets.people import unlabeled_photos
from facealike.embedding.face_model import Model
from facealike.evaluation.lfw_view2 import evaluate_view2
from facealike.plotting.style import new_axes, save_figure, style_axes
from facealike.train import distil, load_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CSV = RESULTS / "scaling.csv"
PAGE = ROOT / "docs" / "results" / "distilled-student.md"
FIGURES = ROOT / "docs" / "results" / "figures"
ORDER = ("photos", "seen", "seed")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", metavar="FAIRFACE", help="photos to learn from")
    parser.add_argument("people", type=Path, nargs="?", metavar="LFW", help="the folder of LFW's people")
    parser.add_argument("pairs", type=Path, nargs="?", metavar="PAIRS", help="LFW's pairs.txt")
    parser.add_argument("--work", type=Path, help="where the runs go")
    parser.add_argument("--cache", type=Path, help="the folder of face crops")
    parser.add_argument("--photos", type=int, help="how many to learn from")
    parser.add_argument("--epochs", type=int, help="the length of the run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", action="store_true", help="write the table of the results page")
    options = parser.parse_args()
    if options.page:
        write_page(rows())
        return
    if None in (options.folder, options.people, options.pairs, options.work, options.epochs):
        parser.error("name FAIRFACE, LFW, PAIRS, --work and --epochs, or --page")
    row = run(options)
    append_rows(CSV, [row])
    print(row)


def run(options: argparse.Namespace) -> dict[str, Any]:
    name = f"scaling-{options.photos or 'all'}-{options.epochs}-{options.seed}"
    options.work.mkdir(parents=True, exist_ok=True)
    cache = options.cache or options.work / "crops"
    folder = options.folder
    if options.photos is not None:
        folder = some_of(folder, options.photos, options.work / f"photos-{options.photos}")
    settings = ["teacher.aligned=true", f"training.epochs={options.epochs}", f"seed={options.seed}"]
    recipe = load_recipe("distilled", settings)
    out = options.work / f"{name}.facealike"
    done = distil(folder, recipe, out, resume=True, cache=cache)
    model = Model.load(out, "cpu")
    view2 = evaluate_view2(model, options.people, options.pairs, cache=cache).to_dict()
    described = options.epochs * recipe.teacher.faces
    return {
        **circumstances(),
        "model": model.id,
        "seed": recipe.seed,
        "photos": model.file.card.data["photos"],
        "epochs": options.epochs,
        "described": described,
        "seen": described * recipe.teacher.passes,
        "error": round(done.agreement["error"], 4),
        "correlation": round(done.agreement["correlation"], 4),
        "view2": round(view2["accuracy"], 4),
        "view2_standard_error": round(view2["standard_error"], 4),
        "auc": round(view2["pooled"]["auc"], 4),
        "tar_at_far_0.001": round(view2["tar_at_far"]["0.001"], 4),
    }


def some_of(folder: Path, count: int, linked: Path) -> Path:
    """A folder of links to ``count`` photos from all over ``folder``, by the names that they have there."""
    people = unlabeled_photos(folder)
    if not 0 < count <= len(people.paths):
        raise SystemExit(f"{folder} has {len(people.paths):,} photos; ask for that many or fewer")
    for place in range(count):
        path = people.paths[place * len(people.paths) // count]
        link = linked / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(path.resolve())
    return linked


def rows() -> list[dict[str, str]]:
    if not CSV.exists():
        raise SystemExit(f"{CSV.name} is not there yet; run this without --page first")
    with CSV.open(newline="", encoding="utf-8") as file:
        return sorted(csv.DictReader(file), key=lambda row: [int(row[key]) for key in ORDER])


def table(found: list[dict[str, str]]) -> str:
    lines = [
        "| photos | epochs | seed | descriptions by the teacher | faces seen | error | correlation | View 2 "
        "| TAR at FAR 0.001 | commit |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in found:
        photos, described, seen = (f"{int(row[key]):,}" for key in ("photos", "described", "seen"))
        view2 = f"{float(row['view2']):.4f} ± {float(row['view2_standard_error']):.4f}"
        error, correlation, tar = (
            f"{float(row[key]):.3f}" for key in ("error", "correlation", "tar_at_far_0.001")
        )
        cells = (photos, row["epochs"], row["seed"], described, seen, error, correlation, view2, tar)
        lines.append(f"| {' | '.join(cells)} | {row['commit']} |")
    return "\n".join(lines)


def write_page(found: list[dict[str, str]]) -> None:
    pictures = (
        "![View 2 against faces seen, a line for each number of photos](figures/scaling-steps.svg)\n"
        "![View 2 against the number of photos, a line for each seed](figures/scaling-photos.svg)"
    )
    put(PAGE, "scaling", f"{table(found)}\n\n{pictures}")
    save_figure(over_steps(found), FIGURES / "scaling-steps.svg")
    save_figure(over_photos(found), FIGURES / "scaling-photos.svg")


def over_steps(found: list[dict[str, str]]) -> Figure:
    """Accuracy against faces seen, a line for each number of photos."""
    return curves(found, "seen", "faces seen in training", "photos", "{:,} photos")


def over_photos(found: list[dict[str, str]]) -> Figure:
    """Accuracy against photos, for the length at which most numbers of them were tried."""
    tried: dict[str, set[str]] = {}
    for row in found:
        tried.setdefault(row["epochs"], set()).add(row["photos"])
    length = max(tried, key=lambda epochs: (len(tried[epochs]), int(epochs)))
    same = [row for row in found if row["epochs"] == length]
    return curves(same, "photos", f"photos to learn from, {length} epochs", "seed", "seed {}")


def curves(found: list[dict[str, str]], across: str, called: str, kind: str, label: str) -> Figure:
    """Accuracy against the column ``across``, a line for each value of the column ``kind``."""
    axes = new_axes(7.0, 4.5)
    style_axes(axes)
    for value in sorted({int(row[kind]) for row in found}):
        line = sorted((row for row in found if int(row[kind]) == value), key=lambda row: int(row[across]))
        right, error = ([float(row[key]) for row in line] for key in ("view2", "view2_standard_error"))
        places = [int(row[across]) for row in line]
        axes.errorbar(places, right, yerr=error, marker="o", capsize=3, label=label.format(value))
    axes.set_xscale("log")
    axes.set_xlabel(called)
    axes.set_ylabel("accuracy on LFW View 2, with standard error")
    axes.legend()
    return cast("Figure", axes.figure)


if __name__ == "__main__":
    main()
