"""The one writer of Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    text_columns: Sequence[int] = (0,),
    pad: bool = False,
) -> str:
    """Return a Markdown table without a line break at its end.

    Args:
        header: One entry a column, escaped already as all cells are (``utils.escape.markdown``).
        rows: Cells, as many in each row as in the header.
        text_columns: Columns that are aligned to the left; all others hold numbers.
        pad: Make all cells of a column as wide as the widest, so that the source is readable too.
    """
    columns = range(len(header))
    widths = [max(len(row[i]) for row in (header, *rows)) if pad else 0 for i in columns]
    rule = [
        "-" * max(width, 0 if pad else 3)
        if i in text_columns
        else "-" * max(width - 1, 1 if pad else 3) + ":"
        for i, width in enumerate(widths)
    ]
    lines = [
        [
            cell.ljust(w) if i in text_columns else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in (header, rule, *rows)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
