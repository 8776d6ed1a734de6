"""Issue 19 B3: a hostile name does no harm at any sink, and there is one function for each sink."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from facealike.cli.console import print_table, show
from facealike.evaluation.verification_result import Evaluation
from facealike.evaluation.verification_table import table_markdown
from facealike.plotting.error_curves import ErrorCurve, draw_rates, draw_roc
from facealike.plotting.style import figure_png, figure_svg, new_axes
from facealike.utils import escape
from support.hostile_names import NAMES

IDS = [f"name-{number}" for number in range(len(NAMES))]


def cells_of(row: str) -> list[str]:
    """The cells of a Markdown table's row, as a reader sees them: split at bars without a backslash."""
    return re.split(r"(?<!\\)(?:\\\\)*\|", row.strip())


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_corpus_is_large() -> None:
    assert len(NAMES) == len(set(NAMES)) and len(NAMES) >= 100


@pytest.mark.parametrize("name", NAMES, ids=IDS)
def test_a_terminal_gets_one_printable_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(f"{name}: 1 face")
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out[:-1].isprintable()
    assert escape.one_line(escape.one_line(name)) == escape.one_line(name)
    print_table(["name", name], [[name, "1"], ["b", "2"]])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", NAMES, ids=IDS)
def test_html_shows_the_name_and_nothing_of_it_is_markup(name: str) -> None:
    page = Words()
    page.feed(f'<p title="{escape.html(name)}">{escape.html(name)}</p>')
    page.close()
    assert page.tags == ["p"]
    assert page.text == escape.one_line(" ".join(name.split()))


@pytest.mark.parametrize("name", NAMES, ids=IDS)
def test_markdown_keeps_the_name_in_its_cell(name: str) -> None:
    text = escape.markdown(name)
    assert text.isprintable() and len(cells_of(f"{text} | b")) == 2
    # What is left once the escapes are read is the name itself.
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text) == escape.one_line(" ".join(name.split()))
    bare = re.sub(r"\\.", "", text)
    assert not re.search(r"[<>`*_\[\]|#&~$]", bare)


@pytest.mark.parametrize("name", NAMES, ids=IDS)
def test_a_figure_shows_the_name_as_text(name: str) -> None:
    """matplotlib took ``$`` for a formula, and failed on it after all the work."""
    ax = new_axes()
    draw_rates(ax, [name, "b"], np.array([[0.1, 0.2, 0.3], [0.1, 0.1, 0.2]]), None, [])
    ax.set_title(escape.figure_text(name))
    svg = figure_svg(ax.figure, "a-figure", name)  # type: ignore[arg-type]
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    drawn = "".join(root.itertext())
    start = escape.one_line(" ".join(name.split()))[:12].strip()
    assert start in drawn
    assert all(c.isprintable() or c in "\n\u202f" for c in drawn)
    assert not any(child.tag.endswith("script") for child in root.iter())


def test_a_figure_of_all_of_them_is_drawn_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    scores = np.linspace(0, 1, 40)
    roc = Evaluation("x", scores, scores > 0.5, 0.5, "x").roc
    ax = new_axes()
    draw_roc(ax, [ErrorCurve(roc, 20, 20, name) for name in NAMES[::8]])
    assert figure_png(ax.figure)[:4] == b"\x89PNG"  # type: ignore[arg-type]
    assert not [str(w.message) for w in recwarn if "Glyph" in str(w.message)]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]  # type: ignore[union-attr]
    assert len(texts) == 1 + len([name for name in NAMES[::8] if name.strip()]), "none was left out"


@pytest.mark.parametrize("name", NAMES, ids=IDS)
def test_a_table_of_an_evaluation_stays_a_table(name: str) -> None:
    scores = np.linspace(0, 1, 40)
    text = table_markdown([Evaluation(name, scores, scores > 0.5, 0.5, name)])
    head, rule, row = text.splitlines()[:3]
    assert len(cells_of(head)) == len(cells_of(rule)) == len(cells_of(row)) == 12
    assert all(line.isprintable() for line in text.splitlines())
    assert "<img" not in text.replace("\\<img", "") and "<script" not in text.replace("\\<script", "")


@pytest.mark.parametrize("name", NAMES, ids=IDS)
def test_a_path_in_a_csv_is_no_formula_and_leads_to_the_same_file(name: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerow([escape.csv_path(name), escape.csv_text(name)])
    ((path, told),) = csv.reader(io.StringIO(text.getvalue(), newline=""))
    assert not path.startswith(("=", "+", "-", "@")) and not told.startswith(("=", "+", "-", "@"))
    assert path.isprintable() and told.isprintable()
    assert path.removeprefix("./") == escape.one_line(name).removeprefix("./")
    assert told.removeprefix("'") == escape.one_line(name).removeprefix("'")


def test_commands_print_through_the_console_only() -> None:
    """What is printed there is escaped; see also ``tests/integration/test_hostile_corpus.py``."""
    import ast
    from pathlib import Path

    import facealike.cli

    for path in Path(facealike.cli.__file__).parent.glob("*.py"):
        calls = [
            node.lineno
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        ]
        assert path.name == "console.py" or not calls, f"{path.name}:{calls}: print through console.show"
