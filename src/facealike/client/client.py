"""``Client``: the operations of a service as methods; errors are those of facealike itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from .. import errors
from ..errors import FacealikeError, ImageNotFound, ServiceError, UnreadableImage
from ..utils.escape import shown
from .clustering import Clustered
from .explanation import Explained
from .fields import MOST_PEOPLE
from .model_description import ModelDescription
from .schemas import (
    Compared,
    Detected,
    Embedded,
    Enrolled,
    Forgotten,
    Galleries,
    Identified,
    People,
    Verified,
)

A = TypeVar("A", bound=BaseModel)

PhotoFile: TypeAlias = "str | os.PathLike[str] | bytes"
"""A photo: the path of its file, or the file's content."""

TIMEOUT = 60.0
"""Seconds that an answer may take."""


class Client:
    """A facealike service.

    Args:
        address: Where it listens, such as ``http://127.0.0.1:8000``.
        key: An API key of ``facealike serve keys add``; None where the service needs none.
        timeout: Seconds that an answer may take.
        transport: Where requests go instead, such as ``httpx.ASGITransport``, for tests.

    Examples:
        >>> with Client("http://127.0.0.1:8000") as client:
        ...     result = client.compare("one.jpg", "other.jpg")
        ...     print(result.verdict, result.probability)
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8000", key: str | None = None, timeout: float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout, transport=transport)
        self._address = address

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def model(self) -> ModelDescription:
        """Return the model of the service, its threshold and the limits on requests."""
        return self._send(ModelDescription, "GET", "/v1/model")

    def compare(self, first: PhotoFile, second: PhotoFile, **options: Any) -> Compared:
        """Compare two photos; see ``facealike.compare``.

        Args:
            first: A photo.
            second: Another photo.
            options: Fields of ``CompareRequest``: ``face``, ``first_face``, ``second_face``, ``prior``,
                ``threshold``, ``fmr``.

        Raises:
            FacealikeError: As for ``facealike.compare``.
            ServiceError: The service refused the request, or cannot be reached.
        """
        return self._post(Compared, "/v1/compare", {"first": first, "second": second}, options)

    def explain(self, first: PhotoFile, second: PhotoFile, **options: Any) -> Explained:
        """Explain the comparison of two photos; see ``facealike.explain``.

        Args:
            first: A photo.
            second: Another photo.
            options: Those of ``compare``, and ``overlays``: also return both faces under their maps, as PNG.

        Raises:
            FacealikeError: As for ``facealike.explain``.
            ServiceError: As for ``compare``; the service explains a few comparisons at a time.

        Examples:
            >>> print(client.explain("one.jpg", "other.jpg").sentence)
        """
        return self._post(Explained, "/v1/explain", {"first": first, "second": second}, options)

    def detect(self, photo: PhotoFile, **options: Any) -> Detected:
        """Find the faces of a photo; ``options`` are fields of ``DetectRequest``: ``face``."""
        return self._post(Detected, "/v1/detect", {"photo": photo}, options)

    def embed(self, photo: PhotoFile, **options: Any) -> Embedded:
        """Embed the faces of a photo; ``options`` are fields of ``EmbedRequest``: ``face``."""
        return self._post(Embedded, "/v1/embed", {"photo": photo}, options)

    def cluster(self, photos: Iterable[PhotoFile], **options: Any) -> Clustered:
        """Group the faces of photos by person; see ``facealike.cluster``.

        Args:
            photos: As many as ``model().limits.cluster_photos`` at most.
            options: Fields of ``ClusterRequest``: ``fmr``, ``threshold``, ``min_quality``, ``same_photo``,
                ``name_from`` (a gallery) and its ``fpir``.

        Raises:
            FacealikeError: As for ``facealike.cluster``; a photo that cannot be used is only ``unused``.
            ServiceError: The service refused the request, or cannot be reached.
        """
        return self._post(Clustered, "/v1/cluster", {"photos": list(photos)}, options)

    def galleries(self) -> list[str]:
        """Return the names of all galleries."""
        return self._send(Galleries, "GET", "/v1/galleries").galleries

    def enroll(
        self, gallery: str, person: str, photos: PhotoFile | Iterable[PhotoFile], **options: Any
    ) -> Enrolled:
        """Enroll a person; the gallery is made if there is none.

        Args:
            gallery: The name of the gallery.
            person: The name of the person.
            photos: One photo or several.
            options: Fields of ``EnrollRequest``: ``face``, ``min_quality``.

        Raises:
            FacealikeError: No photo could be enrolled.
            ServiceError: The service refused the request, or cannot be reached.
        """
        many = [photos] if isinstance(photos, str | os.PathLike | bytes) else list(photos)
        return self._post(Enrolled, _people(gallery), {"photos": many}, {"person": person, **options})

    def people(self, gallery: str) -> dict[str, int]:
        """Return the number of templates of each enrolled person; of many, see ``each_person``."""
        return dict(self.each_person(gallery))

    def each_person(
        self, gallery: str, search: str = "", page: int = MOST_PEOPLE
    ) -> Iterator[tuple[str, int]]:
        """Return the enrolled people with the number of their templates, the newest first.

        Pages are asked for as they are needed.

        Args:
            gallery: The name of the gallery.
            search: Only people whose name holds this text, in capital or small letters.
            page: People a request, 1,000 at most.

        Examples:
            >>> for person, templates in client.each_person("people", search="grace"):
            ...     print(person, templates)
        """
        stated: dict[str, Any] = {"limit": page, "search": search}
        while True:
            found = self._send(People, "GET", _people(gallery), params=stated)
            yield from found.people.items()
            if found.next is None:
                return
            stated["after"] = found.next

    def identify(self, gallery: str, photo: PhotoFile, **options: Any) -> Identified:
        """Return who a face may be; ``options`` are fields of ``IdentifyRequest``: ``top``, ``fpir``, …"""
        return self._post(
            Identified, f"/v1/galleries/{_in_path(gallery)}/identify", {"photo": photo}, options
        )

    def verify(self, gallery: str, photo: PhotoFile, person: str, **options: Any) -> Verified:
        """Return whether a photo shows an enrolled person; see ``VerifyRequest`` for ``options``."""
        stated = {"person": person, **options}
        return self._post(Verified, f"/v1/galleries/{_in_path(gallery)}/verify", {"photo": photo}, stated)

    def forget(self, gallery: str, person: str) -> Forgotten:
        """Remove a person for good."""
        return self._send(Forgotten, "DELETE", f"{_people(gallery)}/{_in_path(person)}")

    def _post(self, answer: type[A], path: str, photos: Mapping[str, Any], options: Mapping[str, Any]) -> A:
        files = [
            (field, ("photo", content_of(one), "application/octet-stream"))
            for field, value in photos.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        return self._send(answer, "POST", path, files=files, data=options)

    def _send(self, answer: type[A], method: str, path: str, **body: Any) -> A:
        try:
            response = self._http.request(method, path, **body)
        except httpx.HTTPError as error:
            raise ServiceError(
                f"{self._address}: no answer ({error or type(error).__name__}); see that facealike serve runs"
            ) from error
        if response.is_error:
            raise _error_of(response)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise ServiceError(
                f"{self._address}: not an answer of facealike; check the address", response.status_code
            ) from error


def content_of(photo: PhotoFile) -> bytes:
    """Return the content of a photo's file.

    Raises:
        ImageNotFound: There is no such file.
        UnreadableImage: It cannot be read.
    """
    if isinstance(photo, bytes):
        return photo
    try:
        return Path(photo).read_bytes()
    except FileNotFoundError:
        raise ImageNotFound(f"{shown(photo)}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"{shown(photo)}: cannot be read ({error}); check the path") from None


def _people(gallery: str) -> str:
    return f"/v1/galleries/{_in_path(gallery)}/people"


def _in_path(name: str) -> str:
    return quote(name, safe="")


def _error_of(response: httpx.Response) -> FacealikeError:
    """Return the error that a problem document stands for, of the class that the library has."""
    try:
        problem = response.json()
        detail, name = str(problem["detail"]), str(problem["error"])
    except (ValueError, KeyError, TypeError):
        detail, name = f"HTTP {response.status_code} without an explanation; check the address", ""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, FacealikeError) and kind is not ServiceError:
        return kind(detail)
    wait = response.headers.get("Retry-After", "")
    return ServiceError(detail, response.status_code, float(wait) if wait.isdigit() else None)
