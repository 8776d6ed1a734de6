"""A file is written whole or not at all, whatever happens to the process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from facealike.errors import DataError
from facealike.utils.atomic_write import check_writable, check_writable_folder, write_bytes, write_text

posix = pytest.mark.skipif(os.name != "posix", reason="signals and permissions of POSIX")


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_bytes(target, b"one")
    assert target.read_bytes() == b"one"
    write_bytes(str(target), b"")
    assert target.read_bytes() == b""
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_text_is_utf8_and_keeps_its_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Zoë\r\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == "Zoë\r\nb\n".encode()


def test_name_of_a_file_that_is_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", os.fsdecode(b"Zo\xeb.jpg"))
    assert (tmp_path / "a.txt").read_bytes() == b"Zo\xeb.jpg"


@posix
def test_others_may_read_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_very_long_name_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250)
    write_bytes(target, b"x")
    assert target.read_bytes() == b"x"


@pytest.mark.parametrize("name", ["😀" * 62 + ".npz", "写真" * 41 + ".npz", "é" * 125, "a\u0301" * 80])
def test_a_long_name_of_wide_characters_can_be_written(tmp_path: Path, name: str) -> None:
    """Issue 19 C7: file systems count bytes, not characters."""
    assert 230 < len(os.fsencode(name)) <= 255
    write_bytes(tmp_path / name, b"x")
    check_writable(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with pytest.raises(DataError, match="File name too long"):
        check_writable(tmp_path / (name + "x" * 30))


def test_a_place_that_cannot_be_written_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19 C7: before the work and not after it, and nothing is left behind."""
    check_writable(tmp_path / "a.npz")
    check_writable_folder(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match="nothing can be written there"):
        check_writable_folder(tmp_path / "file" / "deeper")

    def full(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(DataError, match=r"a\.npz: the file cannot be written \(Read-only file system"):
        check_writable(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"nothing can be written there \(Read-only file system"):
        check_writable_folder(tmp_path / "new")


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux opens files without a name")
def test_a_check_has_no_name_in_the_folder_that_a_kill_would_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Path]] = []
    real_open = os.open

    def watched(*arguments: Any, **options: Any) -> int:
        descriptor = real_open(*arguments, **options)
        seen.append(list(tmp_path.iterdir()))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    check_writable(tmp_path / "a.npz")
    check_writable_folder(tmp_path / "new" / "deeper")
    assert seen == [[], []]


def test_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no/a\.txt: the file cannot be written \(No such file"):
        write_text(tmp_path / "no" / "a.txt", "x")


def test_target_that_is_a_folder_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_bytes(tmp_path / "a", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@posix
def test_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "a"
    write_bytes(target, b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


# Each fault kills the process for good (SIGKILL: no handler, no cleaning up) at one step.
FAULTS = {
    "half of the bytes written": """
        real_open = Path.open
        def dying_open(self, *a, **k):
            stream = real_open(self, *a, **k)
            class Dying:
                def __enter__(self): return self
                def __exit__(self, *_): pass
                def write(self, data):
                    stream.write(data[: len(data) // 2]); stream.flush(); die()
            return Dying()
        Path.open = dying_open
    """,
    "all written, not flushed": "os.fsync = lambda _: die()",
    "flushed, not renamed": "Path.replace = lambda *_: die()",
    "renamed, folder not flushed": "files.flush_folder = lambda _: die()",
}


@posix
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("existed", [True, False])
def test_killed_at_any_step_leaves_old_or_new(tmp_path: Path, fault: str, existed: bool) -> None:
    target = tmp_path / "a"
    old, new = b"o" * 1000, b"n" * 2_000_000
    if existed:
        target.write_bytes(old)
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom facealike.utils import atomic_write as files\n"
    )
    script += "def die(): os.kill(os.getpid(), signal.SIGKILL)\n" + textwrap.dedent(FAULTS[fault])
    script += f"\nfiles.write_bytes({str(target)!r}, b'n' * {len(new)})\n"
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    if fault.startswith("renamed"):
        assert target.read_bytes() == new
    elif existed:
        assert target.read_bytes() == old
    else:
        assert not target.exists()
    write_bytes(target, b"later")  # what the dead process left is in nobody's way
    assert target.read_bytes() == b"later"


@posix
def test_killed_at_a_random_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    size = 3_000_000
    write_bytes(target, b"a" * size)
    script = (
        "from facealike.utils.atomic_write import write_bytes\nprint('go', flush=True)\n"
        f"while True:\n for c in (b'b', b'c'): write_bytes({str(target)!r}, c * {size})\n"
    )
    for round_ in range(5):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"go\n"
            time.sleep(0.02 + 0.013 * round_)
            writer.kill()
        content = target.read_bytes()
        assert len(content) == size
        assert set(content) < {ord("a"), ord("b"), ord("c")}
        assert len(set(content)) == 1
