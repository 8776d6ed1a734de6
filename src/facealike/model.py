"""The artefact: one file that binds weights, preprocessing, detector, threshold and card.

A ``.facealike`` file is a zip of ``manifest.json``, ``embedder.onnx``, ``detector.onnx`` (where the
detector has weights), ``card.json`` and ``calibration.json``.  The manifest states the SHA-256 of
every other member.  Nothing in it is pickled, so opening a stranger's file runs no code of theirs.
Equal content gives equal bytes: members are stored, not deflated, under one fixed date.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from .align import Edge, align
from .errors import ModelError, UsageError
from .files import write_bytes
from .image import shown
from .types import Face, Image

FORMAT_VERSION = 1
FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can state
MAX_WEIGHTS = 512 << 20  # bytes of one ONNX member
MAX_JSON = 32 << 20  # bytes of one JSON member
HAS_LANDMARKS = {
    "yunet": True,
    "dlib-landmarks": True,
    "dlib-hog": False,
}  # the kinds that facealike.detect can make
HAS_WEIGHTS = {"yunet": True, "dlib-landmarks": True, "dlib-hog": False}

Align = Literal["landmarks", "box"]


def identity_hash(salt: str, name: str) -> str:
    """The first 16 hex digits of SHA-256(salt, NUL, name): a person in a card, without the name."""
    return hashlib.sha256(f"{salt}\0{name}".encode(errors="surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True)
class Preprocessing:
    """How a face becomes the embedder's input; it travels with the weights.

    ``size`` is the side of the crop in pixels; ``align`` says whether the five landmarks or the box
    place it, ``margin`` and ``edge`` belong to the box (see ``facealike.align``).  ``mean`` and
    ``std`` are per channel, red first, in pixel values from 0 to 255.

    Raises ModelError for values that make no sense.
    """

    size: int
    align: Align
    margin: float = 0.2
    edge: Edge = "pad"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 8 <= self.size <= 1024:
            raise ModelError(
                f"preprocessing: the size must be a whole number from 8 to 1024, not {_short(self.size)}"
            )
        if self.align not in get_args(Align):
            raise ModelError(f"preprocessing: align must be landmarks or box, not {_short(self.align)}")
        if self.edge not in get_args(Edge):
            raise ModelError(f"preprocessing: edge must be pad or clip, not {_short(self.edge)}")
        if not _is_number(self.margin) or not 0 <= self.margin <= 4:
            raise ModelError(f"preprocessing: the margin must lie between 0 and 4, not {_short(self.margin)}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(_is_number, values)):
                raise ModelError(f"preprocessing: {name} must be three finite numbers, not {_short(values)}")
            object.__setattr__(self, name, tuple(float(v) for v in values))
        if min(self.std) <= 0:
            raise ModelError(f"preprocessing: std must be positive, not {self.std}")
        object.__setattr__(self, "margin", float(self.margin))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Any) -> Preprocessing:
        """The inverse of ``to_dict``; ModelError for a missing, unknown or senseless entry."""
        return _from_dict(cls, values, "preprocessing")

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
            result[:, channel] = (crops[..., channel].astype(np.float32) - mean) / std
        return result

    def crop(self, image: Image, face: Face) -> Image:
        """The canonical crop of ``face``, uint8 (S, S, 3).

        Raises UsageError if ``align`` is ``landmarks`` and the face has none.
        """
        return align(image, face, self.size, self.align, self.margin, self.edge)


@dataclass(frozen=True)
class Calibration:
    """Where the threshold comes from: the rule that chose it, on which pairs of which people.

    ``threshold`` is a cosine; pairs that score at least as high count as the same person.
    ``metrics`` are those of the pairs it was chosen on, hence no estimate of anything else.
    """

    threshold: float
    rule: str
    people: str
    pairs: int
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _is_number(self.threshold) or not -1 <= self.threshold <= 1:
            raise ModelError(
                f"calibration: the threshold must lie between -1 and 1, not {_short(self.threshold)}"
            )
        if type(self.pairs) is not int or self.pairs < 0:
            raise ModelError(f"calibration: the number of pairs must not be {_short(self.pairs)}")
        _check_types(self, "calibration", rule=str, people=str, metrics=dict)
        for name, value in self.metrics.items():
            if not _is_number(value):
                raise ModelError(
                    f"calibration: the metric {_short(name)} must be a finite number, not {_short(value)}"
                )
        object.__setattr__(self, "threshold", float(self.threshold))
        object.__setattr__(self, "metrics", {k: float(v) for k, v in self.metrics.items()})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Calibration:
        """The inverse of ``to_dict``; ModelError for a missing, unknown or senseless entry."""
        return _from_dict(cls, values, "calibration")


@dataclass(frozen=True)
class ModelCard:
    """What a model is, where it comes from, what it may be used for and what it cannot do.

    ``licence`` names those of ``code``, ``weights`` and ``training_data``; ``provenance`` the
    command, commit, seed, machine and versions.  ``identity_hashes`` are the people it was trained
    on, as ``identity_hash(identity_salt, name)``, so that an evaluation can refuse an overlap.
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

    def __post_init__(self) -> None:
        texts = ("name", "created", "identity_salt", "intended_use", "limits")
        tables = ("licence", "data", "recipe", "provenance", "metrics")
        _check_types(self, "card", **dict.fromkeys(texts, str), **dict.fromkeys(tables, dict))
        for table in tables:
            # Through JSON and back: a copy of its own, equal to what a reader of the file will see.
            object.__setattr__(self, table, json.loads(_to_json(getattr(self, table), f"card: {table}")))
        hashes = self.identity_hashes
        if not isinstance(hashes, list | tuple) or not all(isinstance(h, str) for h in hashes):
            raise ModelError("card: identity_hashes must be a list of texts")
        object.__setattr__(self, "identity_hashes", tuple(hashes))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "identity_hashes": list(self.identity_hashes)}

    @classmethod
    def from_dict(cls, values: Any) -> ModelCard:
        """The inverse of ``to_dict``; ModelError for a missing, unknown or senseless entry."""
        return _from_dict(cls, values, "card")

    def __str__(self) -> str:
        licences = ", ".join(f"{part}: {text}" for part, text in self.licence.items())
        return (
            f"{self.name}, made {self.created}\nlicence: {licences}\n"
            f"for: {self.intended_use}\nlimits: {self.limits}"
        )


