"""Run the service: a checked address, one event loop, and a stop that finishes accepted work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator

import uvicorn

from ..embedding.face_model import Model
from ..errors import DataError, UsageError
from ..gallery.gallery_key import find_key
from ..gallery.record_cipher import check_cipher
from ..utils.escape import shown
from .api_keys import KeyFile
from .application import make_app
from .audit_log import AuditLog
from .resources import make_engine
from .settings import ServiceSettings

BACKLOG = 256
LONGEST_HEADERS = 32 * 1024  # bytes


class StoppableServer(uvicorn.Server):
    """A server that a signal stops and nothing else: the program goes on after it.

    Args:
        config: Its configuration.
        ready: Called once, when it answers.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on SIGINT and SIGTERM; a second one does not wait for work that was accepted."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def check_address(settings: ServiceSettings) -> None:
    """Refuse an address that other machines reach while there is no key.

    Raises:
        UsageError: There is none.
        DataError: The file of keys cannot be read.
    """
    if not settings.loopback and not KeyFile(settings.keys).usable():
        raise UsageError(
            f"{shown(settings.host)}: other machines reach this address, and there is no key yet; make one "
            "with facealike serve keys add, or leave out --host"
        )


def check_data(settings: ServiceSettings) -> None:
    """Make the data folder; refuse one in which the service cannot write its audit log.

    Raises:
        DataError: It cannot.
    """
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        AuditLog(settings.audit).close()
    except OSError as error:
        raise DataError(
            f"{shown(settings.data)}: the service cannot write there ({error.strerror}); allow it, or name "
            "another folder with --data"
        ) from None


def listen(settings: ServiceSettings) -> socket.socket:
    """Return the listening socket.

    Raises:
        UsageError: The address cannot be used, or its port is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
        # Connections inherit it.  asyncio sets it only on sockets whose protocol is stated; without it the
        # second write of an answer waits 40 ms for the acknowledgment of the first.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{shown(settings.host)} port {settings.port}: cannot listen there ({reason}); choose another "
            "with --host or --port"
        ) from None


def address_of(listening: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(settings: ServiceSettings, ready: Callable[[str, Model], None]) -> None:
    """Load the model and answer requests until SIGINT or SIGTERM.

    Args:
        settings: Where to listen, and what to accept.
        ready: Called with the address and the model when the service answers.

    Raises:
        UsageError: The address cannot be used, or needs a key.
        DataError: The data folder cannot be written, or a worker process does not start.
        FacealikeError: The model or the keys cannot be read, or cryptography is needed and not installed.
    """
    check_address(settings)
    check_data(settings)
    if find_key(settings.key_file) is not None:
        check_cipher()
    model = Model.load(settings.model, settings.device, threads=1)  # the photos of requests share the cores
    with listen(settings) as listening:
        asyncio.run(_answer(settings, model, listening, ready))


async def _answer(
    settings: ServiceSettings, model: Model, listening: socket.socket, ready: Callable[[str, Model], None]
) -> None:
    engine = make_engine(settings, model)
    await engine.open()  # here and not by uvicorn, which would print the trace of an error
    config = uvicorn.Config(
        make_app(settings, model, engine), log_config=None, access_log=False, server_header=False,
        limit_concurrency=settings.connections, timeout_graceful_shutdown=int(settings.grace) or 1,
        h11_max_incomplete_event_size=LONGEST_HEADERS, http="h11", ws="none", lifespan="on",
    )  # fmt: skip
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        await StoppableServer(config, lambda: ready(address_of(listening), model)).serve([listening])
    finally:
        await engine.close()  # a second signal ends the server without closing the application
