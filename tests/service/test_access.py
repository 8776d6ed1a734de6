"""Keys, scopes and websites: every route of the application with every kind of key."""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from facealike.errors import DataError, UsageError
from facealike.service import gallery_routes, page_routes, photo_routes
from facealike.service.access import OPEN, scope_of
from facealike.service.api_keys import NO_HASH, SCOPES, KeyFile, allows
from facealike.service.rate_limit import RateLimit
from facealike.service.server import check_address, listen
from support.service_app import LOCAL, photo, running, service_model, settings

MODEL = service_model()
ROUTES = [
    route
    for module in (page_routes, photo_routes, gallery_routes)
    for route in module.router.routes
    if isinstance(route, APIRoute)
]
IDS = [f"{min(route.methods)} {route.path}" for route in ROUTES]
NEEDED = {
    "DELETE /v1/galleries/{name}/people/{person:path}": "admin",
    "POST /v1/galleries/{name}/people": "enroll",
}
"""Routes that need more than the scope read."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """A service with a key of each scope, and one that is revoked."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = KeyFile(folder / "keys.json")
    made: dict[str, str] = {scope: keys.add(scope, scope).key for scope in SCOPES}
    revoked = keys.add("revoked", "admin")
    keys.revoke(revoked.record.id)
    with running(folder, MODEL, rate=0) as client:
        yield client, {**made, "revoked": revoked.key}


def ask(client: TestClient, route: APIRoute, header: str | None) -> int:
    path = route.path.replace("{name}", "office").replace("{person:path}", "Ann")
    headers = {} if header is None else {"Authorization": header}
    return client.request(min(route.methods), path, headers=headers).status_code


def test_the_application_has_no_other_routes(guarded: tuple[TestClient, dict[str, str]]) -> None:
    """Whatever is added to it is in one of the modules, and in the tables below."""
    api: Any = guarded[0].app
    paths = set(api.openapi()["paths"])
    assert paths == {r.path.replace(":path", "") for r in ROUTES if r.include_in_schema}
    outside = [r.path for r in api.routes if getattr(r, "path", None) and not isinstance(r, APIRoute)]
    assert not [path for path in outside if path], outside


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_every_route_states_its_scope(route: APIRoute) -> None:
    expected = None if route.path in OPEN else NEEDED.get(f"{min(route.methods)} {route.path}", "read")
    assert scope_of(route) == expected


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_every_route_with_every_key(route: APIRoute, guarded: tuple[TestClient, dict[str, str]]) -> None:
    client, keys = guarded
    needed = scope_of(route)
    number = keys["admin"].split("_")[1]
    wrong = [
        None, "", "Bearer", "Bearer ", f"Bearer {'x' * 60}", f"Bearer {keys['revoked']}",
        f"Bearer fa_{number}_{'A' * 43}", f"Bearer fa_{'0' * 12}_{keys['admin'].split('_', 2)[2]}",
        f"Bearer {keys['admin']}x", f"Bearer {keys['admin'][:-1]}", keys["admin"], "Basic ???",
        "Basic " + base64.b64encode(b"user").decode(), "Digest x", f"Bearer {NO_HASH}",
    ]  # fmt: skip
    if needed is None:
        assert all(ask(client, route, header) == 200 for header in wrong)
        return
    assert {ask(client, route, header) for header in wrong} == {401}
    for scope in SCOPES:
        basic = "Basic " + base64.b64encode(f"anyone:{keys[scope]}".encode()).decode()
        for header in (f"Bearer {keys[scope]}", basic):
            status = ask(client, route, header)
            assert (status == 403) is not allows(scope, needed), (scope, status)
            assert status != 401 and status < 500


def test_a_browser_is_asked_for_a_password_and_a_program_for_a_token(
    guarded: tuple[TestClient, dict[str, str]],
) -> None:
    client, _ = guarded
    page = client.get("/", headers={"accept": "text/html,*/*"})
    assert page.headers["www-authenticate"].startswith("Basic ")
    assert client.get("/v1/model").headers["www-authenticate"] == "Bearer"


