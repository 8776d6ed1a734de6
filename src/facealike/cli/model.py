"""``facealike model``: what is in a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import command, one_line, print_json, show
from .options import DeviceOption, JsonOption

if TYPE_CHECKING:
    from ..calibration import Calibration
    from ..licence import Licence
    from ..model import ModelFile

app = typer.Typer(help="Look into a model file.", no_args_is_help=True)


@app.command()
@command
def info(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A model file or name; by default the one that ships with facealike."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show the card of a model: licence, data, threshold, metrics, intended use and limits.

    The file is verified on the way.  Exit code: 0, or 2 for a file that is not whole.
    """
    from ..embed import read_model_file

    file = read_model_file(path)
    if as_json:
        print_json(_describe(file))
    else:
        _print(file)
    return 0


@app.command()
@command
def verify(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A model file or name; by default the one that ships with facealike."
        ),
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> int:
    """Check every hash of a model, and that it runs here: it embeds drawn crops and looks for faces.

    Exit code: 0, or 2 for a file that is not whole or does not run.
    """
    from ..verify import verify_model

    found = verify_model(path, device)
    if as_json:
        print_json(found.to_dict())
    else:
        show(str(found))
    return 0


def _describe(file: ModelFile) -> dict[str, Any]:
    card = file.card.to_dict()
    card["identity_hashes"] = len(file.card.identity_hashes)  # thousands, and of no use to a reader
    return {
        "id": file.id,
        "card": card,
        "calibration": file.calibration.to_dict(),
        "preprocessing": file.preprocessing.to_dict(),
        "detector": file.detector_spec,
        "embedder_bytes": len(file.embedder),
    }


def _print(file: ModelFile) -> None:
    card, calibration, crop = file.card, file.calibration, file.preprocessing
    lines = {
        "model": f"{card.name}, id {file.id}, made {card.created}",
        "embedder": f"{len(file.embedder):,} bytes",
        "crop": f"{crop.size} x {crop.size} pixels by {crop.align}",
        "detector": file.detector_spec["kind"],
        **_calibration(calibration),
        "trained on": f"{len(card.identity_hashes):,} people" if card.identity_hashes else "not told",
        **{
            f"licence of {part}": _licence(text, card.licences.get(part))
            for part, text in card.licence.items()
        },
        **_flat("data", card.data),
        **_flat("metric", card.metrics),
        **_flat("made by", card.provenance),
        "intended use": card.intended_use,
        "limits": card.limits,
    }
    width = max(map(len, lines))
    for name, text in lines.items():
        show(f"{one_line(name):<{width}}  {one_line(str(text))}")


def _licence(text: str, known: Licence | None) -> str:
    return text if known is None else f"{known}; {known.source}" if known.source else str(known)


def _calibration(found: Calibration) -> dict[str, str]:
    if found.is_none:
        return {"threshold": "none: not calibrated; learn one with facealike calibrate"}
    lines = {"threshold": f"{found.threshold:.4f} ({found.rule}, on {found.pairs:,} pairs of {found.people})"}
    if found.band is not None:
        low, high = found.band
        lines["uncertain"] = f"scores from {low:.4f} to {high:.4f}, the threshold's 95 % interval"
    lines["probability"] = (
        "none: this model has no calibration for it" if found.calibrator is None else str(found.calibrator)
    )
    for point in found.operating_points:
        lines[f"at FMR {point.fmr:g}"] = (
            f"threshold {point.threshold:.4f}, FNMR {point.fnmr:.3f}; FMR {point.fmr_low:.2g} to "
            f"{point.fmr_high:.2g} on {point.impostor:,} impostor pairs"
        )
    return lines


def _flat(prefix: str, table: dict[str, Any]) -> dict[str, str]:
    """Nested tables as one line an entry."""
    lines: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            lines.update(_flat(f"{prefix} {name}", value))
        else:
            lines[f"{prefix} {name}"] = f"{value:.4g}" if isinstance(value, float) else str(value)
    return lines
