"""The options and the rows of the benchmarks that search galleries of the people of LFW."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.common.record import append_rows, circumstances
from facealike.datasets.people import People
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.embed_dataset import PhotoVectors, embed_photos


def people_options(about: str | None, csv: Path, cache: bool = False) -> argparse.ArgumentParser:
    """Return a parser with the folder of people, the model, the seed, and whether rows are written.

    Args:
        about: The docstring of the benchmark; its first line is the description.
        csv: Where rows go.
        cache: Also take a folder for face crops, for ``embedded_people``.
    """
    parser = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    parser.add_argument("people", type=Path, help="LFW, one sub-folder a person")
    parser.add_argument("--model", help="a model file; the default model without it")
    parser.add_argument("--seed", type=int, default=0, help="which people and photos are drawn")
    parser.add_argument("--write", action="store_true", help=f"append to {csv.name}")
    if cache:
        parser.add_argument("--cache", type=Path, help="keep face crops here")
    return parser


def embedded_people(options: argparse.Namespace) -> tuple[People, Model, PhotoVectors]:
    """Return the people that the options name, the model, and all their photos embedded, in their order."""
    everyone, model = People.from_folder(options.people), Model.load(options.model)
    paths = [str(path) for path in everyone.paths]
    return everyone, model, embed_photos(model, paths, LFW_FACE, options.cache, None)


def state_rows(
    found: Iterable[Mapping[str, object]], csv: Path, model: str, options: argparse.Namespace
) -> None:
    """Print each row as it is found, and append all with their circumstances if ``--write`` asks for it."""
    rows = []
    for row in found:
        print(row, flush=True)
        rows.append({**circumstances("onnxruntime"), "model": model, "seed": options.seed, **row})
    if options.write:
        append_rows(csv, rows)
