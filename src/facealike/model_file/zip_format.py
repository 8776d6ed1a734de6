"""The zip container of a ``.facealike`` file: named members, and a manifest with their SHA-256.

Nothing is pickled, so opening an untrusted file runs no code.  Equal content gives equal bytes: members are
stored, not deflated, with one fixed date.  An archive with unknown members or unreasonable sizes is refused
before any member is read.

Version 2 of the format lets ``calibration.json`` hold more than the threshold; all else is as in version 1,
which is read as well.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ModelError
from ..utils.escape import shown
from ..utils.foreign_weights import refuse_foreign_model
from ..utils.json_fields import in_words, parse_table, to_json
from ..utils.onnx_session import MAX_WEIGHTS

FORMAT_VERSION = 2
READABLE = (1, 2)
FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date of the zip format
MAX_DETECTOR = 128 << 20  # bytes of the detector's ONNX
MAX_JSON = 16 << 20  # bytes of one JSON member: the hashes of 800,000 people
MAX_TOTAL = MAX_WEIGHTS + MAX_DETECTOR  # bytes of a whole model file
MAX_DIRECTORY = 16 << 10  # bytes of the zip's table of contents, for five members

MANIFEST = "manifest.json"
MEMBERS = {
    MANIFEST: MAX_JSON, "card.json": MAX_JSON, "calibration.json": MAX_JSON, "embedder.onnx": MAX_WEIGHTS,
    "detector.onnx": MAX_DETECTOR,
}  # fmt: skip
"""The members of a model file, in both versions, with the maximum size of each in bytes."""

ENCRYPTED = 1  # of a member's flags
END = struct.Struct("<4s4H2LH")  # a zip's end record: APPNOTE.TXT, section 4.3.16
ZIP64_LOCATOR = b"PK\x06\x07" + bytes(16)  # what lies before it in a zip too large for it

Unpacked = tuple[dict[str, Any], dict[str, bytes]]


def sha256(content: bytes) -> str:
    """Return the SHA-256 of ``content`` in hex."""
    return hashlib.sha256(content).hexdigest()


def pack(members: dict[str, bytes], about: dict[str, Any]) -> bytes:
    """Return the content of a file with these members; ``about`` goes into the manifest."""
    manifest = {
        "format": "facealike",
        "version": FORMAT_VERSION,
        **about,
        "sha256": {name: sha256(content) for name, content in sorted(members.items())},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(file_entry(MANIFEST), to_json(manifest, "manifest"))
        for name, content in sorted(members.items()):
            archive.writestr(file_entry(name), content)
    return buffer.getvalue()


def unpack(source: bytes | BinaryIO, known: Mapping[str, int] = MEMBERS) -> Unpacked:
    """Return the manifest and the members of a file made by ``pack``.

    Args:
        source: The content of the file, or the open file.
        known: Members that are allowed, with the maximum size of each in bytes.

    Raises:
        ModelError: A bit of it is wrong.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    with opened(stream, "facealike model file; copy it again or train a new one") as archive:
        return _unpack(archive, known)


@contextmanager
def opened(stream: BinaryIO, what: str, directory: int = MAX_DIRECTORY) -> Iterator[zipfile.ZipFile]:
    """Open the zip in ``stream``, whose directory has at most ``directory`` bytes.

    Raises:
        ModelError: The bytes are not a whole zip; the message calls it ``what``.
    """
    try:
        _check_directory(stream, directory)
        with zipfile.ZipFile(stream) as archive:
            yield archive
    # zipfile answers damage with BadZipFile and, depending on where it lies, several others.
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"not a whole {what}") from error


