"""What all commands share: how results, progress and errors reach the user.

Results go to stdout, everything else to stderr.  With ``--json`` stdout holds exactly one JSON
document.  Nothing heavy is imported here, so that ``--help`` answers at once.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

import typer

from ..errors import FacealikeError
from ..utils.escape import one_line
from .warned import printed_warnings

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED = 141  # 128 + SIGPIPE
UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h: a fault of facealike itself

TRACEBACK = "FACEALIKE_TRACEBACK"  # the environment variable that shows where an unexpected error came from

LISTED = 20
"""Rows of a long list that are printed."""

Progress = Callable[[int, int], None]
"""Called with the number done and the total."""

P = ParamSpec("P")


def command(run: Callable[P, int | None]) -> Callable[P, None]:
    """Turn what a command returns or raises into an exit code; None counts as 0.

    An error that a user can mend becomes its one sentence (see ``end_with``).  An unexpected one is
    passed on to ``program.run``, and to the tests.
    """

    @functools.wraps(run)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with printed_warnings(say):
                code = run(*args, **kwargs) or 0
            sys.stdout.flush()
        except (FacealikeError, KeyboardInterrupt, OSError, MemoryError, OutputError) as error:
            code = end_with(error, bool(kwargs.get("as_json")))
        raise typer.Exit(code)

    return wrapped


class OutputError(Exception):
    """Standard output cannot be written any more; the cause is an OSError."""


class Interrupts:
    """Whether Ctrl-C was pressed: a library may turn the KeyboardInterrupt into an error of its own."""

    def __init__(self) -> None:
        self.seen = False

    def note(self, *_: object) -> None:
        """What the signal calls."""
        self.seen = True
        raise KeyboardInterrupt


interrupts = Interrupts()


def end_with(error: BaseException, as_json: bool) -> int:
    """Tell how a command failed, and return the exit code that stands for it: never one of a verdict.

    One sentence goes to stderr and, with ``as_json``, an object with ``error`` and ``message`` to stdout.
    """
    if interrupts.seen:
        error = KeyboardInterrupt()
    name, sentence, code = _describe(error)
    if code == UNEXPECTED and os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if sentence:
        say(sentence)
    if as_json and not isinstance(error, OutputError):
        try:
            print_json({"error": name, "message": one_line(sentence)})
            sys.stdout.flush()
        except (OSError, OutputError):
            pass  # the sentence on stderr stands
    return code


def _describe(error: BaseException) -> tuple[str, str, int]:
    """The name of an error, the sentence that tells it, and its exit code."""
    name = type(error).__name__
    if isinstance(error, FacealikeError):
        return name, str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return name, "interrupted", INTERRUPTED
    if isinstance(error, OutputError):
        cause = error.__cause__
        if isinstance(cause, BrokenPipeError):  # the reader has gone, as `head` does
            return name, "", PIPE_CLOSED
        reason = getattr(cause, "strerror", None) or str(cause)
        return name, f"standard output cannot be written ({reason}); the result there is not whole", 2
    if isinstance(error, MemoryError):
        return name, "not enough memory; allow more, or use smaller photos or fewer at a time", 2
    if isinstance(error, OSError):
        # A full disk or a folder without permission, where no function has put it more kindly.
        return "OSError", f"{error.filename or 'the system'}: {error.strerror or error}", 2
    if isinstance(error, ImportError):
        return name, f"a library cannot be loaded ({_first_line(error)}); install facealike again", 2
    usage = getattr(error, "format_message", None)  # those of typer, which has its own tree of errors
    if usage is not None:
        context, message = getattr(error, "ctx", None), usage().rstrip(".")
        path = "facealike" if context is None else context.command_path
        # Without a message it was the help that had to be shown, and is.
        return "UsageError", f"{message}; see {path} --help" if message else "", 2
    place = _place(error)
    return name, (
        f"this is a fault of facealike ({name}: {_first_line(error)}{place}); please report it with what "
        f"{TRACEBACK}=1 prints"
    ), UNEXPECTED  # fmt: skip


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no message"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def show(line: str = "") -> None:
    """Print one line of a result on stdout: the only way for a command to print text there."""
    print(one_line(line))


def show_list(lines: Sequence[str], rest: str) -> None:
    """Print the first ``LISTED`` lines, and how many more there are and where.

    Args:
        lines: All lines.
        rest: What has all of them, such as ``--csv and --json have all``.
    """
    for line in lines[:LISTED]:
        show(line)
    if len(lines) > LISTED:
        show(f"and {len(lines) - LISTED:,} more; {rest}")


def say(sentence: str) -> None:
    """Print one line on stderr; nothing where there is no stderr, since stdout is for results."""
    if sys.stderr is not None:
        print(f"facealike: {one_line(sentence)}", file=sys.stderr)


def report_error(error: FacealikeError) -> None:
    say(str(error))


def error_dict(error: FacealikeError) -> dict[str, str]:
    return {"error": type(error).__name__, "message": one_line(str(error))}


def print_json(value: Any) -> None:
    """One JSON document; a number that is not finite becomes null, for JSON has no such number."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value


@contextmanager
def progress_bar(*passes: str, unit: str = "photos") -> Iterator[Progress]:
    """A bar on stderr, only where that is a terminal; yields the function to call after each step.

    ``passes`` name what is done, where all photos are gone through several times; a count that falls begins
    the next.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        names, last = list(passes), 0
        task = bar.add_task(names.pop(0), total=None)

        def advance(done: int, total: int) -> None:
            nonlocal last
            if done < last and names:
                bar.reset(task, description=names.pop(0))
                bar.start()
            last = done
            bar.update(task, completed=done, total=total)
            if done >= total:
                bar.stop()  # whatever comes next may draw a bar of its own

        yield advance


@contextmanager
def counter(what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """A count on stderr, only where that is a terminal, of work whose length is not known yet."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} " + unit),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done: bar.update(task, completed=done)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A table in plain text, numbers to the right; a terminal's width never cuts a cell."""
    columns, rows = [one_line(cell) for cell in columns], [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, ["-" * width for width in widths], *rows]:
        cells = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        show("  ".join(cells).rstrip())
