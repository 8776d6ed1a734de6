"""What makes the fields of an evaluation consistent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..metrics.verification import auc

if TYPE_CHECKING:
    from .verification_result import Evaluation

ARRAYS = (
    ("scores", np.float64), ("same", np.bool_), ("first", np.int64), ("second", np.int64),
    ("probability", np.float64), ("fold", np.int64),
)  # fmt: skip


def checked_arrays(result: Evaluation) -> dict[str, NDArray[Any]]:
    """Return the arrays of an evaluation that are known, of the right dtype and read-only.

    Raises:
        UsageError: The scores cannot be evaluated, or fields contradict each other.
    """
    if not math.isfinite(result.threshold):
        raise UsageError(f"the threshold of an evaluation must be finite, not {result.threshold}")
    counts = (
        result.failures, result.skipped, result.people or 0, result.copies, result.copied_pairs,
        result.shared,
    )  # fmt: skip
    if min(counts) < 0 or max(result.failures, result.copied_pairs) > np.size(result.scores):
        raise UsageError("the counts of an evaluation lie between zero and the number of pairs")
    if not 0 <= (result.missing or 0) <= (result.photos or result.missing or 0):
        raise UsageError("the photos without a face are some of the photos of an evaluation")
    if result.missing is not None and len(result.unused) > result.missing:
        raise UsageError("photos that could not be used are some of those without a face")
    auc(result.scores, result.same)  # checks scores and truth
    arrays: dict[str, NDArray[Any]] = {}
    for name, kind in ARRAYS:
        if getattr(result, name) is None:
            continue
        array = np.array(getattr(result, name), dtype=kind)
        if array.shape != np.shape(result.scores):
            raise UsageError(f"the {name} of an evaluation must be one a pair, not {array.shape}")
        array.setflags(write=False)
        arrays[name] = array
    if (result.first is None) != (result.second is None):
        raise UsageError("an evaluation knows the people of both sides of its pairs, or of neither")
    if result.first is not None and not np.array_equal(result.first == result.second, result.same):
        raise UsageError("a pair shows one person where its two sides are the same person, and only there")
    if result.probability is not None and not ((result.probability >= 0) & (result.probability <= 1)).all():
        raise UsageError("every probability must lie between 0 and 1")
    return arrays
