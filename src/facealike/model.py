"""The artefact: one file that binds weights, preprocessing, detector, calibration and card.

A ``.facealike`` file is a zip (see ``facealike.archive``) of ``manifest.json``, ``embedder.onnx``,
``detector.onnx`` (where the detector has weights), ``card.json`` and ``calibration.json``.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .align import Edge, Method, align
from .archive import open_file, pack, sha256, unpack
from .calibration import Calibration, OperatingPoint
from .detector_spec import HAS_LANDMARKS, HAS_WEIGHTS, check_detector_spec
from .errors import ModelError, UsageError
from .fields import (
    MAX_TEXT,
    check_lengths,
    check_plain,
    check_types,
    checked_number,
    checked_table,
    from_dict,
    in_words,
    is_number,
    parse_table,
    to_json,
)  # fmt: skip
from .files import write_bytes
from .image import shown
from .licence import Licence, read_licences
from .onnx_data import refuse_external_data
from .result import Shown
from .seen import Seen, identity_hash, read_records
from .types import Face, Image

__all__ = [
    "HAS_LANDMARKS", "HAS_WEIGHTS", "Align", "Calibration", "ModelCard", "ModelFile", "OperatingPoint",
    "Preprocessing", "identity_hash",
]  # fmt: skip

MAX_SIZE = 512  # pixels of a crop's side; a batch of 64 such crops takes 200 MB
LARGEST_PIXEL = 1e5  # of mean and std; one over it is the smallest std

Align = Method
Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True, repr=False)
class Preprocessing(Shown):
    """How a face becomes the embedder's input; it travels with the weights.

    ``size`` is the side of the crop in pixels; ``align`` says what places it: the five landmarks on
    the usual template (``landmarks``) or on that of dlib's chips (``chip``), or the ``box``.  ``margin``
    and ``edge`` belong to the box (see ``facealike.align``) and ``context``, how much more of the
    surroundings is shown, to ``landmarks``.  ``mean`` and ``std`` are per channel,
    red first, in pixel values from 0 to 255.  ``channels`` is the order in which the network takes
    them; embedders that learned from OpenCV's images want ``bgr``.

    Raises ModelError for values that make no sense.
    """

    size: int
    align: Align
    margin: float = 0.2
    edge: Edge = "pad"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    context: float = 0.0
    channels: Channels = "rgb"

    def __post_init__(self) -> None:
        checked_number(self.size, "preprocessing: the size", 8, MAX_SIZE, whole=True)
        if self.align not in get_args(Align):
            raise ModelError(
                f"preprocessing: align must be landmarks, chip or box, not {in_words(self.align)}"
            )
        if self.edge not in get_args(Edge):
            raise ModelError(f"preprocessing: edge must be pad or clip, not {in_words(self.edge)}")
        checked_number(self.margin, "preprocessing: the margin", 0, 4)
        checked_number(self.context, "preprocessing: the context", 0, 4)
        if self.channels not in get_args(Channels):
            raise ModelError(f"preprocessing: channels must be rgb or bgr, not {in_words(self.channels)}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(is_number, values)):
                raise ModelError(
                    f"preprocessing: {name} must be three finite numbers, not {in_words(values)}"
                )
            # Beyond these a pixel is no float32 any more, or all pixels are the same one.
            low = -LARGEST_PIXEL if name == "mean" else 1 / LARGEST_PIXEL
            for value in values:
                checked_number(value, f"preprocessing: {name}", low, LARGEST_PIXEL)
            object.__setattr__(self, name, tuple(float(v) for v in values))
        object.__setattr__(self, "margin", float(self.margin))
        object.__setattr__(self, "context", float(self.context))

    def to_dict(self) -> dict[str, Any]:
        table = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        # What models from before it had come without is left out where it says nothing: they keep their id.
        if not self.context:
            del table["context"]
        if self.channels == "rgb":
            del table["channels"]
        return table

    @classmethod
    def from_dict(cls, values: Any) -> Preprocessing:
        """The inverse of ``to_dict``; ModelError for a missing, unknown or senseless entry."""
        return from_dict(cls, values, "preprocessing", ["context", "channels"])

    def normalise(self, crops: Image) -> NDArray[np.float32]:
        """Crops, uint8 (n, S, S, 3), as the network's input (x - mean) / std, float32 (n, 3, S, S).

        Raises UsageError for crops of another type or shape.
        """
        crops = np.asarray(crops)
        wanted = (self.size, self.size, 3)
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != wanted:
            raise UsageError(
                f"crops must be uint8 of shape (n, {self.size}, {self.size}, 3), "
                f"not {crops.dtype} of {crops.shape}"
            )
        result = np.empty((len(crops), 3, self.size, self.size), dtype=np.float32)
        for channel in range(3):
            mean, std = np.float32(self.mean[channel]), np.float32(self.std[channel])
            place = channel if self.channels == "rgb" else 2 - channel
            result[:, place] = (crops[..., channel].astype(np.float32) - mean) / std
        return result

    def crop(self, image: Image, face: Face) -> Image:
        """The canonical crop of ``face``, uint8 (S, S, 3).

        Raises UsageError if ``align`` goes by landmarks and the face has none.
        """
        return align(image, face, self.size, self.align, self.margin, self.edge, self.context)


@dataclass(frozen=True, repr=False)
class ModelCard(Shown):
    """What a model is, where it comes from, what it may be used for and what it cannot do.

    ``licence`` names those of ``code``, ``weights`` and ``training_data``; ``provenance`` the
    command, commit, seed, machine and versions.  ``trained_on`` are the people and the photos it was
    trained on, as salted digests, so that an evaluation can refuse an overlap; also those of the model it
    began with.  An older card has in its place ``identity_hashes``, the people as
    ``identity_hash(identity_salt, name)``.
    ``licences`` says of the same three parts what a program can check: see ``facealike.licence``.  It
    is empty in a model from before there was such a thing.
    """

    name: str
    created: str
    licence: dict[str, str]
    data: dict[str, Any]
    recipe: dict[str, Any]
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    identity_salt: str
    identity_hashes: tuple[str, ...]
    intended_use: str
    limits: str
    licences: dict[str, Licence] = field(default_factory=dict)
    trained_on: tuple[Seen, ...] = ()

    def __post_init__(self) -> None:
        texts = ("name", "created", "identity_salt", "intended_use", "limits")
        tables = ("licence", "data", "recipe", "provenance", "metrics")
        check_types(self, "card", **dict.fromkeys(texts, str), **dict.fromkeys(tables, dict))
        for table in tables:
            # Through JSON and back: a copy of its own, equal to what a reader of the file will see.
            check_plain(getattr(self, table), f"card: {table}")
            object.__setattr__(self, table, json.loads(to_json(getattr(self, table), f"card: {table}")))
        check_lengths(self, "card", name=200, created=200, identity_salt=200)
        check_lengths(self, "card", intended_use=MAX_TEXT, limits=MAX_TEXT)
        for part, text in self.licence.items():
            if not isinstance(text, str):
                raise ModelError(
                    f"card: the licence of {in_words(part)} must be a text, not {in_words(text)}"
                )
        hashes = self.identity_hashes
        if not isinstance(hashes, list | tuple) or not all(isinstance(h, str) for h in hashes):
            raise ModelError("card: identity_hashes must be a list of texts")
        object.__setattr__(self, "identity_hashes", tuple(hashes))
        object.__setattr__(self, "licences", read_licences(self.licences, "card: licences"))
        object.__setattr__(self, "trained_on", read_records(self.trained_on, "card: trained_on"))

    @cached_property
    def trained_records(self) -> tuple[Seen, ...]:
        """Whom the model was trained on: ``trained_on``, and the ``identity_hashes`` of an older card."""
        old = [Seen.of_hashes(self.identity_salt, self.identity_hashes)] if self.identity_hashes else []
        return (*old, *self.trained_on)

    def to_dict(self) -> dict[str, Any]:
        table = {**asdict(self), "identity_hashes": list(self.identity_hashes)}
        # Cards from before there were such entries stay as they are, to the byte.
        if not self.licences:
            del table["licences"]
        del table["trained_on"]
        if self.trained_on:
            table["trained_on"] = [record.to_dict() for record in self.trained_on]
        return table

    @classmethod
    def from_dict(cls, values: Any) -> ModelCard:
        """The inverse of ``to_dict``; ModelError for a missing, unknown or senseless entry."""
        return from_dict(cls, values, "card", ["licences", "trained_on"])

    def __str__(self) -> str:
        licences = ", ".join(f"{part}: {text}" for part, text in self.licence.items())
        return (
            f"{self.name}, made {self.created}\nlicence: {licences}\n"
            f"for: {self.intended_use}\nlimits: {self.limits}"
        )


@dataclass(frozen=True, repr=False)
class ModelFile(Shown):
    """A whole model in memory: what ``write`` stores and ``read`` brings back, equal to the byte.

    ``embedder`` and ``detector_weights`` are ONNX files; ``detector_spec`` is the detector's
    ``spec`` (see ``facealike.detect``).  Raises ModelError if the parts do not fit each other, such
    as crops by landmarks with a detector that finds none.
    """

    embedder: bytes = field(repr=False)
    preprocessing: Preprocessing
    detector_spec: dict[str, Any]
    detector_weights: bytes | None = field(repr=False)
    card: ModelCard = field(repr=False)
    calibration: Calibration

    def __post_init__(self) -> None:
        check_types(self, "model", embedder=bytes, detector_spec=dict)
        refuse_external_data(self.embedder, "the embedder")
        object.__setattr__(self, "detector_spec", json.loads(to_json(self.detector_spec, "detector")))
        kind = check_detector_spec(self.detector_spec)
        if self.preprocessing.align != "box" and not HAS_LANDMARKS[kind]:
            raise ModelError(
                f"the model aligns by landmarks, but its detector ({kind}) finds none; align by the box"
            )
        if HAS_WEIGHTS[kind] != (self.detector_weights is not None):
            need = "needs its weights" if HAS_WEIGHTS[kind] else "has no weights to carry"
            raise ModelError(f"detector: the kind {kind} {need}; make the model again")
        if self.detector_weights is not None and sha256(self.detector_weights) != self.detector_spec.get(
            "sha256"
        ):
            raise ModelError("detector: the weights are not those that its spec states; make the model again")
        if self.detector_weights is not None:
            refuse_external_data(self.detector_weights, "the detector")

    def _brief(self) -> str:
        return f"{self.card.name}, id {self.id}, {self.calibration}"

    @cached_property
    def id(self) -> str:
        """12 hex digits of all that shapes an embedding: embedder, preprocessing and detector.

        Neither the card nor the calibration counts, so a new threshold keeps old embeddings valid.
        """
        parts = [sha256(self.embedder), self.preprocessing.to_dict(), self.detector_spec]
        return sha256(to_json(parts, "model").encode())[:12]

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the bytes of the file, which are verified when it is loaded."""
        return ModelFile.from_bytes, (self.to_bytes(),)

    def to_bytes(self) -> bytes:
        """The file's content; the same for an equal model on every machine."""
        members = {
            "embedder.onnx": self.embedder,
            "card.json": to_json(self.card.to_dict(), "card").encode(),
            "calibration.json": to_json(self.calibration.to_dict(), "calibration").encode(),
        }
        if self.detector_weights is not None:
            members["detector.onnx"] = self.detector_weights
        about = {
            "id": self.id,
            "preprocessing": self.preprocessing.to_dict(),
            "detector": self.detector_spec,
        }
        return pack(members, about)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Store the model at ``path``, whole or not at all."""
        write_bytes(Path(path), self.to_bytes())

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "the model") -> ModelFile:
        """The model in the content of a file; ModelError, naming ``name``, if it is not whole."""
        return cls._from(content, name)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ModelFile:
        """Open the model at ``path`` and verify the SHA-256 of every part.

        Raises ModelError, naming the file and what to do, if it is missing, damaged, of an unknown
        version or unreasonably large.
        """
        with open_file(path) as stream:
            return cls._from(stream, shown(path))

    @classmethod
    def _from(cls, source: bytes | BinaryIO, name: str) -> ModelFile:
        try:
            return _assembled(*unpack(source))
        except ModelError as error:
            raise ModelError(f"{name}: {shown(str(error))}") from error.__cause__


def _assembled(manifest: dict[str, Any], members: dict[str, bytes]) -> ModelFile:
    for name in ("embedder.onnx", "card.json", "calibration.json"):
        if name not in members:
            raise ModelError(f"{name} is missing; copy the file again from where it was made")
    model = ModelFile(
        embedder=members["embedder.onnx"],
        preprocessing=Preprocessing.from_dict(manifest.get("preprocessing")),
        detector_spec=checked_table(manifest.get("detector"), "detector"),
        detector_weights=members.get("detector.onnx"),
        card=ModelCard.from_dict(parse_table(members["card.json"], "card.json")),
        calibration=Calibration.from_dict(parse_table(members["calibration.json"], "calibration.json")),
    )
    if model.id != manifest.get("id"):
        raise ModelError("the manifest does not match its own id, so it was changed; copy the file again")
    return model
