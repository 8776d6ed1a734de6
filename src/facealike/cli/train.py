"""``facealike train`` and ``facealike recipes``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from .console import command, one_line, print_json, progress_bar
from .options import CacheOption, DetectorOption, DeviceOption, JsonOption, check_folder


@command
def train(
    people: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="One sub-folder of photos a person.")
    ],
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", "-r", metavar="NAME|FILE", show_default=False, help="See facealike recipes."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", show_default=False, help="The .facealike file to write."),
    ],
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="Keep checkpoints, curves and pictures of this run here."),
    ] = None,
    detector: DetectorOption = None,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Replaces the recipe's seed.")] = None,
    cache: CacheOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replaces one entry of the recipe; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Train a model on a folder of people and write one file that compare can use.

    Needs facealike[train].  Exit code: 0, or 2 on an error.
    """
    from ..detect import named_detector
    from ..train.recipe import load_recipe

    changes = list(settings or [])
    if seed is not None:
        changes.append(f"seed={seed}")
    plan = load_recipe(recipe, changes)
    check_folder(out)
    from ..train import train as run_training

    finder = None if detector is None else named_detector(detector)
    # Lightning's bars and remarks go to stderr; stdout is for the result.
    with redirect_stdout(sys.stderr), progress_bar("cropping faces") as progress:
        result = run_training(people, plan, out, run, finder, device, resume, cache, progress)
    if as_json:
        print_json(result.to_dict())
    else:
        for evaluation in result.evaluations:
            print(evaluation)
        print(one_line(str(result.model_path)))
    return 0


@command
def recipes(as_json: JsonOption = False) -> int:
    """List the recipes that come with facealike, with what each is for."""
    from ..train.recipe import load_recipe, recipe_names

    found = {name: load_recipe(name).description for name in recipe_names()}
    if as_json:
        print_json(found)
    else:
        width = max(map(len, found), default=0)
        for name, description in found.items():
            print(f"{name:<{width}}  {description}".rstrip())
    return 0
