"""One torch thread for the tests of a file: import the fixture, it applies by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """oneDNN's backward pass waits in a spinning barrier: on a busy machine two threads take minutes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
