"""Colors, text and files of the pictures that are drawn with Pillow, so that the base install can draw them.

The font is the one that comes with Pillow.  It has Latin letters; a frame stands for any other.  The two
colors of a verdict are the blue and the vermilion of Okabe and Ito ("Color universal design", 2008), which
all common kinds of color vision keep apart.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from PIL import Image as PillowImage
from PIL import ImageFont

from ..errors import UsageError
from ..utils.atomic_write import write_bytes
from ..utils.escape import one_line

Color = tuple[int, int, int]

BLUE: Color = (0, 114, 178)
VERMILION: Color = (213, 94, 0)
NEUTRAL: Color = (150, 150, 150)
INK: Color = (25, 25, 25)
FAINT: Color = (95, 95, 95)
PAPER: Color = (255, 255, 255)

MARGIN = 28  # pixels around a page

ENDINGS = (".png", ".jpg", ".jpeg")
LONGEST = 2000  # characters of a text that are looked at; no page has room for more


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of every picture."""
    return ImageFont.load_default(size=size)


def text_width(text: str, size: int) -> float:
    """Return the width of ``text`` on one line, in pixels."""
    return font(size).getlength(text)


def line_height(size: int) -> int:
    """Return the distance from one line of text to the next, in pixels."""
    return round(size * 1.35)


def wrapped(text: str, size: int, width: float) -> list[str]:
    """Return ``text`` in lines no wider than ``width`` pixels; a word that is wider is broken."""
    lines = [""]
    for word in one_line(" ".join(text[:LONGEST].split())).split():
        for piece in _pieces(word, size, width):
            longer = f"{lines[-1]} {piece}".strip()
            if lines[-1] and text_width(longer, size) > width:
                lines.append(piece)
            else:
                lines[-1] = longer
    return [line for line in lines if line]


def _pieces(word: str, size: int, width: float) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and text_width(pieces[-1] + letter, size) > width:
            pieces.append(letter)
        else:
            pieces[-1] += letter
    return pieces


def shortened(text: str, size: int, width: float) -> str:
    """Return ``text`` on one line of at most ``width`` pixels: the middle of a longer one is left out."""
    text = one_line(text)
    if text_width(text, size) <= width:
        return text
    for kept in range(min(len(text), 200) - 1, 0, -1):
        short = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        if text_width(short, size) <= width:
            return short
    return "..."


def check_picture_name(path: str | Path) -> None:
    """Raise UsageError unless ``path`` ends as a picture that can be written: .png, .jpg or .jpeg."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: a picture is written as .png, .jpg or .jpeg; change the ending")


def save_picture(image: PillowImage.Image, path: str | Path) -> None:
    """Write a PNG or a JPEG, by the ending of ``path``, whole or not at all.

    Raises:
        UsageError: ``path`` has another ending.
        DataError: The file cannot be written.
    """
    check_picture_name(path)
    if Path(path).suffix.lower() == ".png":
        write_bytes(path, png(image))
        return
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    write_bytes(path, buffer.getvalue())


def png(image: PillowImage.Image) -> bytes:
    """Return an image as a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)  # 9 takes eight times as long for 7 % less
    return buffer.getvalue()
