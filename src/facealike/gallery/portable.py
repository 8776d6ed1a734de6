"""A gallery as one portable text file, for backups and other programs.

JSON, one object a line:

    {"format": "facealike gallery", "version": 1, "model": id, "dimensions": d,
     "people": n, "corrections": n, "templates": n}
    {"person": name, "metadata": {...}}
    {"correction": name, "digest": ..., "time": ...}
    {"template": name, "embedding": ..., "digest": ..., "quality": ..., "time": ..., "source": ...}
    {"sha256": ...}

``embedding`` is the unit vector as little-endian float32 in base64.  ``digest`` is of the photo's pixels.
A template that was moved from another model states how, as ``origin``.
The last line is the SHA-256 of all lines before it, so that a part of a file is never imported.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NoReturn

import numpy as np

from ..errors import DataError, MixedModels, UsageError
from ..utils.atomic_write import written_whole
from ..utils.escape import shown
from ..utils.result import Result
from ..utils.wording import counted
from .base import GalleryStore
from .people_list import is_parquet
from .template import DIGEST, Correction, Template, metadata_text, vector_problems

FORMAT = "facealike gallery"
VERSION = 1
LONGEST_LINE = 1 << 20  # bytes
MAX_DIMENSIONS = 1 << 16


@dataclass(frozen=True, repr=False)
class ImportedGallery(Result):
    """What an import has added, and what it has skipped.

    Examples:
        >>> gallery.import_("people.jsonl")
        <ImportedGallery: people.jsonl: 2 people, 5 templates and 0 corrections added>

    Attributes:
        source: The file.
        people: People added.
        templates: Templates added.
        known: Templates of photos that were enrolled already.
        contradicted: Templates that a correction, here or in the file, states not to show the person.
        corrections: Corrections added.
    """

    ASK: ClassVar[str] = "ask for .templates or .known"

    source: str
    people: int
    templates: int
    known: int
    contradicted: int
    corrections: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source, "people": self.people, "templates": self.templates, "known": self.known,
            "contradicted": self.contradicted, "corrections": self.corrections,
        }  # fmt: skip

    def __str__(self) -> str:
        parts = [
            f"{shown(self.source)}: {counted(self.people, 'person', 'people')}, "
            f"{counted(self.templates, 'template')} and {counted(self.corrections, 'correction')} added"
        ]
        parts += [f"{self.known:,} known already"] if self.known else []
        parts += [f"{self.contradicted:,} skipped by a correction"] if self.contradicted else []
        return ", ".join(parts)


def export_store(store: GalleryStore, out: Path) -> int:
    """Write all of a store but its audit to a file, atomically, and return the number of templates.

    Raises:
        DataError: The store is damaged, or the file cannot be written.
    """
    if store.damaged_templates():
        raise DataError(f"{store.name}: some templates are damaged; facealike gallery check lists them")
    digest = hashlib.sha256()
    with store.snapshot(), written_whole(out) as stream:
        people, metadata = store.people(), store.metadata()
        corrections, count = store.corrections(), store.count()

        def line(entry: dict[str, Any]) -> None:
            text = json.dumps(entry) + "\n"
            digest.update(text.encode("ascii"))
            stream.write(text)

        line(
            {
                "format": FORMAT, "version": VERSION, "model": store.model_id,
                "dimensions": store.dimensions() if count else 0, "people": len(people),
                "corrections": len(corrections), "templates": count,
            }
        )  # fmt: skip
        for name in people:
            line({"person": name, "metadata": metadata.get(name, {})})
        for one in corrections:
            line({"correction": one.person, "digest": one.digest, "time": one.time})
        for name, template in store.each_template():
            embedding = base64.b64encode(template.vector.astype("<f4").tobytes()).decode("ascii")
            line(
                {
                    "template": name, "embedding": embedding, "digest": template.digest,
                    "quality": template.quality, "time": template.time, "source": template.source,
                    **({"origin": template.origin} if template.origin else {}),
                }
            )  # fmt: skip
        stream.write(json.dumps({"sha256": digest.hexdigest()}) + "\n")
    return count


def import_store(store: GalleryStore, path: Path) -> ImportedGallery:
    """Add the people of an exported file to a store, in one transaction.

    People, photos and metadata that the store has stay as they are.

    Raises:
        DataError: The file cannot be read, is damaged or of a newer version; the store is unchanged.
        MixedModels: It holds embeddings of another model.
    """
    try:
        if not path.is_file():
            raise DataError(f"{shown(path)}: no such file of an exported gallery; check the path")
        if is_parquet(path):
            raise DataError(f"{shown(path)}: a table; facealike gallery enroll GALLERY --from adds it")
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a possible name"
        raise DataError(f"{shown(path)}: cannot be read ({reason}); check the path") from None
    with stream:
        file = _Reader(path, stream)
        if file.header["model"] != store.model_id:
            raise MixedModels(
                f"{file.name}: holds embeddings of the model {shown(file.header['model'])}, and the gallery "
                f"those of {store.model_id}; export from a gallery of that model, or enroll the photos"
            )
        return _add(store, file)


def _add(store: GalleryStore, file: _Reader) -> ImportedGallery:
    before, known_corrections = set(store.people()), len(store.corrections())
    metadata = dict(file.people())
    corrections = list(file.corrections())
    refused = {(one.person, one.digest) for one in (*store.corrections(), *corrections)}
    length, contradicted = _dimensions(store, file), 0

    def wanted() -> Iterator[tuple[str, Template]]:
        nonlocal contradicted
        for name, template in file.templates(length):
            if (name, template.digest) in refused:
                contradicted += 1
            else:
                yield name, template

    new = store.add_many(wanted(), metadata, corrections, replace=False)
    return ImportedGallery(
        str(file.path), len(set(store.people()) - before), sum(new), len(new) - sum(new), contradicted,
        len(store.corrections()) - known_corrections,
    )  # fmt: skip


def _dimensions(store: GalleryStore, file: _Reader) -> int:
    """Return the width of the embeddings, which a file and a store of one model share."""
    width = int(file.header["dimensions"])
    held = store.dimensions()
    if held and width and held != width:
        raise DataError(
            f"{file.name}: embeddings of {width} dimensions, where the gallery has {held}; export it again"
        )
    return width


class _Reader:
    """An exported file: its header is read at once, then its parts in order."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self.name = path, shown(path)
        self._stream, self._number = stream, 0
        self._digest = hashlib.sha256()
        self.header = self._entry()
        if self.header.get("format") != FORMAT:
            raise DataError(f"{self.name}: not an exported gallery; facealike gallery export writes one")
        if self.header.get("version") != VERSION:
            raise DataError(f"{self.name}: of another version than {VERSION}; update facealike")
        counts = {key: self.header.get(key) for key in ("people", "corrections", "templates", "dimensions")}
        if not all(type(n) is int and n >= 0 for n in counts.values()) or not isinstance(
            self.header.get("model"), str
        ):
            self._wrong("the header lacks the model or a count")
        if self.header["dimensions"] > MAX_DIMENSIONS:
            self._wrong("the header states too many dimensions")

    def people(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the people with their metadata."""
        self.names: set[str] = set()
        for _ in range(self.header["people"]):
            entry = self._entry()
            name, metadata = entry.get("person"), entry.get("metadata")
            if not (isinstance(name, str) and name.strip() and isinstance(metadata, dict)):
                self._wrong("no person with a name and metadata")
            try:
                metadata_text(metadata)
            except UsageError as error:
                self._wrong(str(error))
            self.names.add(self._text(name))
            yield name, metadata

    def corrections(self) -> Iterator[Correction]:
        """Yield the corrections, which come after the people."""
        for _ in range(self.header["corrections"]):
            entry = self._entry()
            yield Correction(
                self._person(entry, "correction"), self._hash(entry), self._string(entry, "time")
            )

    def templates(self, dimensions: int) -> Iterator[tuple[str, Template]]:
        """Yield the templates, which come last, and check the end of the file."""
        for _ in range(self.header["templates"]):
            entry = self._entry()
            name, quality = self._person(entry, "template"), entry.get("quality")
            if quality is not None and not (type(quality) in (int, float) and 0 <= quality <= 1):
                self._wrong("the quality is no number between 0 and 1")
            try:
                vector = base64.b64decode(self._string(entry, "embedding"), validate=True)
            except (binascii.Error, ValueError):
                self._wrong("the embedding is not in base64")
            if problem := vector_problems([vector], 4 * dimensions).get(0):
                self._wrong(f"the embedding has {problem}")
            source, time = self._string(entry, "source"), self._string(entry, "time")
            origin = self._string(entry, "origin") if "origin" in entry else ""
            yield (
                name,
                Template(np.frombuffer(vector, "<f4"), self._hash(entry), quality, source, time, origin),
            )
        expected = self._digest.hexdigest()
        if self._entry().get("sha256") != expected or self._stream.read(1):
            self._wrong("the file has changed since it was exported: its SHA-256 differs")

    def _entry(self) -> dict[str, Any]:
        line = self._stream.readline(LONGEST_LINE)
        self._number += 1
        if not line.endswith(b"\n"):
            self._wrong("the file ends too early, or is no exported gallery")
        self._digest.update(line)
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            self._wrong("no JSON object")
        if not isinstance(entry, dict):
            self._wrong("no JSON object")
        return entry

    def _person(self, entry: dict[str, Any], key: str) -> str:
        name = self._string(entry, key)
        if name not in self.names:
            self._wrong(f"{shown(name)!r} is not among the people of the file")
        return name

    def _hash(self, entry: dict[str, Any]) -> str:
        digest = self._string(entry, "digest")
        if not DIGEST.fullmatch(digest):
            self._wrong("the digest is no SHA-256")
        return digest

    def _string(self, entry: dict[str, Any], key: str) -> str:
        value = entry.get(key)
        if not isinstance(value, str):
            self._wrong(f"no text under {key!r}")
        return self._text(value)

    def _text(self, value: str) -> str:
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            self._wrong("a text that is no Unicode")
        return value

    def _wrong(self, what: str) -> NoReturn:
        raise DataError(f"{self.name}, line {self._number}: {what}; export the gallery again")
