"""The plain parts that a report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias


class Cell(NamedTuple):
    """A number in a table or on its own, and its interval or another small remark."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Paragraph:
    """Sentences; ``weak`` ones are set smaller."""

    text: str
    weak: bool = False


@dataclass(frozen=True)
class Items:
    """A list of sentences; those of kind ``warning`` are set apart."""

    items: tuple[str, ...]
    kind: Literal["plain", "warning"] = "plain"


@dataclass(frozen=True)
class KeyNumbers:
    """The few numbers that matter most: what it is, the number with its interval, what it means."""

    entries: tuple[tuple[str, Cell, str], ...]


@dataclass(frozen=True)
class Table:
    """Cells in rows, the first of each row being its heading; ``header`` has one entry a column.

    The columns with a place in ``words`` hold text and not numbers.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Terms:
    """Words and what they mean, or settings and their values (``short``)."""

    entries: tuple[tuple[str, str], ...]
    short: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure: as an ``<svg>`` element and as a PNG, with what it shows (``alt``) and what it means."""

    name: str
    title: str
    svg: str
    png: bytes
    alt: str
    caption: str


@dataclass(frozen=True)
class Pictures:
    """Figures side by side where there is room."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class PhotoPair:
    """Two photos that were compared: their names, their crops as JPEG where they may be shown."""

    name: str
    a: str
    b: str
    score: str
    verdict: str
    crops: tuple[bytes, bytes] | None = None


@dataclass(frozen=True)
class PhotoPairs:
    """Pairs of photos; where a form shows none of them, a table of their names stands in."""

    caption: str
    pairs: tuple[PhotoPair, ...]
    crops_in_markdown: bool = False


Block: TypeAlias = "Paragraph | Items | KeyNumbers | Table | Terms | Pictures | PhotoPairs"


@dataclass(frozen=True)
class Section:
    """Parts under a heading; ``name`` is its anchor."""

    name: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A title, a line below it, sections, and a line at the end."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    end: str

    def pictures(self) -> dict[str, bytes]:
        """The files that the Markdown refers to, by name."""
        files = {}
        for block in (block for section in self.sections for block in section.blocks):
            if isinstance(block, Pictures):
                files.update({f"{picture.name}.png": picture.png for picture in block.pictures})
            elif isinstance(block, PhotoPairs) and block.crops_in_markdown:
                for pair in block.pairs:
                    for side, crop in zip("ab", pair.crops or (), strict=False):
                        files[f"{pair.name}-{side}.jpg"] = crop
        return files
