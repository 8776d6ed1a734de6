"""Read a photo of any usual format as upright RGB, safely, or raise an error of one sentence.

Limits on bytes and pixels are checked before anything is decoded.  Decoders are chosen by the first bytes of
the file, not by ``PIL.Image.open``: that function has some forty formats and a process-wide pixel limit,
and a library must change neither for the program around it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import warnings
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from ..errors import ImageNotFound, ImageTooLarge, UnreadableImage, UsageError
from ..types import Image
from ..utils.escape import shown
from .convert import orientation_of, over_white, to_rgb, turn
from .formats import FORMATS, NoDecoder, looks_like, open_photo, sniff, webp_size
from .photo_warning import PhotoWarning
from .truncated import MOST_MISSING, with_end

Source: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | PillowImage.Image | NDArray[Any]"
)
"""A photo: a path, the content of a file, an open file, a Pillow image, or an array."""

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 100_000_000


def read_file(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of an image file; a pipe never blocks it.

    Raises:
        ImageNotFound: There is no such file.
        UnreadableImage: It cannot be opened, is no regular file, or is empty.
        ImageTooLarge: It has more than ``max_bytes``.
    """
    name = shown(path)
    # Without O_NONBLOCK, opening a named pipe waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage(f"{name}: a pipe or device, not a file; save the image to a file first")
            if status.st_size > max_bytes:
                raise _too_many_bytes(name, max_bytes)
            data = file.read(max_bytes + 1)  # the file may have grown since
    except (OSError, ValueError) as error:
        raise _cannot_open(path, name, error) from None
    if len(data) > max_bytes:
        raise _too_many_bytes(name, max_bytes)
    if not data:
        raise UnreadableImage(f"{name}: the file is empty; copy or download it again")
    return data


