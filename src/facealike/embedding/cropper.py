"""From photos to crops: decode, detect, select and align; many photos are overlapped over threads.

Each of a few threads takes one photo the whole way from its file to its crops, so that no decoded
photo ever waits in a queue: memory holds one photo a thread, and crops.  The crops come out in the
order of the photos and are gathered into batches, which a thread of its own embeds meanwhile.

What may be shared between threads (tests/embedding/test_cropper.py):

- onnxruntime sessions: yes, any number of threads may run one.  Where many photos are under way
  each run gets one thread, for the cores are busy with other photos.
- dlib's detectors: no, for they keep what they are looking at; ``DlibDetector`` has one a thread.
- detectors of others: no, unless they say so by ``thread_safe = True``; the threads take turns.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from ..detection.base import Detector
from ..detection.face_policy import FacePolicy
from ..detection.select import select_faces
from ..errors import FacealikeError
from ..imaging.read import Source, resize_square
from ..imaging.scaled_jpeg import Photo
from ..quality.measures import SIDE
from ..quality.result import Quality
from ..quality.score import face_quality
from ..types import Face, Image
from ..utils.ordered_threads import in_order
from ..utils.turns import turn
from .batching import helpers


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """One face of a photo, ready for the embedder.

    ``crop`` is uint8 (S, S, 3).  ``face`` is in pixels of the whole upright photo, and ``found`` is the
    number of faces that it was chosen from; both are None where the photo is a face crop already.
    ``quality`` is None where nobody asked for it.
    """

    face: Face | None
    crop: Image
    found: int | None = None
    quality: Quality | None = None


class Cropping(Protocol):
    """The part of a model's preprocessing that cuts crops."""

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


class Cutter:
    """From a photo to the crops of its faces, in any thread: the one way that every verb takes.

    ``detector`` None says that photos are face crops already, and ``preprocessing`` None that no crop is
    wanted.  Large JPEGs are decoded at the size that the detector looks at, where it states one as
    ``max_side``; coordinates stay those of the whole photo, and a face that would be enlarged is cut from
    all pixels.  ``many`` says that other photos are under way at the same time, so that a detector should
    keep to one core.  ``step`` gives a context manager for each named step (read, detect, quality, align).
    """

    def __init__(
        self, detector: Detector | None, preprocessing: Cropping | None, many: bool = False,
        step: Callable[[str], AbstractContextManager[None]] | None = None,
    ) -> None:  # fmt: skip
        if many:
            detector = getattr(detector, "single_threaded", detector)
        self.detector, self.preprocessing = detector, preprocessing
        self._side: int | None = getattr(detector, "max_side", None)
        self._step = step or _untimed
        self._kind: str | None = None

    def __call__(self, source: Source, face: FacePolicy, name: str, quality: bool = False) -> list[FaceCrop]:
        """The faces that ``face`` means, each with its crop, and its quality where that is asked for.

        Raises ImageError, NoFaceFound or SeveralFaces, naming the photo by ``name``.
        """
        return self.cut(self.photo(source, name), face, name, quality)

    def cut(self, photo: Photo, face: FacePolicy, name: str, quality: bool = False) -> list[FaceCrop]:
        """The same for a photo that ``photo`` gave."""
        if self.detector is None:
            return [FaceCrop(None, self.whole(photo))]
        chosen, found = self.choose(photo, face, name)
        return [
            FaceCrop(each, self.crop(photo, each), found, self.quality(photo, each) if quality else None)
            for each in chosen
        ]

    def photo(self, source: Source, name: str | None = None) -> Photo:
        """The photo, not yet decoded, as this detector needs it."""
        return Photo(source, self._side, name)

    def choose(self, photo: Photo, face: FacePolicy, name: str) -> tuple[list[Face], int]:
        """The faces that ``face`` means, in pixels of the whole photo, and of how many.

        Raises ImageError, NoFaceFound or SeveralFaces, naming the photo by ``name``.
        """
        faces = self.faces(photo)
        return select_faces(faces, face, photo.shape, name), len(faces)

    def faces(self, photo: Photo) -> list[Face]:
        """Every face, in pixels of the whole photo, the most confident first."""
        assert self.detector is not None
        with self._step("read"):
            image = photo.reduced
        with self._step("detect"), turn(self.detector):
            return [photo.outward(face) for face in self.detector.detect(image)]

    def quality(self, photo: Photo, face: Face) -> Quality:
        """The quality of a face that is given in pixels of the whole photo."""
        assert self.detector is not None
        with self._step("quality"):
            image, here = photo.view(face, SIDE)
            # A photo that was decoded reduced has fewer pixels between the eyes than it really has.
            smaller = face.box.width / here.box.width
            self._kind = self._kind or self.detector.spec.get("kind")  # a spec hashes the weights
            return face_quality(image, here, self._kind, smaller)

    def crop(self, photo: Photo, face: Face) -> Image:
        """The crop of a face that is given in pixels of the whole photo, uint8 (S, S, 3)."""
        assert self.preprocessing is not None
        with self._step("align"):
            return self.preprocessing.crop(*photo.view(face, self.preprocessing.size))

    def whole(self, photo: Photo) -> Image:
        """The crop of a photo that is a face crop already, uint8 (S, S, 3)."""
        assert self.preprocessing is not None
        with self._step("read"):
            image = photo.whole
        with self._step("align"):
            return resize_square(image, self.preprocessing.size)


def _untimed(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def cut_all(
    cutter: Cutter, sources: Iterable[tuple[Source, str]], face: FacePolicy, threads: int | None = None,
    lead: int = 16, quality: bool = False,
) -> Generator[list[FaceCrop] | FacealikeError, None, None]:  # fmt: skip
    """What ``cutter`` makes of each source, named as given, in order, or the error that it ended with.

    The errors hold no pixels, so that any number may be kept.  ``threads`` None takes one a core, 1
    does all in the caller's thread.  Up to ``lead`` photos a thread are cut ahead of the consumer:
    crops take little room, and one large photo among small ones then stops nobody.
    """
    count = helpers(threads)

    def cut(item: tuple[Source, str]) -> list[FaceCrop] | FacealikeError:
        try:
            return cutter(item[0], face, item[1], quality)
        except FacealikeError as error:
            return without_pixels(error)

    return in_order(cut, sources, count, lead * count)


def one_crop(cuts: list[FaceCrop] | FacealikeError) -> Image:
    """The only crop of a photo; raises the error that there is instead."""
    if isinstance(cuts, FacealikeError):
        raise cuts
    return cuts[0].crop


def without_pixels(error: FacealikeError) -> FacealikeError:
    """``error`` with the local variables of its frames let go: among them is the decoded photo."""
    at: BaseException | None = error
    while at is not None:
        traceback.clear_frames(at.__traceback__)
        at = at.__cause__ or at.__context__
    return error
