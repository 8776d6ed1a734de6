"""From photos to embeddings: ``Embedder`` runs the network, ``Model`` the whole way from a photo.

The network runs in onnxruntime.  A device that is asked for by name is used or refused; there is
no silent fallback to the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .detect import Detector, make_detector
from .device import open_on
from .embedded_photos import EmbeddedPhoto, OnError, check_photos, embed_photos, source_name
from .errors import FacealikeError, ModelError, UsageError
from .image import Source, resize_square, shown
from .model import ModelFile, Preprocessing
from .model_store import SHIPPED, find_stored, is_name, stored_names
from .once import made_once
from .pipeline import Cutter, FaceCrop, cut_all, in_batches, one_crop
from .types import DEFAULT_FACE, Embeddings, Face, FacePolicy, Image

MANY = 16
"""From so many photos on, sessions of one thread each are made for the threads that share the work."""


class Embedder:
    """An ONNX network that turns crops into unit vectors.

    ``onnx`` is a graph with one float32 input (n, 3, S, S), whose first output is (n, d); n is free, or
    1, and the crops then go through it one by one.
    ``device`` is ``auto`` (a CUDA device if onnxruntime has one, else the CPU), ``cpu`` or ``cuda:N``.
    ``threads`` are those of one run on the CPU; 0 lets onnxruntime choose.

    Raises ModelError for a graph that cannot be used, DeviceError for a device that is not there.
    """

    def __init__(
        self, onnx: bytes, preprocessing: Preprocessing, device: str = "auto", threads: int = 0
    ) -> None:
        self.preprocessing = preprocessing
        self._onnx, self._threads, self._asked = onnx, threads, device
        self._session, self.device = open_on(onnx, device, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            raise ModelError(
                "the embedder must have one float32 input of shape (n, 3, S, S); export it again"
            )
        wanted = (None, 3, preprocessing.size, preprocessing.size)
        self._one_by_one = inputs[0].shape[0] == 1
        for axis, (given, expected) in enumerate(zip(inputs[0].shape, wanted, strict=True)):
            if isinstance(given, int) and given != expected and not (axis == 0 and self._one_by_one):
                need = "free (a dynamic batch)" if expected is None else str(expected)
                raise ModelError(
                    f"the embedder's input has {given} on axis {axis}, not {need}; export it again"
                )
        if not outputs:
            raise ModelError("the embedder has no output; export it again")
        self._input, self._output = inputs[0].name, outputs[0].name
        probe = self._run(np.zeros((1, preprocessing.size, preprocessing.size, 3), dtype=np.uint8))
        if probe.ndim != 2 or len(probe) != 1 or probe.shape[1] < 1:
            raise ModelError(
                f"the embedder must return (n, d), not {probe.shape} for one crop; export it again"
            )
        self.dimensions = int(probe.shape[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return Embedder, (self._onnx, self.preprocessing, self._asked, self._threads)

    @made_once
    def single_threaded(self) -> Embedder:
        """This embedder with one thread a run, for threads that embed and detect at the same time.

        Where the number of threads was chosen, or the device is no CPU, that is this one.
        """
        if self._threads or self.device != "cpu":
            return self
        return Embedder(self._onnx, self.preprocessing, "cpu", threads=1)

    def embed(self, crops: Image, batch: int = 64) -> Embeddings:
        """Unit vectors, float32 (n, d), of crops, uint8 (n, S, S, 3), ``batch`` at a time.

        Raises UsageError for crops of another shape, ModelError where the network returns a vector
        that has no direction.
        """
        if batch < 1:
            raise UsageError(f"a batch holds at least one crop, not {batch}")
        result = np.empty((len(crops), self.dimensions), dtype=np.float32)
        for start in range(0, len(crops), batch):
            result[start : start + batch] = _unit_rows(self._run(crops[start : start + batch]))
        return result

    def _run(self, crops: Image) -> NDArray[np.float32]:
        batch = self.preprocessing.normalise(crops)
        parts = [batch[i : i + 1] for i in range(len(batch))] if self._one_by_one and len(batch) else [batch]
        try:
            outputs = [self._session.run([self._output], {self._input: part})[0] for part in parts]
        except FacealikeError:
            raise
        except Exception as error:  # onnxruntime has no error class of its own to catch
            raise ModelError(f"the embedder failed on {len(crops)} crops; try a smaller batch") from error
        output: NDArray[np.float32] = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return output


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


def read_model_file(path: str | os.PathLike[str] | None = None) -> ModelFile:
    """The model file at ``path``, or of that name; without one, the one that ships with facealike.

    A text without separators and suffix is first looked up among the names of the stored models, so
    a folder that happens to be called like one of them is in nobody's way; ``./dlib`` is always a
    path.  ``default`` names the model that ships.
    """
    name = None if path is None else os.fspath(path)
    if name is None or name == SHIPPED:
        return _shipped_model()
    stored = find_stored(name)
    if stored is None and is_name(name) and not Path(name).is_file():
        known = ", ".join((SHIPPED, *stored_names()))
        raise ModelError(
            f"{shown(name)}: no model of this name, nor a file; add one with facealike models add, or choose "
            f"from {known}"
        )
    return ModelFile.read(name if stored is None else stored)


def _shipped_model() -> ModelFile:
    with resources.as_file(resources.files("facealike") / "weights" / "default.facealike") as shipped:
        if not shipped.is_file():
            raise ModelError(
                "this installation of facealike carries no model of its own; name one with --model PATH, "
                "or make one with facealike train"
            )
        return ModelFile.read(shipped)


def embed_stream(
    model: Model,
    paths: Sequence[Path],
    face: FacePolicy = DEFAULT_FACE,
    aligned: bool = False,
    batch: int = 64,
    failed: Callable[[Path, FacealikeError], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> Iterator[tuple[list[Path], list[Face | None], Embeddings]]:
    """Embed many photos a batch at a time: the paths, the faces and their unit vectors, in order.

    With ``face="all"`` a photo gives as many rows as it has faces.  A photo that fails is handed to
    ``failed`` with its error and left out; without ``failed`` the error is raised.  ``progress`` is
    told how many photos are cut, of how many.  Both are called by the caller's thread, in order.

    ``threads`` None takes one a core, 1 does all in the caller's thread; see ``facealike.pipeline``.
    They end when the stream ends, fails or is closed.
    """

    many = len(paths) >= MANY

    def crops() -> Iterator[tuple[tuple[Path, Face | None], Image]]:
        named = ((path, shown(path)) for path in paths)
        with closing(cut_all(model.cutter(aligned, many), named, face, threads)) as photos:
            for done, (path, cuts) in enumerate(zip(paths, photos, strict=True), start=1):
                if isinstance(cuts, FacealikeError):
                    if failed is None:
                        raise cuts
                    failed(path, cuts)
                    cuts = []
                if progress is not None:
                    progress(done, len(paths))
                yield from (((path, cut.face), cut.crop) for cut in cuts)

    embed = model.embed_many if many else model.embed_crops
    with closing(in_batches(embed, crops(), batch, threads)) as batches:
        for keys, vectors in batches:
            yield [path for path, _ in keys], [found for _, found in keys], vectors


def _unit_rows(vectors: NDArray[np.float32]) -> Embeddings:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    # One comparison that a NaN fails too.
    if not ((lengths > 1e-12) & np.isfinite(lengths)).all():
        raise ModelError("the embedder returned a zero or non-finite vector; train or export the model again")
    unit: Embeddings = (vectors / lengths).astype(np.float32)
    return unit
