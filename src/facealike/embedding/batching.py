"""Embed crops in batches, overlapped over threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

import numpy as np

from ..errors import UsageError
from ..types import Embeddings, Image
from ..utils.ordered_threads import default_threads, map_ordered

K = TypeVar("K")


def in_batches(
    embed: Callable[[Image], Embeddings], crops: Iterable[tuple[K, Image]], batch: int,
    threads: int | None = None,
) -> Generator[tuple[list[K], Embeddings], None, None]:  # fmt: skip
    """Yield the keys and unit vectors (n, d) of ``batch`` crops at a time, in order; the last may be fewer.

    Args:
        embed: Returns the unit vectors (n, d) of crops, uint8 (n, S, S, 3).
        crops: Keys and crops, drawn by the caller's thread while earlier batches are embedded.  Closing the
            result closes them.
        batch: Crops to embed at a time.
        threads: As for ``crop_faces``: half as many embed, and at most twice as many batches are held.
    """
    if batch < 1:
        raise UsageError(f"a batch holds at least one crop, not {batch}")
    count = -(-helpers(threads) // 2)

    def run(chunk: list[tuple[K, Image]]) -> tuple[list[K], Embeddings]:
        return [key for key, _ in chunk], embed(np.stack([crop for _, crop in chunk]))

    return map_ordered(run, chunks(crops, batch), count, 2 * count)


def helpers(threads: int | None) -> int:
    """Return how many threads to start beside the caller's: none where one is asked for."""
    if threads is None:
        threads = default_threads()
    if threads < 1:
        raise UsageError(f"at least one thread is needed, not {threads}")
    return 0 if threads == 1 else threads


def chunks(items: Iterable[K], size: int) -> Generator[list[K], None, None]:
    """Yield ``size`` items at a time; the last may be fewer.  Closing it closes a generator of items."""
    chunk: list[K] = []
    source = iter(items)
    try:
        for item in source:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
        if chunk:
            yield chunk
    finally:
        close = getattr(source, "close", None)  # a generator, with threads of its own perhaps
        if close is not None:
            close()
