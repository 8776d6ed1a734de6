"""One process against two that divide the same batches: are the models as good, and how much faster is it?

    OMP_NUM_THREADS=1 python -m benchmarks.training.distributed LFW_FOLDER --work RUNS --seeds 0 1 2

Trains the recipe `lfw` at 48 pixels for some hundred steps on the training people, for each seed and number
of processes, and measures F1 and AUC on pairs of the validation people.  With several numbers of processes a
row also states the largest difference of its weights from those of the first number with that seed.  Appends
to ``benchmarks/results/distributed.csv``.  Dropout draws other masks in each process;
with ``--set network.dropout=0`` runs differ by rounding alone, which grows over the steps.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.train import TrainingOptions, load_recipe
from facealike.train.distributed.collectives import is_main
from facealike.train.distributed.group import joined
from facealike.train.distributed.launch import free_port, launch
from facealike.train.distributed.world import World, own_world
from facealike.train.embedder.run import fit
from facealike.train.recipe.schema import Recipe

CSV = RESULTS / "distributed.csv"
SHORT = ("crop.size=48", "training.sizes=[]", "training.epochs=4", "training.steps_per_epoch=60",
         "training.batch_size=96", "training.ema=0.98", 'training.precision="32"')  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="LFW")
    parser.add_argument("--work", type=Path, required=True, help="where the runs go, and the crops")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], help="replaces one entry of the recipe")
    options = parser.parse_args()
    for seed in options.seeds:
        first: dict[str, torch.Tensor] = {}
        for count in options.processes:
            recipe = load_recipe("lfw", [*SHORT, *options.set, f"seed={seed}"])
            name = "-".join(["distributed", *map(str, options.set), str(seed), str(count)])
            run = options.work / name.replace("=", "-").replace("/", "-")
            last = trained(options.folder, recipe, run, options.work / "crops", count)
            weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
            first = first or weights
            row = {
                **circumstances("torch", "lightning"),
                "changes": " ".join(options.set), "seed": seed, "processes": count,
                "threads_each": torch.get_num_threads(), "batch": recipe.training.batch_size,
                "steps": recipe.training.epochs * recipe.training.steps_per_epoch,
                **{key: f"{last[key]:.5f}" for key in ("train_loss", "val_f1", "val_auc")},
                "images_per_second": f"{last['images_per_second']:.0f}",
                "largest_weight_difference": f"{largest_difference(first, weights):.2g}",
            }  # fmt: skip
            append_rows(CSV, [row])
            print(row)


def trained(folder: Path, recipe: Recipe, run: Path, cache: Path, count: int) -> dict[str, float]:
    """The last row of the log of a run in ``count`` processes."""
    work = partial(last_row, folder, recipe, run, cache)
    if count == 1:
        return work(None, None)
    return launch(own_world(TrainingOptions(devices=count), free_port()), work)


def last_row(
    folder: Path, recipe: Recipe, run: Path, cache: Path, world: World | None, progress: Any
) -> dict[str, float]:
    """Train as one process of ``world`` and return the last row of the log."""
    options = TrainingOptions(device="cpu", cache=cache)
    with joined(world, cuda=False):
        if is_main() and run.exists():
            sys.exit(f"{run} is there already; name another --work")
        return fit(folder, recipe, run / "model.facealike", run, options, world=world).rows[-1]


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of any two weights."""
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


if __name__ == "__main__":
    main()
