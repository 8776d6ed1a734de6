"""Warnings about photos reach the user of every command: one line each on stderr, each said once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..imaging.photo_warning import PhotoWarning


@contextmanager
def warnings_told(say: Callable[[str], None]) -> Iterator[None]:
    """Hand each PhotoWarning to ``say`` as one sentence; other warnings go where they always go."""
    told: set[str] = set()
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, PhotoWarning):
                usual(message, category, *rest, **more)
            elif (text := str(message)) not in told:
                told.add(text)
                say(f"warning: {text}")

        warnings.simplefilter("always", PhotoWarning)
        warnings.showwarning = show
        yield
