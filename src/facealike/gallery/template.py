"""An enrolled face, a correction, and what is wrong with a stored vector."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..utils.result import Shown

NORM_TOLERANCE = 1e-3
"""How far the norm of a stored vector may be from 1; that of an intact one is within 1e-6."""

REEMBEDDED, MAPPED = "re-embedded", "mapped"

DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, repr=False, eq=False)
class Template(Shown):
    """One enrolled face.

    Attributes:
        vector: The embedding, a unit vector, float32 (d,).
        digest: The digest of the photo's pixels; see ``PhotoDigest``.
        quality: The quality of the face in [0, 1]; None where it is not known.
        source: The path of the photo.
        time: When it was enrolled, ISO 8601 in UTC; empty before it is stored.
        origin: Empty for an enrolled vector; ``re-embedded`` or ``mapped`` where the gallery was moved to
            another model.
    """

    vector: NDArray[np.float32]
    digest: str
    quality: float | None
    source: str
    time: str = ""
    origin: str = ""


class Correction(NamedTuple):
    """A photo, by its digest, that does not show a person, and when that was stated."""

    person: str
    digest: str
    time: str = ""


def now() -> str:
    """Return the time as it is stored: ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def person_name(name: object) -> str:
    """Return a name as it is stored; bytes that are no Unicode, as a folder may have, are escaped.

    Raises:
        UsageError: It is empty, or no text.
    """
    if not isinstance(name, str):
        raise UsageError(f"the name of a person is a text, not {type(name).__name__}; use str(...)")
    if not name.strip():
        raise UsageError("a person needs a name to be enrolled")
    return name.encode("utf-8", "backslashreplace").decode()


def metadata_text(values: Mapping[str, Any]) -> str:
    """Return the metadata of a person as it is stored, a JSON object.

    Raises:
        UsageError: It cannot be written as JSON.
    """
    try:
        return json.dumps(dict(values), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"metadata is what JSON can hold, such as texts and numbers ({error})") from None


def vector_problems(vectors: Sequence[bytes], length: int | None = None) -> dict[int, str]:
    """Return what is wrong with stored vectors, by position; empty where all are intact.

    Args:
        vectors: Each the bytes of a little-endian float32 array.
        length: The right number of bytes; None takes the most frequent.
    """
    if not vectors:
        return {}
    if length is None:
        length = Counter(map(len, vectors)).most_common(1)[0][0]
    if not length or length % 4:
        return {i: f"{len(one)} bytes are no vector" for i, one in enumerate(vectors)}
    wrong = {
        i: f"{len(one)} bytes in place of {length}" for i, one in enumerate(vectors) if len(one) != length
    }
    whole = [i for i in range(len(vectors)) if i not in wrong]
    stacked = np.frombuffer(b"".join(vectors[i] for i in whole), "<f4").reshape(len(whole), length // 4)
    norms = np.sqrt(np.einsum("ij,ij->i", stacked, stacked, dtype=np.float64))
    for row in np.flatnonzero(~(np.abs(norms - 1) <= NORM_TOLERANCE)):  # also a NaN
        wrong[whole[row]] = f"a norm of {norms[row]:.4g} in place of 1"
    return dict(sorted(wrong.items()))
