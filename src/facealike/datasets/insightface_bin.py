"""Read InsightFace's ``.bin`` files of pairs, without running what a pickle may ask for.

Such a file is a pickle of two lists: images, encoded as JPEG or PNG, two a pair; and whether each pair shows
one person.  The images are crops, aligned to ArcFace's template of 112 pixels.

Source: ``recognition/_datasets_`` and ``verification.py`` of InsightFace, and the many readers derived from
it.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..types import Pair
from ..utils.escape import shown
from .ten_folds import with_ten_folds

_RECONSTRUCT = np.array(0).__reduce__()[0]
_SCALAR = np.bool_(True).__reduce__()[0]
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]  # how protocol 5 spells an array


def _latin1(text: str, encoding: str) -> bytes:
    """Return the bytes of a pickle of protocol 2, which spells them as text; no other codec is looked up."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding}")
    return text.encode("latin1")


_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    **{(module, "_reconstruct"): _RECONSTRUCT for module in _NUMPY},
    **{(module, "scalar"): _SCALAR for module in _NUMPY},
    **{(module, "_frombuffer"): _FROM_BUFFER for module in ("numpy.core.numeric", "numpy._core.numeric")},
}
"""All that such a pickle may name: what an array of NumPy is made of, and bytes."""


class _PairsUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def is_insightface_bin(file: Path) -> bool:
    """Return whether a file begins as a pickle of protocol 2 or later does, or ends in ``.bin``."""
    try:
        with file.open("rb") as stream:
            first = stream.read(2)
    except OSError:
        return False
    return file.suffix.lower() == ".bin" or (len(first) == 2 and first[0] == 0x80 and 2 <= first[1] <= 5)


def unpack_pairs(file: Path, folder: Path) -> list[Pair]:
    """Write the images of a ``.bin`` file into a folder, each once, and return the pairs in ten folds.

    Args:
        file: The file.
        folder: An empty folder.

    Raises:
        DataError: The file cannot be read, is no such file, or asks for more than lists, bytes, booleans and
            arrays.
    """
    images, truth = _unpickled(file)
    if len(images) != 2 * len(truth) or not truth:
        raise DataError(
            f"{shown(file)}: {len(images):,} images for {len(truth):,} pairs, where each pair has two; "
            "download it again"
        )
    paths = []
    for number, image in enumerate(images):
        data = image.tobytes() if isinstance(image, np.ndarray) and image.dtype == np.uint8 else image
        if not isinstance(data, bytes):
            raise DataError(f"{shown(file)}: image {number + 1} is no encoded image; download it again")
        ending = ".png" if data.startswith(b"\x89PNG") else ".jpg"
        path = folder / (hashlib.sha256(data).hexdigest()[:32] + ending)
        if not path.exists():  # a photo is in several pairs
            path.write_bytes(data)
        paths.append(str(path))
    pairs = [Pair(a, b, same) for a, b, same in zip(paths[::2], paths[1::2], truth, strict=True)]
    return with_ten_folds(pairs)


def _unpickled(file: Path) -> tuple[list[Any], list[bool]]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{shown(file)}: cannot be read ({error.strerror}); check the path") from None
    try:
        found = _PairsUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises almost anything
        reason = str(error) if isinstance(error, pickle.UnpicklingError) else "it is damaged"
        raise DataError(
            f"{shown(file)}: not a list of pairs of InsightFace ({shown(reason)}); only lists, bytes, "
            "booleans and arrays are read"
        ) from None
    if not isinstance(found, list | tuple) or len(found) != 2:
        raise DataError(f"{shown(file)}: not two lists, images and truth; give a .bin file of InsightFace")
    images, truth = (list(each) if isinstance(each, list | tuple | np.ndarray) else None for each in found)
    if (
        images is None
        or truth is None
        or not all(isinstance(x, bool | np.bool_ | int) and x in (0, 1) for x in truth)
    ):
        raise DataError(f"{shown(file)}: not two lists, images and truth; give a .bin file of InsightFace")
    return images, [bool(same) for same in truth]
