"""An HTTP server in a thread that hands out one file, and fails in the ways that servers fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """``content`` at any path of ``url``.

    ``ranges`` says whether it knows RFC 9110 ranges.  ``cuts`` are bytes after which the connection
    of each request breaks, in order of the requests; None or no entry for none.  ``statuses`` are
    answered in place of the content, likewise; 302 leads to ``location``.  ``asked`` collects the
    Range header of each request, ``sent`` the bytes of all bodies.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges = True
        self.cuts: list[int | None] = []
        self.statuses: list[int | None] = []
        self.location = ""
        self.asked: list[str | None] = []
        self.sent = 0
        self.gate: threading.Event | None = None
        self.url = ""


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    state = FileServer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            state.asked.append(asked)
            status = state.statuses.pop(0) if state.statuses else None
            if status is not None:
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", state.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            total = len(state.content)
            if start >= total > 0:
                self.send_error(416)
                return
            self.send_response(206 if asked and state.ranges else 200)
            self.send_header("Content-Length", str(total - start))
            if asked and state.ranges:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.end_headers()
            cut = state.cuts.pop(0) if state.cuts else None
            body = state.content[start:] if cut is None else state.content[start : start + cut]
            half = len(body) // 2
            self.wfile.write(body[:half])
            if state.gate is not None:
                self.wfile.flush()
                state.gate.wait(20)
            self.wfile.write(body[half:])
            state.sent += len(body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # the other side was killed, as some tests do
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/weights.onnx"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
