"""Unpack the LFW archive safely, and resume after an interruption.

Labeled Faces in the Wild (Huang, Ramesh, Berg and Learned-Miller, 2007) is one gzipped tar of
``lfw-deepfunneled/NAME/NAME_0001.jpg`` and so on, or with the top folder ``lfw``.  The archive is untrusted:
a member that is a link or a device, leads out of the folder or is implausibly large stops the unpacking
before it is written.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import DataError, UnsafeArchive
from ..imaging.formats import IMAGE_EXTENSIONS
from ..utils.atomic_write import write_text
from ..utils.escape import shown
from ..utils.locking import own_folder

MAX_MEMBER = 16 * 2**20
"""Bytes of one photo; those of LFW have some 10 to 30 KiB."""

MAX_TOTAL = 8 * 2**30
"""Bytes of the whole archive once decompressed; LFW has about 0.2 GiB."""

MAX_MEMBERS = 1_000_000

LOCK = ".unpacking"
"""Hidden, in the folder that photos are unpacked into, while a process does so."""

_HEADER = 512
_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, IndexError, OverflowError)


def unpack_lfw(
    archive: str | Path, to: str | Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Unpack the photos of an archive; return the folder of people.

    Can be repeated: the files of an interrupted run are kept and the rest is added; once all are there
    another run returns at once.  One process at a time unpacks into a folder.

    Args:
        archive: A .tgz or .tar.
        to: The folder to unpack into.
        progress: Called with (done, total) bytes of the archive.

    Raises:
        UnsafeArchive: A member is a link, a device, too large or outside the folder.
        DataError: The archive is missing, truncated, damaged or holds no photos, or the target cannot be
            written.
    """
    source, target = Path(archive), Path(to)
    try:
        if not source.is_file():
            raise DataError(f"{shown(source)}: no such archive; check the path")
        size = source.stat().st_size
        marker = target / f".unpacked-{source.name}.json"
        done = _finished(marker, size, target)
        if done is not None:
            return done
        with _alone_in(target), source.open("rb") as file:
            photos = _Photos(file, shown(source), size, target)
            for _ in photos.unpack():
                if progress is not None:
                    progress(min(file.tell(), size), size)
            if photos.top is not None:
                _mark(marker, photos)
    except OSError as error:
        raise DataError(
            f"{shown(source)}: this archive cannot be read ({error.strerror or error}); check the disk"
        ) from error
    if photos.top is None:
        raise DataError(f"{shown(source)}: no photos as TOP/NAME/NAME_0001.jpg in it; use the LFW archive")
    if progress is not None:
        progress(size, size)
    return target / photos.top


@contextlib.contextmanager
def _alone_in(target: Path) -> Iterator[None]:
    """Lock the folder; DataError if another process unpacks into it or it cannot be written."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(own_folder(target, name=LOCK))
        except OSError as error:
            raise DataError(
                f"{shown(target)}: cannot be written ({error.strerror}); free space or choose another folder"
            ) from error
        yield


def _mark(marker: Path, photos: _Photos) -> None:
    """Write the completion marker."""
    if hasattr(os, "sync"):  # flush all photos once before writing the completion marker
        os.sync()
    counts = {
        "archive_bytes": photos.size,
        "folder": photos.top,
        "photos": photos.count,
        "people": len(photos.people),
    }
    write_text(marker, json.dumps(counts) + "\n")


def _finished(marker: Path, size: int, target: Path) -> Path | None:
    """The folder of people if the marker is that of this archive and the folder is complete."""
    try:
        counts: dict[str, Any] = json.loads(marker.read_bytes())
        folder = target / counts["folder"]
        with os.scandir(folder) as entries:
            people = sum(entry.is_dir() for entry in entries if not entry.name.startswith("."))
        return folder if counts["archive_bytes"] == size and people >= counts["people"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _Bounded:
    """The decompressed tar, with limits on one reading and on all of them together.

    tarfile reads extended headers whole, of whatever length they claim; hence the first limit.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self.stream, self.name = stream, name
        self.last = b""

    def read(self, size: int) -> bytes:
        if size < 0 or size > MAX_MEMBER:
            raise UnsafeArchive(f"{self.name}: a header of implausible length in it; use the LFW archive")
        self.last = self.stream.read(size)
        self._check(self.stream.tell())
        return self.last

    def seek(self, position: int) -> int:
        self._check(position)
        return self.stream.seek(position)

    def tell(self) -> int:
        return self.stream.tell()

    def _check(self, position: int) -> None:
        if position > MAX_TOTAL:
            raise UnsafeArchive(
                f"{self.name}: it unpacks to more than {MAX_TOTAL // 2**30} GiB; use the LFW archive"
            )


