"""Warnings about photos, and rows and summaries of photos that were left out."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

NO_FACE_REASON = "no face found"


class UnusedPhoto(NamedTuple):
    """A photo that a run left out.

    ``kind`` is one of ``LEFT_OUT``: ``no_face``, ``unreadable`` for a file that cannot be read or decoded,
    and ``several_faces`` where the policy ``only`` allows one.  ``reason`` is one sentence.
    """

    photo: str
    reason: str
    kind: Literal["no_face", "unreadable", "several_faces"] = "unreadable"

    def to_dict(self) -> dict[str, str]:
        return {"photo": self.photo, "kind": self.kind, "reason": self.reason}

    def __str__(self) -> str:
        return f"{self.photo}: {self.reason}"


def left_out_counts(unused: Iterable[UnusedPhoto]) -> dict[str, int]:
    """Return how many photos of each kind in ``LEFT_OUT`` were left out."""
    kinds = Counter[str](one.kind for one in unused)
    return {kind: kinds[kind] for kind in LEFT_OUT}


def left_out_rows(unused: Sequence[UnusedPhoto]) -> dict[str, Any]:
    """Return photos that were left out for JSON: the counts as ``left_out``, the photos as ``unused``."""
    return {"left_out": left_out_counts(unused), "unused": [one.to_dict() for one in unused]}


def left_out_summary(counts: Mapping[str, int]) -> str:
    """Return in words how many photos of each kind in ``LEFT_OUT`` gave no face, to follow on a result."""
    words = ("without a face", "that could not be read", "with several faces")
    parts = [f"{counts[kind]:,} {how}" for kind, how in zip(LEFT_OUT, words, strict=True) if counts.get(kind)]
    return f"; photos left out: {', '.join(parts)}" if parts else ""


def unused_summary(
    unused: Iterable[UnusedPhoto], first: str = "; ", of: str = "photos", last: str = ""
) -> str:
    """Return in words how many photos were left out though not for want of a face; empty where none was.

    Args:
        unused: The photos.
        first: Text that the summary follows.
        of: What they are part of, such as ``300 photos``.
        last: Text that follows the summary.
    """
    counts = left_out_counts(unused)
    parts = [
        f"{counts['unreadable']:,} could not be read" if counts["unreadable"] else "",
        f"{counts['several_faces']:,} show several faces" if counts["several_faces"] else "",
    ]
    summary = " and ".join(part for part in parts if part)
    return f"{first}of the {of} {summary}{last}" if summary else ""
