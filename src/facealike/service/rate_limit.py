"""A limit on the requests of each key: a token bucket."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST = 10.0
"""Seconds of the rate that may come at once."""


class RateLimit:
    """So many requests a minute for each caller, with some at once.

    Args:
        rate: Requests a minute; 0 sets no limit.
        clock: Returns seconds.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = rate / 60, clock
        self._burst = max(1.0, self._per_second * BURST)
        self._tokens: dict[str, tuple[float, float]] = {}

    def wait(self, caller: str) -> float:
        """Count one request; return 0, or how many seconds too early it comes."""
        if not self._per_second:
            return 0.0
        now = self._clock()
        tokens, last = self._tokens.get(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - last) * self._per_second)
        allowed = tokens >= 1
        self._tokens[caller] = (tokens - 1 if allowed else tokens, now)
        return 0.0 if allowed else (1 - tokens) / self._per_second
