"""Write a report as Markdown: the text of the HTML, with its figures as files beside it."""

from __future__ import annotations

from ..utils.escape import markdown
from ..utils.markdown_table import markdown_table
from .elements import (
    Block,
    Cell,
    Document,
    FaceRow,
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
    """Return the document as Markdown, its pictures in ``folder``, a path relative to the file."""
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
    if isinstance(block, FaceRow):
        names = "\n".join(f"- {markdown(name)}" for _, name in block.faces)
        return [
            f"### {markdown(block.caption)}",
            names,
            *([f"and {block.hidden:,} more"] * (block.hidden > 0)),
        ]
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
    header = [markdown(text) for text in table.header]
    rows = [[markdown(_joined(cell)) for cell in row] for row in table.rows]
    caption = f"{markdown(table.caption)}:\n\n" if table.caption else ""
    return caption + markdown_table(header, rows, table.words, pad=True)


def _joined(cell: Cell) -> str:
    return f"{cell.text} [{cell.small}]" if cell.small else cell.text


def _address(folder: str, name: str) -> str:
    """A relative address that is safe in Markdown, where blanks and brackets end it."""
    from urllib.parse import quote

    return quote(f"{folder}/{name}", errors="surrogateescape")
