"""The command line that both detector trainers share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...errors import DataError
from ...imaging.formats import IMAGE_EXTENSIONS
from ..command import add_recipe_options, command_parser, one_sentence_errors
from .training import DetectorRecipe, LoopOptions

RECIPE_OPTIONS = ("steps", "batch", "seed", "rate", "muon")
Name = TypeVar("Name", bound=str)


def detector_parser(documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of both trainers."""
    parser = command_parser(documentation)
    parser.add_argument("--photos", type=Path, required=True, help="LFW: a folder of people")
    parser.add_argument("--chips", type=Path, required=True, help="FairFace: the folder of training faces")
    parser.add_argument("--teacher", type=Path, required=True, help="a YuNet-format ONNX")
    parser.add_argument(
        "--work", type=Path, required=True, help="prepared images and the run's state go here"
    )
    parser.add_argument("--out", type=Path, required=True, help="write the detector here")
    parser.add_argument("--limit", type=int, help="at most so many photos, and so many chips")
    parser.add_argument("--workers", type=int, default=1, help="processes that compose pictures (0: none)")
    parser.add_argument("--every", type=int, default=100, help="steps between two saved states")
    add_recipe_options(parser, DetectorRecipe(), *RECIPE_OPTIONS)
    return parser


def run_command(
    name: str, options: argparse.Namespace, train: Callable[[DetectorRecipe, LoopOptions], bytes]
) -> None:
    """Call ``train`` with what ``options`` ask for and report the file; end in one sentence on an error."""
    recipe = DetectorRecipe(**{name: getattr(options, name) for name in RECIPE_OPTIONS})
    with one_sentence_errors(name):
        options.work.mkdir(parents=True, exist_ok=True)
        content = train(recipe, LoopOptions(options.workers, options.every))
    print(f"{options.out}: {len(content):,} bytes", file=sys.stderr)


def images_in(folder: Path) -> list[Path]:
    """Return the images in ``folder`` and below, sorted.

    Raises:
        DataError: There is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images; check the path")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_EXTENSIONS)


def limited(paths: Mapping[Name, Sequence[Path]], limit: int | None) -> Iterable[tuple[Name, list[Path]]]:
    """Yield each list of ``paths`` in random order, cut to ``limit``; the draw does not depend on the run."""
    rng = np.random.default_rng(0)
    for name, listed in paths.items():
        yield name, [listed[i] for i in rng.permutation(len(listed))[:limit]]
