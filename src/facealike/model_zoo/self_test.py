"""Self-test of a model file: check its hashes and run it once."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..detection.base import Detector
from ..embedding.face_model import Model
from ..errors import DetectorError, ModelError
from ..model_file.locate import read_model_file
from ..model_file.zip_format import sha256
from ..utils.escape import shown
from ..utils.result import Shown
from ..utils.turns import turn

PROBES = 3
CLOSE = 1e-3  # of unit vectors, between a crop embedded alone and among others


@dataclass(frozen=True, repr=False)
class Verification(Shown):
    """The result of ``verify_model``: every part is whole, the network and the detector run.

    Attributes:
        model: The id of the model.
        name: The name or path that was checked.
        sha256: The hash of each ONNX file in the model.
        dimensions: Length of an embedding.
        device: Where the network ran.
        milliseconds: Time of one embedding.
        detector: The kind of the detector.
        calibrated: Whether the model has a threshold and probabilities.
        calibration: See ``Calibration.state``.
        commercial: Whether the license of the weights allows commercial use; None if it is not stated.
    """

    model: str
    name: str
    sha256: dict[str, str]
    dimensions: int
    device: str
    milliseconds: float
    detector: str
    calibrated: bool
    calibration: str
    commercial: bool | None

    def __bool__(self) -> bool:
        """Always true: ``verify_model`` raises for a model that is not whole or does not run."""
        return True

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        use = {
            True: "allow commercial use",
            False: "allow no commercial use",
            None: "state no commercial use",
        }
        return (
            f"{self.name}, id {self.model}: every part matches its SHA-256; the network gives "
            f"{self.dimensions} numbers a face in {self.milliseconds:.1f} ms on {self.device}; the detector "
            f"({self.detector}) runs; {self.calibration}; its weights "
            f"{use[self.commercial]}"
        )


def verify_model(path: str | os.PathLike[str] | None = None, device: str = "auto") -> Verification:
    """Check every hash of a model file, embed drawn crops and detect faces in a drawn picture.

    The crops must give finite unit vectors that differ from each other and do not depend on the rest of the
    batch.

    Args:
        path: A model file or the name of a stored model; None for the default model.
        device: ``auto``, ``cpu`` or ``cuda:N``.

    Raises:
        ModelError: A part is damaged, or the network does not embed.
        DetectorError: The detector does not run.
        DeviceError: The device is not there.

    Examples:
        >>> print(verify_model("mine.facealike"))
    """
    name = "the default model" if path is None else shown(path)
    file = read_model_file(path)
    model = Model(file, device)
    milliseconds = _probe_embedder(model, name)
    _probe_detector(model.detector, name)
    weights = file.card.licences.get("weights")
    hashes = {"embedder.onnx": sha256(file.embedder)}
    if file.detector_weights is not None:
        hashes["detector.onnx"] = sha256(file.detector_weights)
    return Verification(
        model=file.id,
        name=file.card.name,
        sha256=hashes,
        dimensions=model.embedder.dimensions,
        device=model.device,
        milliseconds=milliseconds,
        detector=str(file.detector_spec["kind"]),
        calibrated=file.calibration.state == "calibrated",
        calibration=file.calibration.state,
        commercial=None if weights is None else weights.commercial,
    )


def _probe_embedder(model: Model, name: str) -> float:
    """Milliseconds of one embedding; ModelError if the vectors are not those of a working network."""
    side = model.preprocessing.size
    crops = np.random.default_rng(0).integers(0, 256, (PROBES, side, side, 3), dtype=np.uint8)
    together = model.embed_crops(crops)
    start = time.perf_counter()
    alone = model.embed_crops(crops[:1])
    milliseconds = (time.perf_counter() - start) * 1000
    if np.abs(together[0] - alone[0]).max() > CLOSE:
        raise ModelError(
            f"{name}: a face's embedding depends on what else is in the batch; export the network in "
            "evaluation mode"
        )
    if np.abs(together[0] - together[1]).max() < 1e-6:
        raise ModelError(
            f"{name}: two different crops get the same embedding, so the network ignores its input; train or "
            "export it again"
        )
    return milliseconds


def _probe_detector(detector: Detector, name: str) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    try:
        with turn(detector):
            detector.detect(picture)
    except DetectorError as error:
        raise DetectorError(f"{name}: {error}") from error
