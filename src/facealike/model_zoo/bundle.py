"""Several models in one zip, to carry to a machine without a network.

Beside the models, stored as they are, lie ``bundle.json`` with their names, ids, lengths and SHA-256,
and ``SHA256SUMS`` for ``sha256sum -c``.  Equal models give equal bytes.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError
from ..model_file.locate import read_model_file
from ..model_file.model_file import ModelFile
from ..model_file.store import DEFAULT_MODEL, SUFFIX, is_name
from ..model_file.zip_format import MAX_TOTAL, check_members, file_entry, opened, read_member, sha256
from ..utils.atomic_write import write_bytes
from ..utils.escape import shown
from ..utils.json_fields import checked_table, in_words, parse_table, to_json

FORMAT = "facealike-bundle"
VERSION = 1
TABLE = "bundle.json"
SUMS = "SHA256SUMS"
WHAT = "bundle of models; copy it again"
MAX_TABLE = 1 << 20  # bytes of either list of the models
MAX_DIRECTORY = 1 << 20  # bytes of the zip's table of contents, for some thousand models


def write_bundle(names: Sequence[str], out: str | os.PathLike[str]) -> list[str]:
    """Write several models into one zip, whole or not at all.

    Args:
        names: Names of stored models, or ``default``.
        out: The zip to write.

    Returns:
        The ids of the models.

    Raises:
        UsageError: There is no name, or one twice.
        ModelError: A model is not there or damaged.
        DataError: The file cannot be written.

    Examples:
        >>> ids = write_bundle(["default", "mine"], "models.zip")
    """
    if not names or len(set(names)) != len(names):
        raise UsageError("a bundle holds one model or more, each once; name them")
    for name in names:
        if not is_name(name):
            raise UsageError(
                f"{shown(name)}: a bundle holds stored models by their names; store the file first with "
                "facealike models add"
            )
    models = {name: read_model_file(name) for name in names}
    contents = {name: model.to_bytes() for name, model in models.items()}
    entries = [
        {
            "name": name,
            "file": f"{name}{SUFFIX}",
            "id": models[name].id,
            "bytes": len(contents[name]),
            "sha256": sha256(contents[name]),
        }
        for name in names
    ]
    table = to_json({"format": FORMAT, "version": VERSION, "models": entries}, "bundle")
    sums = "".join(f"{entry['sha256']}  {entry['file']}\n" for entry in entries)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(file_entry(TABLE), table)
        archive.writestr(file_entry(SUMS), sums)
        for name in names:
            archive.writestr(file_entry(f"{name}{SUFFIX}"), contents[name])
    write_bytes(out, buffer.getvalue())
    return [models[name].id for name in names]


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """Whether the file at ``path`` is a zip with the table of a bundle, or what is left of one."""
    try:
        with Path(path).open("rb") as stream:
            # A bundle that was cut off would else pass for the last model in it, which is a whole zip itself.
            head = stream.read(30 + len(TABLE))
            if head.startswith(b"PK\x03\x04") and head.endswith(TABLE.encode()):
                return True
            with opened(stream, WHAT, MAX_DIRECTORY) as archive:
                return TABLE in archive.namelist()
    except (OSError, ModelError):
        return False


def read_bundle(path: str | os.PathLike[str]) -> Iterator[tuple[str, ModelFile]]:
    """Yield name and model of each model in a bundle, one at a time, all hashes verified.

    The default model has the name ``default-ID``, because every machine has a ``default`` of its own.

    Raises:
        ModelError: The bundle is not whole; the message names the file.
    """
    try:
        with Path(path).open("rb") as stream, opened(stream, WHAT, MAX_DIRECTORY) as archive:
            for entry in _entries(archive):
                content = read_member(archive, entry["file"])
                if sha256(content) != entry["sha256"]:
                    raise ModelError(f"{entry['file']} does not match its SHA-256; copy the bundle again")
                model = ModelFile.from_bytes(content, entry["file"])
                yield (f"default-{model.id}" if entry["name"] == DEFAULT_MODEL else entry["name"]), model
    except OSError as error:
        raise ModelError(f"{shown(path)}: no bundle can be read ({error.strerror}); check the path") from None
    except ModelError as error:
        raise ModelError(f"{shown(path)}: {error}") from error.__cause__


def _entries(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    if TABLE not in archive.namelist():
        raise ModelError(f"no {TABLE} in it, so not a bundle of models; check the path")
    check_members(archive, _limit_of)
    table = parse_table(read_member(archive, TABLE), TABLE)
    if table.get("format") != FORMAT or table.get("version") != VERSION:
        raise ModelError("a bundle of another kind or version; update facealike")
    models = table.get("models")
    if not isinstance(models, list) or not models:
        raise ModelError(f"{TABLE} lists no models; make the bundle again")
    entries = [checked_table(entry, "an entry") for entry in models]
    for entry in entries:
        name, size = entry.get("name"), entry.get("bytes")
        if not isinstance(name, str) or not is_name(name) or type(size) is not int:
            raise ModelError(f"an entry makes no sense ({in_words(entry)}); make the bundle again")
        if entry.get("file") != f"{name}{SUFFIX}" or entry["file"] not in archive.namelist():
            raise ModelError(f"the model {name} is missing in it; copy the bundle again")
        if archive.getinfo(entry["file"]).file_size != size:
            raise ModelError(f"{entry['file']} has another size than is stated; copy the bundle again")
    listed = [entry["file"] for entry in entries]
    if sorted([*listed, TABLE, SUMS]) != sorted(archive.namelist()):
        raise ModelError("its members are not those that its table lists; copy the bundle again")
    return entries


def _limit_of(name: str) -> int | None:
    """The most bytes of a member of a bundle; None for one that has no place in it."""
    if name in (TABLE, SUMS):
        return MAX_TABLE
    return MAX_TOTAL if name.endswith(SUFFIX) else None