def _too_many_bytes(name: str, max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(
        f"{name}: too large, over the limit of {max_bytes / 2**20:.3g} MiB; save it smaller first"
    )


def _cannot_open(path: str | os.PathLike[str], name: str, error: Exception) -> Exception:
    """The error of our tree for a file that the operating system would not open."""
    if re.match(r"https?:/+", os.fsdecode(path), re.IGNORECASE):
        return ImageNotFound(
            f"{name}: a web address, and facealike opens no network connection; download the photo first"
        )
    if not isinstance(error, OSError):  # a NUL or a character that no file system can hold
        return ImageNotFound(f"{name}: not a possible file name; check the path")
    if isinstance(error, IsADirectoryError) or os.path.isdir(path):  # noqa: PTH112
        return UnreadableImage(f"{name}: a folder, not an image; give the path of one image file")
    if error.errno == errno.ENOENT and os.path.islink(path):  # noqa: PTH114
        return ImageNotFound(f"{name}: a link to a file that does not exist; check where it leads")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ImageNotFound(f"{name}: no such file; check the path")
    if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
        return ImageNotFound(f"{name}: no such file ({os.strerror(error.errno)}); check the path")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UnreadableImage(f"{name}: permission denied; allow reading it (chmod +r) or copy it")
    if error.errno == errno.ENXIO:
        return UnreadableImage(f"{name}: a socket or device, not a file; save the image to a file first")
    return UnreadableImage(f"{name}: cannot be read ({error.strerror}); check the disk and copy it again")


class Decoded(NamedTuple):
    """Upright RGB, uint8 (H, W, 3), and what is wrong with a damaged file that could be read."""

    image: Image
    note: str | None


def read_image(
    source: Source, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS, name: str | None = None,
    reduce: int = 1,
) -> Image:  # fmt: skip
    """Return the photo as upright RGB, uint8 of shape (H, W, 3).

    The EXIF orientation is applied.  Transparent parts become white, since dark hair would vanish in black.
    16-bit and floating-point grays are scaled to 8 bits.  Color profiles are not applied.

    A JPEG that lacks its end is accepted where at most 5 % of its height are missing; these rows are gray,
    and a PhotoWarning states their share.

    Decoding takes about ten bytes a pixel, one gigabyte at the limit.  The result may be read-only, and is
    the given array itself where that is RGB already.

    Args:
        source: A path, the content of a JPEG, PNG, WebP, AVIF, BMP, TIFF or GIF file (the first frame), an
            open binary file, which is read from its beginning, a Pillow image, or an array: uint8 of shape
            (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, or floats of these shapes from 0 (black) to
            1 (white).  HEIC files need ``facealike[heic]``.
        max_bytes: Limit on the size of the file.
        max_pixels: Limit on the number of pixels.
        name: What messages call a photo without a path.
        reduce: 2, 4 or 8 decodes that fraction of the pixels a side, rounded up, in half the time; JPEG
            only, see ``facealike.imaging.scaled_jpeg``.

    Raises:
        ImageNotFound: There is no such file.
        UnreadableImage: The file is empty, truncated, damaged or no image.
        ImageTooLarge: It is over a limit.
        UsageError: The source or array is of another kind, or a float is outside [0, 1].

    Examples:
        >>> read_image("photo.jpg").shape
        (1080, 1920, 3)
    """
    content, label = content_of(source, max_bytes, max_pixels, name)
    image, note = decode(content, max_pixels, label, reduce)
    if note is not None:
        warnings.warn(f"{label}: {note}", PhotoWarning, stacklevel=2)
    return image


def content_of(
    source: Source, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> tuple[bytes | Image, str]:
    """Return the bytes of a photo's file, or its pixels where there is no file, and its name in messages.

    The arguments and errors are those of ``read_image``.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels, name or "the array"), name or "the array"
    if isinstance(source, PillowImage.Image):
        label = shown(name or getattr(source, "filename", "") or "the image")
        return _from_pillow(source, max_pixels, label), label
    if isinstance(source, (str, os.PathLike)):
        if isinstance(os.fspath(source), bytes):
            source = os.fsdecode(source)
        return read_file(source, max_bytes), shown(name or source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        label, data = shown(name or "the image"), bytes(source)
    elif hasattr(source, "read"):
        own = getattr(source, "name", None)
        label = shown(name or (own if isinstance(own, str) else "") or "the open file")
        data = _from_file(source, max_bytes, label)
    else:
        raise UsageError(
            "an image is a path, bytes, an open file, a Pillow image or an array, "
            f"not {type(source).__name__}"
        )
    if not data:
        raise UnreadableImage(f"{label}: the file is empty; copy or download it again")
    if len(data) > max_bytes:
        raise _too_many_bytes(label, max_bytes)
    return data, label


def source_name(source: Source, otherwise: str) -> str:
    """Return what messages call a photo: its path, or ``otherwise`` where it has none.

    An open file that bears a name is called by it.
    """
    if isinstance(source, str | os.PathLike):
        return shown(source)
    own = getattr(source, "name", None) if hasattr(source, "read") else None
    return shown(own) if isinstance(own, str) and own else otherwise


def check_several(photos: object, what: str) -> None:
    """Raise UsageError for a single photo where ``what`` takes several.

    A path is a sequence of letters, and an array one of rows: each would be taken for a photo.
    """
    if (
        isinstance(photos, str | bytes | bytearray | memoryview | os.PathLike | PillowImage.Image)
        or getattr(photos, "ndim", 4) in (2, 3)
        or hasattr(photos, "read")
    ):
        raise UsageError(f"{what} takes a sequence of images; put a single image in a list")
    if not isinstance(photos, Iterable):
        raise UsageError(f"photos are given as a list or another iterable, not as {type(photos).__name__}")


def _from_file(file: Any, max_bytes: int, name: str) -> bytes:
    """The content of an open binary file from its beginning, at most one byte more than allowed."""
    try:
        if getattr(file, "seekable", lambda: False)():
            file.seek(0)
        data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"{name}: cannot be read ({error}); open the file again") from None
    if not isinstance(data, bytes):
        raise UsageError(f"{name}: opened as text; open the photo as binary, with mode 'rb'")
    return data


def _from_pillow(image: PillowImage.Image, max_pixels: int, name: str) -> Image:
    _check_size(image.width, image.height, max_pixels, name)
    try:
        image.load()
        return turn(to_rgb(image, name), orientation_of(image))
    except UnreadableImage:
        raise
    except Exception as error:  # one opened from a damaged file makes Pillow raise nearly anything
        raise UnreadableImage(
            f"{name}: this Pillow image cannot be loaded ({error}); open it again"
        ) from error


def _from_array(array: NDArray[Any], max_pixels: int, name: str) -> Image:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    floats = array.dtype.kind == "f"
    if not shaped or not (floats or array.dtype == np.uint8):
        raise UsageError(
            f"{name}: an image array is uint8 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or floats "
            f"from 0 to 1, not {array.dtype} of shape {array.shape}"
        )
    _check_size(array.shape[1], array.shape[0], max_pixels, name)
    if floats:
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # a NaN fails both
            raise UsageError(
                f"{name}: an image array of floats goes from 0 (black) to 1 (white), not from {low:.4g} to "
                f"{high:.4g}; scale it, or make it uint8"
            )
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        return over_white(array)
    return np.ascontiguousarray(array)


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"{name}: an image of zero size ({width} x {height}); use another file")
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"{name}: too large, {width} x {height} pixels are over the limit of "
            f"{max_pixels / 1e6:.3g} megapixels; scale it down first"
        )


def _no_photo(data: bytes, name: str) -> UnreadableImage:
    looks = looks_like(data)
    hint = f" (it looks like {looks})" if looks else ""
    return UnreadableImage(f"{name}: not an image that can be read{hint}; use {FORMATS}")


def decode(content: bytes | Image, max_pixels: int, name: str, reduce: int = 1) -> Decoded:
    """Decode what ``content_of`` returned; see ``read_image``."""
    if not isinstance(content, bytes):
        return Decoded(content, None)
    kind = sniff(content)
    if kind is None:
        raise _no_photo(content, name)
    if kind == "WebP" and (size := webp_size(content)) is not None:
        _check_size(*size, max_pixels, name)
    try:
        try:
            return Decoded(_pixels(kind, content, max_pixels, name, reduce), None)
        except OSError as error:
            if kind != "JPEG" or "truncated" not in str(error):
                raise
            return _without_end(content, max_pixels, name, reduce)
    except (UnreadableImage, ImageTooLarge):
        raise
    except (MemoryError, PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning):
        raise ImageTooLarge(f"{name}: too large to decode in memory; scale it down first") from None
    except NoDecoder as error:
        raise UnreadableImage(f"{name}: a {kind} image, which cannot be read here; {error}") from None
    except Exception as error:  # damaged files make Pillow raise nearly every class of error there is
        if kind == "TIFF" and "pixel mode" in str(error):  # floats as RGB, for instance
            raise UnreadableImage(
                f"{name}: a TIFF image with pixels of a type that cannot be read; save it as 8-bit PNG"
            ) from error
        raise UnreadableImage(
            f"{name}: a damaged or truncated {kind} image; copy or download it again"
        ) from error


def _pixels(kind: str, data: bytes, max_pixels: int, name: str, reduce: int) -> Image:
    with open_photo(kind, data) as image:
        _check_size(image.width, image.height, max_pixels, name)
        if kind == "TIFF":  # a tile is decoded whole, however small the image it belongs to
            _check_size(image.tag_v2.get(322, 1), image.tag_v2.get(323, 1), max_pixels, name)
        if kind == "PNG":  # Pillow skips the checksums of pixel data unless asked to verify
            with open_photo(kind, data) as twin:
                assert isinstance(twin, PngImagePlugin.PngImageFile)
                twin.verify()
        if kind == "JPEG" and reduce > 1:
            image.draft(None, (max(1, image.width // reduce), max(1, image.height // reduce)))
        image.load()
        _check_size(image.width, image.height, max_pixels, name)
        return turn(to_rgb(image, name), orientation_of(image))


def _without_end(data: bytes, max_pixels: int, name: str, reduce: int) -> Decoded:
    """A JPEG that ends too early, if no more than a little of it is missing."""

    def decoded(content: bytes, reduce: int) -> PillowImage.Image:
        image: PillowImage.Image = open_photo("JPEG", content)
        if reduce > 1:
            image.draft(None, (max(1, image.width // reduce), max(1, image.height // reduce)))
        image.load()
        return image

    with open_photo("JPEG", data) as image:
        found = with_end(data, image.size, decoded)
    if found is None or found[1] > MOST_MISSING:
        much = "some detail" if found is None else f"{found[1]:.0%} of the height"
        raise UnreadableImage(
            f"{name}: a damaged or truncated JPEG image that lacks {much}; copy or download it again"
        )
    ended, missing = found
    part = f"{missing:.1%} of the picture's height" if missing else "hardly anything of the picture"
    note = f"a JPEG that lacks its last bytes, and with them {part}; used all the same"
    return Decoded(_pixels("JPEG", ended, max_pixels, name, reduce), note)


def jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Return the width, height and EXIF orientation in a JPEG's header, as stored; None for other content.

    Nothing is checked; ``read_image`` does that.
    """
    if sniff(data) != "JPEG":
        return None
    try:
        with open_photo("JPEG", data) as image:
            return image.width, image.height, orientation_of(image)
    except Exception:  # damaged files make Pillow raise nearly every class of error there is
        return None


def resize_square(image: Image, size: int) -> Image:
    """Return an image that is a face crop already, resized to (size, size, 3), averaged where it shrinks."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(PillowImage.fromarray(image).resize((size, size), PillowImage.Resampling.BILINEAR))
