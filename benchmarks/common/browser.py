"""Debian's Chromium, headless, and a service for its pages: the default model in a process of its own."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The browser's program; None where there is none: Playwright's own download is not used."""

MISSING = "needs Chromium: apt-get install chromium"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of ``facealike serve`` with its files in ``folder``."""
    command = [sys.executable, "-m", "facealike", "serve", "--port", "0", "--data", str(folder)]
    environment = {**os.environ, "COLUMNS": "200"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found, f"no address in {line!r}"
            yield found[0]
        finally:
            process.terminate()


@contextmanager
def browser(*options: str) -> Iterator[Any]:
    """A browser of Playwright, with further options of Chromium; each context of it is one user."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, MISSING
    # Its sandbox needs rights that root in a container does not have; it only opens our own page.
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *options])
        try:
            yield found
        finally:
            found.close()


def drop(page: Any, place: str, *photos: Path | bytes) -> None:
    """Drop photos on an element, as from a folder of the desktop."""
    contents = [one if isinstance(one, bytes) else one.read_bytes() for one in photos]
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            files.forEach((file, i) => {
                const bytes = Uint8Array.from(atob(file), (one) => one.charCodeAt(0));
                transfer.items.add(new File([bytes], `photo-${i + 1}.jpg`, { type: "image/jpeg" }));
            });
            return transfer;
        }""",
        [base64.b64encode(one).decode() for one in contents],
    )
    page.dispatch_event(place, "drop", {"dataTransfer": transfer})
