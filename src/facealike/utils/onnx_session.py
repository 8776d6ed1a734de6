"""Open onnxruntime sessions, with the same checks and options for every network.

A session does not survive a fork: its threads stay in the parent, and destroying it in the child waits for
them or crashes (onnxruntime pull request 31961).  ``Session`` therefore opens a new one in the child, on
first use, and never destroys the copied one.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..errors import DeviceError
from .onnx_external_data import refuse_external_data

FATAL = 4  # log level: onnxruntime raises its errors, and would print them on stderr as well

_all: weakref.WeakSet[Session] = weakref.WeakSet()
_opening = threading.Lock()


class Session:
    """A network in onnxruntime, usable from any thread and in forked processes.

    Args:
        onnx: The ONNX file.
        what: Its name in messages.
        threads: Threads of one run; 0 lets onnxruntime choose.
        providers: Execution providers to try before the CPU.

    Raises:
        ModelError: The file keeps weights in other files.
        Exception: Whatever onnxruntime raises for a file that it cannot run.
    """

    def __init__(self, onnx: bytes, what: str, threads: int = 0, providers: Sequence[Any] = ()) -> None:
        refuse_external_data(onnx, what)
        self._onnx, self._threads, self._providers = onnx, threads, tuple(providers)
        self._session: Any = self._opened()
        _all.add(self)

    def run(self, outputs: Sequence[str] | None, feeds: dict[str, Any]) -> list[Any]:
        """Run the network on ``feeds`` and return the named outputs, or all for None."""
        found: list[Any] = self._live().run(outputs, feeds)
        return found

    def get_inputs(self) -> list[Any]:
        found: list[Any] = self._live().get_inputs()
        return found

    def get_outputs(self) -> list[Any]:
        found: list[Any] = self._live().get_outputs()
        return found

    def metadata(self) -> dict[str, str]:
        """Return the file's metadata."""
        found: dict[str, str] = self._live().get_modelmeta().custom_metadata_map
        return found

    def get_providers(self) -> list[str]:
        found: list[str] = self._live().get_providers()
        return found

    def abandon(self) -> None:
        """Drop the session without destroying it, since its threads are in another process."""
        session, self._session = self._session, None
        for each in (session, getattr(session, "_sess", None)):
            if each is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))  # never collected, so never destroyed

    def _live(self) -> Any:
        session = self._session
        if session is None:
            with _opening:
                if self._session is None:
                    if self._providers:
                        raise DeviceError(
                            "CUDA cannot be used in a process that was forked after the model was loaded; "
                            "load the model in each worker, or start them by 'spawn'"
                        )
                    self._session = self._opened()
                session = self._session
        return session

    def _opened(self) -> Any:
        import onnxruntime

        onnxruntime.set_default_logger_severity(FATAL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = FATAL
        # Otherwise onnxruntime accepts its own ORT format, which refuse_external_data does not check.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        return onnxruntime.InferenceSession(
            self._onnx, options, providers=[*self._providers, "CPUExecutionProvider"]
        )


def _after_fork() -> None:
    global _opening
    _opening = threading.Lock()
    for session in list(_all):
        session.abandon()
    if "onnxruntime" in sys.modules:
        _leave_before_onnxruntime()


def _leave_before_onnxruntime() -> None:
    """End this process before onnxruntime's exit handler runs.

    onnxruntime 1.32 starts a thread on import, and its exit handler waits for it: a forked child, which
    lacks that thread, would hang.  Handlers run in reverse order of registration, after Python has flushed
    its files and run its own (``atexit``).
    """
    with suppress(OSError, AttributeError):  # on_exit is glibc's
        libc = ctypes.CDLL(None)
        libc.on_exit(libc._exit, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


MAX_WEIGHTS = 512 << 20  # bytes of one ONNX member
