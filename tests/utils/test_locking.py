"""Issue 19 C1: one process at a time in a folder that somebody owns, and a sentence for the other one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facealike.datasets.lfw import unpack_lfw
from facealike.errors import DataError, TrainingError
from facealike.model_file.store import store_model
from facealike.utils.locking import own_folder
from support.lfw_archive import GOOD, make_tar, write
from support.tiny_model import tiny_model_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs flock")

HOLD = """
import sys, time
from pathlib import Path
from facealike.utils.locking import own_folder
with own_folder(Path(sys.argv[1]), name=sys.argv[2]):
    print("in", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def hold(folder: Path, name: str = "lock", seconds: float = 60) -> subprocess.Popen[str]:
    """A process that is in the folder by the time this returns."""
    command = [sys.executable, "-c", HOLD, str(folder), name, str(seconds)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "in\n"
    return holder


def end(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate(timeout=30)


def test_the_second_process_is_told_who_is_there(tmp_path: Path) -> None:
    """Issue 19 C1: the sentence names the folder, the owner's process and what to do."""
    folder = tmp_path / "run"
    holder = hold(folder)
    try:
        with pytest.raises(TrainingError) as told, own_folder(folder, "go elsewhere", error=TrainingError):
            pass
        assert str(told.value) == f"{folder}: process {holder.pid} is at work in this folder; go elsewhere"
    finally:
        end(holder)
    assert (folder / "lock").exists()  # left by the kill, and keeping nobody out
    with own_folder(folder):
        assert (folder / "lock").read_text().split()[0] == str(os.getpid())
    assert folder.is_dir() and not list(folder.iterdir())


def test_nothing_is_left_of_a_lock(tmp_path: Path) -> None:
    with own_folder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / "lock").exists()
    assert not (tmp_path / "a" / "b").exists()
    with own_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "work").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["work"]
    with pytest.raises(ValueError), own_folder(tmp_path / "c"):
        raise ValueError
    assert not (tmp_path / "c").exists()


def test_who_waits_comes_in_when_the_owner_dies(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    holder = hold(tmp_path)
    signal.signal(signal.SIGALRM, lambda *_: holder.kill())
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with own_folder(tmp_path, wait=True):
        assert holder.wait(timeout=30) == -signal.SIGKILL
    told = capfd.readouterr().err
    assert told == f"waiting for process {holder.pid}, which is at work in {tmp_path}\n"
    end(holder)


def _count(folder: Path, times: int) -> None:
    for _ in range(times):
        with own_folder(folder, wait=True):
            number = int((folder / "number").read_text())
            time.sleep(0.001)  # long enough for another process to read the old number
            (folder / "number").write_text(str(number + 1))


def test_never_two_at_once(tmp_path: Path) -> None:
    """Though each owner takes the file of the lock away with it."""
    (tmp_path / "number").write_text("0")
    fork = multiprocessing.get_context("fork")
    counting = [fork.Process(target=_count, args=(tmp_path, 40)) for _ in range(4)]
    for each in counting:
        each.start()
    for each in counting:
        each.join(60)
        assert each.exitcode == 0
    assert (tmp_path / "number").read_text() == "160"


def test_two_unpackers_of_lfw(tmp_path: Path) -> None:
    """Issue 19 C1: the second one is refused, touches nothing, and comes in once the first is gone."""
    archive, target = write(tmp_path, make_tar(GOOD)), tmp_path / "photos"
    part = target / "top" / "Ann" / ".Ann_0001.jpg.part"
    holder = hold(target, ".unpacking")
    try:
        part.parent.mkdir(parents=True)
        part.write_bytes(b"of the first one")
        with pytest.raises(
            DataError, match=rf"{target}: process {holder.pid} is at work in this folder; wait"
        ):
            unpack_lfw(archive, target)
        assert part.read_bytes() == b"of the first one"
    finally:
        end(holder)
    people = unpack_lfw(archive, target)
    assert (people / "Ann" / "Ann_0001.jpg").read_bytes() == b"one"
    assert {path.name for path in target.iterdir()} == {"top", ".unpacked-lfw.tgz.json"}


def test_two_that_store_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 19 C1: the second one waits for the first, and the store holds both models."""
    monkeypatch.setenv("FACEALIKE_HOME", str(tmp_path))
    store_model(tiny_model_file(), "one")
    holder = hold(tmp_path / "models", ".lock", 0.5)
    store_model(tiny_model_file(seed=1), "two")
    assert holder.wait(timeout=30) == 0
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"one.facealike", "two.facealike"}
    end(holder)
