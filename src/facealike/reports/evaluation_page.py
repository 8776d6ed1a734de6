"""The page of a full test, in the order of NIST's FRTE and ISO/IEC 19795-1."""

from __future__ import annotations

from .. import __version__
from ..evaluation.full_result import FullEvaluation
from . import evaluation_sections as sections
from .elements import Document
from .html import to_html


def evaluation_page(result: FullEvaluation) -> str:
    """Return the result as one HTML file that loads nothing from elsewhere.

    Without matplotlib it has no figures, and says so.
    """
    of = result.conditions
    parts = (
        sections.tested(result),
        sections.data(result),
        sections.acquire(result),
        sections.template(result),
        sections.verification(result),
        sections.extrapolated(result),
        sections.by_age(result),
        sections.by_group(result),
        sections.identification(result),
        sections.quality(result),
        sections.not_measured(result),
    )
    document = Document(
        title=f"Face recognition test of {of.name}",
        subtitle=f"Model {of.model} on {of.data}, {of.date}",
        sections=tuple(part for part in parts if part is not None),
        end=f"Made by facealike {__version__} on {of.date}, seed {of.seed}.",
    )
    return to_html(document)
