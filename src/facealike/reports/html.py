"""Write a report as one self-contained HTML file.

Style sheet, figures and pictures are in the file; it has no script and loads nothing from the network.
"""

from __future__ import annotations

import base64
import re
from functools import cache
from importlib import resources

from ..utils.escape import html as escape
from .elements import (
    Block,
    Cell,
    Document,
    FaceRow,
    Items,
    KeyNumbers,
    Paragraph,
    PhotoPairs,
    Picture,
    Pictures,
    Section,
    Table,
    Terms,
)

# ---- HTML -------------------------------------------------------------------------------------

# Nothing but what is in the file itself may be loaded, and no script may run.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@cache
def style_sheet() -> str:
    """Return the style sheet of every page."""
    return (resources.files("facealike.reports") / "style.css").read_text("utf-8")


def to_html(document: Document) -> str:
    """Return the document as one HTML file."""
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
    if isinstance(block, FaceRow):
        return _html_faces(block)
    if any(pair.crops for pair in block.pairs):
        return _html_pairs(block)
    return _html_table(pair_table(block))


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


def _html_faces(block: FaceRow) -> str:
    images = "".join(
        f'<img src="data:image/jpeg;base64,{base64.b64encode(face).decode()}" alt="{escape(name)}" '
        f'title="{escape(name)}" width="96" height="96" loading="lazy">'
        for face, name in block.faces
    )
    more = f"<p class=weak>and {block.hidden:,} more</p>" if block.hidden else ""
    return f'<h3>{escape(block.caption)}</h3>\n<div class="faces">{images}</div>{more}'


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


def pair_table(block: PhotoPairs) -> Table:
    rows = tuple(tuple(map(Cell, (p.a, p.b, p.score, p.verdict))) for p in block.pairs)
    return Table(block.caption, ("photo", "other photo", "score", "decided"), rows, words=(0, 1, 3))


# ---- Markdown ---------------------------------------------------------------------------------
