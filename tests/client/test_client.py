"""The client against a service in this process: typed answers, and errors of the library's own classes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from facealike import (
    DataError,
    ImageNotFound,
    ImageTooLarge,
    ServiceError,
    UnreadableImage,
    UsageError,
)
from facealike.client import Client, Compared
from facealike.service.api_keys import KeyFile
from support.service_app import LOCAL, photo, running, service_model

MODEL = service_model()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with running(tmp_path, MODEL, max_bytes=100_000) as service, Client(LOCAL) as made:
        made._http = service  # type: ignore[assignment]  # an httpx client of the application
        yield made


def test_every_operation(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(photo(1, 0))
    compared = client.compare(path, photo(1, 0), prior=0.2)
    assert isinstance(compared, Compared) and compared and compared.verdict == "same"
    assert compared.prior == 0.2 and compared.score == pytest.approx(1, abs=1e-5)
    explained = client.explain(path, photo(1, 0), overlays=True)
    assert explained.comparison.verdict == "same" and explained.sentence
    assert explained.overlays is not None and explained.overlays[0].startswith(b"\x89PNG")
    assert client.detect(path).faces[0].quality is not None
    assert len(client.embed(str(path)).faces[0].embedding) == 16
    assert client.model().id == MODEL.id
    enrolled = client.enroll("office", "Ann", [path, photo(1, 1)])
    assert enrolled.added == 2 and client.people("office") == {"Ann": 2} and client.galleries() == ["office"]
    assert client.identify("office", path, top=1).decision == "match"
    assert client.verify("office", path, "Ann").same
    assert client.forget("office", "Ann").removed == 2


def test_people_are_asked_for_page_by_page_as_they_are_needed(client: Client) -> None:
    for n in range(7):
        client.enroll("office", f"Person {n}", photo(n))
    asked: list[str] = []
    client._http.event_hooks["request"].append(lambda request: asked.append(request.url.query.decode()))
    people = client.each_person("office", page=3)
    assert not asked and next(people) == ("Person 6", 1) and len(asked) == 1
    assert [name for name, _ in people] == [f"Person {n}" for n in range(5, -1, -1)] and len(asked) == 3
    assert list(client.each_person("office", "N 4")) == [("Person 4", 1)]
    assert len(client.people("office")) == 7


def test_errors_are_those_of_the_library(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match=r"none\.jpg: no such file"):
        client.detect(tmp_path / "none.jpg")
    with pytest.raises(UnreadableImage, match="cannot be read"):
        client.detect(tmp_path)
    with pytest.raises(UnreadableImage, match="the photo: not an image"):
        client.detect(b"no photo")
    with pytest.raises(UsageError, match="face"):
        client.detect(photo(), face="best")
    with pytest.raises(DataError, match="no photo can be enrolled"):
        client.enroll("office", "Ann", b"no photo")
    with pytest.raises(ServiceError, match="no gallery none") as missing:
        client.people("none")
    assert missing.value.status == 404 and missing.value.retry_after is None
    with pytest.raises(ServiceError, match="MiB") as large:
        client.detect(bytes(200_000))
    assert large.value.status == 413 and not isinstance(large.value, ImageTooLarge)


def test_a_key_and_its_refusal(tmp_path: Path) -> None:
    made = KeyFile(tmp_path / "keys.json").add("one", "read")
    with running(tmp_path, MODEL, rate=1) as service:

        def answer(request: httpx.Request) -> httpx.Response:
            found = service.request(request.method, request.url.path, headers=dict(request.headers))
            return httpx.Response(found.status_code, headers=found.headers, content=found.content)

        transport = httpx.MockTransport(answer)
        with pytest.raises(ServiceError, match="a valid key is needed") as refused:
            Client(LOCAL, transport=transport).model()
        assert refused.value.status == 401
        start = time.monotonic()
        with Client(LOCAL, made.key, transport=transport) as client:
            assert client.model().key_required
            with pytest.raises(ServiceError, match="too many") as early:
                client.model()
        passed = time.monotonic() - start  # at least what passed between the two requests
        assert early.value.status == 429 and early.value.retry_after is not None
        assert 60 - passed <= early.value.retry_after <= 60


def test_something_else_at_the_address() -> None:
    html = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
    with pytest.raises(ServiceError, match="not an answer of facealike"):
        Client(LOCAL, transport=html).model()
    broken = httpx.MockTransport(lambda _: httpx.Response(502, text="<html>"))
    with pytest.raises(ServiceError, match="HTTP 502"):
        Client(LOCAL, transport=broken).model()
    with pytest.raises(ServiceError, match="no answer"):
        Client("http://127.0.0.1:9").model()
