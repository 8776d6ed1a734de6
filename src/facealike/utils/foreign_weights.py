"""Recognize weights of other frameworks where a model is expected, and raise an error that names the remedy.

PyTorch's files are pickles, which can run code when they are loaded, so none is loaded here: the first bytes
and the file's suffix decide.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DetectorError, ModelError
from .escape import shown

HEAD = 512
"""Bytes read to recognize a file."""

PYTORCH, KERAS, ONNX = "PyTorch weights", "Keras or TensorFlow weights", "an ONNX network"

ENDINGS = {
    ".pt": PYTORCH, ".pth": PYTORCH, ".ckpt": PYTORCH, ".h5": KERAS, ".hdf5": KERAS, ".keras": KERAS,
    ".pb": KERAS, ".tflite": "a TensorFlow Lite network", ".safetensors": "safetensors weights",
    ".pkl": "a Python pickle", ".onnx": ONNX,
}  # fmt: skip


def foreign_format(path: str | os.PathLike[str]) -> str | None:
    """Return the format of a file of another framework; None for any other file, and for none."""
    try:
        if not Path(path).is_file():  # opening a pipe would wait for a writer
            return None
        with Path(path).open("rb") as stream:
            head = stream.read(HEAD)
    except (OSError, ValueError):
        return None
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return KERAS
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:  # the opcode PROTO of a pickle
        # An old PyTorch file begins with a pickled magic number.
        return PYTORCH if head[2:12] == b"\x8a\nl\xfc\x9cF\xf9 j\xa8" or b"torch" in head else ENDINGS[".pkl"]
    if head.startswith(b"PK\x03\x04"):
        first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        if first.endswith(b"data.pkl"):
            return PYTORCH
        if first == b"manifest.json":  # a facealike model, whatever its suffix
            return None
    return ENDINGS.get(Path(path).suffix.lower())


def refuse_foreign_model(path: str | os.PathLike[str]) -> None:
    """Raise ModelError, with the format and the remedy, for a file that cannot be a facealike model."""
    found = foreign_format(path)
    if found == ONNX:
        raise ModelError(
            f"{shown(path)}: {ONNX}, not a facealike model; make one of it with facealike models add"
        )
    if found is not None:
        raise ModelError(f"{shown(path)}: {found}, not a facealike model; {_ADVICE}")


def refuse_foreign_network(path: str | os.PathLike[str]) -> None:
    """Raise ModelError, likewise, for a file that cannot be an ONNX network."""
    found = foreign_format(path)
    if found not in (None, ONNX):
        raise ModelError(f"{shown(path)}: {found}, not an ONNX network; {_ADVICE}")


def refuse_foreign_detector(path: str | os.PathLike[str]) -> None:
    """Raise DetectorError, likewise, for a file that cannot be an ONNX detector."""
    found = foreign_format(path)
    if found not in (None, ONNX):
        raise DetectorError(
            f"{shown(path)}: {found}, not a detector; give facealike, dlib, dlib-landmarks, or an ONNX "
            "file of the YuNet family"
        )


_ADVICE = (
    "export the network to ONNX where it was made and run facealike models add on that, or train a model "
    "with facealike train"
)
