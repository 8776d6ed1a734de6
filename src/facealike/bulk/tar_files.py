"""Photos in tar files, as WebDataset has them: the files of one name belong together.

Beside ``ann/0001.jpg`` there may be ``ann/0001.cls`` or ``ann/0001.json``.  Nothing is unpacked: a photo is a
range of bytes in the tar file, so that any worker may read any photo, and a run may go on anywhere.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..datasets.folders import Skipped, is_hidden, warn_skipped
from ..errors import DataError, UsageError
from ..gallery.people_list import COLUMNS
from ..gallery.template import metadata_text
from ..imaging.formats import readable_extensions
from ..utils.escape import shown
from .photo_file import PhotoRef
from .places import opened

LARGEST_SIDECAR = 1 << 20
"""Bytes of a file beside a photo; a larger one is left out."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST_SHARDS = 1_000_000


def expand_range(text: str) -> list[str]:
    """Return the names that ``shard-{000..009}.tar`` stands for; other text stands for itself.

    Raises:
        UsageError: The range is empty or too long.
    """
    match = _RANGE.search(text)
    if match is None:
        return [text]
    first, last = int(match[1]), int(match[2])
    if not 0 <= last - first < MOST_SHARDS:
        raise UsageError(f"{shown(text)}: a range counts upwards, as in {{000..009}}")
    width = len(match[1]) if match[1].startswith("0") else 0
    numbers = [f"{number:0{width}d}" for number in range(first, last + 1)]
    rest = text[match.end() :]
    return [
        name for number in numbers for name in expand_range(f"{text[: match.start()]}{number}{rest}")
    ]  # fmt: skip


def photos_in_tar(place: str) -> Iterator[PhotoRef]:
    """Yield the photos in a tar file, in its order.

    A file that ends too early gives the photos before its end, and one more without content, with the reason.

    Raises:
        DataError: It cannot be opened, or is no tar file, or a compressed one.
    """
    with opened(place, "tar file") as stream:
        try:
            archive = tarfile.open(fileobj=stream, mode="r:", errorlevel=0)  # noqa: SIM115 (closed below)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise _no_tar(place, stream, error) from None
        skipped: list[Skipped] = []
        with archive:
            yield from _groups(place, archive, skipped)
        warn_skipped(place, skipped)


def _groups(place: str, archive: tarfile.TarFile, skipped: list[Skipped]) -> Iterator[PhotoRef]:
    endings = readable_extensions()
    key, photos, beside = "", list[PhotoRef](), dict[str, bytes]()
    try:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # a list of all members would fill the memory
            name = info.name.encode("utf-8", "backslashreplace").decode()
            if not info.isreg() or info.issparse() or is_hidden(os.path.basename(name)):  # noqa: PTH119
                continue
            stem, ending = os.path.splitext(name)  # noqa: PTH122
            if stem != key:
                yield from (_described(ref, beside) for ref in photos)
                key, photos, beside = stem, [], {}
            if ending.lower() in endings:
                photos.append(PhotoRef(stem, place, name, info.offset_data, info.size))
            elif ending.lower() in (".json", ".cls", ".txt") and info.size <= LARGEST_SIDECAR:
                content = archive.extractfile(info)
                beside[ending.lower()] = b"" if content is None else content.read()
            else:
                skipped.append(
                    Skipped(Path(name), f"{ending} is no photo" if ending else "no photo by its name")
                )
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        yield from (_described(ref, beside) for ref in photos[:-1])
        reason = f"{shown(place)}: this tar file ends too early or is damaged ({error}); copy it again"
        yield PhotoRef(photos[-1].key if photos else place, place, problem=reason)
        return
    yield from (_described(ref, beside) for ref in photos)


def _described(ref: PhotoRef, beside: dict[str, bytes]) -> PhotoRef:
    """Return a photo with the person and metadata that the files beside it state."""
    texts = {end: data.decode("utf-8", "replace").strip() for end, data in beside.items()}
    metadata: dict[str, object] = {"text": texts[".txt"]} if texts.get(".txt") else {}
    person = texts.get(".cls") or None
    if ".json" in texts:
        stated = _json_object(texts[".json"])
        metadata |= stated
        for name in ("person", *COLUMNS["person"]):
            if isinstance(stated.get(name), str) and str(stated[name]).strip():
                person = str(metadata.pop(name)).strip()
                break
    return ref._replace(person=person, metadata=metadata_text(metadata) if metadata else None)


def _json_object(text: str) -> dict[str, object]:
    """Return a JSON object; an empty one for any other text, since a photo is worth more than its notes."""
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            metadata_text(value)  # Python also reads NaN, which JSON does not have
            return value
    except (ValueError, RecursionError, UsageError):
        pass
    return {}


def _no_tar(place: str, stream: BinaryIO, error: Exception) -> DataError:
    stream.seek(0)
    head = stream.read(4)
    if head[:2] == b"\x1f\x8b" or head[:3] == b"BZh" or head == b"\xfd7zX" or head == b"\x28\xb5\x2f\xfd":
        return DataError(
            f"{shown(place)}: a compressed tar file, in which no photo can be read by itself; decompress it"
        )
    return DataError(f"{shown(place)}: no tar file can be read ({error}); check the path")
