"""Detect and crop each face once, and keep the crops on disk for later runs.

A cache is a folder with one sub-folder for each way of cropping, named by a hash of all that shapes the
pixels: detector, alignment, size, face policy and ``CROPS_VERSION``.  It contains

    crops.u8        the crops, raw uint8, one after the other
    index.npz       SHA-256 of each photo's content, and its row in crops.u8 (-1: no face)
    pipeline.json   what is hashed, for readers
    lock            present while a process writes; names that process

Photos are identified by content, not by name, so a stale crop is never used.  Rows are only appended, and are
on disk before the index that refers to them is renamed into place.  A run that is killed at any point leaves
a valid index, and perhaps rows without an entry, which the next run overwrites.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..detection.base import Detector, fingerprint
from ..detection.face_policy import FacePolicy
from ..errors import DataError, FacealikeError, UsageError
from ..imaging.photo_warning import UnusedPhoto
from ..imaging.read import read_file
from ..types import Image
from ..utils.atomic_write import write_bytes
from ..utils.escape import shown
from ..utils.locking import own_folder
from ..utils.ordered_threads import map_ordered
from .batching import helpers
from .cropper import Cropping, FaceCrop, FaceCropper, crop_faces, without_pixels
from .unused_photos import NO_FACE, UNUSED, photo_without_face, unused_photo, warn_unused

CROPS_VERSION = 1
"""Incremented whenever the same photo, detector and settings would give other pixels."""

SAVE_EVERY = 2000
"""Photos between two writes of the index: the most that a killed run loses."""

DIGEST_BYTES = 32


@dataclass(frozen=True, eq=False)
class Crops:
    """The crops of n photos, on disk.

    ``rows``, int64 (n,), is the index of each photo's crop in ``store``, uint8 (m, S, S, 3), or -1 where no
    photo is among the ``unused``: it shows no face or several, or could not be read.
    Photos with the same content share a row.
    """

    rows: NDArray[np.int64]
    store: NDArray[np.uint8]
    unused: tuple[UnusedPhoto, ...] = ()

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which photos have a crop, bool (n,)."""
        return self.rows >= 0

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Read the crops of these photos, in this order: uint8 (k, S, S, 3).

        Args:
            indices: Integers, or a bool mask (n,).

        Raises:
            UsageError: A photo has no crop.
        """
        index = np.asarray(indices)
        rows = self.rows[index if index.size else index.astype(np.int64)]
        if (rows < 0).any():
            raise UsageError("a crop was asked for of a photo without a face; ask for those in .found")
        return np.array(self.store[rows])

    def __str__(self) -> str:
        return f"{int(self.found.sum()):,} of {len(self):,} photos have a face crop"


def stream_crops(
    paths: Sequence[str | os.PathLike[str]], detector: Detector | None, preprocessing: Cropping,
    face: FacePolicy, threads: int | None = None, strict: bool = True,
    failed: Callable[[UnusedPhoto], None] | None = None, assessed: Callable[[FaceCrop], None] | None = None,
) -> Generator[Image | None, None, None]:  # fmt: skip
    """Yield the face crop of each photo, in order, or None where there is none; nothing is stored.

    Without ``strict`` a photo that cannot be read, or shows several faces under the policy ``only``, also
    yields None, and PhotoWarnings state why and how many.  ``failed`` is called with each photo that yields
    None, and ``assessed`` with each face, whose quality is then assessed, before its crop is yielded.  The
    other arguments and errors are those of ``cached_crops``.
    """
    unused: list[UnusedPhoto] = []
    named = ((path, shown(path)) for path in paths)
    cropper = FaceCropper(detector, preprocessing, many=True)
    with closing(crop_faces(cropper, named, face, threads, quality=assessed is not None)) as photos:
        for path, faces in zip(paths, photos, strict=True):
            if isinstance(faces, NO_FACE) or (isinstance(faces, UNUSED) and not strict):
                unused.append(unused_photo(path, faces))
                if failed is not None:
                    failed(unused[-1])
                yield None
            elif isinstance(faces, FacealikeError):
                raise faces
            else:
                if assessed is not None:
                    assessed(faces[0])
                yield faces[0].crop
    warn_unused(unused, len(paths))


class _Made(NamedTuple):
    """The result of a worker: the photo's digest, and its crop unless the index has it."""

    digest: bytes
    known: bool
    crop: Image | None
    error: FacealikeError | None = None


