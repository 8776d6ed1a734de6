"""Check that the documents state the figures of the default model, or write them.

    python -m benchmarks.default_model.docs            # name what is out of date; exit code 1 if anything is
    python -m benchmarks.default_model.docs --write    # write it, and list the text that a person must read

Figures in sentences are listed in ``sentences.toml``, tables in ``tables.py``.  ``--write`` then lists the
paragraphs of the pages about the default model that have other numbers, or say something about these.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common.docs_page import put
from benchmarks.common.record import ROOT
from benchmarks.default_model import tables
from benchmarks.default_model.figures import load_figures
from benchmarks.default_model.measured_rows import NotMeasured
from benchmarks.default_model.named_text import put_figures
from facealike.utils.atomic_write import write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SENTENCES = ROOT / "benchmarks" / "default_model" / "sentences.toml"
READ = (
    "README.md", "docs/concepts/face-quality.md", "docs/concepts/limits.md", "docs/guides/scale.md",
    "docs/results/audit.md", "docs/results/clustering.md", "docs/results/default-model.md",
    "docs/results/demographics.md", "docs/results/explain.md", "docs/results/full-test.md",
    "docs/results/identification.md", "docs/results/peers.md", "docs/results/performance.md",
    "docs/results/quality.md", "docs/results/video.md",
)  # fmt: skip
"""The pages about the default model."""

GENERATED = re.compile(
    r"^<!-- ([\w-]+): begin -->$.*?^<!-- \1: end -->$|^```.*?^```$", re.MULTILINE | re.DOTALL
)


def stale_sentences(write: bool) -> Iterator[str]:
    """Yield what is out of date in sentences; rewrite it if ``write`` asks for it."""
    figures = load_figures()
    for page, sentences in tomllib.loads(SENTENCES.read_text("utf-8")).items():
        before = text = (ROOT / page).read_text("utf-8")
        for words in sentences:
            try:
                after, count = put_figures(text, words, figures)
            except NotMeasured as error:
                yield f"{page}: {error}"
                continue
            if not count:
                yield f"{page} lacks the text that benchmarks/default_model/sentences.toml names: {words}"
            elif after != text and not write:
                yield f"{page} states other figures than were measured: {words}"
            text = after
        if write and text != before:
            write_text(ROOT / page, text)


def between(page: str, name: str) -> str:
    """Return what stands between the markers of a page."""
    text = (ROOT / page).read_text("utf-8")
    return text.partition(f"<!-- {name}: begin -->\n")[2].partition(f"\n<!-- {name}: end -->")[0]


def stale_tables(write: bool) -> Iterator[str]:
    """Yield which tables are out of date; rewrite them if ``write`` asks for it."""
    for page, blocks in tables.PAGES.items():
        for name, table in blocks.items():
            try:
                text = table()
            except NotMeasured as error:
                yield f"{page}: {error}"
                continue
            if write:
                put(ROOT / page, name, text)
            elif f"<!-- {name}: begin -->\n{text}\n<!-- {name}: end -->" not in (ROOT / page).read_text(
                "utf-8"
            ):
                yield f"{page}, {name}: not the table of the default model's rows"


def stale(write: bool = False) -> list[str]:
    """Return a sentence for each place that is out of date, or with ``write`` that could not be written."""
    found = list(stale_tables(write))
    try:
        found += stale_sentences(write)
    except NotMeasured as error:
        found.append(str(error))
    return list(dict.fromkeys(found))


def to_read(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the beginning of each paragraph with decimals or percentages of its own."""
    text = GENERATED.sub(lambda match: "\n" * match[0].count("\n"), page.read_text("utf-8"))
    for match in re.finditer(r"(?:^(?!\s*$|#|\||!\[).+\n)+", text, re.MULTILINE):
        if re.search(r"\d\.\d|\d %", match[0]):
            yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split())[:120]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write what is out of date")
    options = parser.parse_args()
    found = stale(options.write)
    print(*found, sep="\n")
    if options.write:
        print("\nNumbers and conclusions that a person must read:")
        for page in READ:
            for line, words in to_read(ROOT / page):
                print(f"{page}:{line}: {words}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
