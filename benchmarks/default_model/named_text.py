"""Text with figures in it: written with their values, and found in a page whatever their values are.

``FNMR {test[fnmr]:.1p} %`` names a figure as ``str.format`` does.  A format that ends in ``p`` is in percent:
``.1p`` writes 0.0668 as 6.7.  A field with a format is a number, one without it is words.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
WORDS = r"[^|]+?"


class _Percent(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec.endswith("p"):
            spec = format_spec[:-1]
            return format(100 * value, spec + "f" if spec[-1:].isdigit() else spec)
        return format(value, format_spec)


_FORMATTER = _Percent()


def write_text(text: str, figures: Mapping[str, Any]) -> str:
    """Return ``text`` with the values of its fields; LookupError where a figure is missing."""
    return _FORMATTER.vformat(text, (), figures)


def put_figures(page: str, text: str, figures: Mapping[str, Any]) -> tuple[str, int]:
    """Return ``page`` with the values of ``figures`` wherever it holds ``text``, and how often it does.

    White space of ``text`` matches any white space: a page may break its lines elsewhere.
    """
    pattern, values = "", []
    for literal, name, spec, _ in _FORMATTER.parse(text):
        pattern += "".join(
            r"\s+" if part.isspace() else re.escape(part) for part in re.split(r"(\s+)", literal)
        )
        if name is not None:
            pattern += f"({NUMBER if spec else WORDS})"
            values.append(write_text(f"{{{name}:{spec}}}" if spec else f"{{{name}}}", figures))

    def valued(match: re.Match[str]) -> str:
        parts, end = [], match.start()
        for group, value in enumerate(values, 1):
            parts += [page[end : match.start(group)], value]
            end = match.end(group)
        return "".join([*parts, page[end : match.end()]])

    return re.subn(pattern, valued, page)
