"""Open onnxruntime sessions: one place, so that every network is checked and run alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .onnx_data import refuse_external_data

FATAL, ERROR = 4, 3  # onnxruntime's log levels


def open_session(
    onnx: bytes, what: str, threads: int = 0, providers: Sequence[Any] = (), quiet: bool = False
) -> Any:
    """Return an onnxruntime session of the ONNX file ``onnx``, called ``what`` in messages.

    ``providers`` come before the CPU.  ``threads`` are those of one run; 0 lets onnxruntime choose.

    Raises ModelError for a file that keeps weights in other files, and whatever onnxruntime raises for
    one that it cannot run.
    """
    import onnxruntime

    refuse_external_data(onnx, what)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL if quiet else ERROR
    # Else onnxruntime would take bytes that say so as its own format, which nothing has checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(onnx, options, providers=[*providers, "CPUExecutionProvider"])
