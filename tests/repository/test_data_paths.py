"""Tests of data are skipped where there is none, and fail in CI (issue 19 E)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.data_paths import DATA, OPTIONAL_IN_CI, data_path, in_ci, needs_data
from support.paths import TESTS


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*DATA, "CI"):
        monkeypatch.delenv(name, raising=False)


def test_without_data_a_test_is_skipped() -> None:
    with pytest.raises(pytest.skip.Exception, match="set FACEALIKE_LFW to the folder of Labeled Faces"):
        data_path("FACEALIKE_LFW")


@pytest.mark.parametrize("name", sorted(set(DATA) - OPTIONAL_IN_CI))
def test_in_ci_it_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, 39 tests were skipped in silence."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"set {name} .*in CI no test of data is skipped"):
        data_path(name)


@pytest.mark.parametrize(
    ("value", "meant"), [("true", True), ("1", True), ("", False), ("false", False), ("0", False)]
)
def test_ci_is_told_by_its_variable(value: str, meant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", value)
    assert in_ci() == meant


def test_a_path_that_leads_nowhere_fails_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEALIKE_YUNET", str(tmp_path / "gone.onnx"))
    with pytest.raises(pytest.fail.Exception, match=r"gone\.onnx: nothing lies there"):
        data_path("FACEALIKE_YUNET")
    monkeypatch.setenv("FACEALIKE_YUNET", str(tmp_path))
    assert data_path("FACEALIKE_YUNET") == str(tmp_path)


def test_the_mark_is_looked_at_before_a_test_runs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "support").mkdir()
    for name in ("conftest.py", "support/data_paths.py"):
        (pytester.path / name).write_text((TESTS / name).read_text("utf-8"))
    pytester.makepyfile(
        "from support.data_paths import needs_data\n"
        "@needs_data('FACEALIKE_LFW')\n"
        "def test_it(): raise SystemExit\n"
    )
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(skipped=1)
    monkeypatch.setenv("CI", "true")
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(errors=1)


def test_no_test_decides_on_its_own_whether_data_are_missing() -> None:
    names = "|".join(DATA)
    own = re.compile(
        rf'skipif\([^)]*(?:{names})|skip\([^)]*(?:{names})|"(?:{names})" (?:not )?in os\.environ'
    )
    found = [
        path.name
        for path in sorted(TESTS.rglob("*.py"))
        if path.name not in ("data_paths.py", Path(__file__).name) and own.search(path.read_text("utf-8"))
    ]
    assert not found, f"use needs_data or data_path of tests/support/data_paths.py in {found}"
    assert own.search('@pytest.mark.skipif("FACEALIKE_LFW" not in os.environ, reason="")')
    with pytest.raises(AssertionError):
        needs_data("FACEALIKE_TYPO")