def cached_crops(
    paths: Sequence[str | os.PathLike[str]],
    detector: Detector | None,
    preprocessing: Cropping,
    face: FacePolicy,
    cache: str | Path,
    progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
    strict: bool = True,
) -> Crops:
    """Return the face crop of each photo, from a cache where it is there already.

    One process at a time fills a cache; a second one waits.

    Args:
        paths: The photos.
        detector: Finds the faces.  None means that photos are face crops already; they are only resized,
            and all count as found.
        preprocessing: Shapes the crops.
        face: Which face of a photo is meant.
        cache: The folder of the cache.
        progress: Called with (done, total).
        threads: None for one a core; the result does not depend on it.
        strict: Raise for the first photo that cannot be read, or that shows several faces under the policy
            ``only``; the crops before it are kept.  Otherwise such photos are left out, listed as
            ``unused``, and PhotoWarnings name them.

    Raises:
        ImageError: With ``strict``: a photo cannot be read.
        SeveralFaces: With ``strict``: a photo shows several faces under the policy ``only``.
        DataError: The cache is damaged or cannot be written.
        UsageError: The settings contradict each other.
    """
    if face == "all":
        raise UsageError("a cache holds one face a photo; choose largest, central or only")
    if detector is not None and preprocessing.align != "box" and not detector.has_landmarks:
        raise UsageError("this detector finds no landmarks; align by the box, or use a YuNet detector")
    count = helpers(threads)
    pipeline = _pipeline(detector, preprocessing, face)
    text = json.dumps(pipeline, sort_keys=True, indent=2)
    folder = Path(cache) / hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        with own_folder(folder, wait=True):
            if not (folder / "pipeline.json").exists():
                write_bytes(folder / "pipeline.json", text.encode())
            store = _Store(folder, preprocessing.size)
            maker = _Maker(store.index, detector, preprocessing, face, strict)
            rows, unused = _fill(store, maker, paths, progress, count)
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: this cache cannot be written ({error.strerror or error}); "
            "free space there or choose another folder"
        ) from error
    warn_unused(unused, len(paths))
    return Crops(rows, store.map(), unused)


def _pipeline(detector: Detector | None, preprocessing: Cropping, face: FacePolicy) -> dict[str, Any]:
    """All that shapes a crop.  An aligned input is only resized, so only the size counts for it."""
    if detector is None:
        return {"version": CROPS_VERSION, "aligned": True, "size": preprocessing.size}
    # Left out when zero, so that existing caches keep their key.
    context = {"context": preprocessing.context} if preprocessing.context else {}
    return {
        "version": CROPS_VERSION,
        "detector": fingerprint(detector),
        "size": preprocessing.size,
        "align": preprocessing.align,
        "margin": preprocessing.margin,
        "edge": preprocessing.edge,
        "face": face,
        **context,
    }


class _Maker:
    """Crop one photo, in any thread."""

    def __init__(
        self,
        index: dict[bytes, int],
        detector: Detector | None,
        preprocessing: Cropping,
        face: FacePolicy,
        strict: bool,
    ) -> None:
        self.index, self.face, self.strict = index, face, strict
        self.cropper = FaceCropper(detector, preprocessing, many=True)

    def __call__(self, path: str | os.PathLike[str]) -> _Made:
        try:
            return self._made(path)
        except UNUSED as error:
            if self.strict:
                raise
            # Not in the index, so that the next run warns again.
            return _Made(b"", False, None, without_pixels(error))

    def _made(self, path: str | os.PathLike[str]) -> _Made:
        # Read once for digest and decoder, since the file might change in between.
        data = read_file(path)
        photo = self.cropper.photo(data, os.fspath(path))
        digest = hashlib.sha256(data)
        if photo.factor > 1:  # crops of earlier versions were never reduced
            digest.update(b"reduced")
        key = digest.digest()
        if key in self.index:
            return _Made(key, True, None)
        try:
            return _Made(key, False, self.cropper.faces(photo, self.face)[0].crop)
        except NO_FACE:
            return _Made(key, False, None)


