"""``facealike models``, the stored models by name, and ``facealike model``, one model file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..utils.escape import one_line
from .console import command, print_json, print_table, progress_bar, say, show
from .options import DeviceOption, JsonOption, check_folder

if TYPE_CHECKING:
    from ..model_file.model_file import ModelFile
    from ..model_file.preprocessing import Align
    from ..model_file.store import StoredModel
    from ..model_zoo.onnx_import import OnnxConfig

app = typer.Typer(help="Add models by name, your own and public ones.", no_args_is_help=True)
model_app = typer.Typer(help="Look into a model file.", no_args_is_help=True)

FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="A model file or name; by default the default model."),
]
RegistryOption = Annotated[
    Path | None, typer.Option("--registry", metavar="FILE", help="A registry of your own, in TOML.")
]


@app.command("list")
@command
def list_(registry: RegistryOption = None, as_json: JsonOption = False) -> int:
    """List the models that are here, and those that the registry knows how to get.

    Every stored file is verified on the way.  Exit code: 0, or 2 if one is damaged.
    """
    from ..model_file.locate import read_model_file
    from ..model_file.store import DEFAULT_MODEL, StoredModel, models_folder, stored_models
    from ..model_zoo.registry import read_registry

    entries = read_registry(registry)
    here = [StoredModel(DEFAULT_MODEL, Path(), read_model_file()), *stored_models()]
    names = {model.name for model in here}
    if as_json:
        print_json(
            {
                "folder": str(models_folder()),
                "models": [_describe(model) for model in here],
                "registry": [entry.to_dict() for entry in entries.values()],
            }
        )
    else:
        print_table(
            ["name", "id", "calibration", "commercial use", "license of the weights"],
            [_row(model) for model in here],
        )
        missing = [entry for entry in entries.values() if entry.name not in names]
        for entry in missing:
            license = entry.licences.get("weights")
            stated = "no license stated" if license is None else str(license)
            show()
            show(f"to add: {entry.name}, {entry.download_size / 1e6:.0f} MB, {stated}")
            show(f"  {entry.about}")
    damaged = [model for model in here if model.problem is not None]
    for model in damaged:
        say(f"{model.problem}; or remove it with facealike models remove {model.name}")
    return 2 if damaged else 0


@app.command()
@command
def add(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            show_default=False,
            help="A name of the registry, an .onnx file, an OpenVINO .xml, a .facealike file, or a bundle.",
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="What to call it.")] = None,
    size: Annotated[
        int | None, typer.Option("--input", metavar="PIXELS", help="ONNX: the side of the face crop.")
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option("--normalize", metavar="HOW", help="ONNX: arcface, 0-1, raw, or MEAN/STD as 127.5/128."),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option("--align", metavar="HOW", help="ONNX: landmarks (ArcFace's template) or box."),
    ] = None,
    bgr: Annotated[bool, typer.Option("--bgr", help="ONNX: the network takes blue first.")] = False,
    license: Annotated[
        str | None,
        typer.Option("--license", metavar="NAME", help="ONNX: the license of the weights, such as MIT."),
    ] = None,
    commercial_only: Annotated[
        bool, typer.Option("--commercial-only", help="Refuse weights not surely allowed for commercial use.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model that has this name.")] = False,
    registry: RegistryOption = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Of the registry: the network without score normalization and calibration."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Keep a model for use by name, as in --model NAME.

    Files from the registry are verified by their SHA-256; an interrupted download goes on where it
    stopped.  An ONNX embedder gets our detector, and has no threshold until facealike calibrate.

    Exit code: 0, or 2 on an error.
    """
    from ..model_zoo.install import add_model

    config = _onnx_config(size, normalize, align, bgr)
    with progress_bar("downloading", unit="bytes") as progress:
        added = add_model(source, name, config, license, commercial_only, replace, registry, progress, plain)
    if as_json:
        print_json({"added": [_describe(model) for model in added]})
        return 0
    for model in added:
        assert model.file is not None
        show(f"{model.name}: id {model.file.id}, {model.path}")
        for line in _remarks(model.name, model.file):
            say(line)
    return 0


@app.command()
@command
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="A stored model.")],
    as_json: JsonOption = False,
) -> int:
    """Delete a stored model.  Exit code: 0, or 2 if there is none of this name."""
    from ..model_file.store import remove_model

    path = remove_model(name)
    if as_json:
        print_json({"removed": str(path)})
    else:
        show(f"removed {path}")
    return 0


