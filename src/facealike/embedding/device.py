"""Select the device that a network runs on: the requested one, or an error."""

from __future__ import annotations

import re
from typing import Any

from ..errors import DeviceError, FacealikeError, ModelError, UsageError
from ..utils.onnx_session import Session


def open_on(onnx: bytes, device: str, threads: int) -> tuple[Session, str]:
    """Open the embedder in ``onnx`` and return the session and the device in use.

    Args:
        onnx: The ONNX file.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        threads: Threads of one run on the CPU; 0 lets onnxruntime choose.

    Raises:
        UsageError: ``device`` is no device.
        DeviceError: The device is not there.
        ModelError: The graph cannot be run.
    """
    import onnxruntime

    named = re.fullmatch(r"cuda:(\d{1,3})", device)
    if device not in ("auto", "cpu") and not named:
        raise UsageError(f"the device is auto, cpu or cuda:N, not {device!r}")
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if named and not has_cuda:
        raise DeviceError(
            f"{device}: this onnxruntime ({onnxruntime.__version__}) has no CUDA support; "
            "install onnxruntime-gpu in its place, or use --device cpu"
        )
    index = int(named[1]) if named else 0
    providers: list[Any] = []
    if has_cuda and device != "cpu":
        providers.append(("CUDAExecutionProvider", {"device_id": index}))
    try:
        session = Session(onnx, "the embedder", threads, providers)
    except FacealikeError:
        raise
    except Exception as error:  # onnxruntime has no error class of its own to catch
        reason = (str(error).splitlines() or [""])[0][:200]
        if named:
            raise DeviceError(f"{device}: the model cannot run there ({reason}); use --device cpu") from error
        raise ModelError(
            f"the embedder is not an ONNX graph that can be run ({reason}); export it again"
        ) from error
    on_cuda = session.get_providers()[0] == "CUDAExecutionProvider"
    if named and not on_cuda:
        raise DeviceError(f"{device}: onnxruntime could not start CUDA there; use --device cpu, or cuda:0")
    return session, f"cuda:{index}" if on_cuda else "cpu"


def check_same(asked: str, loaded: str) -> None:
    """Raise UsageError if a model that is loaded on the device ``loaded`` should run on another one."""
    if asked not in ("auto", loaded):
        raise UsageError(
            f"the model is loaded on {loaded} already and cannot run on {asked}; name the device when it is "
            f"loaded: Model.load(path, device={asked!r})"
        )
