"""The ten folds of a published list of pairs, where the list has them only by its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..types import Pair

FOLDS = 10


def with_ten_folds(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs in ten folds: the first tenth of each kind of pairs, in their order, and so on.

    CALFW, CPLFW and the ``.bin`` files of InsightFace list 300 or 350 pairs of one person and as many of two
    people for one fold after the other, and are evaluated in tenths of the list; these are the same folds.
    With fewer than ten pairs of a kind there are none.

    Source: ``sklearn.model_selection.KFold(10)`` in ``verification.py`` of InsightFace.
    """
    kinds = [[i for i, pair in enumerate(pairs) if pair.same is same] for same in (True, False)]
    if min(map(len, kinds)) < FOLDS:
        return list(pairs)
    fold: dict[int, int] = {}
    for rows in kinds:
        for number, part in enumerate(np.array_split(rows, FOLDS), start=1):
            fold |= dict.fromkeys(part.tolist(), number)
    return [replace(pair, fold=fold[i]) for i, pair in enumerate(pairs)]
