"""A report as Markdown: the same text as the HTML, with its figures as files beside it."""

from __future__ import annotations

from collections.abc import Iterable

from ..utils.escape import markdown
from .elements import (
    Block,
    Cell,
    Document,
    Items,
    KeyNumbers,
    Paragraph,
    PhotoPair,
    Picture,
    Pictures,
    Table,
    Terms,
)
from .html import pair_table


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
    return [_markdown_table(pair_table(block))]


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
