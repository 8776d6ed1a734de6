"""Programs of tests that hear Ctrl-C, also where the tests themselves run in the background of a shell."""

from __future__ import annotations

#: The first lines of such a program. Not a ``preexec_fn``: with one Python forks, and what runs between the
#: fork and the new program is the fork handlers of libraries that other tests loaded; gRPC's end it at times.
HEARS_CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
