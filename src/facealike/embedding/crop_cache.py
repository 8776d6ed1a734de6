"""Find and cut each face once, and keep the crops on disk for every later run.

A cache is a folder with one sub-folder for each way of making crops, named by a hash of all that
shapes their pixels: detector, alignment, size, face policy and ``CROPS_VERSION``.  Inside lie

    crops.u8        the crops, raw uint8, one after the other
    index.npz       SHA-256 of each photo's content, and its row in crops.u8 (-1: no face)
    pipeline.json   what the hash stands for, for people who look
    lock            there while a process writes, and names it

Photos are known by content, not by name: one that was edited is simply another photo, so a stale
crop is never used.  Rows are only ever appended, and reach the disk before the index that mentions
them is renamed into place.  A run that is killed at any point leaves a good index, and perhaps some
rows that nothing mentions, which the next run overwrites.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..detection.base import Detector, fingerprint
from ..detection.face_policy import FacePolicy
from ..errors import DataError, FacealikeError, ImageError, NoFaceFound, SeveralFaces, UsageError
from ..imaging.photo_warning import UnusedPhoto, UnusedPhotoWarning
from ..imaging.read import read_file, read_image
from ..types import Image
from ..utils.atomic_write import write_bytes
from ..utils.escape import shown
from ..utils.locking import own_folder
from ..utils.ordered_threads import in_order
from .batching import helpers
from .cropper import Cropping, FaceCropper, crop_faces, without_pixels

CROPS_VERSION = 1
"""Raised whenever the same photo, detector and settings would give other pixels than before."""

SAVE_EVERY = 2000
"""Photos between two writings of the index: what a kill can cost at most."""

DIGEST_BYTES = 32

NO_FACE = (NoFaceFound, UsageError)
"""Why a photo has no crop; the second: a detection beside the photo or with collapsed landmarks."""

UNUSED = (ImageError, SeveralFaces)
"""Why a photo is left out where a run is not strict; the second under the policy "only"."""

NAMED = 3
"""Photos of several faces that a warning names; all have the same reason."""


@dataclass(frozen=True, eq=False)
class Crops:
    """The crops of n photos, on disk.

    ``rows`` is (n,) int64: where in ``store``, uint8 (m, S, S, 3), the crop of each photo lies, or
    -1 where no face was found or the photo is among the ``unused``, which could not be read or show
    several faces.  Two photos with the same content share a row.
    """

    rows: NDArray[np.int64]
    store: NDArray[np.uint8]
    unused: tuple[UnusedPhoto, ...] = ()

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which photos have a crop, bool (n,)."""
        return self.rows >= 0

    @property
    def no_face(self) -> int:
        """How many photos were read and no face was found in them."""
        return int(np.sum(~self.found)) - len(self.unused)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """The crops of these photos, in this order, read into memory: uint8 (k, S, S, 3).

        ``indices`` are integers or a bool mask (n,).  Raises UsageError for a photo without a crop.
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
    failed: Callable[[UnusedPhoto], None] | None = None,
) -> Generator[Image | None, None, None]:  # fmt: skip
    """The face crop of each photo, in order, or None where its face is not found; nothing is kept.

    Without ``strict`` a photo that cannot be read, or shows several faces under the policy "only", gives
    None too: ``failed`` is told of it, and PhotoWarnings say why and how many.
    A few photos are held at a time.  The arguments and errors are those of ``cached_crops``.
    """
    unused: list[UnusedPhoto] = []
    named = ((path, shown(path)) for path in paths)
    cropper = FaceCropper(detector, preprocessing, many=True)
    with closing(crop_faces(cropper, named, face, threads)) as photos:
        for path, faces in zip(paths, photos, strict=True):
            if isinstance(faces, UNUSED) and not strict:
                unused.append(unused_photo(path, faces))
                if failed is not None:
                    failed(unused[-1])
                yield None
            elif isinstance(faces, NO_FACE):
                yield None
            elif isinstance(faces, FacealikeError):
                raise faces
            else:
                yield faces[0].crop
    _tell_unused(unused, len(paths))


def readable_photos(paths: Iterable[Path]) -> Iterator[tuple[Path, Image]]:
    """Each photo that can be read, whole, RGB uint8 (H, W, 3); the others are left out and told."""
    unused: list[UnusedPhoto] = []
    count = 0
    for path in paths:
        count += 1
        try:
            image = read_image(path)
        except ImageError as error:
            unused.append(unused_photo(path, error))
        else:
            yield path, image
    _tell_unused(unused, count)


def unused_photo(path: str | os.PathLike[str], error: FacealikeError) -> UnusedPhoto:
    """Return the row of a photo that ended with ``error``, one of ``UNUSED``."""
    reason = str(error).removeprefix(f"{shown(path)}: ")
    return UnusedPhoto(
        os.fspath(path), reason, "several faces" if isinstance(error, SeveralFaces) else "unreadable"
    )


def _tell_unused(unused: Sequence[UnusedPhoto], photos: int) -> None:
    """Warn of each photo that could not be read, and of how many photos were left out."""
    unread = [one for one in unused if one.kind == "unreadable"]
    several = [shown(one.photo) for one in unused if one.kind == "several faces"]
    told = [f"{shown(one.photo)}: {one.reason} (left out)" for one in unread]
    if unread:
        told.append(
            f"{len(unread):,} of {photos:,} photos could not be read; they are left out, and counted apart "
            "from photos without a face"
        )
    if several:
        told.append(
            f"{len(several):,} of {photos:,} photos show several faces where the policy 'only' allows one; "
            f"they are left out: {', '.join(several[:NAMED])}{', ...' if len(several) > NAMED else ''}"
        )
    for sentence in told:
        warnings.warn(sentence, UnusedPhotoWarning, stacklevel=3)


class _Made(NamedTuple):
    """What a worker hands back: the photo's digest, and its crop unless the index knew it already."""

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
    """The face crop of each photo in ``paths``, from ``cache`` where it is there already.

    ``detector`` None says that the photos are face crops already; they are only resized, and all
    count as found.  ``face`` says which face is meant where there are several.  ``progress`` is
    called with (done, total).  ``threads`` None takes one a core; the result does not depend on it.

    One process at a time fills a cache; a second one waits.

    With ``strict`` the first photo that cannot be read raises ImageError, and the first with several faces
    under the policy "only" SeveralFaces; what was done until then is kept.  Else such a photo is left out,
    is among ``unused`` of the result, and PhotoWarnings tell of it.

    Raises UsageError for settings that contradict each other, and DataError for a cache that is damaged
    or cannot be written.
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
    _tell_unused(unused, len(paths))
    return Crops(rows, store.map(), unused)


def _pipeline(detector: Detector | None, preprocessing: Cropping, face: FacePolicy) -> dict[str, Any]:
    """All that shapes a crop.  An aligned input is only resized, so only the size counts for it."""
    if detector is None:
        return {"version": CROPS_VERSION, "aligned": True, "size": preprocessing.size}
    # Named only where there is some: crops of before are then found under the name they always had.
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
    """From a path to a crop, in any thread."""

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
            # Not in the index: the next run says again why there is no crop.
            return _Made(b"", False, None, without_pixels(error))

    def _made(self, path: str | os.PathLike[str]) -> _Made:
        # One reading serves both the digest and the decoder: the file might change in between.
        data = read_file(path)
        photo = self.cropper.photo(data, os.fspath(path))
        digest = hashlib.sha256(data)
        if photo.factor > 1:  # no crop from before there was such a thing is taken for one of these
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
        # Results come in the order of the paths, so rows are dealt out alike for any number of threads.
        with closing(in_order(maker, paths, threads, 16 * threads)) as made_in_order:
            for done, made in enumerate(made_in_order):
                if made.error is not None:
                    unused.append(unused_photo(paths[done], made.error))
                    rows[done] = -1
                else:
                    rows[done] = store.index[made.digest] if made.known else store.add(made.digest, made.crop)
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
        """The row of a new photo; -1 without a crop.  Nothing is sure until ``save``."""
        if digest in self.index:  # a second photo of the same content, made at the same time
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
        """All crops, read-only, without reading them; a file of no crops cannot be mapped."""
        shape = (self.count, *self.shape)
        if not self.count:
            return np.zeros(shape, dtype=np.uint8)
        return np.memmap(self.folder / "crops.u8", dtype=np.uint8, mode="r", shape=shape)