def check_members(archive: zipfile.ZipFile, limit_of: Callable[[str], int | None]) -> None:
    """Check the directory of an archive before any member is read.

    All members must be stored uncompressed: then none is larger than its place in the file, and all together
    are not larger than the file.

    Args:
        archive: The open zip.
        limit_of: Returns the maximum size of a member in bytes, or None if it is not allowed.

    Raises:
        ModelError: The archive is refused.
    """
    stated = 0
    names = set()
    for entry in archive.infolist():
        name = shown(entry.filename)[:80]
        limit = limit_of(entry.filename)
        if limit is None:
            raise ModelError(f"{name} is no part of such a file; copy the file again from where it was made")
        if entry.filename in names:
            raise ModelError("a member is there twice; copy the file again from where it was made")
        names.add(entry.filename)
        if entry.file_size > limit:
            raise ModelError(f"{name} states {entry.file_size:,} bytes, over the limit of {limit:,}")
    for entry in archive.infolist():
        name = shown(entry.filename)[:80]
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ENCRYPTED:
            raise ModelError(f"{name} is encrypted or compressed, not stored; make the file anew")
        if entry.compress_size != entry.file_size:
            raise ModelError(f"{name} states two sizes; copy the file again from where it was made")
        stated += entry.file_size
    if stated > archive.start_dir:
        raise ModelError("its members overlap; copy the file again from where it was made")


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return one member of an archive that ``check_members`` has accepted."""
    try:
        return archive.read(name)  # never more than the stated size; the CRC is checked at its end
    except Exception as error:  # struct.error, BadZipFile and others by kind of damage
        raise ModelError(f"{name} is damaged; copy the file again from where it was made") from error


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open the model file at ``path``; ModelError, naming it, if it cannot be read."""
    file = Path(path)
    refuse_foreign_model(file)
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ModelError(f"{shown(file)}: a folder, not a model file; give the .facealike file in it")
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{shown(file)}: not a file but a pipe or a device; give a .facealike file")
        if status.st_size > MAX_TOTAL:
            raise ModelError(
                f"{shown(file)}: too large for a model file ({status.st_size:,} bytes); check the path"
            )
        stream = file.open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{shown(file)}: no model can be read ({reason}); check the path") from None
    with stream:
        yield stream


def _check_directory(stream: BinaryIO, limit: int) -> None:
    """Refuse a zip with too large a directory, from its end record.

    zipfile reads the whole directory at once and creates an object for each entry.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - len(ZIP64_LOCATOR) - END.size))
    tail = stream.read()
    if len(tail) < END.size:
        raise zipfile.BadZipFile("no end")
    signature, _, _, _, _, directory, _, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment or tail.startswith(ZIP64_LOCATOR[:4]):
        raise zipfile.BadZipFile("another end than that of a small zip without a comment")
    if directory > limit:
        raise ModelError(f"its table of contents has {directory:,} bytes, over the limit of {limit:,}")


def _unpack(archive: zipfile.ZipFile, known: Mapping[str, int]) -> Unpacked:
    names = set(archive.namelist())
    if MANIFEST not in names:
        raise ModelError("no manifest.json in it, so not a facealike model file; check the path")
    check_members(archive, known.get)
    manifest = parse_table(read_member(archive, MANIFEST), MANIFEST)
    if manifest.get("format") != "facealike":
        raise ModelError("the manifest is not that of a facealike model; check the path")
    version = manifest.get("version")
    if type(version) is not int or version not in READABLE:
        raise ModelError(
            f"format version {in_words(version)} is not one this facealike reads "
            f"({' or '.join(map(str, READABLE))}); update facealike or train the model again"
        )
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or set(hashes) != names - {MANIFEST}:
        raise ModelError("its members are not those that the manifest lists; copy the file again")
    members = {}
    for name, expected in hashes.items():
        members[name] = read_member(archive, name)
        if sha256(members[name]) != expected:
            raise ModelError(
                f"{name} does not match its SHA-256, so it was damaged or changed; copy the file again"
            )
    return manifest, members


def file_entry(name: str) -> zipfile.ZipInfo:
    """Return the header of a member, the same on every machine and at any time."""
    entry = zipfile.ZipInfo(name, FIXED_DATE)
    entry.create_system = 3  # otherwise Windows and Unix would differ
    entry.external_attr = 0o644 << 16
    return entry
