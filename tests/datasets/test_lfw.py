from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from facealike.datasets import lfw
from facealike.datasets.lfw import unpack_lfw
from facealike.datasets.people import People
from facealike.errors import DataError, UnsafeArchive
from support.data_paths import needs_data
from support.lfw_archive import GOOD, make_tar, member, write


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- good archives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lfw.tgz", "lfw.tar"])
@pytest.mark.parametrize("top", ["lfw-deepfunneled", "lfw", "./lfw"])
def test_photos_are_unpacked_and_nothing_else(tmp_path: Path, name: str, top: str) -> None:
    files = {path.replace("top", top): data for path, data in GOOD.items()}
    others = {
        f"{top}/README.txt": b"x",
        f"{top}/cover.jpg": b"x",
        f"{top}/Ann/notes.txt": b"x",
        f"{top}/Ann/._Ann_0001.jpg": b"x",
        f"{top}/Ann/deep/er.jpg": b"x",
        f"__MACOSX/{top}/Ann_0001.jpg": b"x",
        f"{top}/.hidden/a.jpg": b"x",
    }
    folders = (member(top, tarfile.DIRTYPE), member(f"{top}/Empty", tarfile.DIRTYPE))
    archive = write(tmp_path, make_tar({**others, **files}, folders), name)
    people = unpack_lfw(archive, tmp_path / "out" / "deep")
    assert people == tmp_path / "out" / "deep" / top
    assert files_below(people) == {path.removeprefix("top/"): data for path, data in GOOD.items()}
    assert str(People.from_folder(people)) == "3 photos of 2 people"


def test_progress_rises_to_the_size_of_the_archive(tmp_path: Path) -> None:
    archive, calls = write(tmp_path, make_tar(GOOD)), []
    unpack_lfw(archive, tmp_path, lambda done, total: calls.append((done, total)))
    size = archive.stat().st_size
    assert calls[-1] == (size, size)
    assert calls == sorted(calls) and {total for _, total in calls} == {size}


def test_a_second_run_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write(tmp_path, make_tar(GOOD))
    first = unpack_lfw(archive, tmp_path / "out")
    monkeypatch.setattr(lfw, "_Photos", None)
    assert unpack_lfw(archive, tmp_path / "out") == first


@pytest.mark.parametrize("harm", ["another archive", "person gone", "marker damaged"])
def test_a_marker_that_no_longer_holds_is_not_believed(tmp_path: Path, harm: str) -> None:
    archive = write(tmp_path, make_tar(GOOD))
    folder = unpack_lfw(archive, tmp_path / "out")
    expected = files_below(folder)
    if harm == "another archive":
        expected["Eve/Eve_0001.jpg"] = b"new"
        write(tmp_path, make_tar({**GOOD, "top/Eve/Eve_0001.jpg": b"new"}))
    elif harm == "person gone":
        (folder / "Bob" / "Bob_0001.png").unlink()
        (folder / "Bob").rmdir()
    else:
        (tmp_path / "out" / ".unpacked-lfw.tgz.json").write_text("[1")
        (folder / "Ann" / "Ann_0001.jpg").unlink()
    assert files_below(unpack_lfw(archive, tmp_path / "out")) == expected


def test_photos_that_are_there_stay_and_half_written_ones_are_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "top"
    (folder / "Ann").mkdir(parents=True)
    (folder / "Bob").mkdir()
    kept = folder / "Ann" / "Ann_0001.jpg"
    kept.write_bytes(b"ONE")  # same size: taken for the same photo, so not written again
    (folder / "Bob" / "Bob_0001.png").write_bytes(b"half")
    (folder / "Bob" / ".Bob_0001.png.part").write_bytes(b"left by a killed run")
    unpack_lfw(write(tmp_path, make_tar(GOOD)), tmp_path / "out")
    assert kept.read_bytes() == b"ONE"
    assert files_below(folder / "Bob") == {"Bob_0001.png": GOOD["top/Bob/Bob_0001.png"]}


