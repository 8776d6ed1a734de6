"""Import an ONNX face embedder as a model file.

Such a model is not calibrated: its scores rise with likeness, and ``facealike calibrate`` sets the threshold
from which on two photos count as one person, on your own photos.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..calibration.calibration import Calibration
from ..detection.registry import default_detector
from ..embedding.embedder import Embedder
from ..errors import ModelError, UsageError
from ..model_file.card import ModelCard, new_card
from ..model_file.licenses import License
from ..model_file.model_file import ModelFile
from ..model_file.preprocessing import Align, Channels, Preprocessing
from ..model_file.zip_format import sha256
from ..utils.escape import shown
from ..utils.foreign_weights import refuse_foreign_network
from ..utils.onnx_external_data import embed_external_data
from ..utils.onnx_session import MAX_WEIGHTS, Session
from ..utils.renamed import renamed_arguments
from .block_quantization import fold_blocks
from .openvino_ir import read_ir

Channel = tuple[float, float, float]

NORMALIZATIONS: dict[str, tuple[float, float]] = {
    "arcface": (127.5, 127.5),
    "0-1": (0.0, 255.0),
    "unit": (0.0, 255.0),
    "raw": (0.0, 1.0),
}
"""(mean, std) of x -> (x - mean) / std, by name: to -1..1, to 0..1 (twice), and 0..255 as it is."""


class OnnxConfig(NamedTuple):
    """How faces are prepared for an ONNX embedder; the fields are arguments of ``wrap_onnx``."""

    input_size: int | None = None
    normalize: str = "arcface"
    align: Align = "landmarks"
    channels: Channels = "rgb"


@renamed_arguments(normalise="normalize", licence="license")
def wrap_onnx(
    path: str | os.PathLike[str], input_size: int | None = None, normalize: str = "arcface",
    align: Align = "landmarks", name: str | None = None,
    license: str | Mapping[str, License] = "not stated", channels: Channels = "rgb", source: str = "",
) -> ModelFile:  # fmt: skip
    """Return a model file of an ONNX embedder with the default detector, not calibrated.

    The graph takes float32 (n, 3, S, S), with n free or 1, and its first output is (n, d).  Weights in files
    beside it (external data) are embedded, and block-quantized weights become float32.

    Args:
        path: An ONNX file, or the .xml of an OpenVINO IR with its .bin beside it, which is converted to ONNX.
        input_size: S, needed only if the graph leaves it open.
        normalize: ``arcface`` ((x - 127.5) / 127.5: ArcFace, AdaFace, MobileFaceNet), ``0-1`` (also
            ``unit``), ``raw`` (0 to 255: SFace), or ``MEAN/STD`` with one number or three each, red first.
        align: ``landmarks`` maps the five points onto the template of the ArcFace family; see
            ``Preprocessing``.
        name: The name on the card; by default that of the file.
        license: The license of the weights by its name, or the licenses of all parts.
        channels: ``bgr`` for networks trained on OpenCV's images.
        source: Where the file comes from, for the card.

    Raises:
        ModelError: The graph cannot be used.
        UsageError: An argument is invalid.

    Examples:
        >>> wrap_onnx("w600k_mbf.onnx", license="research only").write("mbf.facealike")
    """
    content = _read(path)
    preprocessing = Preprocessing(
        _size(content, path) if input_size is None else input_size,
        align, 0.2, "pad", *parse_normalize(normalize), channels=channels,
    )  # fmt: skip
    _try_out(content, preprocessing, path)
    detector = default_detector()
    title = name or Path(path).stem
    licenses = dict(license) if isinstance(license, Mapping) else {"weights": License.named(license, source)}
    return ModelFile(
        embedder=content,
        preprocessing=preprocessing,
        detector_spec=detector.spec,
        detector_weights=detector.weights,
        card=_card(title, content, preprocessing, licenses, source or Path(path).name),
        calibration=Calibration.none(),
    )


def parse_normalize(text: str) -> tuple[Channel, Channel]:
    """Return mean and std, each red, green and blue, of ``arcface``, ``0-1``, ``raw`` or ``MEAN/STD``.

    Raises:
        UsageError: The text is anything else.
    """
    if text in NORMALIZATIONS:
        mean, std = NORMALIZATIONS[text]
        return (mean,) * 3, (std,) * 3
    first, slash, second = text.partition("/")
    try:
        if slash:
            return _three(first), _three(second)
    except ValueError:
        pass
    raise UsageError(
        f"normalize is {', '.join(NORMALIZATIONS)}, or MEAN/STD with one or three numbers each such as "
        f"127.5/128, not {text!r}"
    )


def _three(text: str) -> Channel:
    values = [float(part) for part in text.split(",")]
    if len(values) == 1:
        values *= 3
    red, green, blue = values  # ValueError unless there are three
    return red, green, blue


def _read(path: str | os.PathLike[str]) -> bytes:
    """The ONNX file, with the weights that it keeps in files beside it embedded; of an IR, as ONNX."""
    refuse_foreign_network(path)
    content = _bytes(Path(path))
    try:
        if Path(path).suffix.lower() == ".xml":
            return read_ir(content, _bytes(Path(path).with_suffix(".bin"))).to_onnx()
        return fold_blocks(embed_external_data(content, Path(path).parent, MAX_WEIGHTS))
    except ModelError as error:
        raise ModelError(f"{shown(path)}: {shown(str(error))}") from error


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_WEIGHTS:
            raise ModelError(f"{shown(path)}: over the limit of {MAX_WEIGHTS:,} bytes for an embedder")
        return path.read_bytes()
    except OSError as error:
        kind = {".xml": "OpenVINO IR", ".bin": "weights of the OpenVINO IR"}.get(path.suffix, "ONNX file")
        raise ModelError(f"{shown(path)}: no {kind} can be read ({error.strerror}); check the path") from None


def _size(content: bytes, path: str | os.PathLike[str]) -> int:
    """The side of the crop that the graph states."""
    try:
        session = Session(content, "the embedder")
    except Exception as error:  # onnxruntime has no error class of its own to catch
        raise _unusable(path, error) from error
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or not all(isinstance(side, int) for side in shape[2:]):
        raise UsageError(
            f"{shown(path)}: the graph does not state the size of its input ({shape}); give it with --input"
        )
    return int(shape[2])


def _try_out(content: bytes, preprocessing: Preprocessing, path: str | os.PathLike[str]) -> None:
    """Refuse a graph that fails on a crop, or gives it no direction."""
    side = preprocessing.size
    crops = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    try:
        Embedder(content, preprocessing, "cpu").embed(crops)
    except ModelError as error:
        raise _unusable(path, error) from error


def _unusable(path: str | os.PathLike[str], error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [""])[0][:300]
    return ModelError(
        f"{shown(path)}: {reason}"
        if isinstance(error, ModelError)
        else (f"{shown(path)}: not an ONNX graph that can be run ({reason}); export it again")
    )


def _card(
    name: str, content: bytes, preprocessing: Preprocessing, licenses: dict[str, License], source: str
) -> ModelCard:
    from .. import __version__

    crop: dict[str, Any] = preprocessing.to_dict()
    return new_card(
        name,
        licenses,
        data={"trained_on": "see the source of the weights"},
        recipe={"wrapped": crop},
        provenance={"source": source, "sha256": sha256(content), "wrapped_by": f"facealike {__version__}"},
        intended_use="what its authors intend; facealike has not measured it",
        limits="not known: evaluate it on people like yours, and calibrate it before any verdict",
    )
