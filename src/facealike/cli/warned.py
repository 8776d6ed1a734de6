"""Print warnings about photos for every command: one line each on stderr, each once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..imaging.photo_warning import PhotoWarning


@contextmanager
def printed_warnings(say: Callable[[str], None]) -> Iterator[None]:
    """Pass each PhotoWarning to ``say`` as one sentence; other warnings are shown as usual."""
    given: set[str] = set()
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, PhotoWarning):
                usual(message, category, *rest, **more)
            elif (text := str(message)) not in given:
                given.add(text)
                say(f"warning: {text}")

        warnings.simplefilter("always", PhotoWarning)
        warnings.showwarning = show
        yield
