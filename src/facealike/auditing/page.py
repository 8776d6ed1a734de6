"""The report of an audit as one HTML page, without scripts, the most serious faults first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import __version__
from ..reports.elements import Block, Cell, Document, FaceRow, Items, KeyNumbers, Paragraph, Section
from ..reports.html import to_html
from .faults import KINDS, Fault

if TYPE_CHECKING:
    from .result import Audit

MOST = 300
"""Faults of one kind that are shown."""


def audit_page(audit: Audit) -> str:
    """Return the page."""
    sections = [Section("set", "The set", (_numbers(audit), *_remarks(audit)))]
    sections += [_section(audit, kind) for kind in audit.counts]
    subtitle = f"{audit.folder}" + ("" if audit.against is None else f", against {audit.against}")
    end = f"Made by facealike {__version__} with model {audit.model}. Nothing in the folder was changed."
    return to_html(Document("Audit of photos", subtitle, tuple(sections), end))


def _numbers(audit: Audit) -> KeyNumbers:
    mean = audit.photos / max(audit.people, 1)
    return KeyNumbers(
        (
            ("photos", Cell(f"{audit.photos:,}"), "in folders of people"),
            ("people", Cell(f"{audit.people:,}"), f"{audit.single:,} of them with a single photo"),
            ("photos a person", Cell(f"{mean:.1f}"), f"at most {audit.most:,}, of {audit.largest}"),
            ("labels and copies", Cell(f"{len(audit.serious):,}"), "faults to check first"),
        )
    )


def _remarks(audit: Audit) -> tuple[Block, ...]:
    found = tuple(f"{KINDS[kind].heading}: {count:,}" for kind, count in audit.counts.items())
    return (
        Items(found or ("Nothing was found.",)),
        Paragraph(
            "A probability is that of the model's calibration, with the number of people it was searched "
            "among taken into account. It is no proof: look at the photos.",
            weak=True,
        ),
    )


def _section(audit: Audit, kind: str) -> Section:
    faults, what = audit.of(kind), KINDS[kind]
    blocks: list[Block] = [Paragraph(f"{what.meaning} Suggested: {what.action}.".strip())]
    if what.serious:
        blocks += [_pair(audit, one) for one in faults[:MOST]]
    else:
        some = tuple((audit.thumbnails.get(one.photo, b""), str(one)) for one in faults[:MOST])
        seen = tuple(row for row in some if row[0])
        if seen:
            blocks.append(FaceRow(f"{len(faults):,} photos", seen))
        blocks.append(Items(tuple(str(one) for one in faults[:MOST])))
    if len(faults) > MOST:
        blocks.append(Paragraph(f"{len(faults) - MOST:,} more are in the table of faults.", weak=True))
    return Section(kind.replace("_", "-"), what.heading, tuple(blocks))


def _pair(audit: Audit, fault: Fault) -> FaceRow:
    names = (fault.photo, fault.other_photo)
    faces = tuple((audit.thumbnails[name], name) for name in names if audit.thumbnails.get(name))
    return FaceRow(f"{fault}. {fault.action[:1].upper()}{fault.action[1:]}?", faces)
