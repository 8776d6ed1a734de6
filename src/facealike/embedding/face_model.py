"""``Model``: the whole way from a photo to an embedding, with one model file.

A device that is asked for by name is used or refused; there is no silent fallback to the CPU.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterable, Sequence, Sized
from contextlib import closing
from typing import Any, Literal, overload

import numpy as np

from ..detection.base import Detector
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..detection.registry import make_detector
from ..errors import UsageError
from ..imaging.read import Source, resize_square, source_name
from ..model_file.locate import read_model_file
from ..model_file.model_file import ModelFile
from ..types import Embeddings, Face, Image
from ..utils.once import made_once
from .cropper import NO_LIMITS, FaceCrop, FaceCropper, PhotoLimits
from .device import check_same
from .embedded_photos import EmbeddedPhoto, OnError, check_photos, embed_photos
from .embedder import Embedder

MANY = 16
"""From so many photos on, sessions of one thread each are made for the threads that share the work."""


class Model:
    """A model file ready to run: it finds faces, crops them and embeds them.

    ``file`` is the model file with its card; ``id``, ``calibration``, ``threshold`` and ``preprocessing``
    are its own; ``device`` is the device in use.

    A model may be pickled: its file is stored, and loaded again with the same options.  It may also be
    used after a fork, on the CPU.

    Args:
        file: The model file.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        threads: Threads of one run of a network on the CPU; 0 lets onnxruntime choose.

    Raises:
        ModelError: The file cannot be used.
        DeviceError: The device is not there.

    Examples:
        >>> model = Model.load()
        >>> vectors = model.embed(["a.jpg", "b.jpg"])
        >>> float(vectors[0] @ vectors[1])  # the cosine score
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

    def __repr__(self) -> str:
        return f"<Model {self.id} on {self.device}>"

    def __reduce__(self) -> tuple[Any, ...]:
        given = {"detector": self.detector, "_other_detector": True} if self._other_detector else None
        return Model, (self.file, self._asked, self._threads), given

    def __copy__(self) -> Model:
        """Return another model with the same networks, which are not loaded again."""
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        return copy

    def behind(self, detector: Detector | None) -> Model:
        """Return this model with another detector; None where photos are face crops already."""
        other = self.__copy__()
        vars(other)["detector"], other._other_detector = detector, True
        return other

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, device: str = "auto", threads: int = 0
    ) -> Model:
        """Load a model.

        Args:
            path: A model file, or the name of a model that ``facealike models add`` has stored; None and
                ``default`` are the default model.
            device: ``auto``, ``cpu`` or ``cuda:N``.
            threads: Threads of one run of a network on the CPU; 0 lets onnxruntime choose.

        Raises:
            ModelError: The file cannot be used.
            DeviceError: The device is not there.
        """
        return cls(read_model_file(path), device, threads)

    @made_once
    def threshold(self) -> float:
        """The cosine from which on two photos count as one person; NotCalibrated where there is none."""
        return self.calibration.check().threshold

    @made_once
    def detector(self) -> Detector:
        """The detector that this model was trained with; made on first use."""
        return make_detector(self.file.detector_spec, self.file.detector_weights, self._threads)

    def faces(
        self, photo: Source, policy: FacePolicy = DEFAULT_FACE, source: str = "the image",
        aligned: bool = False, quality: bool = True,
    ) -> list[FaceCrop]:  # fmt: skip
        """Return the faces of a photo, each with its crop and quality.

        Args:
            photo: Whatever ``read_image`` takes.
            policy: Which face of the photo is meant; see ``select_faces``.
            source: What messages call a photo that has no path.
            aligned: The photo is a face crop already, so no detector runs.
            quality: Also assess each face.

        Raises:
            ImageError: The photo cannot be read.
            NoFaceFound: It shows no face.
            SeveralFaces: It shows several under the policy ``only``.

        Examples:
            >>> (face,) = Model.load().faces("portrait.jpg")
            >>> face.face.box, face.quality.score, face.crop.shape
        """
        return self.cropper(aligned)(photo, policy, source_name(photo, source), quality)

    def cropper(
        self, aligned: bool = False, many: bool = False, limits: PhotoLimits = NO_LIMITS
    ) -> FaceCropper:
        """Return what crops photos as this model expects them; ``many`` where threads share it."""
        return FaceCropper(None if aligned else self.detector, self.preprocessing, many, limits=limits)

    def crops_of(
        self, source: Source, face: FacePolicy = DEFAULT_FACE, aligned: bool = False, name: str = "the image"
    ) -> list[FaceCrop]:
        """Return ``faces``, without quality, under the name of earlier releases."""
        warnings.warn("Model.crops_of is now Model.faces", DeprecationWarning, stacklevel=2)
        return self.faces(source, face, name, aligned, quality=False)

    def crop(self, image: Image, face: Face) -> Image:
        """Return the crop of ``face`` that the embedder expects, uint8 (S, S, 3)."""
        return self.preprocessing.crop(image, face)

    def resize(self, image: Image) -> Image:
        """Return an image that is a face crop already, resized to (S, S, 3)."""
        return resize_square(image, self.preprocessing.size)

    def embed_crops(self, crops: Image, batch: int = 64) -> Embeddings:
        """Return the unit vectors, float32 (n, d), of crops, uint8 (n, S, S, 3)."""
        return self.embedder.embed(crops, batch)

    def embed_many(self, crops: Image) -> Embeddings:
        """Return ``embed_crops`` for one of several threads that work at the same time."""
        return self.embedder.single_threaded.embed(crops)

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
        """Return one unit vector a photo, float32 (n, d), in the order given.

        Memory holds one photo a thread and a few batches of crops.

        Args:
            images: Photos, each whatever ``read_image`` takes.
            face: Which face of a photo is meant; see ``select_faces``.
            aligned: Each image is a face crop already, so no detector runs.
            batch: Crops to embed at a time.
            threads: None for one a core; 1 does all work in the caller's thread.
            on_error: With ``skip`` the result is one EmbeddedPhoto a photo: its faces, each with quality
                and vector, or the reason why it has none.  ``face="all"`` then embeds every face.

        Raises:
            ImageError: A photo cannot be read; the message names it.
            NoFaceFound: A photo shows no face.
            SeveralFaces: A photo shows several under the policy ``only``.
            UsageError: The arguments contradict each other.
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
        rows = self.stream(
            images, face=face, on_error="raise", aligned=aligned, batch=batch, threads=threads, quality=False
        )
        with closing(rows):
            for row in rows:
                result[row.index] = row.faces[0].embedding
        return result

    def stream(
        self, photos: Iterable[Source], *, face: FacePolicy = DEFAULT_FACE, on_error: OnError = "skip",
        aligned: bool = False, batch: int = 64, threads: int | None = None, quality: bool = True,
    ) -> Generator[EmbeddedPhoto, None, None]:  # fmt: skip
        """Embed any number of photos, in order, with few of them in memory: one EmbeddedPhoto each.

        Args:
            photos: Photos, also from a generator, which is drawn a few batches ahead.
            face: Which face of a photo is meant; with ``all`` every face is embedded.
            on_error: With ``skip`` a photo that cannot be read or lacks the face asked for is a row with a
                ``reason``; with ``raise`` its error is raised, after the rows before it.
            aligned: Each photo is a face crop already, so no detector runs.
            batch: Photos to embed at a time; fewer where they have that many faces.
            threads: None for one a core; 1 does all work in the caller's thread.
            quality: Also assess each face, which takes some time.

        Examples:
            >>> for photo in model.stream(paths, face="all"):
            ...     print(photo.reason or [face.quality.score for face in photo.faces])
        """
        check_photos(photos, face, on_error, batch)
        many = not isinstance(photos, Sized) or len(photos) >= MANY
        cropper, embed = self.cropper(aligned, many), self.embed_many if many else self.embed_crops
        return embed_photos(cropper, embed, photos, face, on_error, batch, threads, quality)


def loaded_model(model: Model | str | os.PathLike[str] | None, device: str) -> Model:
    """Return a loaded model as it is, and load any other.

    Args:
        model: A loaded Model, or what ``Model.load`` takes.
        device: Where to load it; must be the device of a Model that is loaded.

    Raises:
        ModelError: The file cannot be used.
        DeviceError: The device is not there.
        UsageError: The model is loaded on another device.
    """
    if isinstance(model, Model):
        check_same(device, model.device)
        return model
    return Model.load(model, device)
