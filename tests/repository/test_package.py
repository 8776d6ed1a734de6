"""What ``make package`` finds wrong with an sdist and a wheel."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from check_package import differences, sdist_members, wheel_members
from support.paths import ROOT

TRACKED = {"README.md", "src/facealike/__init__.py", "tests/test_a.py"}


def test_archives_that_hold_what_git_tracks_are_right() -> None:
    assert differences({*TRACKED, "PKG-INFO"}, {"facealike/__init__.py"}, TRACKED) == []


def test_each_file_too_many_or_too_few_is_named() -> None:
    assert differences({"README.md", "tests/test_a.py", "photo.jpg"}, {"tests/test_a.py"}, TRACKED) == [
        "the sdist lacks src/facealike/__init__.py",
        "the sdist should not have photo.jpg",
        "the wheel lacks facealike/__init__.py",
        "the wheel should not have tests/test_a.py",
    ]


def test_members_are_read_without_folders_and_metadata(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as sdist:
        sdist.addfile(tarfile.TarInfo("facealike-1/src/a.py"), io.BytesIO())
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("facealike/a.py", "")
        wheel.writestr("facealike-1.dist-info/METADATA", "")
    assert sdist_members(tmp_path / "a.tar.gz") == {"src/a.py"}
    assert wheel_members(tmp_path / "a.whl") == {"facealike/a.py"}


def test_ci_builds_the_package() -> None:
    assert "make package" in (ROOT / ".ci" / "run").read_text("utf-8")
