"""The text of ``facealike model info``: purpose, decision rule, metrics, and provenance of a model."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ..calibration.calibration import Calibration
from ..datasets.seen import counts
from ..detection.face_policy import ALIGNED, face_words
from ..utils.json_fields import is_number
from ..utils.wording import in_percent, rate_text, rate_with_interval, rule_in_words
from .licenses import License
from .model_file import ModelFile

LABEL = 14  # columns of the names on the left
MAX_EVALUATIONS = 6
"""Evaluations of a card that the page shows."""

SHARES = {"accuracy": "accuracy", "f1": "F1", "auc": "AUC"}
ERRORS = {"fmr": "FMR", "fnmr": "FNMR"}
"""Figures of an evaluation on the page, in this order; error rates in percent."""


def model_page(file: ModelFile, width: int = 80) -> list[str]:
    """Return the lines of the page, none longer than ``width`` unless a word is."""
    card = file.card
    lines = [f"{card.name}, id {file.id}, made {card.created}", ""]
    for heading, rows in (
        ("", [("for", card.intended_use), ("limits", card.limits)]),
        ("Decision", list(_decision(file.calibration))),
        ("Measured", list(_measured(card.metrics))),
        ("Made of", list(_made(file))),
        ("License", [(part, _license(text, card.licences.get(part))) for part, text in card.licence.items()]),
    ):
        if heading:
            lines += ["", heading]
        for name, text in rows:
            lines += _row(name, text, width)
        if heading == "Decision":
            lines += _points(file.calibration)
    return [*lines, "", "facealike model info --json has everything: recipe, provenance, every metric"]


def _row(name: str, text: str, width: int) -> list[str]:
    available = max(width - LABEL - 2, 20)
    first, *more = textwrap.wrap(text, available, break_on_hyphens=False) or [""]
    if len(name) > LABEL:
        return [f"  {name}", *(f"  {'':{LABEL}}{line}" for line in (first, *more))]
    return [f"  {name:{LABEL}}{first}", *(f"  {'':{LABEL}}{line}" for line in more)]


def _decision(found: Calibration) -> Iterator[tuple[str, str]]:
    if found.is_none:
        yield "threshold", "none: not calibrated; learn one with facealike calibrate"
        return
    yield "calibration", found.state
    yield "threshold", f"{found.threshold:.3f} ({rule_in_words(found.rule)})"
    policy = found.face if found.threshold_people is None else found.threshold_face
    yield "chosen on", found.threshold_from + _faces(policy)
    if found.band is not None:
        low, high = found.band
        yield "uncertain", f"scores from {low:.3f} to {high:.3f}, the threshold's 95 % interval"
    if found.calibrator is None:
        yield "probability", "none; facealike calibrate fits it"
    else:
        yield "probability", str(found.calibrator)
        yield "learned from", f"{found.pairs:,} pairs of {found.people}" + _faces(found.face)


def _faces(policy: str | None) -> str:
    """Return which face of each photo a calibration was learned on, as the end of a sentence."""
    if policy is None:
        return ""
    return ", face crops as they are" if policy == ALIGNED else f", {face_words(policy)} of each photo"


def _points(found: Calibration) -> list[str]:
    """The table of operating points."""
    if not found.operating_points:
        return []
    rows = [("--fmr", "threshold", "misses", "FMR, 95 % interval")]
    for point in found.operating_points:
        # So many pairs cannot tell a lower rate from none.
        low = in_percent(point.fmr_low) if point.fmr_low >= 1 / point.impostor else "0"
        rows.append(
            (
                f"{point.fmr:g}", f"{point.threshold:.3f}", rate_text(point.fnmr),
                f"{low}-{in_percent(point.fmr_high)} %",
            )
        )  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return [
        f"  FMR and misses are those of {found.people}:",
        *("  " + "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows),
    ]


def _measured(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield one row for each evaluation; of demographic groups, the worst group of each column."""
    evaluations = [(name, table) for name, table in metrics.items() if isinstance(table, dict)]
    for name, table in evaluations[:MAX_EVALUATIONS]:
        text = "; ".join(_worst_groups(table) if "spread" in table else _rates(table))
        if text:
            yield name, text
    single = [f"{name} {value:.3g}" for name, value in metrics.items() if is_number(value)]
    if single:
        yield "rates", ", ".join(single)
    if not evaluations and not single:
        yield "nothing", "the card has no metrics"


def _rates(table: Mapping[str, Any]) -> Iterator[str]:
    shares = [f"{word} {_share(table, key)}" for key, word in SHARES.items() if is_number(table.get(key))]
    errors = [f"{word} {_error(table, key)}" for key, word in ERRORS.items() if is_number(table.get(key))]
    if shares or errors:
        yield ", ".join([*shares, *errors])
    counts = [f"{table[key]:,} {key}" for key in ("pairs", "people") if type(table.get(key)) is int]
    if counts:
        yield " of ".join(counts)


def _share(table: Mapping[str, Any], key: str) -> str:
    bounds, error = _bounds(table, key), table.get("standard_error")
    if bounds is not None:
        return f"{table[key]:.3f} [{bounds[0]:.3f}, {bounds[1]:.3f}]"
    return f"{table[key]:.3f}" + (f" ± {error:.3f}" if key == "accuracy" and is_number(error) else "")


def _error(table: Mapping[str, Any], key: str) -> str:
    bounds = _bounds(table, key)
    return rate_text(table[key]) if bounds is None else rate_with_interval(table[key], *bounds)


def _bounds(table: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    found = table.get("intervals")
    interval = found.get(key) if isinstance(found, dict) else None
    if (
        not isinstance(interval, dict)
        or not is_number(interval.get("low"))
        or not is_number(interval.get("high"))
    ):
        return None
    return interval["low"], interval["high"]


def _worst_groups(table: Mapping[str, Any]) -> Iterator[str]:
    spread = table["spread"]
    for column, found in spread.items() if isinstance(spread, dict) else ():
        rates = found.get("worst_fmr") if isinstance(found, dict) else None
        if isinstance(rates, list) and rates and is_number(rates[0]) and " x " not in column:
            yield f"worst {column}: {found.get('worst')}, FMR {rate_text(rates[0])}"
    if type(table.get("photos")) is int:
        yield f"{table['photos']:,} photos"


def _made(file: ModelFile) -> Iterator[tuple[str, str]]:
    card = file.card
    known = counts(card.trained_records)["people"]
    people = f"{known:,} people" if known else ""
    photos = card.data.get("photos")
    counted = f"{photos:,} photos" if type(photos) is int else ""
    seen = card.data.get("seen")
    parts = seen if isinstance(seen, dict) else {}
    if "embedder" not in parts or people:
        yield "trained on", " of ".join(filter(None, (counted, people))) or "not stated"
    for name, key in (("teacher", "teacher"), ("began with", "initialisation")):
        if isinstance(card.provenance.get(key), str):
            yield name, card.provenance[key]
    yield "network", f"{len(file.embedder) / 1e6:.1f} MB of ONNX"
    crop = file.preprocessing
    yield "crop", f"{crop.size} x {crop.size} pixels, aligned by {crop.align}"
    found = str(file.detector_spec["kind"])
    for part, data in {"detector": "", **parts}.items():
        source = f"from {data}" if data else ""
        yield part, ", ".join(filter(None, (found, source))) if part == "detector" else source


def _license(text: str, known: License | None) -> str:
    return text if known is None else f"{known}; {known.source}" if known.source else str(known)