def test_a_revoked_key_is_refused_at_once_and_the_service_never_falls_open(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    with running(tmp_path, MODEL) as client:
        assert client.get("/v1/model").status_code == 200
        made = keys.add("one", "read")
        headers = {"Authorization": f"Bearer {made.key}"}
        assert client.get("/v1/model").status_code == 401
        assert client.get("/v1/model", headers=headers).status_code == 200
        keys.revoke(made.record.id)
        assert client.get("/v1/model", headers=headers).status_code == 401
        assert client.get("/v1/model").status_code == 401
        keys.path.unlink()
        assert client.get("/v1/model").status_code == 401, "nor where the file is removed"
        assert client.get("/readyz").status_code == 200
        keys.path.write_text("{")
        assert client.get("/readyz").status_code == 503 and client.get("/v1/model").status_code == 503


def test_a_key_is_kept_as_a_hash_and_shown_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = KeyFile(path).add("door", "enroll")
    text = path.read_text()
    assert made.key not in text and made.key.split("_", 2)[2] not in text
    assert path.stat().st_mode & 0o077 == 0
    assert "sha256" not in json.dumps(made.record.to_dict())
    assert KeyFile(path).check(made.key) == made.record
    assert KeyFile(path).check(made.key.upper()) is None and KeyFile(path).check("\udcff") is None


def test_a_check_makes_one_comparison_in_constant_time_whatever_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import facealike.service.api_keys as module

    keys = KeyFile(tmp_path / "keys.json")
    made = keys.add("one", "read")
    compared, hashed = [], []
    monkeypatch.setattr(
        module.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b
    )  # fmt: skip
    real = module._hash
    monkeypatch.setattr(module, "_hash", lambda text: hashed.append(text) or real(text))
    for key in (made.key, f"fa_{'0' * 12}_{'A' * 43}", "nonsense", "", made.key[:-1]):
        keys.check(key)
    assert len(compared) == len(hashed) == 5
    assert all(len(a) == len(b) == 64 for a, b in compared)


def test_a_check_takes_as_long_for_a_valid_key_as_for_another(tmp_path: Path) -> None:
    """benchmarks/speed/key_checks.py measures it; here a difference that a network would show fails."""
    keys = KeyFile(tmp_path / "keys.json")
    valid, revoked = keys.add("one", "read").key, keys.add("two", "read")
    keys.revoke(revoked.record.id)
    asked = [valid, revoked.key, valid[:-8] + "A" * 8, f"fa_{'0' * 12}_{valid.split('_', 2)[2]}"]
    times: list[list[int]] = [[] for _ in asked]
    for number in range(2000):  # in turns, so that what else the machine does meets all of them
        for kind in range(number % 4 - 4, number % 4):
            start = time.perf_counter_ns()
            keys.check(asked[kind])
            times[kind].append(time.perf_counter_ns() - start)
    medians = [statistics.median(one) for one in times]
    assert max(medians) < 1.25 * min(medians), medians


def test_a_damaged_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = KeyFile(path).add("one", "admin")
    for text in ("", "{", "{}", '{"keys": [{"id": "x"}]}', path.read_text().replace("admin", "root")):
        path.write_text(text)
        with pytest.raises(DataError, match="no file of API keys"):
            KeyFile(path).check(made.key)
        with running(tmp_path, MODEL) as client:
            refused = client.get("/v1/model")
            assert refused.status_code == 503 and "restore a copy" in refused.json()["detail"]
            assert str(tmp_path) not in refused.text
            assert client.get("/readyz").json()["reason"] == refused.json()["detail"]
            assert client.get("/healthz").status_code == 200


def test_names_of_keys(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    for name in ("", " ", "x" * 101, "a\nb"):
        with pytest.raises(UsageError, match="a key needs a name"):
            keys.add(name, "read")
    with pytest.raises(DataError, match="no such key"):
        keys.revoke("none")


def test_another_address_needs_a_key(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", ""):
        with pytest.raises(UsageError, match="there is no key yet"):
            check_address(settings(tmp_path, host=host))
    for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        check_address(settings(tmp_path, host=host))
    made = KeyFile(tmp_path / "keys.json").add("one", "read")
    check_address(settings(tmp_path, host="0.0.0.0"))
    KeyFile(tmp_path / "keys.json").revoke(made.record.id)
    with pytest.raises(UsageError, match="there is no key yet"):
        check_address(settings(tmp_path, host="0.0.0.0"))


def test_an_address_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    with listen(settings(tmp_path, port=0)) as taken, pytest.raises(UsageError, match="cannot listen there"):
        listen(settings(tmp_path, port=taken.getsockname()[1]))
    with pytest.raises(UsageError, match="cannot listen there"):
        listen(settings(tmp_path, host="192.0.2.1", port=0))


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": LOCAL}, True),
        ({"origin": LOCAL, "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"host": "evil.example"}, False),
        ({"host": "127.0.0.1.evil.example"}, False),
        ({"host": "localhost:8000"}, True),
        ({"host": "[::1]:8000"}, True),
        ({"host": "[broken"}, False),
    ],
)
def test_other_websites_are_refused(tmp_path: Path, headers: dict[str, str], allowed: bool) -> None:
    with running(tmp_path, MODEL) as client:
        response = client.post("/v1/detect", files={"photo": photo()}, headers=headers)
    assert response.status_code == (200 if allowed else 403)
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_a_key_has_a_rate(tmp_path: Path) -> None:
    made = KeyFile(tmp_path / "keys.json").add("one", "read")
    headers = {"Authorization": f"Bearer {made.key}"}
    with running(tmp_path, MODEL, rate=12) as client:
        found = [client.get("/v1/model", headers=headers) for _ in range(4)]
    assert [response.status_code for response in found] == [200, 200, 429, 429]
    assert 1 <= int(found[-1].headers["retry-after"]) <= 5


def test_a_rate_recovers_and_callers_do_not_share_it() -> None:
    now = [0.0]
    limit = RateLimit(60, lambda: now[0])
    assert [limit.wait("a") for _ in range(11)] == [0.0] * 10 + [1.0]
    assert limit.wait("b") == 0
    now[0] = 0.5
    assert limit.wait("a") == pytest.approx(0.5)
    now[0] = 1.0
    assert limit.wait("a") == 0 and limit.wait("a") == pytest.approx(1.0)
    assert not any(RateLimit(0).wait("a") for _ in range(1000))
