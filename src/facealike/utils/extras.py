"""Report an optional dependency that is not installed in one sentence that names the extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import MissingExtra


def install_command(extra: str) -> str:
    """Return the command that installs an extra of facealike; double quotes work in every shell."""
    return f'pip install "facealike[{extra}]"'


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Import optional dependencies inside this block.

    Args:
        extra: The extra of facealike that installs them, such as ``"export"``.
        purpose: What needs them, as the subject of a sentence.

    Raises:
        MissingExtra: One of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module == "facealike":
            raise
        raise MissingExtra(
            f"{purpose} needs {module}, which is not installed; run: {install_command(extra)}"
        ) from error
