"""A page of text and pictures, drawn with Pillow from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image as PillowImage
from PIL import ImageDraw

from .drawing import INK, MARGIN, PAPER, Color, font, line_height, wrapped


class Page:
    """A page that grows downwards: each thing is put below the one before, and all is drawn at the end."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._y = MARGIN
        self._texts: list[tuple[int, int, str, int, Color]] = []
        self._tiles: list[tuple[int, int, PillowImage.Image]] = []

    def space(self, pixels: int) -> None:
        self._y += pixels

    def line(self, text: str, size: int, color: Color = INK) -> None:
        """One line, as it is."""
        self._texts.append((MARGIN, self._y, text, size, color))
        self._y += line_height(size)

    def text(self, text: str, size: int, color: Color = INK) -> None:
        for line in wrapped(text, size, self.width):
            self.line(line, size, color)

    def columns(self, columns: Sequence[tuple[int, list[str]]], size: int, color: Color = INK) -> None:
        """Lines beside each other, each column from its x on."""
        for x, lines in columns:
            for number, line in enumerate(lines):
                self._texts.append((MARGIN + x, self._y + number * line_height(size), line, size, color))
        self._y += line_height(size) * max(len(lines) for _, lines in columns)

    def cells(self, cells: Sequence[tuple[int, str, Color]], size: int) -> None:
        """One line of texts beside each other, each from its x on and in its color."""
        self._texts += [(MARGIN + x, self._y, text, size, color) for x, text, color in cells]
        self._y += line_height(size)

    def tiles(self, tiles: Sequence[tuple[int, PillowImage.Image]]) -> None:
        """Pictures beside each other, each from its x on."""
        for x, tile in tiles:
            self._tiles.append((MARGIN + x, self._y, tile))
        self._y += max(tile.height for _, tile in tiles)

    def finished(self) -> PillowImage.Image:
        page = PillowImage.new("RGB", (self.width + 2 * MARGIN, self._y + MARGIN), PAPER)
        for x, y, tile in self._tiles:
            page.paste(tile, (x, y))
        draw = ImageDraw.Draw(page)
        for x, y, text, size, color in self._texts:
            draw.text((x, y), text, fill=color, font=font(size))
        return page
