"""Draw the people of a clustering on one picture: a row of faces each."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image as PillowImage
from PIL import ImageDraw

from ..errors import UsageError
from ..plotting.drawing import FAINT, INK, MARGIN, PAPER, font, line_height, wrapped
from ..utils.escape import one_line
from ..utils.wording import counted

if TYPE_CHECKING:
    from .result import Clustering

FACES = 10
"""Faces of a person."""

TILE, GAP = 96, 6  # pixels
TITLE, TEXT = 22, 14  # sizes of the font
WIDTH = 2 * MARGIN + FACES * (TILE + GAP) - GAP


def contact_sheet(clustering: Clustering, people: int) -> PillowImage.Image:
    """Return a picture of the first ``people``, each with the first of their faces.

    Raises:
        UsageError: ``people`` is below 1.
    """
    if people < 1:
        raise UsageError(f"a contact sheet shows at least one person, not {people}")
    shown = clustering.numbers[:people]
    subtitle = wrapped(str(clustering), TEXT, WIDTH - 2 * MARGIN)
    head = MARGIN + line_height(TITLE) + len(subtitle) * line_height(TEXT) + GAP
    row = line_height(TEXT) + TILE + 2 * GAP
    page = PillowImage.new("RGB", (WIDTH, head + len(shown) * row + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), "People in photos", fill=INK, font=font(TITLE))
    for i, line in enumerate(subtitle):
        y = MARGIN + line_height(TITLE) + i * line_height(TEXT)
        draw.text((MARGIN, y), line, fill=FAINT, font=font(TEXT))
    for i, person in enumerate(shown):
        faces, y = clustering.faces_of(person), head + i * row
        count = counted(len(faces), "face")
        draw.text((MARGIN, y), f"{one_line(clustering.label(person))}: {count}", fill=INK, font=font(TEXT))
        for j, face in enumerate(faces[:FACES]):
            if face.thumbnail:
                tile = PillowImage.open(io.BytesIO(face.thumbnail)).convert("RGB").resize((TILE, TILE))
                page.paste(tile, (MARGIN + j * (TILE + GAP), y + line_height(TEXT) + 2))
    return page
