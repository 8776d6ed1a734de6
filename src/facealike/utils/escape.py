"""Escape untrusted text for each kind of output.

Names of files, folders, people, groups and models, and every text in a model file, may hold anything:
terminal control sequences, markup, formulas.  Code that prints or writes such a text passes it through the
function for that output, where it is written and nowhere else.
"""

from __future__ import annotations

import html as _html
import os
import re

THIN_SPACE = "\u202f"  # keeps a number and its percent sign on one line; not printable to Python
FIGURE_WIDTH = 40  # characters of a text in a figure

FORMULA = ("=", "+", "-", "@")  # a spreadsheet runs text that begins with one of these


def one_line(text: str) -> str:
    """Return ``text`` for a terminal or a message, with all that is not printable escaped, line ends too.

    Control sequences, bidirectional overrides and lone surrogates are not printable.
    """
    return "".join(
        c if c.isprintable() or c == THIN_SPACE else c.encode("unicode_escape").decode() for c in text
    )


def html(text: str) -> str:
    """Return ``text`` as HTML, valid in an attribute too."""
    return _html.escape(_flat(text), quote=True)


def markdown(text: str) -> str:
    """Return ``text`` as Markdown on one line, also in a cell: no markup, link, HTML or formula."""
    return re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", _flat(text))


def figure_text(text: str) -> str:
    """Return ``text`` for a matplotlib figure, with dollar signs escaped, which would delimit formulas.

    The middle of a long text is replaced by dots.  A space goes before a leading underscore, since a legend
    leaves out labels that begin with one.
    """
    plain = _flat(text)
    if len(plain) > FIGURE_WIDTH:
        plain = f"{plain[: FIGURE_WIDTH // 2]}...{plain[-FIGURE_WIDTH // 4 :]}"
    plain = plain.replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def csv_path(path: str) -> str:
    """Return a relative path for a CSV cell, prefixed with ``./`` where a spreadsheet would see a formula.

    The path still leads to the same file, unless it holds control characters, which are escaped.
    """
    plain = one_line(path)
    return f"./{plain}" if plain.startswith(FORMULA) else plain


def csv_text(text: str) -> str:
    """Return ``text`` for a CSV cell; an apostrophe keeps a spreadsheet from running it as a formula."""
    plain = one_line(text)
    return f"'{plain}" if plain.startswith(FORMULA) else plain


def _flat(text: str) -> str:
    """Return ``text`` on one line; a number and its percent sign stay together."""
    return re.sub(r"(?<=\d) %", f"{THIN_SPACE}%", one_line(" ".join(text.split())))


def shown(name: str | os.PathLike[str]) -> str:
    """Return ``name`` for a message of one line: escaped, and a very long name without its middle."""
    text = os.fspath(name) or "''"
    text = one_line(text)
    return text if len(text) <= 1000 else f"{text[:500]}...{text[-200:]}"
