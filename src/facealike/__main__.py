"""The program ``facealike``, also as ``python -m facealike``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Load the command line and run it; Ctrl-C and lack of memory while it loads end in one sentence."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    try:
        from .cli import main as run
    except (ImportError, MemoryError) as error:
        reason = next(iter(str(error).splitlines()), "") or "not enough memory"
        _tell(f"facealike cannot start ({reason}); install it again, or allow it more memory")
        sys.exit(2)
    run()


def _interrupted(*_: object) -> None:
    """End at once: outside a command there is nothing to clean up."""
    _tell("interrupted")
    os._exit(130)


def _tell(sentence: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"facealike: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
