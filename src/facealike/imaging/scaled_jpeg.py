"""Decode large JPEGs at reduced size and map coordinates back to the full image.

Half of a JPEG's decoding is the inverse DCT.  A detector with an input of 800 pixels needs few of the pixels
of a 12-megapixel photo, and libjpeg's scaled inverse DCT returns the means of 2 x 2, 4 x 4 or 8 x 8 pixels
directly.  Only a face that is small in such a photo takes decoding it whole.
"""

from __future__ import annotations

import warnings
from functools import cached_property

from ..types import Box, Face, Image
from .photo_warning import PhotoWarning
from .read import MAX_PIXELS, Decoded, Source, content_of, decode, jpeg_size

_SWAPPED = (5, 6, 7, 8)
_FROM_RIGHT = (2, 3, 6, 7)
_FROM_BELOW = (3, 4, 7, 8)
"""EXIF orientations that swap the axes, and those in which x or y then counts from the other end."""


class Photo:
    """One photo: its file is read at once, its pixels are decoded on first use.

    A JPEG is reduced by ``factor``, 1, 2, 4 or 8, as long as its long side keeps ``side`` pixels.  Other
    formats are decoded whole.

    Args:
        source: See ``read_image``, as for the errors.
        side: Pixels needed on the long side; None decodes the photo whole.
        name: What messages call the photo.
        max_pixels: Limit on the number of pixels, checked before any is decoded.
    """

    def __init__(
        self, source: Source, side: int | None = None, name: str | None = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        self._content, self.name = content_of(source, max_pixels=max_pixels, name=name)
        self._max_pixels = max_pixels
        self.factor, self._left, self._top = 1, 0, 0
        size = jpeg_size(self._content) if side is not None and isinstance(self._content, bytes) else None
        if size is None or side is None:
            return
        width, height, orientation = size
        fits = (k for k in (8, 4, 2) if max(width, height) // k >= side and min(width, height) >= k)
        self.factor = next(fits, 1)
        if orientation in _SWAPPED:
            width, height = height, width
        self._shape = (height, width, 3)
        # The last column and row of a reduced photo may stand for fewer pixels than the others.
        if orientation in _FROM_RIGHT:
            self._left = width - self.factor * -(-width // self.factor)
        if orientation in _FROM_BELOW:
            self._top = height - self.factor * -(-height // self.factor)

    def at(self, side: int) -> Photo:
        """Return the same photo, to be decoded again with ``side`` pixels on its long side."""
        return Photo(self._content, side, self.name, self._max_pixels)

    @cached_property
    def _reduced(self) -> Decoded:
        decoded = decode(self._content, self._max_pixels, self.name, self.factor)
        if decoded.note is not None:
            warnings.warn(f"{self.name}: {decoded.note}", PhotoWarning, stacklevel=2)
        return decoded

    @property
    def reduced(self) -> Image:
        """The photo at 1 / ``factor`` of its size; the whole photo where that is 1."""
        return self._reduced.image

    @property
    def note(self) -> str | None:
        """What is wrong with a damaged file that could be read; None where nothing is."""
        return self._reduced.note

    @cached_property
    def whole(self) -> Image:
        """The photo with all its pixels; decoded a second time where ``factor`` is not 1."""
        return self.reduced if self.factor == 1 else decode(self._content, self._max_pixels, self.name).image

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3) of the whole photo, upright."""
        return self.reduced.shape if self.factor == 1 else self._shape

    def outward(self, face: Face) -> Face:
        """Return a face that was found in ``reduced`` in pixels of the whole photo.

        Landmarks are scaled like the edges of a box, as detectors do where they scale a photo themselves, so
        both ways agree.
        """
        if self.factor == 1:
            return face
        k, left, top = self.factor, self._left, self._top
        box = Box(*(k * v + start for v, start in zip(face.box, (left, top, left, top), strict=True)))
        points = face.landmarks and tuple((k * x + left, k * y + top) for x, y in face.landmarks)
        return Face(box, face.confidence, points)

    def inward(self, face: Face) -> Face:
        """Return a face of the whole photo in pixels of ``reduced``.

        Pixel centers move by half of the change in pixel size; edges do not.
        """
        if self.factor == 1:
            return face
        k, left, top = self.factor, self._left, self._top
        box = Box(*((v - start) / k for v, start in zip(face.box, (left, top, left, top), strict=True)))
        half = (k - 1) / 2
        points = face.landmarks and tuple(
            ((x - left - half) / k, (y - top - half) / k) for x, y in face.landmarks
        )
        return Face(box, face.confidence, points)

    def view(self, face: Face, pixels: int) -> tuple[Image, Face]:
        """Return an image that shows ``face`` at least ``pixels`` wide and high, and the face in it.

        That is ``reduced`` where it has so many pixels, else ``whole``, whatever other faces there are.
        """
        if min(face.box.width, face.box.height) >= pixels * self.factor:
            return self.reduced, self.inward(face)
        return self.whole, face
