"""From photos to face crops: decode, detect, select and align; many photos are overlapped over threads.

Each thread takes one photo the whole way from its file to its crops, so no decoded photo waits in a
queue: memory holds one photo a thread, and crops.  Crops come out in the order of the photos; a batch of
them is embedded by a thread of its own meanwhile.

What threads may share (tests check it):

- onnxruntime sessions: yes, any number of threads may run one.  With many photos in work each run gets
  one thread, since the cores are busy with other photos.
- dlib's detectors: no, they keep the image they work on; ``DlibDetector`` has one for each thread.
- other detectors: only with ``thread_safe = True``; otherwise the threads take turns.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..detection import registry
from ..detection.base import Detector
from ..detection.face_policy import FacePolicy
from ..detection.select import select_faces
from ..errors import FacealikeError, SeveralFaces
from ..imaging.read import MAX_PIXELS, Source, resize_square
from ..imaging.scaled_jpeg import Photo
from ..model_file.model_file import ModelFile
from ..quality.measures import SIDE
from ..quality.result import Quality
from ..quality.score import face_quality
from ..types import Face, Image
from ..utils.ordered_threads import map_ordered
from ..utils.result import Shown
from ..utils.turns import turn
from .batching import helpers

NO_PIXELS: Image = np.zeros((0, 0, 3), np.uint8)
NO_PIXELS.setflags(write=False)


@dataclass(frozen=True, eq=False, repr=False)
class FaceCrop(Shown):
    """One face of a photo with its crop, ready for the embedder.

    ``face`` is in pixels of the whole upright photo, and None where the photo is a face crop already.
    ``crop`` is RGB uint8 (S, S, 3), or (0, 0, 3) where no crop was asked for.  ``found`` is the number of
    faces in the photo, None where none was looked for.  ``quality`` is None where it was not asked for.
    ``number`` is the place of the face among those found, from 1, as ``detect`` lists them.

    Examples:
        >>> for found in Model.load().faces("group.jpg", "all"):
        ...     print(found.face, found.quality, found.crop.shape)
    """

    face: Face | None
    crop: Image = field(default_factory=lambda: NO_PIXELS, repr=False)
    found: int | None = None
    quality: Quality | None = None
    number: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "face": None if self.face is None else self.face.to_dict(),
            "found": self.found,
            "quality": None if self.quality is None else self.quality.to_dict(),
        }

    def __str__(self) -> str:
        face = "a face crop" if self.face is None else str(self.face)
        return face if self.quality is None else f"{face}, {self.quality}"


class Cropping(Protocol):
    """The part of a model's preprocessing that shapes crops."""

    @property
    def size(self) -> int: ...
    @property
    def align(self) -> str: ...
    @property
    def margin(self) -> float: ...
    @property
    def edge(self) -> str: ...
    @property
    def context(self) -> float: ...
    def crop(self, image: Image, face: Face) -> Image: ...


class PhotoLimits(NamedTuple):
    """Most pixels of a photo, checked before it is decoded, and most faces of it that are cropped."""

    pixels: int = MAX_PIXELS
    faces: int | None = None


NO_LIMITS = PhotoLimits()
"""The limits of ``read_image`` alone."""


