"""dlib's face network as a model file: the accurate public-domain choice, and a frozen baseline.

dlib compares its descriptors by Euclidean distance, and 0.6 is its customary tolerance; a model of
ours compares unit vectors by their cosine.  The lift (see ``facealike.model_zoo.dlib_onnx.to_onnx``) goes
from the one to the other, so that a gallery of dlib's descriptors needs no photo again.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..calibration.calibration import Calibration
from ..detection.registry import default_detector
from ..errors import ModelError, UsageError
from ..model_file.card import ModelCard, new_card
from ..model_file.licenses import License
from ..model_file.model_file import ModelFile
from ..model_file.preprocessing import Preprocessing
from ..model_file.zip_format import sha256
from ..types import Embeddings
from ..utils.escape import shown
from .dlib_onnx import to_onnx
from .dlib_weights import DIMENSIONS, MEAN, PACKAGE, SIZE, STD, WEIGHTS, WEIGHTS_SHA256, read_dlib_resnet

LIFT = 0.3
"""The e of the lift: View 2 comes out as with distances, see benchmarks/results/dlib.csv."""

TOLERANCE = 0.6
"""The distance up to which face_recognition counts two descriptors as one person."""

SQUARE = 2.05
"""The squared length of an average descriptor, on LFW."""

LICENCES = {
    "code": License("Boost Software License 1.0", "BSL-1.0", True, "https://github.com/davisking/dlib"),
    "weights": License("CC0 1.0", "CC0-1.0", True, "https://github.com/davisking/dlib-models"),
    "training_data": License(
        "about 3 million faces of FaceScrub, VGG and the web; no licence of the whole is stated",
        source="https://github.com/davisking/dlib-models",
    ),
}


def dlib_model(dat: str | os.PathLike[str]) -> ModelFile:
    """Return the model file of dlib's network, from its ``.dat`` file, with the default detector.

    Its threshold is dlib's tolerance of 0.6; ``calibrate`` sets another one and adds probabilities.

    Raises:
        ModelError: The file cannot be read or is not the public-domain network.
    """
    try:
        data = Path(dat).read_bytes()
    except OSError as error:
        raise ModelError(
            f"{shown(dat)}: the file cannot be read ({error.strerror}); check the path"
        ) from None
    digest = sha256(data)
    if digest != WEIGHTS_SHA256:
        raise ModelError(
            f"{shown(dat)}: not the {WEIGHTS} that the package {PACKAGE} carries, so neither its license nor "
            "its threshold is known; install the package again"
        )
    detector = default_detector()
    return ModelFile(
        embedder=to_onnx(read_dlib_resnet(data), LIFT),
        preprocessing=Preprocessing(SIZE, "chip", mean=MEAN, std=(STD, STD, STD)),
        detector_spec=detector.spec,
        detector_weights=detector.weights,
        card=_card(digest),
        calibration=Calibration(score_of(TOLERANCE), "dlib's tolerance of 0.6", "nobody's photos", 0),
    )


def lift(descriptors: ArrayLike, e: float = LIFT) -> Embeddings:
    """Return dlib's descriptors (n, 128) as embeddings of the ``dlib`` model, (n, 129) float32 unit rows.

    Raises:
        UsageError: The descriptors have another shape.
    """
    x = np.asarray(descriptors, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != DIMENSIONS:
        raise UsageError(f"dlib's descriptors are of shape (n, {DIMENSIONS}), not {x.shape}")
    square = e * e * (x * x).sum(axis=1, keepdims=True)
    lifted: Embeddings = (np.concatenate([2 * e * x, 1 - square], axis=1) / (1 + square)).astype(np.float32)
    return lifted


def descriptors(embeddings: ArrayLike, e: float = LIFT) -> NDArray[np.float64]:
    """Return dlib's descriptors (n, 128) of embeddings (n, 129) of its model: the inverse of ``lift``.

    Raises:
        UsageError: The embeddings have another shape.
    """
    u = np.asarray(embeddings, dtype=np.float64)
    if u.ndim != 2 or u.shape[1] != DIMENSIONS + 1:
        raise UsageError(f"embeddings of dlib's model are of shape (n, {DIMENSIONS + 1}), not {u.shape}")
    # The last number is (1 - q) / (1 + q) with q = e^2 |x|^2, so 1 + q is 2 / (1 + last).
    found: NDArray[np.float64] = u[:, :-1] / (e * (1 + u[:, -1:]))
    return found


def score_of(distance: float, e: float = LIFT, square: float = SQUARE) -> float:
    """The cosine of two lifted descriptors that are ``distance`` apart and of that squared length."""
    return 1 - 2 * (e * distance / (1 + e * e * square)) ** 2


def distance_of(score: float, e: float = LIFT, square: float = SQUARE) -> float:
    """The distance of two descriptors with this score; the inverse of ``score_of``."""
    return math.sqrt(max(0.0, 1 - score) / 2) * (1 + e * e * square) / e


def _card(digest: str) -> ModelCard:
    from .. import __version__

    return new_card(
        "dlib",
        LICENCES,
        data={"trained_on": LICENCES["training_data"].name, "people": 7485, "by": "Davis King, 2017"},
        recipe={"network": "dlib ResNet, 29 convolutions", "lift": LIFT},
        provenance={
            "source": f"{PACKAGE}: {WEIGHTS}",
            "sha256": digest,
            "made_by": f"facealike {__version__}",
        },
        intended_use="comparing two faces; a public-domain baseline to measure others against",
        limits="trained mostly on photos of well-known adults; errors differ between groups of people; who "
        "took part in its training is not known, its author says that he left out people of LFW",
    )
