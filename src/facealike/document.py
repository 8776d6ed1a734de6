"""A document of plain parts, and its two forms: one HTML file that needs nothing else, and Markdown.

The HTML carries its style sheet, figures and pictures in itself, has no script and asks nothing of
the network.  The Markdown has the same text, with its figures as files beside it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple, TypeAlias

from .escape import html as escape
from .escape import markdown


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


# ---- HTML -------------------------------------------------------------------------------------

# Nothing but what is in the file itself may be loaded, and no script may run.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@cache
def style_sheet() -> str:
    """The style sheet of every page."""
    return (resources.files("facealike") / "document.css").read_text("utf-8")


def to_html(document: Document) -> str:
    """The document as one HTML file."""
    title = escape(document.title)
    links = "".join(
        f'<li><a href="#{section.name}">{escape(section.heading)}</a></li>' for section in document.sections
    )
    sections = "\n".join(_html_section(section) for section in document.sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>\n{style_sheet()}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{title}</h1>\n<p>{escape(document.subtitle)}</p>\n</header>\n"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n<main>\n{sections}\n</main>\n'
        f"<footer><p>{escape(document.end)}</p></footer>\n</body>\n</html>\n"
    )


def _html_section(section: Section) -> str:
    blocks = "\n".join(_html(block) for block in section.blocks)
    return (
        f'<section id="{section.name}" aria-labelledby="{section.name}-h">\n'
        f'<h2 id="{section.name}-h">{escape(section.heading)}</h2>\n{blocks}\n</section>'
    )


def _html(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p{' class=weak' if block.weak else ''}>{escape(block.text)}</p>"
    if isinstance(block, Items):
        items = "".join(f"<li>{escape(item)}</li>" for item in block.items)
        return f'<ul class="{block.kind}">{items}</ul>'
    if isinstance(block, KeyNumbers):
        return '<dl class="key">' + "".join(_html_key(*entry) for entry in block.entries) + "</dl>"
    if isinstance(block, Table):
        return _html_table(block)
    if isinstance(block, Terms):
        terms = "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in block.entries)
        return f'<dl class="{"settings" if block.short else "terms"}">{terms}</dl>'
    if isinstance(block, Pictures):
        return '<div class="figures">\n' + "\n".join(map(_html_picture, block.pictures)) + "\n</div>"
    if any(pair.crops for pair in block.pairs):
        return _html_pairs(block)
    return _html_table(_pair_table(block))


def _html_key(name: str, cell: Cell, meaning: str) -> str:
    return (
        f'<div><dt>{escape(name)}</dt><dd class="number">{_html_cell(cell)}</dd>'
        f"<dd>{escape(meaning)}</dd></div>"
    )


def _html_cell(cell: Cell) -> str:
    return escape(cell.text) + (f" <small>{escape(cell.small)}</small>" if cell.small else "")


def _html_table(table: Table) -> str:
    def kind(column: int) -> str:
        return ' class="words"' if column in table.words else ""

    head = "".join(f'<th scope="col"{kind(i)}>{escape(text)}</th>' for i, text in enumerate(table.header))
    rows = []
    for row in table.rows:
        cells = "".join(f"<td{kind(i)}>{_html_cell(cell)}</td>" for i, cell in enumerate(row) if i)
        rows.append(f'<tr><th scope="row" class="words">{_html_cell(row[0])}</th>{cells}</tr>')
    name = re.sub(r"[^a-z0-9]+", "-", table.caption.lower()).strip("-")
    # A wide table scrolls by itself, also by keyboard, and not the page with it.
    return (
        f'<h3 id="{name}">{escape(table.caption)}</h3>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}">\n'
        f'<table aria-labelledby="{name}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table>\n</div>"
    )


def _html_picture(picture: Picture) -> str:
    return (
        f"<figure>\n<h3>{escape(picture.title)}</h3>\n{picture.svg}\n"
        f"<figcaption>{escape(picture.caption)}</figcaption>\n</figure>"
    )


def _html_pairs(block: PhotoPairs) -> str:
    shown = []
    for pair in block.pairs:
        images = "".join(
            f'<img src="data:image/jpeg;base64,{base64.b64encode(crop).decode()}" '
            f'alt="{escape(name)}"'
            ' width="112" height="112">'
            for name, crop in zip((pair.a, pair.b), pair.crops or (), strict=False)
        )
        shown.append(
            f'<li><div class="crops">{images or "no crops"}</div><p><b>{escape(pair.score)}</b> '
            f"{escape(pair.verdict)}</p><p class=weak>{escape(pair.a)}<br>{escape(pair.b)}</p></li>"
        )
    return f'<h3>{escape(block.caption)}</h3>\n<ul class="pairs">\n' + "\n".join(shown) + "\n</ul>"


def _pair_table(block: PhotoPairs) -> Table:
    rows = tuple(tuple(map(Cell, (p.a, p.b, p.score, p.verdict))) for p in block.pairs)
    return Table(block.caption, ("photo", "other photo", "score", "decided"), rows, words=(0, 1, 3))


# ---- Markdown ---------------------------------------------------------------------------------


def to_markdown(document: Document, folder: str) -> str:
    """The document as Markdown, its pictures in ``folder``, a path relative to the file."""
    parts = [f"# {markdown(document.title)}", markdown(document.subtitle)]
    for section in document.sections:
        parts.append(f"## {markdown(section.heading)}")
        parts += [text for block in section.blocks for text in _markdown(block, folder)]
    return "\n\n".join([*parts, markdown(document.end)]) + "\n"


def _markdown(block: Block, folder: str) -> list[str]:
    if isinstance(block, Paragraph):
        return [markdown(block.text)]
    if isinstance(block, Items):
        return ["\n".join(f"- {markdown(item)}" for item in block.items)]
    if isinstance(block, KeyNumbers):
        rows = tuple((Cell(name), cell, Cell(meaning)) for name, cell, meaning in block.entries)
        return [_markdown_table(Table("", ("Measure", "Value", "Meaning"), rows, words=(0, 2)))]
    if isinstance(block, Table):
        return [_markdown_table(block)]
    if isinstance(block, Terms):
        return ["\n".join(f"- **{markdown(term)}**: {markdown(meaning)}" for term, meaning in block.entries)]
    if isinstance(block, Pictures):
        return [text for picture in block.pictures for text in _markdown_picture(picture, folder)]
    if block.crops_in_markdown and any(pair.crops for pair in block.pairs):
        return [f"### {markdown(block.caption)}", *(_markdown_pair(pair, folder) for pair in block.pairs)]
    return [_markdown_table(_pair_table(block))]


def _markdown_picture(picture: Picture, folder: str) -> list[str]:
    image = f"![{markdown(picture.alt)}]({_address(folder, picture.name)}.png)"
    return [f"### {markdown(picture.title)}", image, markdown(picture.caption)]


def _markdown_pair(pair: PhotoPair, folder: str) -> str:
    images = " ".join(
        f"![{markdown(name)}]({_address(folder, pair.name)}-{side}.jpg)"
        for name, side, _ in zip((pair.a, pair.b), "ab", pair.crops or (), strict=False)
    )
    names = f"{markdown(pair.a)}, {markdown(pair.b)}"
    return f"{images}\n\n**{markdown(pair.score)}** {markdown(pair.verdict)}: {names}"


def _markdown_table(table: Table) -> str:
    lines = [
        [markdown(text) for text in table.header],
        *([markdown(_joined(c)) for c in row] for row in table.rows),
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    rule = ["-" * w if i in table.words else "-" * max(w - 1, 1) + ":" for i, w in enumerate(widths)]
    rows = [
        _aligned(lines[0], widths, table.words),
        rule,
        *(_aligned(x, widths, table.words) for x in lines[1:]),
    ]
    caption = f"{markdown(table.caption)}:\n\n" if table.caption else ""
    return caption + "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _aligned(cells: list[str], widths: list[int], words: tuple[int, ...]) -> list[str]:
    pairs: Iterable[tuple[int, tuple[str, int]]] = enumerate(zip(cells, widths, strict=True))
    return [text.ljust(width) if i in words else text.rjust(width) for i, (text, width) in pairs]


def _joined(cell: Cell) -> str:
    return f"{cell.text} [{cell.small}]" if cell.small else cell.text


def _address(folder: str, name: str) -> str:
    """A relative address fit for Markdown, where blanks and brackets end it."""
    from urllib.parse import quote

    return quote(f"{folder}/{name}", errors="surrogateescape")
