"""Text that others chose, made safe for where it goes: one function for each kind of output.

Names of files, folders, people, groups and models, and every text of a model file, may hold anything:
control sequences of a terminal, markup, formulas. Whatever prints or writes such a text passes it through
the function of that output, at the place where it is written and nowhere else.
"""

from __future__ import annotations

import html as _html
import os
import re

THIN_SPACE = "\u202f"  # keeps a number and its per cent sign on one line; Python calls it not printable
FIGURE_WIDTH = 40  # characters of a text in a figure

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the beginning of a formula


def one_line(text: str) -> str:
    """Return ``text`` for a terminal or a message: what is not printable is escaped, line ends too.

    Control sequences, characters that turn the direction of writing and lone surrogates are not printable.
    """
    return "".join(
        c if c.isprintable() or c == THIN_SPACE else c.encode("unicode_escape").decode() for c in text
    )


def html(text: str) -> str:
    """Return ``text`` as HTML, also within an attribute."""
    return _html.escape(_flat(text), quote=True)


def markdown(text: str) -> str:
    """Return ``text`` as Markdown on one line, also in a cell: no markup, link, HTML or formula."""
    return re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", _flat(text))


def figure_text(text: str) -> str:
    """Return ``text`` for a figure of matplotlib, which reads formulas between dollar signs.

    The middle of a long text is left out, since the figure has no room for it.  A legend leaves out a label
    that begins with an underscore, so a blank goes before it.
    """
    plain = _flat(text)
    if len(plain) > FIGURE_WIDTH:
        plain = f"{plain[: FIGURE_WIDTH // 2]}...{plain[-FIGURE_WIDTH // 4 :]}"
    plain = plain.replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def csv_path(path: str) -> str:
    """Return a relative path for a cell of a CSV; a spreadsheet would run one that begins like a formula.

    The path still leads to the same file, unless control characters had to be escaped in it.
    """
    plain = one_line(path)
    return f"./{plain}" if plain.startswith(FORMULA) else plain


def csv_text(text: str) -> str:
    """Return ``text`` for a cell of a CSV; an apostrophe keeps a spreadsheet from running it."""
    plain = one_line(text)
    return f"'{plain}" if plain.startswith(FORMULA) else plain


def _flat(text: str) -> str:
    """``text`` on one line; a number and its per cent sign stay together."""
    return re.sub(r"(?<=\d) %", f"{THIN_SPACE}%", one_line(" ".join(text.split())))


def shown(name: str | os.PathLike[str]) -> str:
    """``name`` fit for a one-line message: non-printable characters escaped, the middle of a very
    long name left out."""
    text = os.fspath(name) or "''"
    text = one_line(text)
    return text if len(text) <= 1000 else f"{text[:500]}...{text[-200:]}"
