"""The people of a clustering as one HTML page: a row of faces each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import __version__
from ..reports.elements import Block, Document, FaceRow, Items, Paragraph, Section
from ..reports.html import to_html
from ..utils.wording import counted

if TYPE_CHECKING:
    from .result import ClusteredFace, Clustering

FACES = 24
"""Faces of a person that are shown."""

PEOPLE = 400
"""People of several faces that are shown, and people of a single face."""

PAIRS = 400
"""Pairs of people to review that are listed."""


def people_page(clustering: Clustering) -> str:
    """Return the page as one self-contained HTML file, with the faces in it."""
    several = [i for i in clustering.numbers if clustering.has_folder(i)]
    alone = [i for i in clustering.numbers if not clustering.has_folder(i)]
    single = [face for i in alone for face in clustering.faces_of(i)]
    rows: list[Block] = [_row(clustering, person) for person in several[:PEOPLE]]
    if len(several) > PEOPLE:
        rows.append(Paragraph(f"{len(several) - PEOPLE:,} more people are in the folders.", weak=True))
    sections = [Section("people", "People", tuple(rows or [Paragraph("No person has several faces.")]))]
    if clustering.review:
        pairs = tuple(
            f"{_title(clustering, pair.a)} and {clustering.label(pair.b)}: score {pair.score:.3f}"
            for pair in clustering.review[:PAIRS]
        )
        note = Paragraph("The mean score of these people is just below the threshold: they may be one.")
        blocks: list[Block] = [note, Items(pairs)]
        if len(clustering.review) > PAIRS:
            more = len(clustering.review) - PAIRS
            blocks.append(Paragraph(f"{more:,} more pairs are in the output of --json.", weak=True))
        sections.append(Section("review", "To review", tuple(blocks)))
    if single:
        row = _faces(f"Single faces: {len(single):,}", single, PEOPLE)
        sections.append(Section("single", "People with a single face", (row,)))
    end = f"Made by facealike {__version__} with model {clustering.model}."
    return to_html(Document("People in photos", str(clustering), tuple(sections), end))


def _row(clustering: Clustering, person: int) -> FaceRow:
    faces = clustering.faces_of(person)
    count = counted(len(faces), "face")
    return _faces(f"{_title(clustering, person)}: {count}", faces, FACES)


def _title(clustering: Clustering, person: int) -> str:
    return clustering.names.get(person, f"Person {person}")


def _faces(caption: str, faces: tuple[ClusteredFace, ...] | list[ClusteredFace], most: int) -> FaceRow:
    shown = tuple((face.thumbnail, face.photo) for face in faces[:most])
    return FaceRow(caption, shown, max(0, len(faces) - most))