class FaceCropper:
    """Find, select and crop the faces of a photo, in any thread: the one way of every command.

    Large JPEGs are decoded at the size that the detector works on, where it states one as ``max_side``.
    Coordinates stay those of the whole photo, and a face that would be enlarged is cropped from all pixels.

    Args:
        detector: Finds the faces; None where photos are face crops already.
        preprocessing: Shapes the crops; None where no crop is needed.
        many: Other photos are in work at the same time, so the detector keeps to one core.
        step: Returns a context manager for each named step (read, detect, quality, align), to time it.
        limits: On the photos; a photo over them is an error.
    """

    def __init__(
        self, detector: Detector | None, preprocessing: Cropping | None, many: bool = False,
        step: Callable[[str], AbstractContextManager[None]] | None = None, limits: PhotoLimits = NO_LIMITS,
    ) -> None:  # fmt: skip
        if many:
            detector = getattr(detector, "single_threaded", detector)
        self.detector, self.preprocessing, self.limits = detector, preprocessing, limits
        whole = getattr(detector, "min_face", None)  # in pixels of the whole photo
        self._side: int | None = None if whole else getattr(detector, "max_side", None)
        self._step = step or _untimed
        self._kind: str | None = None

    @classmethod
    def of_file(cls, file: ModelFile, aligned: bool = False) -> FaceCropper:
        """Return the cropper of a model file, without starting its embedder."""
        detector = None if aligned else registry.make_detector(file.detector_spec, file.detector_weights)
        return cls(detector, file.preprocessing)

    def __call__(
        self, source: Source, policy: FacePolicy, name: str | None = None, quality: bool = False
    ) -> list[FaceCrop]:
        """Return the faces of a photo that ``policy`` selects, each with its crop.

        Args:
            source: Whatever ``read_image`` takes.
            policy: Which face of the photo is meant; see ``select_faces``.
            name: What messages call the photo.
            quality: Also assess each face.

        Raises:
            ImageError: The photo cannot be read.
            NoFaceFound: It shows no face.
            SeveralFaces: It shows several under the policy ``only``.
        """
        return self.faces(self.photo(source, name), policy, quality)

    def photo(self, source: Source, name: str | None = None) -> Photo:
        """Return the photo, not yet decoded, at the size that the detector needs."""
        return Photo(source, self._side, name, self.limits.pixels)

    def faces(self, photo: Photo, policy: FacePolicy, quality: bool = False) -> list[FaceCrop]:
        """Return the selected faces of a photo that ``photo`` returned; see ``__call__``."""
        if self.detector is None:
            return [FaceCrop(None, self.crop(photo, None))]
        with self._step("read"):
            image = photo.reduced
        with self._step("detect"), turn(self.detector):
            faces = [photo.outward(face) for face in self.detector.detect(image)]
        chosen = select_faces(faces, policy, photo.shape, photo.name)
        if self.limits.faces is not None and len(chosen) > self.limits.faces:
            raise SeveralFaces(
                f"{photo.name}: {len(chosen)} faces found, over the limit of {self.limits.faces}; "
                "crop the photo"
            )
        numbers = range(1, len(faces) + 1) if policy == "all" else [faces.index(chosen[0]) + 1]
        return [
            self._face_crop(photo, face, number, len(faces), quality)
            for face, number in zip(chosen, numbers, strict=True)
        ]

    def _face_crop(self, photo: Photo, face: Face, number: int, found: int, quality: bool) -> FaceCrop:
        crop = NO_PIXELS if self.preprocessing is None else self.crop(photo, face)
        return FaceCrop(face, crop, found, self._quality(photo, face) if quality else None, number)

    def crop(self, photo: Photo, face: Face | None) -> Image:
        """Return the crop of a face, uint8 (S, S, 3); None stands for a photo that is a face crop already.

        ``face`` is in pixels of the whole photo.
        """
        assert self.preprocessing is not None
        if face is not None:
            with self._step("align"):
                return self.preprocessing.crop(*photo.view(face, self.preprocessing.size))
        with self._step("read"):
            image = photo.whole
        with self._step("align"):
            return resize_square(image, self.preprocessing.size)

    def _quality(self, photo: Photo, face: Face) -> Quality:
        assert self.detector is not None
        with self._step("quality"):
            image, here = photo.view(face, SIDE)
            # A photo that was decoded reduced has fewer pixels between the eyes than it really has.
            smaller = face.box.width / here.box.width
            self._kind = self._kind or self.detector.spec.get("kind")  # a spec hashes the weights
            return face_quality(image, here, self._kind, smaller)


def _untimed(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def crop_faces(
    cropper: FaceCropper, sources: Iterable[tuple[Source, str]], policy: FacePolicy,
    threads: int | None = None, lead: int = 16, quality: bool = False,
) -> Generator[list[FaceCrop] | FacealikeError, None, None]:  # fmt: skip
    """Yield the face crops of each photo, in order, or the error in their place.

    The errors hold no pixels, so any number of them may be kept.

    Args:
        cropper: Crops each photo; it is shared by the threads.
        sources: Photos, each with the name that messages call it.
        policy: Which face of a photo is meant.
        threads: None for one a core; 1 does all work in the caller's thread.
        lead: Photos a thread that are cropped ahead of the consumer, so that one large photo among small
            ones stops no thread.
        quality: Also assess each face.
    """
    count = helpers(threads)

    def crop(item: tuple[Source, str]) -> list[FaceCrop] | FacealikeError:
        try:
            return cropper(item[0], policy, item[1], quality)
        except FacealikeError as error:
            return without_pixels(error)

    return map_ordered(crop, sources, count, lead * count)


def without_pixels(error: FacealikeError) -> FacealikeError:
    """Return ``error`` with the local variables of its frames dropped: one is the decoded photo."""
    at: BaseException | None = error
    while at is not None:
        traceback.clear_frames(at.__traceback__)
        at = at.__cause__ or at.__context__
    return error
