"""The program around the commands: its streams, Ctrl-C, and an exit code for whatever happens."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import IO, Any, cast

from .console import OutputError, end_with, interrupts, say

COMPLETION = {"--install-completion", "--show-completion"}
LEAST_MEMORY = 256 * 2**20  # bytes of address space


def run(app: Callable[..., Any]) -> int:
    """Run the command line ``app`` on the arguments of this process, and return the exit code.

    No error passes: each ends in one sentence on stderr and a code that no verdict uses.
    """
    fill_descriptors()
    if sys.stdout is None:
        say("standard output is closed, so no result can be printed; to do without it, add >/dev/null")
        return 2
    limit = _too_little_memory()
    if limit is not None:
        say(f"the address space is limited to {limit} MiB; allow 512 MiB or more, with ulimit -v")
        return 2
    as_json = "--json" in sys.argv
    with ExitStack() as stack:
        stack.enter_context(_ctrl_c())
        stack.enter_context(redirect_stdout(cast("IO[str]", _Results(sys.stdout))))
        stack.enter_context(redirect_stderr(cast("IO[str]", _Messages(sys.stderr))))
        try:
            code = _exit_code(app)
            sys.stdout.flush()
        except BaseException as error:
            code = end_with(error, as_json)
        sys.stderr.flush()  # Python's own flush at exit would end in a code of its own
    return code


def _exit_code(app: Callable[..., Any]) -> int:
    """What the command ended with.  ``--help`` and ``--version`` return nothing."""
    try:
        code = app(prog_name="facealike", standalone_mode=False)
    except SystemExit as end:
        if "_FACEALIKE_COMPLETE" in os.environ:  # a shell asks for the words to complete
            return end.code if isinstance(end.code, int) else 0
        if COMPLETION & set(sys.argv):  # typer ends the program once it has printed or installed it
            return 2 if end.code else 0
        # A library's; the commands raise none.  Its code might be that of a verdict.
        raise RuntimeError(f"a library ended the program with {end.code!r}") from end
    return code if isinstance(code, int) else 0


def fill_descriptors() -> None:
    """Open the null device for each of stdin, stdout and stderr that is closed.

    Otherwise the next file that is opened gets its number, and what a C library says to stderr would be
    written into that file.  ``sys.stdout`` stays None, as a result must not vanish unseen.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _too_little_memory() -> int | None:
    """The limit on the address space in MiB, where it is too low for NumPy: OpenBLAS then exits with 1."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit either
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit // 2**20 if 0 <= limit < LEAST_MEMORY else None


def _discard_output(stream: Any) -> None:
    """Let later flushes, and Python's at exit, find somewhere to write."""
    with suppress(OSError, ValueError):  # ValueError: a stream in memory has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Have Ctrl-C noted besides the KeyboardInterrupt it raises."""
    interrupts.seen = False
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # ignored, as in a shell's background; or not Python's
        yield
        return
    unraisable = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if not interrupts.seen:  # a traceback would tell of the Ctrl-C only
            unraisable(lost)

    signal.signal(signal.SIGINT, interrupts.note)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = unraisable


class _Stream:
    """A stream of text whose ``write`` and ``flush`` may fail in another way; else the stream itself."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        # A path may hold bytes that are no text, and a terminal may know ASCII only.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Results(_Stream):
    """Standard output: failing is an error of its own, and not one of the files a command works on."""

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError as error:
            _discard_output(self._stream)  # what is buffered would fail again, and be reported twice
            raise OutputError from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            _discard_output(self._stream)
            raise OutputError from error


class _Messages(_Stream):
    """Standard error: where it cannot be written there is no one to tell."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _discard_output(self._stream)
