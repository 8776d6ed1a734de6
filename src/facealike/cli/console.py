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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec

import typer

from ..errors import FacealikeError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED = 141  # 128 + SIGPIPE

Progress = Callable[[int, int], None]
"""Told how many are done, of how many."""

P = ParamSpec("P")


def command(run: Callable[P, int | None]) -> Callable[P, None]:
    """Turn what a command returns or raises into an exit code; None counts as 0.

    A FacealikeError becomes its one sentence on stderr (and, under ``--json``, an object on
    stdout), never a traceback.
    """

    @functools.wraps(run)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = run(*args, **kwargs) or 0
            sys.stdout.flush()
        except FacealikeError as error:
            report_error(error)
            if kwargs.get("as_json"):
                print_json(error_dict(error))
            code = error.exit_code
        except KeyboardInterrupt:
            say("interrupted")
            code = INTERRUPTED
        except BrokenPipeError:
            # The reader has gone, as `head` does.  Python flushes stdout once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = PIPE_CLOSED
        except OSError as error:
            # A full disk or a folder without permission, where no function has put it more kindly.
            say(f"{error.filename or 'the system'}: {error.strerror or error}")
            if kwargs.get("as_json"):
                print_json({"error": "OSError", "message": one_line(str(error))})
            code = 2
        raise typer.Exit(code)

    return wrapped


def say(sentence: str) -> None:
    """One line on stderr."""
    print(f"facealike: {one_line(sentence)}", file=sys.stderr)


def report_error(error: FacealikeError) -> None:
    say(str(error))


def error_dict(error: FacealikeError) -> dict[str, str]:
    return {"error": type(error).__name__, "message": one_line(str(error))}


def one_line(text: str) -> str:
    """``text`` with whatever is not printable escaped: file names may hold newlines."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
def progress_bar(what: str, unit: str = "photos") -> Iterator[Progress]:
    """A bar on stderr, only where that is a terminal; yields what is to be told of each step."""
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
        task = bar.add_task(what, total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if done >= total:
                bar.stop()  # whatever comes next may draw a bar of its own

        yield told


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A table in plain text, numbers to the right; a terminal's width never cuts a cell."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, ["-" * width for width in widths], *rows]:
        cells = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
