"""The elements of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias


class Cell(NamedTuple):
    """A number, with its interval or another small note."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Paragraph:
    """Sentences; ``weak`` ones are set smaller."""

    text: str
    weak: bool = False


@dataclass(frozen=True)
class Items:
    """A list of sentences; those of kind ``warning`` are highlighted."""

    items: tuple[str, ...]
    kind: Literal["plain", "warning"] = "plain"


@dataclass(frozen=True)
class KeyNumbers:
    """The most important numbers: name, number with its interval, meaning."""

    entries: tuple[tuple[str, Cell, str], ...]


@dataclass(frozen=True)
class Table:
    """Cells in rows; the first cell of a row is its heading.

    Args:
        caption: Above the table.
        header: One entry a column.
        rows: Cells.
        words: The columns that hold text and not numbers.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Terms:
    """Terms and their meanings, or settings and their values (``short``)."""

    entries: tuple[tuple[str, str], ...]
    short: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure as an ``<svg>`` element and as a PNG, with a description (``alt``) and a caption."""

    name: str
    title: str
    svg: str
    png: bytes
    alt: str
    caption: str


@dataclass(frozen=True)
class Pictures:
    """Figures side by side where the page is wide enough."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class PhotoPair:
    """Two photos that were compared: their names, and their crops as JPEG where they may be shown."""

    name: str
    a: str
    b: str
    score: str
    verdict: str
    crops: tuple[bytes, bytes] | None = None


@dataclass(frozen=True)
class PhotoPairs:
    """Pairs of photos; a format that shows none of them has a table of their names."""

    caption: str
    pairs: tuple[PhotoPair, ...]
    crops_in_markdown: bool = False


@dataclass(frozen=True)
class FaceRow:
    """Faces of one person side by side: each a JPEG and the name of its photo.

    Args:
        caption: Who it is, and how many faces.
        faces: The faces shown.
        hidden: How many more there are.
    """

    caption: str
    faces: tuple[tuple[bytes, str], ...]
    hidden: int = 0


Block: TypeAlias = "Paragraph | Items | KeyNumbers | Table | Terms | Pictures | PhotoPairs | FaceRow"


@dataclass(frozen=True)
class Section:
    """Blocks under a heading; ``name`` is its anchor."""

    name: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A title, a subtitle, sections, and a last line."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    end: str

    def pictures(self) -> dict[str, bytes]:
        """Return the files that the Markdown refers to, by name."""
        files = {}
        for block in (block for section in self.sections for block in section.blocks):
            if isinstance(block, Pictures):
                files.update({f"{picture.name}.png": picture.png for picture in block.pictures})
            elif isinstance(block, PhotoPairs) and block.crops_in_markdown:
                for pair in block.pairs:
                    for side, crop in zip("ab", pair.crops or (), strict=False):
                        files[f"{pair.name}-{side}.jpg"] = crop
        return files
