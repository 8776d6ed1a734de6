"""What others may send: hostile photos, forms, JSON, headers and slow bodies give 4xx."""

from __future__ import annotations

import base64
import contextlib
import gc
import io
import json
import os
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from httpx import Response
from starlette.testclient import TestClient

from facealike import Model
from facealike.service.application import make_app
from facealike.service.server import LONGEST_HEADERS, StoppableServer, listen
from support.corrupt_images import encoded, make_bad_inputs
from support.service_app import photo, running, service_model, settings

MODEL = service_model()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the tests' corpus that can be read, and polyglots."""
    folder = tmp_path_factory.mktemp("corpus")
    made = {}
    for one in make_bad_inputs(folder):
        with contextlib.suppress(OSError, ValueError):
            if os.path.isfile(one.path) and os.path.getsize(one.path) < 2**20:  # noqa: PTH113, PTH202
                made[one.name] = Path(one.path).read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x", b"x")
    made["html in a gif"] = b"GIF89a<script>alert(1)</script>" + bytes(50)
    made["zip before a png"] = stream.getvalue() + encoded("png")
    made["half a png"] = encoded("png")[:200]
    assert len(made) > 70
    return made


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with running(tmp_path_factory.mktemp("hostile"), MODEL) as found:
        yield found


def hostile_answers(client: TestClient, corpus: dict[str, bytes]) -> dict[str, list[Response]]:
    """What the service answers to each photo, by form, by JSON and as an enrollment."""
    return {
        name: [
            client.post("/v1/detect", files={"photo": data}),
            client.post("/v1/detect", json={"photo": base64.b64encode(data).decode()}),
            client.post("/v1/galleries/x/people", files={"photos": data}, data={"person": "Ann"}),
        ]
        for name, data in corpus.items()
    }


def test_each_hostile_photo_is_refused_by_form_and_by_json(
    client: TestClient, corpus: dict[str, bytes]
) -> None:
    found = hostile_answers(client, corpus)
    assert sum(map(len, found.values())) > 200
    for name, answers in found.items():
        assert {400 <= one.status_code < 500 for one in answers} == {True}, (name, answers)
        assert {one.headers["content-type"] for one in answers} == {"application/problem+json"}
    resources = client.app.state.resources  # type: ignore[attr-defined]
    assert resources.uploads.held == 0 and resources.queue.accepted == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory from /proc")
def test_memory_is_flat_over_hostile_photos(client: TestClient, corpus: dict[str, bytes]) -> None:
    """After the first pass, which loads decoders, hundreds of refused photos leave nothing behind."""
    hostile_answers(client, corpus)
    gc.collect()
    before = resident()
    for _ in range(2):
        hostile_answers(client, corpus)
    gc.collect()
    assert resident() - before < 16 * 2**20