class _Photos:
    """One pass over an archive."""

    def __init__(self, file: IO[bytes], name: str, size: int, target: Path) -> None:
        self.file, self.name, self.size, self.target = file, name, size, target
        self.top: str | None = None
        self.count = 0
        self.people: set[str] = set()

    def unpack(self) -> Iterator[None]:
        """Write photo after photo; yields after each member."""
        try:
            packed = self.file.read(2) == b"\x1f\x8b"
            self.file.seek(0)
            stream: IO[bytes] = gzip.GzipFile(fileobj=self.file) if packed else self.file  # type: ignore[assignment]
            reader = _Bounded(stream, self.name)
            with tarfile.open(fileobj=reader, mode="r:") as tar:  # type: ignore[call-overload]
                for number, member in enumerate(tar):
                    self._member(tar, member, number)
                    yield
            # tarfile takes a damaged header for the end of the archive; the true end is a block of
            # zeros.  The rest is read too, since gzip checks its checksum only at the end.
            if reader.last != bytes(_HEADER):
                raise EOFError
            while reader.read(2**20):
                pass
        except _BROKEN as error:
            raise DataError(
                f"{self.name}: the archive is truncated or damaged after {self.count:,} photos "
                f"({self.file.tell():,} of {self.size:,} bytes); download it again"
            ) from error

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo, number: int) -> None:
        parts = self._safe_parts(member)
        if number >= MAX_MEMBERS:
            raise UnsafeArchive(f"{self.name}: more than {MAX_MEMBERS:,} members; use the LFW archive")
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
        if member.isdir() or hidden or len(parts) != 3:
            return
        if not parts[2].lower().endswith(IMAGE_EXTENSIONS):
            return
        if self.top not in (None, parts[0]):
            raise DataError(
                f"{self.name}: photos in two top folders, {shown(str(self.top))} and {shown(parts[0])}; "
                "use the LFW archive"
            )
        stream = tar.extractfile(member)
        data = stream.read() if stream is not None else b""
        if len(data) != member.size:
            raise EOFError
        self._write(self.target.joinpath(*parts), data)
        self.top = parts[0]
        self.count += 1
        self.people.add(parts[1])

    def _safe_parts(self, member: tarfile.TarInfo) -> list[str]:
        """The folders and the file name of a member that is safe to write."""
        name = member.name
        parts = [part for part in name.split("/") if part not in ("", ".")]
        # A backslash or a colon means another folder or drive on Windows.
        if name.startswith("/") or ".." in parts or any(c in name for c in "\\:\0"):
            raise self._unsafe(member, "leads outside the folder")
        if not (member.isdir() or member.isreg()) or member.issparse():
            raise self._unsafe(member, "is a link or a device, not a photo")
        if not 0 <= member.size <= MAX_MEMBER:
            raise self._unsafe(member, f"is larger than {MAX_MEMBER // 2**20} MiB")
        return parts

    def _unsafe(self, member: tarfile.TarInfo, why: str) -> UnsafeArchive:
        return UnsafeArchive(f"{self.name}: the member {shown(member.name)} {why}; use the LFW archive")

    def _write(self, path: Path, data: bytes) -> None:
        """Write a photo whole, unless one of the right size exists.

        Not flushed to the disk one by one, which would take minutes for all of LFW.  A power cut can leave
        empty files behind, but those have the wrong size.
        """
        beside = path.with_name(f".{path.name}.part")
        try:
            if path.is_file() and path.stat().st_size == len(data):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                beside.write_bytes(data)
                beside.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    beside.unlink()
                raise
        except OSError as error:
            raise DataError(
                f"{shown(path)}: cannot be written ({error.strerror}); free space or choose another folder"
            ) from error
