"""What the served model is and how far to trust it: card, operating points, survival function, groups."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ..calibration.calibration import Calibration
from ..client.model_description import CardDescription, GroupRates, OperatingRates
from ..model_file.card import ModelCard


def card_of(card: ModelCard) -> CardDescription:
    """Return what the card says of use, limits and licenses."""
    return CardDescription(
        created=card.created, intended_use=card.intended_use, limits=card.limits, licence=card.licence
    )


def operating_rates(calibration: Calibration) -> list[OperatingRates]:
    """Return the operating points, the highest FMR first."""
    return [
        OperatingRates(
            fmr=point.fmr, fmr_interval=(point.fmr_low, point.fmr_high), threshold=point.threshold,
            fnmr=point.fnmr, impostor_pairs=point.impostor,
        )
        for point in sorted(calibration.operating_points, key=lambda point: -point.fmr)
    ]  # fmt: skip


def group_rates(card: ModelCard) -> GroupRates | None:
    """Return the FMR of each group that the card states; None where it has no such table."""
    table: Any = card.metrics.get("groups")
    try:
        return GroupRates(
            data=table["data"], photos=table["photos"], threshold=table["threshold"],
            overall=table["everybody"], fmr=table["fmr"],
        )  # fmt: skip
    except (KeyError, TypeError, ValidationError):
        return None  # a card is free to hold other metrics
