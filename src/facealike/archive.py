"""The zip below a ``.facealike`` file: named members, and a manifest that states their SHA-256.

Nothing in it is pickled, so opening a stranger's file runs no code of theirs.  Equal content gives
equal bytes: members are stored, not deflated, under one fixed date.  A member is refused before a
byte of it is inflated if it states an unreasonable size.

Version 2 of the format lets ``calibration.json`` hold more than the threshold; everything else is
as in version 1, which is read as well.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

from .errors import ModelError
from .fields import in_words, parse_table, to_json
from .image import shown

FORMAT_VERSION = 2
READABLE = (1, 2)
FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can state
MAX_WEIGHTS = 512 << 20  # bytes of one ONNX member
MAX_JSON = 32 << 20  # bytes of one JSON member


def sha256(content: bytes) -> str:
    """The SHA-256 of ``content`` in hex."""
    return hashlib.sha256(content).hexdigest()


def pack(members: dict[str, bytes], about: dict[str, Any]) -> bytes:
    """The content of a file with these members; ``about`` goes into the manifest."""
    manifest = {
        "format": "facealike",
        "version": FORMAT_VERSION,
        **about,
        "sha256": {name: sha256(content) for name, content in sorted(members.items())},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(file_entry("manifest.json"), to_json(manifest, "manifest"))
        for name, content in sorted(members.items()):
            archive.writestr(file_entry(name), content)
    return buffer.getvalue()


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(manifest, members) of what ``pack`` made; ModelError if it is not whole, to the last bit."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _unpack(archive)
    # zipfile answers damage with BadZipFile and, depending on where it lies, several others.
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ModelError("not a whole facealike model file; copy it again or train a new one") from error


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of the model file at ``path``; ModelError, naming it, if it is none to be read."""
    file = Path(path)
    try:
        size = file.stat().st_size
        if file.is_dir():
            raise ModelError(f"{shown(file)}: a folder, not a model file; give the .facealike file in it")
        if size > 2 * MAX_WEIGHTS + 3 * MAX_JSON:
            raise ModelError(f"{shown(file)}: too large for a model file ({size:,} bytes); check the path")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{shown(file)}: no model can be read ({reason}); check the path") from None


def _unpack(archive: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, bytes]]:
    names = [entry.filename for entry in archive.infolist()]
    if "manifest.json" not in names:
        raise ModelError("no manifest.json in it, so not a facealike model file; check the path")
    if len(set(names)) != len(names):
        raise ModelError("a member is there twice; copy the file again from where it was made")
    manifest = parse_table(_member(archive, "manifest.json"), "manifest.json")
    if manifest.get("format") != "facealike":
        raise ModelError("the manifest is not that of a facealike model; check the path")
    version = manifest.get("version")
    if type(version) is not int or version not in READABLE:
        raise ModelError(
            f"format version {in_words(version)} is not one this facealike reads "
            f"({' or '.join(map(str, READABLE))}); update facealike or train the model again"
        )
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or set(hashes) != set(names) - {"manifest.json"}:
        raise ModelError("its members are not those that the manifest lists; copy the file again")
    members = {}
    for name, expected in hashes.items():
        members[name] = _member(archive, name)
        if sha256(members[name]) != expected:
            raise ModelError(
                f"{name} does not match its SHA-256, so it was damaged or changed; copy the file again"
            )
    return manifest, members


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One member, refused before a byte is inflated if it states more bytes than its kind may have."""
    entry = archive.getinfo(name)
    limit = MAX_JSON if name.endswith(".json") else MAX_WEIGHTS
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise ModelError(f"{name} is encrypted or packed in an unknown way; make the file anew")
    if entry.file_size > limit:
        raise ModelError(f"{name} would unpack to {entry.file_size:,} bytes, over the limit of {limit:,}")
    try:
        # zipfile never returns more than the stated size, and checks the CRC at its end.
        return archive.read(entry)
    except Exception as error:  # zlib.error, struct.error, BadZipFile and others by kind of damage
        raise ModelError(f"{name} is damaged; copy the file again from where it was made") from error


def file_entry(name: str) -> zipfile.ZipInfo:
    """The header of a member: the same on every machine, whenever it is made."""
    entry = zipfile.ZipInfo(name, FIXED_DATE)
    entry.create_system = 3  # else the byte would tell Windows from Unix
    entry.external_attr = 0o644 << 16
    return entry
