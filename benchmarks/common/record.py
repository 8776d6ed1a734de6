"""What each row of a benchmark states beside its figures, and how rows reach their CSV.

The processor and the commit are told as short as the CSV files have them.  What a model's card says of
them is in ``facealike.train.provenance``, and with that the benchmarks of training state them.
"""

from __future__ import annotations

import csv
import datetime
import io
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The root of the repository."""

RESULTS = ROOT / "benchmarks" / "results"
"""Where the rows of every benchmark are kept."""

PHOTOS = [ROOT / "examples" / "photos" / name for name in ("hopper.jpg", "collins.jpg")]
"""Two portraits of 250 x 250 pixels."""


def today() -> str:
    """The date in UTC, as 2026-01-31."""
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def commit() -> str:
    """The commit that is measured, marked where files of the package differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        name = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        status = [*git, "status", "--porcelain", "--", str(ROOT / "src")]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + ("+changes" if changed else "")


def processor() -> str:
    """The CPU's name and the number of cores this process may use."""
    # Not above: a benchmark may import this module before it chooses what is measured.
    from facealike.utils.ordered_threads import available_cores
    from facealike.utils.processor import read_processor

    return f"{read_processor().name}, {available_cores()} cores"


def versions(*packages: str) -> str:
    """Python's version and those of installed packages."""
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
    )


def circumstances(*packages: str) -> dict[str, object]:
    """The columns that a row begins with: date, commit, machine, and the versions if packages are named."""
    told: dict[str, object] = {"date": today(), "commit": commit(), "machine": processor()}
    return {**told, "versions": versions(*packages)} if packages else told


def append_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Append rows, one or more, to a CSV; where it is new, its header comes first.

    All is written at once, so that two processes may share the file.  A file that is there keeps the order
    of its columns and its line ends.  Rows that have other columns than the file, or than the first row,
    end the program with a sentence that says which, and nothing is written.
    """
    first = ""
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            first = file.readline()
    columns = next(csv.reader([first])) if first else list(rows[0])
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\r\n" if first.endswith("\r\n") else "\n")
    if not first:
        writer.writeheader()
    for row in rows:
        if other := sorted(set(columns) ^ set(row)):
            raise SystemExit(
                f"{path}: rows and file do not both have the columns {', '.join(other)}; "
                "move the file away, and the rows begin a new one"
            )
        writer.writerow(row)
    with path.open("a", newline="", encoding="utf-8") as file:
        file.write(text.getvalue())