def resident() -> int:
    """The bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


FORM = {"content-type": "multipart/form-data; boundary=x"}
JSON = {"content-type": "application/json"}
BODIES: dict[str, tuple[dict[str, str], bytes]] = {
    "no boundary": ({"content-type": "multipart/form-data"}, b"--x"),
    "empty boundary": ({"content-type": "multipart/form-data; boundary="}, b"--"),
    "long boundary": ({"content-type": f"multipart/form-data; boundary={'x' * 5000}"}, b"--x"),
    "no end": (FORM, b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\nabc'),
    "no name": (FORM, b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n"),
    "no disposition": (FORM, b"--x\r\n\r\nabc\r\n--x--\r\n"),
    "no parts": (FORM, b"--x--\r\n"),
    "bare": (FORM, b"abc"),
    "empty": (FORM, b""),
    "many fields": (
        FORM,
        b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % i for i in range(100))
        + b"--x--\r\n",
    ),
    "many files": (
        FORM,
        b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n1\r\n' * 50 + b"--x--\r\n",
    ),
    "long field": (
        FORM,
        b'--x\r\nContent-Disposition: form-data; name="face"\r\n\r\n' + b"a" * 100_000 + b"\r\n--x--\r\n",
    ),
    "long header": (
        FORM,
        b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 50_000 + b'"\r\n\r\n1\r\n--x--\r\n',
    ),
    "many headers": (FORM, b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n1\r\n--x--\r\n"),
    "charset": (
        FORM,
        b'--x\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nnone\r\n'
        b'--x\r\nContent-Disposition: form-data; name="face"\r\n\r\n\xff\r\n--x--\r\n',
    ),
    "unknown charset": ({"content-type": "multipart/form-data; boundary=x; charset=none"}, b"--x--\r\n"),
    "not utf-8": (JSON, b'{"photo": "\xff"}'),
    "utf-16": (JSON, '{"photo": 1}'.encode("utf-16")),
    "deep": (JSON, b"[" * 100_000),
    "deep object": (JSON, b'{"a":' * 50_000),
    "long number": (JSON, b'{"photo": ' + b"9" * 10_000 + b"}"),
    "nan": (JSON, b'{"photo": NaN}'),
    "null": (JSON, b"null"),
    "surrogate": (JSON, b'{"photo": "AAAA", "face": "\\ud800"}'),
    "surrogate key": (JSON, b'{"photo": "AAAA", "\\ud800": 1}'),
    "other type": ({"content-type": "text/plain"}, b"x"),
    "no type": ({}, b"x"),
}


@pytest.mark.parametrize("name", BODIES)
def test_each_hostile_body_is_refused(client: TestClient, name: str) -> None:
    headers, body = BODIES[name]
    answer = client.post("/v1/detect", content=body, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    json.loads(answer.text)
    assert answer.headers["content-type"] == "application/problem+json"


@contextmanager
def listening(folder: Path, model: Model, **changes: object) -> Iterator[int]:
    """A service on a socket of its own, in a thread."""
    stated = settings(folder, port=0, **changes)
    with listen(stated) as own:
        config = uvicorn.Config(
            make_app(stated, model), log_config=None, access_log=False, http="h11",
            h11_max_incomplete_event_size=LONGEST_HEADERS,
        )  # fmt: skip
        server = StoppableServer(config)
        server.capture_signals = lambda: contextmanager(lambda: iter([None]))()  # type: ignore[method-assign]
        thread = threading.Thread(target=server.run, args=([own],))
        thread.start()
        try:
            yield own.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


def asked(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """The first bytes of the answer to ``parts``, sent with pauses."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            return connection.recv(200)
        except ConnectionError:
            return b""


def test_slow_bodies_huge_headers_and_broken_requests_on_a_socket(tmp_path: Path) -> None:
    head = b"POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with listening(tmp_path, MODEL, body_timeout=0.3, max_bytes=20_000) as port:
        start = time.perf_counter()
        assert b" 408 " in asked(port, head + b"Content-Length: 1000\r\n\r\n{")
        assert time.perf_counter() - start < 5
        drip = [head + b"Content-Length: 1000\r\n\r\n", *([b"x"] * 8)]
        assert b" 408 " in asked(port, *drip, pause=0.1)
        assert b" 413 " in asked(port, head + b"Content-Length: 99999999999\r\n\r\n{")
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n"
        assert b" 413 " in asked(port, chunked + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 6)
        assert b" 400 " in asked(port, head + b"X: " + b"a" * 2**20 + b"\r\n\r\n")
        assert b" 400 " in asked(port, b"nonsense\r\n\r\n")
        assert b" 400 " in asked(port, head + b"Content-Length: -5\r\n\r\n")
        asked(port, head + b"Content-Length: 1000\r\n\r\n{")  # and gone
        assert b" 200 " in asked(port, b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


def test_no_photo_reaches_the_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "_mkstemp_inner", refuse)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    large = photo() + bytes(5 * 2**20)  # what follows the end of a PNG is not looked at
    assert client.post("/v1/detect", files={"photo": large}).status_code == 200
