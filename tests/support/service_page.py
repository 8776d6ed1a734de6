"""The page of the service in a browser, and how a test waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def opened(chromium: Any, address: str, *, before: str = "", **options: Any) -> Iterator[Any]:
    """The page of a new user; an error of a script, or something that the CSP refused, fails the test.

    Args:
        chromium: A browser of Playwright.
        address: The service.
        before: A script that runs before those of the page.
        options: Of the user's context, such as ``permissions``.
    """
    context = chromium.new_context(**{"viewport": {"width": 1100, "height": 900}, **options})
    found, errors = context.new_page(), []
    found.set_default_timeout(10_000)
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda line: "Content Security" in line.text and errors.append(line.text))
    foreign = lambda request: request.url.startswith((address, "blob:")) or errors.append(request.url)  # noqa: E731
    found.on("request", foreign)
    found.add_init_script(before)
    found.goto(address)
    yield found
    context.close()
    assert not errors


def until(page: Any, condition: str) -> None:
    """Wait until a condition in JavaScript holds, ten seconds at most.

    Playwright's ``wait_for_function`` calls ``eval`` in the page from its second look on; the CSP refuses it.
    """
    page.evaluate(
        f"""async () => {{
            const end = performance.now() + 10_000;
            while (!({condition})) {{
                if (performance.now() > end) throw new Error("never true");
                await new Promise(requestAnimationFrame);
            }}
        }}"""
    )
