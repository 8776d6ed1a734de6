"""Warnings about photos, and rows and summaries of photos that were left out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple


class PhotoWarning(Warning):
    """A photo that was used although its file is damaged, or files of a folder that were left out.

    The message is one sentence that names the photo or the folder; the command line prints it on stderr.

    Examples:
        >>> warnings.simplefilter("error", PhotoWarning)  # refuse such photos
    """


class UnusedPhotoWarning(PhotoWarning):
    """A photo that was left out, or how many were; a run that reads photos twice warns once."""


@contextmanager
def without_repeated_warnings() -> Iterator[None]:
    """Suppress warnings about photos that are left out, where they were given already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedPhotoWarning)
        yield


LEFT_OUT = ("no_face", "unreadable", "several_faces")
"""Why a photo has no face to compare: the kinds of a failure to acquire (ISO/IEC 19795-1)."""


class UnusedPhoto(NamedTuple):
    """A photo that a run left out, though not for want of a face.

    ``kind`` is ``unreadable`` for a file that cannot be read or decoded, and ``several faces`` for a photo
    of several where the policy ``only`` allows one.  ``reason`` is one sentence.
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


def left_out_summary(counts: Mapping[str, int]) -> str:
    """Return in words how many photos of each kind in ``LEFT_OUT`` gave no face, to follow on a result."""
    words = ("without a face", "that could not be read", "with several faces")
    parts = [f"{counts[kind]:,} {how}" for kind, how in zip(LEFT_OUT, words, strict=True) if counts.get(kind)]
    return f"; photos left out: {', '.join(parts)}" if parts else ""


def unused_summary(unused: Iterable[UnusedPhoto], first: str = "; ", of: str = "photos") -> str:
    """Return in words how many photos were left out and why; empty where there are none.

    Args:
        unused: The photos.
        first: Text that the summary follows.
        of: What they are part of, such as ``300 photos``.
    """
    counts = unused_counts(unused)
    parts = [
        f"{counts['unreadable']:,} could not be read" if counts["unreadable"] else "",
        f"{counts['several_faces']:,} show several faces" if counts["several_faces"] else "",
    ]
    summary = " and ".join(part for part in parts if part)
    return f"{first}of the {of} {summary}" if summary else ""
