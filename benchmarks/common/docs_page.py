"""How the tables of a benchmark reach the page of docs/ that shows them."""

from __future__ import annotations

from pathlib import Path

from facealike.utils.atomic_write import write_text


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the lines ``<!-- name: begin -->`` and ``<!-- name: end -->`` of ``page``.

    A page without them ends the program with a sentence that says which, and is left alone.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(
            f"{page} has no markers: the lines {begin} and {end} are missing; put them where the text goes"
        )
    write_text(page, f"{before}{begin}\n{text}\n{end}{after}")
