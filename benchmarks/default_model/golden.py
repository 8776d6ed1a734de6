"""Write the golden numbers of the default model, which ``tests/integration/test_default_model.py`` checks.

    python -m benchmarks.default_model.golden LFW            # print what moved; exit code 1 if anything did
    python -m benchmarks.default_model.golden LFW --write    # and write tests/golden/default_model.json

They are numbers of the whole way from a file to a score: scores of the example photos, and of few pairs of
LFW's test people (``LIMIT``), so that the test stays short.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common.record import ROOT
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.verification import evaluate_split
from facealike.utils.atomic_write import write_text
from facealike.verification.compare import compare

GOLDEN = ROOT / "tests" / "golden" / "default_model.json"
PHOTOS = ROOT / "examples" / "photos"
PAIRS = (
    ("hopper.jpg", "collins.jpg"),
    ("hopper.jpg", "hopper-turned.jpg"),
    ("hopper-turned.jpg", "collins.jpg"),
)
LIMIT = 400
"""Genuine pairs of test people, and as many impostor pairs."""


def example_scores(model: Model) -> dict[str, float]:
    """Return the score of each pair of example photos."""
    return {" ".join(pair): compare(PHOTOS / pair[0], PHOTOS / pair[1], model).score for pair in PAIRS}


def few_test_people(model: Model, lfw: Path, cache: Path | None = None) -> dict[str, float]:
    """Return F1, AUC, FMR and FNMR at the model's threshold, of few pairs of LFW's test people."""
    found = evaluate_split(model, lfw, "test", limit=LIMIT, face=LFW_FACE, cache=cache)
    return {"f1": found.f1, "auc": found.auc, "fmr": found.fmr, "fnmr": found.fnmr}


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def moved(old: dict[str, Any], new: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield a line for each value that differs."""
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from moved(before, after, f"{path}{name}: ")
        elif before != after:
            yield f"{path}{name}: {before} -> {after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lfw", type=Path, metavar="LFW", help="the folder of LFW's people")
    parser.add_argument("--cache", type=Path, help="keep face crops here")
    parser.add_argument("--write", action="store_true", help=f"write {GOLDEN.name}")
    options = parser.parse_args()
    model = Model.load(threads=1)
    found = {
        "model": model.id,
        "example_scores": {pair: round(score, 4) for pair, score in example_scores(model).items()},
        "few_test_people": {
            name: round(value, 4)
            for name, value in few_test_people(model, options.lfw, options.cache).items()
        },
    }
    before = json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.exists() else {}
    lines = list(moved(before, found))
    print(*lines or ["nothing moved"], sep="\n")
    if options.write:
        write_text(GOLDEN, json.dumps(found, indent=2) + "\n")
    sys.exit(bool(lines) and not options.write)


if __name__ == "__main__":
    main()