@app.command()
@command
def bundle(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", show_default=False, help="Stored models, or default."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", show_default=False, help="The .zip to write.")
    ],
    as_json: JsonOption = False,
) -> int:
    """Put models into one file, for machines without a network: models add takes it there.

    Exit code: 0, or 2 on an error.
    """
    from ..model_zoo.bundle import write_bundle

    check_folder(out)
    ids = write_bundle(names, out)
    if as_json:
        print_json({"out": str(out), "models": dict(zip(names, ids, strict=True))})
    else:
        show(f"{out}: {', '.join(names)}")
    return 0


@model_app.command()
@command
def info(
    path: FileArgument = None,
    as_json: JsonOption = False,
) -> int:
    """Show what a model is for, how it decides, how well, and of what it is made, on one page.

    With --json everything that its file states.  The file is verified on the way.

    Exit code: 0, or 2 for a file that is not whole.
    """
    from ..model_file.locate import read_model_file
    from ..model_file.page import model_page

    file = read_model_file(path)
    if as_json:
        print_json(_describe_file(file))
    else:
        for line in model_page(file, min(shutil.get_terminal_size().columns, 100)):
            show(line)
    return 0


@model_app.command()
@command
def verify(
    path: FileArgument = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> int:
    """Check every hash of a model, and that it runs here: it embeds drawn crops and looks for faces.

    Exit code: 0, or 2 for a file that is not whole or does not run.
    """
    from ..model_zoo.self_test import verify_model

    found = verify_model(path, device)
    if as_json:
        print_json(found.to_dict())
    else:
        show(str(found))
    return 0


def _onnx_config(size: int | None, normalize: str | None, align: str | None, bgr: bool) -> OnnxConfig | None:
    """What the options say of an ONNX file; None where they say nothing."""
    if size is None and normalize is None and align is None and not bgr:
        return None
    from ..model_zoo.onnx_import import OnnxConfig

    how = cast("Align", align or "landmarks")  # Preprocessing refuses what is none
    return OnnxConfig(size, normalize or "arcface", how, "bgr" if bgr else "rgb")


def _remarks(name: str, file: ModelFile) -> list[str]:
    """What the user of a model should know before its first verdict."""
    from ..model_zoo.registry_fits import fitted, has_fits

    remarks = []
    if has_fits(file):
        remarks.append(f"{name} has score normalization and a threshold that facealike fitted; see --plain")
    if file.calibration.is_none:
        if file.id in fitted()["models"]:
            remarks.append(f"{name} gets score normalization and a threshold without --plain, with --replace")
        remarks.append(
            f"{name} is not calibrated: learn its threshold with facealike calibrate {name} DIR -o FILE, "
            f"then facealike models add FILE --name {name} --replace"
        )
    for part in ("weights", "training_data"):
        license = file.card.licences.get(part)
        if license is not None and license.commercial is not True:
            remarks.append(f"{name}: license of the {part.replace('_', ' ')}: {license}")
    return remarks


def _describe(model: StoredModel) -> dict[str, Any]:
    file = model.file
    table: dict[str, Any] = {"name": model.name, "path": str(model.path), "problem": model.problem}
    if file is None:
        return table
    return {
        **table,
        "id": file.id,
        "calibrated": file.calibration.state == "calibrated",
        "calibration": file.calibration.state,
        "commercial": _commercial(file),
        "licences": {part: license.to_dict() for part, license in file.card.licences.items()},
    }


def _commercial(file: ModelFile) -> bool | None:
    weights = file.card.licences.get("weights")
    return None if weights is None else weights.commercial


def _row(model: StoredModel) -> list[str]:
    file = model.file
    if file is None:
        return [model.name, "damaged", "", "", ""]
    use = {True: "yes", False: "no", None: "not stated"}[_commercial(file)]
    license = one_line(file.card.licence.get("weights", "not stated"))
    short = license if len(license) <= 40 else f"{license[:37]}..."
    return [model.name, file.id, file.calibration.state, use, short]


def _describe_file(file: ModelFile) -> dict[str, Any]:
    from ..datasets.seen import counts

    card = file.card.to_dict()
    # Thousands of digests are of no use to a reader.
    card["identity_hashes"] = len(file.card.identity_hashes)
    if file.card.trained_on:
        card["trained_on"] = counts(file.card.trained_on)
    return {
        "id": file.id,
        "card": card,
        "calibration": file.calibration.summary(),
        "preprocessing": file.preprocessing.to_dict(),
        "detector": file.detector_spec,
        "embedder_bytes": len(file.embedder),
    }
