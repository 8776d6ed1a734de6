"""Predict where a face will be: a Kalman filter with constant velocity over its box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..types import Box

MEASUREMENT = 0.06
"""Standard deviation of a detected box's center and sides, in face sizes."""

ACCELERATION = 4.0
"""Standard deviation of the acceleration of a face, in face sizes per second squared."""

FIRST_SPEED = 1.5
"""Standard deviation of the speed of a new face, in face sizes per second."""

Floats = NDArray[np.float64]


class BoxMotion:
    """The center, width and height of a face over time, each with its velocity.

    The four share one covariance (2, 2), in units of the face's size, since all are measured alike.

    Args:
        box: The first box.
        time: Its time in seconds.

    Source: Kalman, Journal of Basic Engineering 82, 1960; Bewley et al., "Simple online and realtime
    tracking", ICIP 2016.
    """

    def __init__(self, box: Box, time: float) -> None:
        self.time = time
        self._state = np.stack([_measured(box), np.zeros(4)])  # values and velocities
        self._covariance = np.diag([MEASUREMENT**2, FIRST_SPEED**2])

    def predict(self, time: float) -> Box:
        """Return the box that is expected at a time."""
        center_x, center_y, width, height = self._state[0] + (time - self.time) * self._state[1]
        # An extrapolated side may shrink to nothing.
        width, height = max(width, self._state[0][2] / 2), max(height, self._state[0][3] / 2)
        return Box(
            float(center_x - width / 2), float(center_y - height / 2),
            float(center_x + width / 2), float(center_y + height / 2),
        )  # fmt: skip

    def update(self, box: Box, time: float) -> None:
        """Take in the box that was found at a time, which is not before the last one."""
        step = time - self.time
        move = np.array([[1.0, step], [0.0, 1.0]])
        push = np.array([step**2 / 2, step])
        state = move @ self._state
        covariance = move @ self._covariance @ move.T + ACCELERATION**2 * np.outer(push, push)
        gain: Floats = covariance[:, 0] / (covariance[0, 0] + MEASUREMENT**2)
        self._state = state + np.outer(gain, _measured(box) - state[0])
        self._covariance = covariance - np.outer(gain, covariance[0])
        self.time = time


def _measured(box: Box) -> Floats:
    return np.array([*box.center, box.width, box.height])
