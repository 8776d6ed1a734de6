"""Kill a real training run at random steps, resume it, and compare it with one left alone.

    python -m benchmarks.training.resume LFW_FOLDER --recipe lfw --kills 2 --set training.epochs=3

Prints the test rows of both runs and the largest difference between their weights, and appends a
row to ``benchmarks/results/resume.csv``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.common.record import RESULTS, append_rows, today
from facealike.model_file.model_file import ModelFile
from facealike.train.provenance import git_commit, machine

CSV = RESULTS / "resume.csv"


def command(arguments: argparse.Namespace, out: Path, cache: Path, resume: bool) -> list[str]:
    words = [sys.executable, "-m", "facealike", "train", str(arguments.folder), "--recipe", arguments.recipe]
    words += ["--out", str(out), "--cache", str(cache)]
    words += ["--detector", arguments.detector] if arguments.detector else []
    for setting in arguments.set:
        words += ["--set", setting]
    return words + (["--resume"] if resume else [])


def log(run: Path) -> list[dict[str, str]]:
    """The rows of the epochs that a run has finished."""
    path = run / "log.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)[
        "state_dict"
    ]
    return state


def check_whole(out: Path, run: Path) -> None:
    """After a kill: no model, or a whole one; no checkpoint, or one that loads."""
    for path in (out, run / "model.facealike"):
        if path.exists():
            ModelFile.read(path)
    for path in (run / "checkpoints").glob("*.ckpt"):
        torch.load(path, weights_only=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="lfw")
    parser.add_argument("--detector", default="")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder) / "crops"
        straight, killed = Path(folder) / "straight.facealike", Path(folder) / "killed.facealike"
        subprocess.run(command(arguments, straight, cache, False), check=True, stdout=subprocess.DEVNULL)
        seconds = [float(row["seconds"]) for row in log(straight.with_name("straight-run"))]
        run, moments = killed.with_name("killed-run"), []
        for number in range(1, arguments.kills + 1):
            process = subprocess.Popen(
                command(arguments, killed, cache, number > 1),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            while len(log(run)) < number and process.poll() is None:
                time.sleep(0.2)
            # The next epoch has begun: somewhere in the middle of it, between two checkpoints.
            part = dice.uniform(0.05, 0.95)
            time.sleep(part * seconds[number])
            if process.poll() is not None:
                sys.exit("the run ended before it could be killed; give it more epochs or fewer --kills")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            moments.append(f"{number}+{part:.2f}")
            check_whole(killed, run)
        subprocess.run(command(arguments, killed, cache, True), check=True, stdout=subprocess.DEVNULL)
        rows = [
            json.loads((Path(folder) / f"{name}-run" / "results.json").read_text())
            for name in ("straight", "killed")
        ]
        one, other = weights(Path(folder) / "straight-run"), weights(run)
        difference = max(float((one[key].double() - other[key].double()).abs().max()) for key in one)
        same_bytes = ModelFile.read(straight).embedder == ModelFile.read(killed).embedder
    f1 = [next(row["f1"] for row in table["evaluations"] if row["name"] == "test") for table in rows]
    row = {
        "date": today(), "commit": git_commit(), "machine": machine(),
        "threads": torch.get_num_threads(), "recipe": " ".join([arguments.recipe, *arguments.set]),
        "killed_after_epochs": " ".join(moments), "test_f1_straight": f1[0], "test_f1_resumed": f1[1],
        "largest_weight_difference": difference, "equal_embedder_bytes": same_bytes,
    }  # fmt: skip
    print(json.dumps(row, indent=2))
    append_rows(CSV, [row])
    if not np.isclose(*f1, atol=0.005):
        sys.exit("the resumed run differs from the one left alone")


if __name__ == "__main__":
    main()