def _fill(
    store: _Store,
    maker: _Maker,
    paths: Sequence[str | os.PathLike[str]],
    progress: Callable[[int, int], None] | None,
    threads: int,
) -> tuple[NDArray[np.int64], tuple[UnusedPhoto, ...]]:
    rows = np.empty(len(paths), dtype=np.int64)
    unused: list[UnusedPhoto] = []
    try:
        # Results come in the order of the paths, so rows do not depend on the number of threads.
        with closing(map_ordered(maker, paths, threads, 16 * threads)) as made_in_order:
            for done, made in enumerate(made_in_order):
                if made.error is not None:
                    unused.append(unused_photo(paths[done], made.error))
                    rows[done] = -1
                else:
                    rows[done] = store.index[made.digest] if made.known else store.add(made.digest, made.crop)
                    if rows[done] < 0:
                        unused.append(photo_without_face(paths[done]))
                if store.unsaved >= SAVE_EVERY:
                    store.save()
                if progress is not None:
                    progress(done + 1, len(paths))
    finally:  # an unreadable photo or Ctrl-C must not cost the crops before it
        try:
            store.save()
        finally:
            store.file.close()
    return rows, tuple(unused)


class _Store:
    """crops.u8 and its index, for the one process that holds the lock."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.shape = folder, (size, size, 3)
        self.index = self._load()
        self.count = 1 + max(self.index.values(), default=-1)
        self.unsaved = 0
        self.file: BinaryIO = os.fdopen(
            os.open(folder / "crops.u8", os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b"
        )
        if os.fstat(self.file.fileno()).st_size < self.count * self._row_bytes():
            self.file.close()
            raise self._damaged()
        self.file.seek(self.count * self._row_bytes())  # over rows that no index mentions

    def _row_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]

    def _damaged(self) -> DataError:
        return DataError(f"{shown(self.folder)}: this cache is damaged; delete the folder and run again")

    def _load(self) -> dict[bytes, int]:
        path = self.folder / "index.npz"
        if not path.exists():
            return {}
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                digests, rows = file["digests"], file["rows"]
            if digests.dtype != np.uint8 or digests.shape != (len(rows), DIGEST_BYTES):
                raise ValueError
            keys = [digest.tobytes() for digest in digests]
            return dict(zip(keys, rows.astype(np.int64, casting="safe").tolist(), strict=True))
        except Exception as error:  # a damaged zip makes NumPy raise several classes of error
            raise self._damaged() from error

    def add(self, digest: bytes, crop: Image | None) -> int:
        """Return the row of a new photo, -1 without a crop.  Not stored until ``save``."""
        if digest in self.index:  # a second photo of the same content, cropped at the same time
            return self.index[digest]
        row = -1
        if crop is not None:
            if crop.shape != self.shape or crop.dtype != np.uint8:
                raise UsageError(f"a crop is uint8 of shape {self.shape}, not {crop.dtype} {crop.shape}")
            self.file.write(np.ascontiguousarray(crop).data)
            row = self.count
            self.count += 1
        self.index[digest] = row
        self.unsaved += 1
        return row

    def save(self) -> None:
        if not self.unsaved:
            return
        self.file.flush()
        os.fsync(self.file.fileno())
        digests = np.frombuffer(b"".join(self.index), dtype=np.uint8).reshape(-1, DIGEST_BYTES)
        stream = io.BytesIO()
        np.savez(stream, digests=digests, rows=np.array(list(self.index.values()), dtype=np.int64))
        write_bytes(self.folder / "index.npz", stream.getvalue())
        self.unsaved = 0

    def map(self) -> NDArray[np.uint8]:
        """Map all crops, read-only; an empty file cannot be mapped."""
        shape = (self.count, *self.shape)
        if not self.count:
            return np.zeros(shape, dtype=np.uint8)
        return np.memmap(self.folder / "crops.u8", dtype=np.uint8, mode="r", shape=shape)