# --- unsafe archives -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (member("../evil.jpg", size=3), "outside"),
        (member("top/../../evil.jpg", size=3), "outside"),
        (member("top/Ann/..", tarfile.DIRTYPE), "outside"),
        (member("/top/Ann/evil.jpg", size=3), "outside"),
        (member("top/Ann/..\\..\\evil.jpg", size=3), "outside"),
        (member("C:/Ann/evil.jpg", size=3), "outside"),
        (member("top/Ann/link.jpg", tarfile.SYMTYPE, link="/etc/passwd"), "link"),
        (member("top/Eve", tarfile.SYMTYPE, link="/tmp"), "link"),
        (member("top/Ann/hard.jpg", tarfile.LNKTYPE, link="top/Ann/Ann_0001.jpg"), "link"),
        (member("top/Ann/device.jpg", tarfile.CHRTYPE), "device"),
        (member("top/Ann/pipe.jpg", tarfile.FIFOTYPE), "device"),
        (member("top/Ann/sparse.jpg", tarfile.GNUTYPE_SPARSE), "damaged|link"),
        (member("top/Ann/huge.jpg", size=2**40), "larger than 16 MiB"),
        (member("top/.hidden/../../../evil.jpg", size=3), "outside"),
    ],
)
def test_unsafe_members_stop_the_unpacking_before_they_are_written(
    tmp_path: Path, info: tarfile.TarInfo, why: str
) -> None:
    try:
        tar = make_tar(GOOD, (info,))
    except OSError:  # tarfile would not write as much as a huge member claims; its header is enough
        tar = make_tar(GOOD).rstrip(b"\0")
        tar += bytes(-len(tar) % 512) + info.tobuf() + bytes(2**20)
    archive = write(tmp_path, tar)
    with pytest.raises(DataError, match=why) as caught:
        unpack_lfw(archive, tmp_path / "in" / "out")
    assert isinstance(caught.value, UnsafeArchive) or "sparse" in info.name
    assert str(caught.value).isprintable() and "lfw.tgz" in str(caught.value)
    written = files_below(tmp_path / "in")
    assert set(written) == {f"out/{name}" for name in GOOD}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write(tmp_path, make_tar({**GOOD, "top/zeros.bin": bytes(3 * 2**20)}))
    monkeypatch.setattr(lfw, "MAX_TOTAL", 2**20)
    with pytest.raises(UnsafeArchive, match="unpacks to more than"):
        unpack_lfw(archive, tmp_path / "out")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lfw, "MAX_MEMBERS", 2)
    with pytest.raises(UnsafeArchive, match="more than 2 members"):
        unpack_lfw(write(tmp_path, make_tar(GOOD)), tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_header_that_claims_a_gigabyte_is_not_read(tmp_path: Path, kind: bytes) -> None:
    tar = member("long", kind, size=2**30).tobuf() + bytes(2**20)
    with pytest.raises(UnsafeArchive, match="implausible length"):
        unpack_lfw(write(tmp_path, tar), tmp_path / "out")


# --- damaged archives ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lfw.tgz", "lfw.tar"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_archives_say_how_far_they_got(tmp_path: Path, name: str, share: float) -> None:
    noise = np.random.default_rng(0).bytes
    tar = make_tar({f"top/P{i}/P{i}_0001.jpg": noise(3000) for i in range(20)}).rstrip(b"\0")
    archive = write(tmp_path, tar + bytes(-len(tar) % 512 + 1024), name)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=r"truncated or damaged after \d+ photos .*; download it again"):
        unpack_lfw(archive, tmp_path / "out")
    assert not (tmp_path / "out" / f".unpacked-{name}.json").exists()
    archive.write_bytes(whole)  # downloaded again: the rest is added
    assert len(People.from_folder(unpack_lfw(archive, tmp_path / "out"))) == 20
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    tar = bytearray(make_tar(GOOD))
    at = tar.index(b"top/Bob")
    tar[at : at + 3] = b"xxx"
    with pytest.raises(DataError, match="damaged after 2 photos"):
        unpack_lfw(write(tmp_path, bytes(tar)), tmp_path / "out")


def test_a_flipped_bit_in_gzip_is_noticed(tmp_path: Path) -> None:
    archive = write(tmp_path, make_tar(GOOD))
    data = bytearray(archive.read_bytes())
    data[-6] ^= 1  # in the checksum, which is only read at the very end
    archive.write_bytes(data)
    with pytest.raises(DataError, match="truncated or damaged after 3 photos"):
        unpack_lfw(archive, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x1f\x8b", bytes(100_000)])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "lfw.tgz"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"lfw\.tgz: (the archive is truncated|no photos)"):
        unpack_lfw(archive, tmp_path / "out")


def test_an_archive_without_photos(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photos as TOP/NAME"):
        unpack_lfw(write(tmp_path, make_tar({"top/readme.txt": b"x"})), tmp_path / "out")


def test_two_top_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two top folders, top and other"):
        unpack_lfw(write(tmp_path, make_tar({**GOOD, "other/Eve/a.jpg": b"x"})), tmp_path / "out")


@pytest.mark.parametrize("path", ["missing.tgz", "", "nul\0"])
def test_missing_archive(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="no such archive"):
        unpack_lfw(tmp_path / path, tmp_path / "out")


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match="cannot be written"):
        unpack_lfw(write(tmp_path, make_tar(GOOD)), tmp_path / "file")


# --- killed ----------------------------------------------------------------------------------------

UNPACK = "import sys; from facealike.datasets.lfw import unpack_lfw; unpack_lfw(sys.argv[1], sys.argv[2])"


@pytest.mark.skipif(os.name != "posix", reason="kills a process by a signal")
def test_a_killed_unpacking_goes_on(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    files = {f"top/P{i % 50}/{i}.jpg": noise.bytes(20_000) for i in range(1500)}
    archive, out = write(tmp_path, make_tar(files), "lfw.tar"), tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", UNPACK, str(archive), str(out)])
    deadline = time.monotonic() + 30
    while len(list(out.rglob("*.jpg"))) < 100 and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    before = {p.name: p.stat().st_ino for p in out.rglob("*.jpg") if not p.name.startswith(".")}
    assert 100 <= len(before) < 1500
    for path in out.rglob("[!.]*.jpg"):
        assert path.read_bytes() == files[f"top/{path.parent.name}/{path.name}"]  # whole or absent
    folder = unpack_lfw(archive, out)
    assert files_below(folder) == {name.removeprefix("top/"): data for name, data in files.items()}
    assert all(p.stat().st_ino == before[p.name] for p in out.rglob("*.jpg") if p.name in before)
    assert json.loads((out / ".unpacked-lfw.tar.json").read_text())["photos"] == 1500


@needs_data("FACEALIKE_LFW_ARCHIVE")
def test_the_official_archive(tmp_path: Path) -> None:
    folder = unpack_lfw(os.environ["FACEALIKE_LFW_ARCHIVE"], tmp_path)
    assert str(People.from_folder(folder)) == "13,233 photos of 5,749 people"
