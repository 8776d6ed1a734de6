"""Model files: weights, preprocessing, detector, card and calibration in one file.

A ``.facealike`` file is a zip (see ``facealike.model_file.zip_format``) of ``manifest.json``,
``embedder.onnx``, ``detector.onnx`` (where the detector has weights), ``card.json`` and
``calibration.json``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from ..calibration.calibration import Calibration
from ..detection.base import Detector
from ..detection.kinds import check_detector_spec
from ..detection.registry import detector_license
from ..errors import ModelError
from ..utils.atomic_write import write_bytes
from ..utils.escape import shown
from ..utils.json_fields import check_types, checked_table, parse_table, to_json  # fmt: skip
from ..utils.onnx_external_data import refuse_external_data
from ..utils.result import Shown
from .card import ModelCard
from .preprocessing import Preprocessing
from .zip_format import open_file, pack, sha256, unpack


@dataclass(frozen=True, repr=False)
class ModelFile(Shown):
    """The content of a model file; what ``write`` stores, ``read`` returns unchanged.

    Attributes:
        embedder: The network, an ONNX file.
        preprocessing: How a face becomes the network's input.
        detector_spec: The detector's ``spec`` (see ``facealike.detection.yunet``).
        detector_weights: Its ONNX file; None for a kind without weights.
        card: What the model is.
        calibration: Its threshold and probabilities.

    Raises:
        ModelError: The parts do not fit each other, such as crops by landmarks and a detector without them.
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
        if self.preprocessing.align != "box" and not kind.has_landmarks:
            raise ModelError(
                f"the model aligns by landmarks, but its detector ({kind.name}) finds none; align by the box"
            )
        if kind.has_weights != (self.detector_weights is not None):
            need = "needs its weights" if kind.has_weights else "has no weights to carry"
            raise ModelError(f"detector: the kind {kind.name} {need}; make the model again")
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
        """12 hex digits of a hash of the embedder, the preprocessing and the detector.

        The card and the calibration do not count, so a new threshold keeps old embeddings valid.
        """
        parts = [sha256(self.embedder), self.preprocessing.to_dict(), self.detector_spec]
        return sha256(to_json(parts, "model").encode())[:12]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the bytes of the file, which are verified on loading."""
        return ModelFile.from_bytes, (self.to_bytes(),)

    def to_bytes(self) -> bytes:
        """Return the file's content, which is the same for equal models on every machine."""
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
        """Write the model to ``path`` atomically."""
        write_bytes(Path(path), self.to_bytes())

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "the model") -> ModelFile:
        """Return the model in the content of a file; ModelError, naming ``name``, if it is damaged."""
        return cls._from(content, name)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ModelFile:
        """Read the model at ``path`` and verify the SHA-256 of every part.

        Raises:
            ModelError: It is missing, damaged, of an unknown version or too large.
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


def with_detector(file: ModelFile, detector: Detector) -> ModelFile:
    """Return the model with another detector.

    The result has another id and is not calibrated: other boxes and landmarks give other crops, so the old
    threshold, metrics and embeddings do not apply.

    Raises:
        ModelError: The crops need landmarks and ``detector`` finds none.

    Examples:
        >>> from facealike import DlibDetector, ModelFile, with_detector
        >>> file = with_detector(ModelFile.read("mine.facealike"), DlibDetector())
    """
    card = replace(
        file.card,
        licence={**file.card.licence, "detector": detector_license(detector)},
        provenance={**file.card.provenance, "detector": "exchanged after training"},
        metrics={},
    )
    return replace(
        file, detector_spec=detector.spec, detector_weights=detector.weights, card=card,
        calibration=Calibration.none(),
    )  # fmt: skip
