"""Faces grouped by person."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..imaging.photo_warning import UnusedPhoto, left_out_counts, left_out_rows, left_out_summary
from ..types import Face
from ..utils.escape import csv_path, csv_text, shown
from ..utils.result import Result, Shown
from ..utils.wording import counted, in_percent
from .options import ClusterThreshold

if TYPE_CHECKING:
    from PIL import Image as PillowImage

    from ..gallery.gallery import Gallery
    from .kept_groups import KeptGroups
    from .names import PersonMatch
    from .people_folders import PeopleFolders

COLUMNS = ("photo", "face", "left", "top", "right", "bottom", "quality", "person", "score", "name")
"""Columns of the table of faces."""


@dataclass(frozen=True, repr=False)
class ClusteredFace(Shown):
    """A face of a photo and the person it was grouped with.

    Attributes:
        photo: The path of the photo.
        number: Its number among the faces of the photo, from 1, the most confident first.
        face: Where it is, in pixels of the whole upright photo.
        quality: Its quality, 0 to 1.
        person: The number of the person, from 1; None for a face below the lowest quality.
        score: The mean cosine with the other faces of the person; None where there is none.
        thumbnail: A small picture, as JPEG.

    Examples:
        >>> for face in cluster("photos").faces:
        ...     print(face.photo, face.person, face.score)
    """

    photo: str
    number: int
    face: Face
    quality: float
    person: int | None
    score: float | None
    thumbnail: bytes = field(default=b"", repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "photo": self.photo,
            "face": self.number,
            "box": [round(value, 2) for value in self.face.box],
            "quality": self.quality,
            "person": self.person,
            "score": self.score,
        }

    def __str__(self) -> str:
        person = "no person" if self.person is None else f"person {self.person}"
        score = "" if self.score is None else f", score {self.score:.3f}"
        return f"{shown(self.photo)}, face {self.number}: {person}{score}"


@dataclass(frozen=True, repr=False)
class PersonPair(Shown):
    """Two people of a clustering who may be one, and the mean cosine between their faces.

    Examples:
        >>> for pair in cluster("photos").review:
        ...     print(pair.a, pair.b, pair.score)
    """

    a: int
    b: int
    score: float

    def to_dict(self) -> dict[str, Any]:
        return {"a": self.a, "b": self.b, "score": self.score}

    def __str__(self) -> str:
        return f"persons {self.a} and {self.b} may be one, score {self.score:.3f}"


@dataclass(frozen=True, repr=False)
class Clustering(Result):
    """The faces of many photos, grouped by person.

    People are numbered from 1, the most faces first; those of a folder that is continued keep their numbers.

    Attributes:
        faces: Every face, in the order of the photos.
        photos: How many photos were read.
        unused: Photos without a face, that could not be read, or that show several faces under the policy
            ``only``.
        threshold: The lowest mean cosine of two groups that were merged.
        model: The id of the model.
        review: Pairs of people whose mean score is just below the threshold, the highest score first.
        names: The names of people by their numbers; those who are not in it have none.
        matches: The enrolled people that people were named after; see ``name_from``.
        kept: The embeddings, and what was kept of a folder of people that is continued; ``name_from`` and
            ``save`` use it.
        min_quality: Faces below this quality were not grouped, unless a continued folder has them.

    Examples:
        >>> result = cluster("photos")
        >>> result.people, [face.photo for face in result.faces_of(1)]
        (2, ['photos/a.jpg', 'photos/c.jpg'])
    """

    ASK: ClassVar[str] = "ask for .people or .faces"

    faces: tuple[ClusteredFace, ...]
    photos: int
    unused: tuple[UnusedPhoto, ...]
    threshold: ClusterThreshold
    model: str
    review: tuple[PersonPair, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    matches: tuple[PersonMatch, ...] = ()
    kept: KeptGroups | None = field(default=None, repr=False, compare=False)
    min_quality: float = 0.0

    @cached_property
    def _by_person(self) -> dict[int, tuple[ClusteredFace, ...]]:
        found: dict[int, list[ClusteredFace]] = {}
        for face in self.faces:
            if face.person is not None:
                found.setdefault(face.person, []).append(face)
        return {person: tuple(found[person]) for person in sorted(found)}

    @property
    def people(self) -> int:
        """The number of people, also those of one face."""
        return len(self._by_person)

    @property
    def single(self) -> int:
        """The number of people of one face."""
        return sum(len(faces) == 1 for faces in self._by_person.values())

    @property
    def poor(self) -> tuple[ClusteredFace, ...]:
        """The faces that belong to no person as their quality is below ``min_quality``."""
        return tuple(face for face in self.faces if face.person is None and face.quality < self.min_quality)

    @property
    def left_out(self) -> dict[str, int]:
        """How many photos show no face, could not be read or show several faces."""
        return left_out_counts(self.unused)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the people."""
        return tuple(self._by_person)

    def label(self, person: int) -> str:
        """Return what a person is called: their name, or ``person 3``."""
        return self.names.get(person, f"person {person}")

    def has_folder(self, person: int) -> bool:
        """Return whether ``save`` has a folder for a person: of several faces, with a name, or kept."""
        kept = self.kept is not None and person in self.kept.folders
        return kept or person in self.names or len(self.faces_of(person)) > 1

    def faces_of(self, person: int) -> tuple[ClusteredFace, ...]:
        """Return the faces of a person; empty where there is no such person."""
        return self._by_person.get(person, ())

    def to_dict(self) -> dict[str, Any]:
        threshold = self.threshold
        return {
            "model": self.model,
            "photos": self.photos,
            "people": self.people,
            "single": self.single,
            "threshold": threshold.value,
            "fmr": threshold.fmr,
            "extrapolated": threshold.extrapolated,
            "min_quality": self.min_quality,
            "poor": [
                {"photo": face.photo, "face": face.number, "quality": face.quality} for face in self.poor
            ],
            "faces": [{**face.to_dict(), "name": self._name(face)} for face in self.faces],
            "matches": [match.to_dict() for match in self.matches],
            "review": [pair.to_dict() for pair in self.review],
            **left_out_rows(self.unused),
        }

    def to_csv(self) -> str:
        """Return the table of faces as CSV, one row a face; boxes in pixels of the upright photo."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        for one in self.faces:
            table.writerow(
                (
                    csv_path(one.photo), one.number, *(f"{value:.1f}" for value in one.face.box),
                    f"{one.quality:.3f}", "" if one.person is None else one.person,
                    "" if one.score is None else f"{one.score:.4f}", csv_text(self._name(one) or ""),
                )
            )  # fmt: skip
        return text.getvalue()

    def _name(self, face: ClusteredFace) -> str | None:
        return None if face.person is None else self.names.get(face.person)

    def name_from(self, gallery: Gallery | str | os.PathLike[str], fpir: float | None = None) -> Clustering:
        """Return the same groups, with the people named who are enrolled in a gallery.

        The faces of a person are one template, their mean, and the gallery decides as for any search: a
        person is named where one enrolled person, and no other, reaches the threshold for ``fpir``.  Several
        people who match one enrolled person are ``Ann``, ``Ann (2)`` and so on, the highest score first.
        The gallery's corrections apply.  People who have a name keep it.

        Args:
            gallery: An open gallery, or the file of one of the default model.
            fpir: The target share of people not enrolled that get a name; None for 0.001.

        Raises:
            DataError: The file is no gallery.
            MixedModels: The gallery holds embeddings of another model.
            NotCalibrated: The model has no table of impostor scores.
            UsageError: ``fpir`` is out of range, or ``cluster`` has not made these groups.

        Examples:
            >>> named = cluster("photos").name_from("people.db")
            >>> named.names
            {1: 'Ann', 4: 'Bob'}
        """
        from ..gallery.gallery import Gallery
        from .names import FPIR, name_people

        target = FPIR if fpir is None else fpir
        if isinstance(gallery, Gallery):
            return name_people(self, gallery, target)
        with closing(Gallery.open(gallery)) as opened:
            return name_people(self, opened, target)

    def plot(self, people: int = 20) -> PillowImage.Image:
        """Draw a contact sheet: one row of faces for each of the first ``people``."""
        from .contact_sheet import contact_sheet

        return contact_sheet(self, people)

    def save(self, folder: str | Path, copy: bool = False) -> PeopleFolders:
        """Write a folder a person with links to their photos, a page of faces and the table.

        Nothing that is there is replaced.  Where the people of this folder were kept (``cluster`` with
        ``people``), it gets what is new: nothing in the folder of a person is moved or removed.

        Args:
            folder: A folder that is empty or not there, which appears whole or not at all; or the one whose
                people were kept.
            copy: Copy the photos instead of linking to them.

        Raises:
            DataError: The folder cannot be written, or holds files.
        """
        from .people_folders import save_people

        return save_people(self, Path(folder), copy)

    def __str__(self) -> str:
        rule = "" if self.threshold.fmr is None else f" (FMR {in_percent(self.threshold.fmr)} %)"
        named = f", {len(self.names):,} with a name" if self.names else ""
        return (
            f"{counted(self.people, 'person', 'people')} in {counted(len(self.faces), 'face')} of "
            f"{counted(self.photos, 'photo')}, {self.single:,} with a single face{named}; "
            f"threshold {self.threshold.value:.3f}{rule}{self._poor_summary()}"
            f"{left_out_summary(self.left_out)}"
        )

    def _poor_summary(self) -> str:
        poor = len(self.poor)
        faces = f"{counted(poor, 'face')} of a quality below {self.min_quality:g}"
        return f"; {faces} not grouped" if poor else ""

    def _html_rows(self) -> dict[str, Any]:
        rows = super()._html_rows()
        return {name: value for name, value in rows.items() if name != "faces"}
