"""What a gallery needs of the place where its templates are kept.

``SQLiteStore`` is the one in a file.  A store searches itself, so that a vector database can do so on its own
server.  Names and texts are stored as they are given; ``Gallery`` checks them first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..utils.escape import shown
from .people_page import PeoplePage
from .template import Correction, Template


class NoSuchPerson(DataError):
    """No person of this name is enrolled."""

    def __init__(self, store: str, person: str) -> None:
        super().__init__(
            f"{store}: no person {shown(person)!r} is enrolled; facealike gallery list shows who is"
        )
        self.person = person


class NoTemplateLeft(DataError):
    """A person is enrolled and has no template, such as after a correction."""

    def __init__(self, store: str, person: str) -> None:
        super().__init__(f"{store}: {shown(person)!r} has no template left; enroll a photo first")
        self.person = person


class Hit(NamedTuple):
    """A person found by a search: the score of the best of their templates, and the photo that it is of."""

    person: str
    score: float
    source: str


class GalleryStore(Protocol):
    """People with their templates, and corrections, for the embeddings of one model.

    A write is acknowledged by its return: it survives a crash from then on.  What is forgotten comes back
    neither in a result nor as bytes on the disk.  Errors leave as ``DataError`` with one sentence.
    """

    model_id: str

    @property
    def location(self) -> str:
        """Where the templates are: a path, or an address without a password."""

    @property
    def name(self) -> str:
        """The location for messages."""

    def add(
        self, person: str, templates: Sequence[Template], metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Add templates of a person, all or none; return how many are new (a photo counts once a person)."""
        stated = None if metadata is None else {person: metadata}
        return sum(self.add_many([(person, one) for one in templates], stated))

    def add_many(
        self, rows: Iterable[tuple[str, Template]], metadata: Mapping[str, Mapping[str, Any]] | None = None,
        corrections: Iterable[Correction] = (), replace: bool = True,
    ) -> list[bool]:  # fmt: skip
        """Add templates of any people, all or none; return which are new.

        A photo, by its digest, counts once a person.

        Args:
            rows: Templates with the name of their person.  An error while they are drawn adds none.
            metadata: By person; also people without a template are added.
            corrections: Added before the templates.
            replace: Replace the metadata of people who have some.
        """

    def forget(self, person: str) -> int:
        """Remove a person, with metadata, templates and corrections; return how many templates that were.

        Raises:
            NoSuchPerson: A DataError.
        """

    def correct(self, person: str, digest: str) -> int:
        """Store that a photo does not show a person; return how many templates were removed for it.

        Raises:
            NoSuchPerson: A DataError.
        """

    def search(self, query: NDArray[np.float32], top: int, without: Set[str] = frozenset()) -> list[Hit]:
        """Return the ``top`` people with the highest scores, the highest first, equal ones by name.

        The score of a person is the maximum over the person's templates.

        Args:
            query: A unit vector (d,).
            top: How many people.
            without: People who are left out.
        """

    def search_many(
        self, queries: NDArray[np.float32], top: int, without: Set[str] = frozenset()
    ) -> list[list[Hit]]:
        """Return what ``search`` does for each of the queries (q, d), in one pass over the vectors."""

    def count(self) -> int:
        """Return the number of templates."""

    def count_people(self) -> int:
        """Return the number of people with a template."""

    def people(self) -> dict[str, int]:
        """Return the number of templates of each person, by name."""

    def people_page(self, limit: int, after: str | None = None, search: str = "") -> PeoplePage:
        """Return the next people in the reverse order of their enrollment, without reading all of them.

        Args:
            limit: Most people.
            after: The ``next`` of the page before; None begins.
            search: Only people whose name holds this text, in capital or small letters; people are then read
                until a page is full.

        Raises:
            UsageError: ``after`` is nothing that a page has had as its ``next``.
        """

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return the metadata of each person who has some, by name."""

    def templates(self, person: str | None = None) -> list[tuple[str, Template]]:
        """Return all templates, or those of a person, with the name of their person, in order of enrollment.

        Raises:
            NoSuchPerson: A DataError.
        """

    def templates_of(self, people: Sequence[str]) -> dict[str, list[Template]]:
        """Return the templates of some people, by name; a person without one is left out."""

    def each_template(self) -> Iterator[tuple[str, Template]]:
        """Return all templates as ``templates`` does, one after the other; there may be millions."""

    def digests(self, people: Iterable[str] | None = None) -> dict[str, set[str]]:
        """Return the digests of the enrolled photos of each person, or of some people."""

    def corrections(self) -> list[Correction]:
        """Return all corrections, in the order in which they were made."""

    def about(self) -> dict[str, Any]:
        """Return what ``GalleryInfo`` holds: the place, the counts, the dates, the versions and the size."""

    def dimensions(self) -> int:
        """Return the width of the vectors; 0 without one."""

    def damaged_templates(self, unchecked: bool = False) -> list[tuple[str, str, str]]:
        """Return (person, source, what is wrong) of each template whose vector cannot be one of the model.

        Args:
            unchecked: Leave out those that have been checked since they were stored.
        """

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all reads of the block see one state of the store, if it can."""

    def file_problems(self) -> list[str]:
        """Return what the checks of the database itself report."""

    def index_problems(self) -> list[str]:
        """Return where the index that answers searches differs from the templates."""

    def close(self) -> None:
        """Close what is open."""
