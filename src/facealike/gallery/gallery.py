"""Enroll people, identify a face among them, and forget them again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.embedded_photos import EmbeddedFace
from ..embedding.face_model import Model
from ..errors import DataError, UsageError
from ..imaging.photo_digest import photo_digest
from ..imaging.read import Source, source_name
from ..utils.result import Result
from .candidates import MARGIN, Candidate, CandidateList, decide
from .index import ExactIndex
from .store import GalleryStore, SQLiteStore, Template
from .threshold import threshold_at_fpir

FPIR = 0.01
"""Default target: one of a hundred searches of people not enrolled returns somebody."""


@dataclass(frozen=True, repr=False)
class Enrollment(Result):
    """What became of the photos of a person: templates added, photos known already, photos refused."""

    ASK: ClassVar[str] = "ask for .added or .refused"

    person: str
    added: int
    known: int
    refused: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        refused = [{"photo": photo, "reason": reason} for photo, reason in self.refused]
        return {"person": self.person, "added": self.added, "known": self.known, "refused": refused}

    def __str__(self) -> str:
        parts = [f"{self.added} added"]
        parts += [f"{self.known} known already"] if self.known else []
        parts += [f"{len(self.refused)} refused"] if self.refused else []
        return f"{self.person}: " + ", ".join(parts)


class Gallery:
    """Enrolled people, in one file, for the embeddings of one model.

    Args:
        store: Where the templates are.
        model: The model that embeds photos.

    Examples:
        >>> gallery = Gallery.open("people.db")
        >>> gallery.enroll("Ann", ["ann1.jpg", "ann2.jpg"])
        <Enrollment: Ann: 2 added>
        >>> gallery.identify("visitor.jpg").decision
        'match'
    """

    def __init__(self, store: GalleryStore, model: Model) -> None:
        self.store, self.model = store, model
        self._index: ExactIndex | None = None
        self._sources: list[str] = []

    @classmethod
    def open(cls, path: str | os.PathLike[str], model: Model | str = "default") -> Gallery:
        """Open or create the gallery in a file.

        Raises:
            DataError: The file is no gallery.
            MixedModels: It holds templates of another model.
        """
        loaded = Model.load(model) if isinstance(model, str) else model
        return cls(SQLiteStore(path, loaded.id), loaded)

    def enroll(
        self, person: str, photos: Iterable[Source], face: FacePolicy = DEFAULT_FACE,
        min_quality: float = 0.0, metadata: Mapping[str, Any] | None = None,
    ) -> Enrollment:  # fmt: skip
        """Enroll a person with one or more photos; a photo counts once.

        Args:
            person: The name.
            photos: Each whatever ``read_image`` takes.
            face: Which face of a photo is meant; not ``all``.
            min_quality: Faces of a lower quality are refused.
            metadata: Kept with the person, as JSON.

        Raises:
            UsageError: The name is empty, or the face policy is ``all``.
            DataError: Nothing could be enrolled: the person is not in the gallery.
        """
        if not person.strip():
            raise UsageError("a person needs a name to be enrolled")
        if face == "all":
            raise UsageError("a photo is enrolled with one face; choose another face policy than all")
        person = person.encode("utf-8", "backslashreplace").decode()
        listed = list(photos)
        templates: list[Template] = []
        refused: list[tuple[str, str]] = []
        for row in self.model.stream(listed, face=face):
            reason = row.reason or _too_poor(row.faces[0], min_quality)
            if reason is not None:
                refused.append((row.photo, reason))
                continue
            one = row.faces[0]
            quality = None if one.quality is None else one.quality.score
            digest = photo_digest(listed[row.index]).pixels
            source = row.photo.encode("utf-8", "backslashreplace").decode()  # a name may be no Unicode
            templates.append(Template(one.embedding, digest, quality, source))
        if not templates:
            raise DataError(f"{person}: no photo can be enrolled; {'; '.join(why for _, why in refused)}")
        added = self.store.add(person, templates, metadata)
        self._index = None
        return Enrollment(person, added, len(templates) - added, tuple(refused))

    def identify(
        self, photo: Source, top: int = 5, fpir: float = FPIR, face: FacePolicy = DEFAULT_FACE
    ) -> CandidateList:
        """Return who a face may be.

        Args:
            photo: Whatever ``read_image`` takes.
            top: How many candidates.
            fpir: The target share of searches of people not enrolled that return somebody.
            face: Which face of the photo is meant; not ``all``.

        Raises:
            ImageError: The photo cannot be read.
            NoFaceFound: It shows no face.
        """
        if top < 1:
            raise UsageError(f"a search returns one candidate or more, not {top}")
        (row,) = self.model.stream([photo], face=face, on_error="raise")
        one = row.faces[0]
        index, count = self._searchable()
        found = index.search(one.embedding, max(top, 2))
        candidates = tuple(Candidate(person, score, self._sources[row]) for person, score, row in found)
        name = source_name(photo, "image")
        tail = self.model.calibration.tail
        if not tail or not count:
            return CandidateList(name, one.face, candidates[:top], None if count else "unknown", None)
        target, lower = (threshold_at_fpir(tail, min(f, 0.5), count) for f in (fpir, MARGIN * fpir))
        scores = [each.score for each in candidates]
        return CandidateList(
            name, one.face, candidates[:top], decide(scores, target.threshold, lower.threshold), target
        )

    def forget(self, person: str) -> int:
        """Remove a person for good and return how many templates were removed.

        Raises:
            DataError: Nobody of this name is enrolled.
        """
        self._index = None
        return self.store.forget(person)

    def people(self) -> dict[str, int]:
        """Return the number of templates of each person."""
        return self.store.people()

    def _searchable(self) -> tuple[ExactIndex, int]:
        if self._index is None:
            held = self.store.templates()
            vectors = [template.vector for _, template in held]
            stacked = np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)
            self._index = ExactIndex(stacked, [person for person, _ in held])
            self._sources = [template.source for _, template in held]
        return self._index, len(self._sources)


def _too_poor(face: EmbeddedFace, least: float) -> str | None:
    if face.quality is None or face.quality.score >= least:
        return None
    why = ", ".join(face.quality.reasons) or "several small flaws"
    return f"a quality of {face.quality.score:.2f}, below {least:.2f}: {why}"
