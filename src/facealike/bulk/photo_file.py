"""One photo of a run: where its bytes are, and a file that reads them when a thread asks for them."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import UnreadableImage
from ..imaging.read import MAX_BYTES, read_file
from ..utils.escape import shown
from .places import is_url, read_range


class PhotoRef(NamedTuple):
    """A photo that a source names.

    Attributes:
        key: Its name within the source: the path in a folder, the name in a tar file without its extension.
        place: The path or URL of the file that holds it.
        member: Its name in a tar file; empty where ``place`` is the photo itself.
        offset: Where its bytes begin in ``place``.
        size: How many bytes it has; -1 for all of ``place``.
        person: Whom it shows, where the source states it.
        metadata: What else the source states, a JSON object as text.
        problem: Why it cannot be read, where the source shows it: a row of a list without a photo.
    """

    key: str
    place: str
    member: str = ""
    offset: int = 0
    size: int = -1
    person: str | None = None
    metadata: str | None = None
    problem: str | None = None

    @property
    def source(self) -> str:
        """What messages and tables call the photo."""
        return f"{self.place}::{self.member}" if self.member else self.place


class PhotoFile:
    """The bytes of a photo as a file that ``read_image`` takes; nothing is opened before ``read``.

    ``digest`` is that of the pixels, set by the thread that decodes them.
    """

    def __init__(self, ref: PhotoRef) -> None:
        self.ref = ref
        self.name = ref.source
        self.digest: str | None = None
        self._read: bytes | Exception | None = None

    def fetch(self) -> PhotoFile:
        """Read the bytes now and keep them, or the error, for ``read``; return the file itself."""
        try:
            self._read = self._bytes(MAX_BYTES + 1)
        except Exception as error:
            self._read = error
        return self

    def read(self, limit: int = MAX_BYTES + 1) -> bytes:
        """Return the bytes of the photo, at most ``limit``.

        Raises:
            ImageError: They cannot be read.
        """
        read, self._read = self._read, None
        if isinstance(read, Exception):
            raise read
        return self._bytes(limit) if read is None else read[:limit]

    def _bytes(self, limit: int) -> bytes:
        ref = self.ref
        if ref.problem is not None:
            raise UnreadableImage(ref.problem)
        if is_url(ref.place) or ref.size >= 0:
            size = limit if ref.size < 0 else min(ref.size, limit)
            data = read_range(ref.place, ref.offset, size, shown(self.name))
            if ref.size >= 0 and len(data) < size:
                raise UnreadableImage(
                    f"{shown(self.name)}: only {len(data):,} of its {ref.size:,} bytes are there; "
                    "copy or download the archive again"
                )
            return data
        return read_file(ref.place)
