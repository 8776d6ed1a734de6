"""What a row of a benchmark states, and how rows reach their CSV."""

from __future__ import annotations

import csv
import datetime
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.load_benchmark import RESULTS, load, needs_benchmarks
from support.paths import ROOT

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def measured() -> Any:
    return load("common.record")


def test_the_header_is_written_once_and_rows_are_appended(measured: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    measured.append_rows(path, [{"what": "é, quoted", "ms": 1.5}, {"what": "b", "ms": 2}])
    measured.append_rows(path, [{"what": "c", "ms": ""}])
    assert path.read_bytes() == 'what,ms\n"é, quoted",1.5\nb,2\nc,\n'.encode()


def test_an_empty_file_is_a_new_one(measured: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    measured.append_rows(path, [{"what": "a"}])
    assert path.read_text() == "what\na\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_keeps_its_order_and_its_line_ends(measured: Any, tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.csv"
    before = f'"ms, median",what{end}1,a{end}'
    path.write_bytes(before.encode())
    measured.append_rows(path, [{"what": "b", "ms, median": 2}])
    assert path.read_bytes() == f"{before}2,b{end}".encode()


@pytest.mark.parametrize("row", [{"what": "b"}, {"what": "b", "ms": 2, "load": 3}, {"what": "b", "load": 3}])
def test_other_columns_are_refused_and_nothing_is_written(
    measured: Any, tmp_path: Path, row: dict[str, object]
) -> None:
    path, new = tmp_path / "a.csv", tmp_path / "new.csv"
    path.write_text("what,ms\na,1\n")
    other = ", ".join(sorted({"what", "ms"} ^ set(row)))
    with pytest.raises(SystemExit, match=rf"a\.csv: .* the columns {other}; "):
        measured.append_rows(path, [{"what": "b", "ms": 2}, row])
    assert path.read_text() == "what,ms\na,1\n"
    with pytest.raises(SystemExit, match="the columns"):
        measured.append_rows(new, [{"what": "b", "ms": 2}, row])
    assert not new.exists()


def test_circumstances_are_the_columns_that_rows_begin_with(measured: Any) -> None:
    told = measured.circumstances("numpy")
    assert list(told) == ["date", "commit", "machine", "versions"]
    assert list(measured.circumstances()) == ["date", "commit", "machine"]
    assert datetime.date.fromisoformat(told["date"]).year >= 2024
    assert re.fullmatch(r"[0-9a-f]{7,40}(\+changes)?|unknown", told["commit"])
    assert re.fullmatch(r".+, \d+ cores", told["machine"])
    assert told["versions"] == f"Python {platform.python_version()}, numpy {np.__version__}"


def test_a_commit_is_marked_where_the_package_differs(
    measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *name, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    monkeypatch.setattr(measured, "ROOT", tmp_path)
    for folder in ("benchmarks", "src"):
        (tmp_path / folder).mkdir()
    assert measured.commit() == "unknown"
    (tmp_path / "src" / "a.py").touch()
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "a")
    short = git("rev-parse", "--short", "HEAD")
    (tmp_path / "benchmarks" / "a.csv").touch()
    assert measured.commit() == short
    (tmp_path / "src" / "a.py").write_text("pass")
    assert measured.commit() == f"{short}+changes"


def test_the_files_that_come_along_begin_with_the_circumstances(measured: Any) -> None:
    for name in ("cold_start", "pairs", "all_pairs", "dlib", "demographics", "bad_inputs"):
        with (RESULTS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            assert next(csv.reader(file))[:3] == list(measured.circumstances()), name


def test_no_torch_is_needed() -> None:
    script = (
        "import sys, benchmarks.common.record\nassert not {'torch', 'numpy', 'facealike'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
