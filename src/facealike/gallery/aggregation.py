"""The score of a person with several templates: that of the best of them, of their mean, or the higher one.

The mean of n unit vectors carries less of what differs from photo to photo, so it separates people better
than any single template.  But its cosines are not those that the model is calibrated for: they are higher,
for impostors too.  The score of a mean is therefore put on the scale of a single template.  Let c be the
typical score of impostors, which all embeddings have in common, and v the squared length of the mean m.  Of a
single template 1 - c is particular to the photo, of the mean v - c.  An impostor's score with a template
differs from c by a sum whose deviation grows with the square root of that part, so that

    c + (x . m - c) sqrt((1 - c) / (v - c))

is for impostors distributed as the score with a single template, whatever n is.  It is that score for n = 1,
and for n equal templates.  This takes the parts as isotropic and the faces' deviations as independent.

``best-or-mean`` takes the higher of both: the mean for the usual person, and the best template where one of
several photos is like no other.  ``docs/results/identification.md`` has the error rates measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .template import Template

Aggregation: TypeAlias = Literal["best-or-mean", "best", "mean", "weighted"]
"""How several templates give one score; ``weighted`` is the mean weighted by quality."""

DEFAULT_AGGREGATION: Aggregation = "best-or-mean"


def check_aggregation(how: str) -> None:
    """Raise UsageError for an unknown aggregation."""
    if how not in get_args(Aggregation):
        raise UsageError(f"templates are aggregated as {', '.join(get_args(Aggregation))}, not {how!r}")


def person_score(
    query: NDArray[np.float32], templates: Sequence[Template], how: Aggregation, typical: float
) -> tuple[float, int]:
    """Return the score of a person, and which of the templates scores highest.

    Args:
        query: A unit vector (d,).
        templates: Those of the person, one or more.
        how: How they are aggregated.
        typical: The median score of impostor pairs; 0 where it is not known.
    """
    vectors = np.stack([one.vector for one in templates])
    scores = vectors @ query
    best = int(np.argmax(scores))
    if how == "best" or len(templates) == 1:
        return float(scores[best]), best
    weights = (
        [1.0 if one.quality is None else one.quality for one in templates] if how == "weighted" else None
    )
    mean = mean_template(vectors, weights)
    score = min(float(on_scale_of_one(mean @ query, mean @ mean, len(templates), typical)), 1.0)
    return max(score, float(scores[best])) if how == "best-or-mean" else score, best


def mean_template(
    vectors: NDArray[np.float32], weights: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Return the mean of unit vectors (n, d), not normalized, of which each counts by its weight."""
    if weights is None or not sum(weights) > 0:
        return np.asarray(vectors.mean(axis=0), np.float32)
    return np.asarray(np.average(vectors, axis=0, weights=weights), np.float32)


def on_scale_of_one(
    product: NDArray[np.float32], square: NDArray[np.float32], count: int, typical: float
) -> NDArray[np.float64]:
    """Return the score of a mean on the scale of a single template.

    Args:
        product: The products of faces with the mean.
        square: The squared length of the mean; of the shape of ``product``, or one that broadcasts to it.
        count: Of how many templates it is the mean.
        typical: The median score of impostor pairs.
    """
    # Templates as unlike as those of different people have the shortest mean that is plausible.
    part = np.maximum(np.asarray(square, np.float64) - typical, (1 - typical) / count)
    return np.asarray(typical + (np.asarray(product, np.float64) - typical) * np.sqrt((1 - typical) / part))
