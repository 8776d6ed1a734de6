"""``Model``: the whole way from a photo to an embedding, with one model file.

A device that is asked for by name is used or refused; there is no silent fallback to the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import closing
from typing import Any, Literal, overload

import numpy as np

from ..detection.base import Detector
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..detection.registry import make_detector
from ..errors import UsageError
from ..imaging.read import Source, resize_square
from ..model_file.locate import read_model_file
from ..model_file.model_file import ModelFile
from ..types import Embeddings, Face, Image
from ..utils.escape import shown
from ..utils.once import made_once
from .batching import in_batches
from .cropper import Cutter, FaceCrop, cut_all, one_crop
from .embedded_photos import EmbeddedPhoto, OnError, check_photos, embed_photos, source_name
from .embedder import Embedder

MANY = 16
"""From so many photos on, sessions of one thread each are made for the threads that share the work."""


class Model:
    """A model file ready to run: finds faces, crops them and embeds them, as it was trained to.

    ``file`` is the artefact with its card; ``id``, ``calibration``, ``threshold`` and
    ``preprocessing`` are its own; ``device`` is the device that is really used.

    A model may be pickled: what travels is its file, and it is loaded again with the options that it was
    loaded with.  It may be used after a fork, too, on the CPU.
    """

    def __init__(self, file: ModelFile, device: str = "auto", threads: int = 0) -> None:
        self.file = file
        self.id = file.id
        self.calibration = file.calibration
        self.preprocessing = file.preprocessing
        self.embedder = Embedder(file.embedder, file.preprocessing, device, threads)
        self.device = self.embedder.device
        self._threads, self._asked = threads, device
        self._other_detector = False

    def __reduce__(self) -> tuple[Any, ...]:
        given = {"detector": self.detector, "_other_detector": True} if self._other_detector else None
        return Model, (self.file, self._asked, self._threads), given

    def __copy__(self) -> Model:
        """The same networks once more, without loading them."""
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        return copy

    def behind(self, detector: Detector | None) -> Model:
        """This model, which finds faces by ``detector``; by none where photos are face crops already."""
        other = self.__copy__()
        vars(other)["detector"], other._other_detector = detector, True
        return other

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, device: str = "auto", threads: int = 0
    ) -> Model:
        """The model in the file at ``path``; without a path, the one that ships with facealike.

        A name of a model that ``facealike models add`` stored will do in place of a path, and
        ``default`` is the one that ships.  Raises ModelError for a file that cannot be used,
        DeviceError for a device that is not there.
        """
        return cls(read_model_file(path), device, threads)

    @made_once
    def threshold(self) -> float:
        """The cosine from which on two photos count as one person; NotCalibrated where there is none."""
        return self.calibration.check().threshold

    @made_once
    def detector(self) -> Detector:
        """The detector this model was trained with; made on first use, for ``aligned`` needs none."""
        return make_detector(self.file.detector_spec, self.file.detector_weights, self._threads)

    def faces(
        self, image: Source, policy: FacePolicy = DEFAULT_FACE, source: str = "the image"
    ) -> list[Face]:
        """The faces of a photo that ``policy`` means, in its own pixels; see ``select_faces``.

        ``image`` is whatever ``read_image`` takes.  Raises ImageError for a photo that cannot be read,
        NoFaceFound or SeveralFaces, naming ``source`` where the photo has no path.
        """
        name = shown(image) if isinstance(image, str | os.PathLike) else source
        cutter = Cutter(self.detector, None)
        return cutter.choose(cutter.photo(image, name), policy, name)[0]

    def crop(self, image: Image, face: Face) -> Image:
        """The crop of ``face`` that the embedder expects, uint8 (S, S, 3)."""
        return self.preprocessing.crop(image, face)

    def resize(self, image: Image) -> Image:
        """An image that is a face crop already, brought to (S, S, 3)."""
        return resize_square(image, self.preprocessing.size)

    def embed_crops(self, crops: Image, batch: int = 64) -> Embeddings:
        """Unit vectors, float32 (n, d), of crops, uint8 (n, S, S, 3)."""
        return self.embedder.embed(crops, batch)

    @overload
    def embed(
        self, images: Sequence[Source], face: FacePolicy = DEFAULT_FACE, aligned: bool = False,
        batch: int = 64, threads: int | None = None, on_error: Literal["raise"] = "raise",
    ) -> Embeddings: ...  # fmt: skip

    @overload
    def embed(
        self, images: Sequence[Source], face: FacePolicy = DEFAULT_FACE, aligned: bool = False,
        batch: int = 64, threads: int | None = None, *, on_error: Literal["skip"],
    ) -> list[EmbeddedPhoto]: ...  # fmt: skip

    def embed(
        self, images: Sequence[Source], face: FacePolicy = DEFAULT_FACE, aligned: bool = False,
        batch: int = 64, threads: int | None = None, on_error: OnError = "raise",
    ) -> Embeddings | list[EmbeddedPhoto]:  # fmt: skip
        """One unit vector a photo, float32 (n, d), in the order given.

        ``face`` says which face of a photo is meant.  ``aligned=True`` says that each image is a
        face crop already: no detector runs.  ``threads`` None takes one a core; 1 does all in the
        caller's thread.  Memory holds one photo a thread and a few batches of crops.

        With ``on_error="skip"`` the result is one EmbeddedPhoto a photo: its faces, each with quality and
        vector, or the reason why there are none.  ``face="all"`` then embeds every face.

        Raises ImageError for a photo that cannot be read, NoFaceFound or SeveralFaces, naming it.
        """
        check_photos(images, face, on_error, batch)
        if on_error == "skip":
            return list(self.stream(images, face=face, aligned=aligned, batch=batch, threads=threads))
        if face == "all":
            raise UsageError(
                "embed returns one vector a photo, so the face policy cannot be 'all'; "
                "on_error='skip' and stream() return every face"
            )
        if not isinstance(images, Sized):
            raise UsageError("embed takes a sequence of images; stream() takes what has no length")
        result = np.empty((len(images), self.embedder.dimensions), dtype=np.float32)
        many = len(images) >= MANY
        named = ((image, source_name(image, i)) for i, image in enumerate(images))
        with closing(cut_all(self.cutter(aligned, many), named, face, threads, lead=4)) as photos:
            crops = ((i, one_crop(cuts)) for i, cuts in enumerate(photos))
            embed = self.embed_many if many else self.embed_crops
            with closing(in_batches(embed, crops, batch, threads)) as batches:
                for rows, vectors in batches:
                    result[rows] = vectors
        return result

    def stream(
        self, photos: Iterable[Source], *, face: FacePolicy = DEFAULT_FACE, on_error: OnError = "skip",
        aligned: bool = False, batch: int = 64, threads: int | None = None, quality: bool = True,
    ) -> Iterator[EmbeddedPhoto]:  # fmt: skip
        """Embed any number of photos, in order, with few of them in memory: one EmbeddedPhoto each.

        ``photos`` may be a generator; it is drawn a few batches ahead.  ``face="all"`` embeds every face
        of a photo.  A photo that cannot be read or lacks the face asked for is a row with a ``reason``;
        with ``on_error="raise"`` its error is raised, after the rows before it.  ``quality=False`` saves
        the time that judging the faces takes.  The other arguments are those of ``embed``.

        Example:
            >>> for photo in model.stream(paths, face="all"):
            ...     print(photo.reason or [face.quality.score for face in photo.faces])
        """
        check_photos(photos, face, on_error, batch)
        many = not isinstance(photos, Sized) or len(photos) >= MANY
        cutter, embed = self.cutter(aligned, many), self.embed_many if many else self.embed_crops
        return embed_photos(cutter, embed, photos, face, on_error, batch, threads, quality)

    def embed_many(self, crops: Image) -> Embeddings:
        """``embed_crops`` for one of several threads that are busy at the same time."""
        return self.embedder.single_threaded.embed(crops)

    def cutter(self, aligned: bool = False, many: bool = False) -> Cutter:
        """What turns photos into crops as this model expects them; ``many`` to share among threads."""
        return Cutter(None if aligned else self.detector, self.preprocessing, many)

    def crops_of(
        self, source: Source, face: FacePolicy = DEFAULT_FACE, aligned: bool = False, name: str = "the image"
    ) -> list[FaceCrop]:
        """The faces of one photo that ``face`` means, each with its crop."""
        return self.cutter(aligned)(source, face, name)