@dataclass(frozen=True)
class ModelFile:
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
        _check_types(self, "model", embedder=bytes, detector_spec=dict)
        object.__setattr__(self, "detector_spec", json.loads(_to_json(self.detector_spec, "detector")))
        kind = self.detector_spec.get("kind")
        if not isinstance(kind, str) or kind not in HAS_LANDMARKS:
            raise ModelError(
                f"detector: the kind {_short(kind)} is unknown; update facealike or retrain the model"
            )
        if self.preprocessing.align == "landmarks" and not HAS_LANDMARKS[kind]:
            raise ModelError(
                f"the model aligns by landmarks, but its detector ({kind}) finds none; align by the box"
            )
        if HAS_WEIGHTS[kind] != (self.detector_weights is not None):
            need = "needs its weights" if HAS_WEIGHTS[kind] else "has no weights to carry"
            raise ModelError(f"detector: the kind {kind} {need}; make the model again")
        if self.detector_weights is not None and _sha256(self.detector_weights) != self.detector_spec.get(
            "sha256"
        ):
            raise ModelError("detector: the weights are not those that its spec states; make the model again")

    @cached_property
    def id(self) -> str:
        """12 hex digits of all that shapes an embedding: embedder, preprocessing and detector.

        Neither the card nor the calibration counts, so a new threshold keeps old embeddings valid.
        """
        parts = [_sha256(self.embedder), self.preprocessing.to_dict(), self.detector_spec]
        return _sha256(_to_json(parts, "model").encode())[:12]

    def to_bytes(self) -> bytes:
        """The file's content; the same for an equal model on every machine."""
        members = {
            "embedder.onnx": self.embedder,
            "card.json": _to_json(self.card.to_dict(), "card").encode(),
            "calibration.json": _to_json(self.calibration.to_dict(), "calibration").encode(),
        }
        if self.detector_weights is not None:
            members["detector.onnx"] = self.detector_weights
        manifest = {
            "format": "facealike",
            "version": FORMAT_VERSION,
            "id": self.id,
            "preprocessing": self.preprocessing.to_dict(),
            "detector": self.detector_spec,
            "sha256": {name: _sha256(content) for name, content in sorted(members.items())},
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_zip_entry("manifest.json"), _to_json(manifest, "manifest"))
            for name, content in sorted(members.items()):
                archive.writestr(_zip_entry(name), content)
        return buffer.getvalue()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Store the model at ``path``, whole or not at all."""
        write_bytes(Path(path), self.to_bytes())

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "the model") -> ModelFile:
        """The model in the content of a file; ModelError, naming ``name``, if it is not whole."""
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return _unpack(archive)
        except ModelError as error:
            raise ModelError(f"{name}: {shown(str(error))}") from None
        # zipfile answers damage with BadZipFile and, depending on where it lies, several others.
        except (
            zipfile.BadZipFile,
            OSError,
            EOFError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise ModelError(
                f"{name}: not a whole facealike model file; copy it again or train a new one"
            ) from error

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ModelFile:
        """Open the model at ``path`` and verify the SHA-256 of every part.

        Raises ModelError, naming the file and what to do, if it is missing, damaged, of an unknown
        version or unreasonably large.
        """
        file = Path(path)
        try:
            size = file.stat().st_size
            if file.is_dir():
                raise ModelError(f"{shown(file)}: a folder, not a model file; give the .facealike file in it")
            if size > 2 * MAX_WEIGHTS + 3 * MAX_JSON:
                raise ModelError(
                    f"{shown(file)}: too large for a model file ({size:,} bytes); check the path"
                )
            content = file.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ModelError(f"{shown(file)}: no model can be read ({reason}); check the path") from None
        return cls.from_bytes(content, shown(file))


def _unpack(archive: zipfile.ZipFile) -> ModelFile:
    names = [entry.filename for entry in archive.infolist()]
    if "manifest.json" not in names:
        raise ModelError("no manifest.json in it, so not a facealike model file; check the path")
    if len(set(names)) != len(names):
        raise ModelError("a member is there twice; copy the file again from where it was made")
    manifest = _parse(_read_member(archive, "manifest.json", MAX_JSON), "manifest.json")
    if manifest.get("format") != "facealike":
        raise ModelError("the manifest is not that of a facealike model; check the path")
    if manifest.get("version") != FORMAT_VERSION:
        raise ModelError(
            f"format version {_short(manifest.get('version'))} is not the one this facealike reads "
            f"({FORMAT_VERSION}); update facealike or train the model again"
        )
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or set(hashes) != set(names) - {"manifest.json"}:
        raise ModelError("its members are not those that the manifest lists; copy the file again")
    members = {}
    for name, expected in hashes.items():
        members[name] = _read_member(archive, name, MAX_JSON if name.endswith(".json") else MAX_WEIGHTS)
        if _sha256(members[name]) != expected:
            raise ModelError(
                f"{name} does not match its SHA-256, so it was damaged or changed; copy the file again"
            )
    for name in ("embedder.onnx", "card.json", "calibration.json"):
        if name not in members:
            raise ModelError(f"{name} is missing; copy the file again from where it was made")
    model = ModelFile(
        embedder=members["embedder.onnx"],
        preprocessing=Preprocessing.from_dict(manifest.get("preprocessing")),
        detector_spec=_table(manifest.get("detector"), "detector"),
        detector_weights=members.get("detector.onnx"),
        card=ModelCard.from_dict(_parse(members["card.json"], "card.json")),
        calibration=Calibration.from_dict(_parse(members["calibration.json"], "calibration.json")),
    )
    if model.id != manifest.get("id"):
        raise ModelError("the manifest does not match its own id, so it was changed; copy the file again")
    return model


def _read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """One member, refused before a byte is inflated if it states more than ``limit`` bytes."""
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise ModelError(f"{name} is encrypted or packed in an unknown way; make the file anew")
    if entry.file_size > limit:
        raise ModelError(f"{name} would unpack to {entry.file_size:,} bytes, over the limit of {limit:,}")
    try:
        # zipfile never returns more than the stated size, and checks the CRC at its end.
        return archive.read(entry)
    except Exception as error:  # zlib.error, struct.error, BadZipFile and others by kind of damage
        raise ModelError(f"{name} is damaged; copy the file again from where it was made") from error


def _zip_entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, FIXED_DATE)
    entry.create_system = 3  # else the byte would tell Windows from Unix
    entry.external_attr = 0o644 << 16
    return entry


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _to_json(value: Any, what: str) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{what}: cannot be written as JSON ({error})") from None


def _parse(content: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError):
        raise ModelError(f"{name} is not JSON; copy the file again from where it was made") from None
    return _table(value, name)


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelError(f"{name} must be a table of names and values; make the model again")
    return value


def _is_number(value: Any) -> bool:
    # Compared, not given to math.isfinite: that overflows for the long integers that JSON allows.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _short(value: Any) -> str:
    """A value for a message; what a stranger's file holds may be long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_types(thing: Any, what: str, **types: type) -> None:
    for name, kind in types.items():
        value = getattr(thing, name)
        if not isinstance(value, kind):
            raise ModelError(f"{what}: {name} must be of type {kind.__name__}, not {type(value).__name__}")


_T = TypeVar("_T", Preprocessing, Calibration, ModelCard)


def _from_dict(cls: type[_T], values: Any, what: str) -> _T:
    table = _table(values, what)
    known = {entry.name for entry in fields(cls)}
    if set(table) != known:
        wrong = sorted(known ^ set(table))
        raise ModelError(
            f"{what}: entries missing or unknown ({_short(', '.join(wrong))}); make the model again"
        )
    return cls(**table)
