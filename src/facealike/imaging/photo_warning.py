"""What is told of a photo or a folder of photos without an error being raised."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple


class PhotoWarning(Warning):
    """A photo that was used although something is wrong with it, or files of a folder that were left out.

    The message is one sentence that names the photo or the folder.  It is a warning and no error; the
    command line prints it on stderr.
    """


class UnusedPhotoWarning(PhotoWarning):
    """A photo that was left out, or how many were; a run that goes through photos again says it once."""


@contextmanager
def told_before() -> Iterator[None]:
    """Keep quiet about photos that are left out, where all of them were told of already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedPhotoWarning)
        yield


LEFT_OUT = ("no_face", "unreadable", "several_faces")
"""Why a photo gives no face to compare: each is a failure to acquire (ISO/IEC 19795-1), told apart."""


class UnusedPhoto(NamedTuple):
    """A photo that a run left out for another reason than that no face was found in it.

    ``kind`` is ``unreadable`` for a file that cannot be read or decoded, and ``several faces`` for a photo
    of several where the policy ``only`` allows one.  ``reason`` says more, in words.
    """

    photo: str
    reason: str
    kind: Literal["unreadable", "several faces"] = "unreadable"

    def __str__(self) -> str:
        return f"{self.photo}: {self.reason}"


def unused_rows(unused: Iterable[UnusedPhoto]) -> dict[str, Any]:
    """Return photos that were left out as rows for JSON: one list a kind, each row with photo and reason."""
    rows: dict[str, list[dict[str, str]]] = {"unreadable": [], "several_faces": []}
    for one in unused:
        rows[one.kind.replace(" ", "_")].append({"photo": one.photo, "reason": one.reason})
    return rows


def unused_counts(unused: Iterable[UnusedPhoto]) -> dict[str, int]:
    """Return how many photos of each kind were left out; for files that may be passed on, without names."""
    return {kind: len(rows) for kind, rows in unused_rows(unused).items()}


def left_out_told(counts: Mapping[str, int]) -> str:
    """Return in words how many photos of each kind in ``LEFT_OUT`` gave no face, to follow on a result."""
    words = ("without a face", "that could not be read", "with several faces")
    told = [f"{counts[kind]:,} {how}" for kind, how in zip(LEFT_OUT, words, strict=True) if counts.get(kind)]
    return f"; photos left out: {', '.join(told)}" if told else ""


def unused_told(unused: Iterable[UnusedPhoto], first: str = "; ", of: str = "photos") -> str:
    """Return how many photos were left out and why, to follow on a result; empty where there are none.

    ``of`` says which photos they are some of.
    """
    counts = unused_counts(unused)
    parts = [
        f"{counts['unreadable']:,} could not be read" if counts["unreadable"] else "",
        f"{counts['several_faces']:,} show several faces" if counts["several_faces"] else "",
    ]
    told = " and ".join(part for part in parts if part)
    return f"{first}of the {of} {told}" if told else ""
