"""One reader for every list that people hand over: separators, marks, header variants (issue 19 D6)."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.datasets.demographic_labels import read_groups
from facealike.datasets.pair_lists import read_pairs
from facealike.errors import DataError
from facealike.utils.csv_table import Row, open_table

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("Zoë, left.jpg", "b.jpg", "a;b.jpg"):
        (tmp_path / name).write_bytes(b"not opened")
    return tmp_path


def written(folder: Path, rows: list[list[str]], mark: str, encoding: str, start: str = "") -> Path:
    stream = io.StringIO()
    csv.writer(stream, delimiter=mark).writerows(rows)  # with \r\n, as spreadsheets write
    path = folder / "list.csv"
    path.write_bytes((start + stream.getvalue()).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("mark", SEPARATORS.values(), ids=SEPARATORS)
def test_pairs_of_every_separator_and_encoding(photos: Path, mark: str, encoding: str) -> None:
    """Before, a list with semicolons or tabs was "neither an LFW header nor CSV"."""
    rows = [["Image 1", "image_2", "Is Same"], ["Zoë, left.jpg", "b.jpg", "1"], ["a;b.jpg", "b.jpg", "no"]]
    (one, other) = read_pairs(written(photos, rows, mark, encoding))
    assert (Path(one.a).name, Path(one.b).name, one.same) == ("Zoë, left.jpg", "b.jpg", True)
    assert (Path(other.a).name, other.same) == ("a;b.jpg", False)


@pytest.mark.parametrize("mark", SEPARATORS.values(), ids=SEPARATORS)
def test_groups_of_every_separator(photos: Path, mark: str) -> None:
    rows = [["Filename", "Age, in years", "race", ""], ["b.jpg", "3-9", "x", ""], ["a;b.jpg", "0-2", "y", ""]]
    found = read_groups(written(photos, rows, mark, "utf-8-sig"), by=["race", "age, in years"])
    assert found.values == (("x", "y"), ("3-9", "0-2")) and found.paths[1].name == "a;b.jpg"


def test_a_spreadsheet_may_state_the_separator(photos: Path) -> None:
    path = written(photos, [["a", "b"], ["a;b.jpg", "b.jpg"]], ";", "utf-8-sig", "sep=;\r\n")
    assert Path(read_pairs(path)[0].a).name == "a;b.jpg"
    with open_table(path, "list", ("a",)) as table:
        assert table.line == 2 and next(table.rows).line == 3


def test_one_bad_row_does_not_end_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b'a,b\n1,2\nx\n"3"y,4\n\n5,6\nna\xefve,7\n')
    with open_table(path, "list", ("a", "b"), errors="surrogateescape") as table:
        rows = list(table.rows)
    assert rows[0] == Row(2, {"a": "1", "b": "2"}) and rows[3] == Row(6, {"a": "5", "b": "6"})
    assert [row.line for row in rows] == [2, 3, 4, 6, 7]
    assert rows[1].problem == "1 field where the header has 2; correct it"
    assert (rows[2].problem or "").startswith("not valid CSV")
    assert rows[4].cells["a"].encode("utf-8", "surrogateescape") == b"na\xefve"
    path.write_text("a,b\n1,2\nx\n")
    with (
        open_table(path, "list", ("a", "b")) as table,
        pytest.raises(DataError, match=r"list\.csv, line 3: 1 field"),
    ):
        list(table.whole_rows())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"), (b"\n \n", "is empty"), (b"a,b\n\xff,2\n", "not a text file in UTF-8"),
        (b"\xff\xfe\x00", "not a text file in UTF-8"), (b"a,A,b\n", "line 1: the column a is there twice"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with (
        pytest.raises(DataError, match=told) as caught,
        open_table(tmp_path / "list.csv", "list of pairs", ("a", "b")) as table,
    ):
        list(table.rows)
    assert "list.csv" in str(caught.value)
    for path in (tmp_path, tmp_path / "gone.csv", "nul\0"):
        with (
            pytest.raises(DataError, match="no list of pairs can be read"),
            open_table(path, "list of pairs"),
        ):
            pass


def test_an_error_of_the_caller_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="mine"), open_table(tmp_path / "list.csv", "list"):
        raise ValueError("mine")


def test_the_name_itself_goes_before_its_variants(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("file1;a;image2\nx;y;z\n")
    with open_table(tmp_path / "list.csv", "list", ("a", "b"), {"a": ("file1",), "b": ("image2",)}) as table:
        assert next(table.rows).cells == {"file1": "x", "a": "y", "b": "z"}


cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12).map(str.strip)


@given(st.lists(st.tuples(cells.filter(bool), cells), max_size=6), st.sampled_from(list(SEPARATORS.values())))
def test_what_a_program_wrote_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], mark: str
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    path = written(folder, [["a", "b"], *map(list, rows)], mark, "utf-8")
    with open_table(path, "list", ("a", "b")) as table:
        assert [(row.cells["a"], row.cells["b"]) for row in table.whole_rows()] == rows
