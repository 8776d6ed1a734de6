"""Assign rows to columns one to one at the highest total score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best_assignment(scores: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of the assignment with the highest total score, by row.

    Every row, or every column where there are fewer, is in one pair.  A pair that is not allowed has a score
    so low that it is taken only where nothing else is left; the caller drops it.

    Args:
        scores: Shape (n, m), finite.

    Source: Kuhn, Naval Research Logistics 2, 1955, in the O(n^2 m) form with potentials of Jonker and
    Volgenant, Computing 38, 1987.
    """
    if scores.shape[0] > scores.shape[1]:
        return sorted((row, column) for column, row in best_assignment(scores.T))
    count, columns = scores.shape
    cost = -scores
    row_price, column_price = np.zeros(count + 1), np.zeros(columns + 1)
    row_of = np.full(columns + 1, -1)  # the row of each column; the last column is where each row begins
    for row in range(count):
        row_of[columns] = row
        column = columns
        slack, before = np.full(columns, np.inf), np.full(columns, columns)
        seen = np.zeros(columns + 1, bool)
        while row_of[column] >= 0:  # find a shortest way to a free column
            seen[column] = True
            at = row_of[column]
            reduced = cost[at] - row_price[at] - column_price[:-1]
            nearer = ~seen[:-1] & (reduced < slack)
            slack[nearer], before[nearer] = reduced[nearer], column
            open_slack = np.where(seen[:-1], np.inf, slack)
            column = int(np.argmin(open_slack))
            step = open_slack[column]
            row_price[row_of[seen]] += step
            column_price[seen] -= step
            slack[~seen[:-1]] -= step
        while column != columns:  # and move the rows along it
            row_of[column] = row_of[before[column]]
            column = int(before[column])
    return sorted((int(row_of[column]), column) for column in range(columns) if row_of[column] >= 0)
