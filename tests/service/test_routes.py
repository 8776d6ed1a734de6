"""The operations answer as the library does, in both kinds of body, and errors are problem documents."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from starlette.testclient import TestClient

from facealike import Model, compare, explain, write_new_key
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.imaging.photo_digest import photo_digest
from facealike.plotting.explanation import map_over, scale_of
from facealike.service.model_report import group_rates
from facealike.service.page_routes import PAGE
from support.gallery_templates import template
from support.service_app import photo, png, running, service_model, settings

MODEL = service_model()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with running(tmp_path, MODEL) as found:
        yield found


def base(data: bytes) -> str:
    return base64.b64encode(data).decode()


def problem(response: Any, status: int, error: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == status and told["error"] == error and told["title"]
    assert told["type"] == f"urn:facealike:error:{error}"
    return str(told["detail"])


def test_compare_answers_as_the_library_does_in_multipart_and_json(client: TestClient) -> None:
    a, b = photo(0, 0), photo(0, 1)
    expected = compare(a, b, MODEL, fmr=None, prior=0.3)
    form = client.post("/v1/compare", files={"first": a, "second": b}, data={"prior": "0.3"})
    sent = {"first": base(a), "second": base(b), "prior": 0.3}
    as_json = client.post("/v1/compare", json=sent)
    assert form.status_code == as_json.status_code == 200
    for answer in (form.json(), as_json.json()):
        told = json.loads(json.dumps(expected.to_dict()))
        answer.pop("milliseconds"), told.pop("milliseconds")
        assert answer.pop("sentences") == list(expected.lines())
        assert answer.pop("score") == pytest.approx(told.pop("score"), abs=1e-5)
        assert answer.pop("probability") == pytest.approx(told.pop("probability"), abs=1e-5)
        assert answer.pop("fmr") == pytest.approx(told.pop("fmr"), rel=1e-3)
        assert answer == told


def test_a_face_is_chosen_by_its_number(client: TestClient) -> None:
    files = {"first": photo(0, 0), "second": photo(0, 1)}
    plain = client.post("/v1/compare", files=files).json()
    chosen = client.post("/v1/compare", files=files, data={"first_face": "1", "second_face": "1"}).json()
    assert (chosen["score"], chosen["faces"]) == (pytest.approx(plain["score"], abs=1e-5), plain["faces"])
    missing = client.post("/v1/compare", files=files, data={"second_face": "2"})
    assert problem(missing, 422, "UsageError") == "the second photo: there is no face 2; 1 found"
    both = client.post("/v1/compare", files=files, data={"face": "any", "first_face": "1"})
    assert "not both" in problem(both, 422, "UsageError")


def test_explain_answers_as_the_library_does_in_multipart_and_json(client: TestClient) -> None:
    a, b = photo(0, 0), photo(0, 1)
    expected = json.loads(json.dumps(explain(a, b, MODEL, prior=0.3).to_dict()))
    form = client.post("/v1/explain", files={"first": a, "second": b}, data={"prior": "0.3"})
    as_json = client.post("/v1/explain", json={"first": base(a), "second": base(b), "prior": 0.3})
    compared = client.post("/v1/compare", files={"first": a, "second": b}, data={"prior": "0.3"}).json()
    for answer in (form.json(), as_json.json()):
        assert answer["sentence"] == expected["sentence"] and answer["overlays"] is None
        assert answer["sentences"][1] == expected["sentence"] and "quality" in answer["sentences"][-1]
        assert np.allclose(answer["maps"], expected["maps"], atol=1e-4)
        assert [one["name"] for one in answer["regions"]] == [one["name"] for one in expected["regions"]]
        for side in ("first", "second"):
            falls = [[one[side] for one in each["regions"]] for each in (answer, expected)]
            assert np.allclose(*falls, atol=1e-4)
        assert answer["smallest"] == expected["smallest"] and answer["scale"] >= answer["smallest"]
        assert answer["nearby"] == pytest.approx(expected["nearby"], abs=1e-4)
        assert answer["comparison"].pop("milliseconds")["total"] > 0
        assert {**answer["comparison"], "milliseconds": {}} == {**compared, "milliseconds": {}}
    missing = client.post("/v1/explain", files={"first": a, "second": b}, data={"first_face": "2"})
    assert problem(missing, 422, "UsageError") == "the first photo: there is no face 2; 1 found"
    damaged = client.post("/v1/explain", files={"first": a, "second": b"x"})
    assert problem(damaged, 422, "UnreadableImage").startswith("the second photo: not an image")


def test_the_maps_of_an_explanation_come_as_pictures(client: TestClient) -> None:
    files = {"first": photo(0, 0), "second": photo(0, 1)}
    answer = client.post("/v1/explain", files=files, data={"overlays": "true"}).json()
    expected = explain(files["first"], files["second"], MODEL)
    for each, crop, falls in zip(answer["overlays"], expected.crops, expected.maps, strict=True):
        drawn = np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(each))))
        assert np.abs(drawn.astype(int) - map_over(crop, falls, scale_of(expected))).max() <= 2
    whole = client.post("/v1/explain", files=files, headers={"accept": "image/png"})
    assert whole.headers["content-type"] == "image/png"
    with PillowImage.open(io.BytesIO(whole.content)) as picture:
        assert picture.format == "PNG" and picture.size == expected.picture().size


def test_detect_and_embed(client: TestClient) -> None:
    found = client.post("/v1/detect", files={"photo": photo()}).json()
    assert (found["width"], found["height"], found["found"]) == (64, 64, 1)
    assert found["faces"][0]["face"]["box"] == pytest.approx([12.8, 12.8, 51.2, 51.2])
    assert found["faces"][0]["number"] == 1
    embedded = client.post("/v1/embed", files={"photo": photo()}).json()
    (face,) = embedded["faces"]
    assert np.allclose(face["embedding"], MODEL.embed([photo()])[0], atol=1e-6)
    assert embedded["model"] == MODEL.id and face["number"] == 1


def test_a_person_is_enrolled_identified_verified_and_forgotten(client: TestClient, tmp_path: Path) -> None:
    path = "/v1/galleries/office/people"
    files = [("photos", photo(1, 0)), ("photos", photo(1, 1)), ("photos", b"no photo")]
    enrolled = client.post(path, files=files, data={"person": "Ann Lee/Å"}).json()
    assert (enrolled["added"], enrolled["known"]) == (2, 0)
    assert enrolled["refused"][0]["photo"] == "photo 3" and "not an image" in enrolled["refused"][0]["reason"]
    again = client.post(path, json={"person": "Ann Lee/Å", "photos": [base(photo(1, 0))]}).json()
    assert (again["added"], again["known"]) == (0, 1)
    assert client.get(path).json() == {"people": {"Ann Lee/Å": 2}, "next": None, "total": 1}
    assert client.get("/v1/galleries").json() == {"galleries": ["office"]}
    found = client.post("/v1/galleries/office/identify", files={"photo": photo(1, 0)}).json()
    assert found["candidates"][0]["person"] == "Ann Lee/Å" and found["decision"] == "match"
    assert "source" not in found["candidates"][0]
    body = {"photo": base(photo(1, 0)), "person": "Ann Lee/Å"}
    verified = client.post("/v1/galleries/office/verify", json=body).json()
    assert verified["same"] and verified["templates"] == 2
    assert client.delete(f"{path}/Ann Lee%2FÅ").json() == {"person": "Ann Lee/Å", "removed": 2}
    assert client.get(path).json()["people"] == {}
    raw = b"".join(file.read_bytes() for file in tmp_path.rglob("*.db*"))
    assert b"Ann Lee" not in raw
    assert "no person" in problem(client.delete(f"{path}/Ann"), 404, "ServiceError")
    assert "no person" in problem(client.post("/v1/galleries/office/verify", json=body), 404, "ServiceError")
    entries = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [one["action"] for one in entries] == ["enroll", "enroll", "identify", "verify", "forget"]
    assert "Ann" not in (tmp_path / "audit.jsonl").read_text()


def test_galleries_are_encrypted_with_a_key(tmp_path: Path) -> None:
    write_new_key(tmp_path / "one.key")
    path = "/v1/galleries/office/people"
    with running(tmp_path, key_file=tmp_path / "one.key") as client:
        files = [("photos", photo(0, 0))]
        assert client.post(path, files=files, data={"person": "Zebulon"}).json()["added"] == 1
    assert b"Zebulon" not in (tmp_path / "galleries" / "office.db").read_bytes()
    with running(tmp_path, key_file=tmp_path / "one.key") as client:
        assert client.get(path).json()["people"] == {"Zebulon": 1}


def test_no_photo_that_can_be_enrolled_is_a_problem_and_makes_nobody(client: TestClient) -> None:
    path = "/v1/galleries/office/people"
    response = client.post(path, files=[("photos", b"one"), ("photos", b"two")], data={"person": "Ann"})
    detail = problem(response, 422, "DataError")
    assert "photo 1: not an image" in detail and "photo 2" in detail
    poor = client.post(path, files={"photos": photo()}, data={"person": "Ann", "min_quality": "1"})
    assert "a quality of" in problem(poor, 422, "DataError")
    assert client.get(path).json()["people"] == {}


def filled(folder: Path, people: int) -> str:
    """Fill a gallery with people of one random template each; return the path of its people."""
    (folder / "galleries").mkdir()
    store = SQLiteStore(folder / "galleries" / "large.db", MODEL.id)
    store.add_many([(f"Person {n:04}", template(n)) for n in range(people)])
    store.close()
    return "/v1/galleries/large/people"


def test_people_are_listed_in_pages_the_newest_first(client: TestClient, tmp_path: Path) -> None:
    path = filled(tmp_path, 1201)
    first = client.get(path).json()
    assert list(first["people"]) == [f"Person {n:04}" for n in range(1200, 1100, -1)]
    assert first["total"] == 1201
    found, following = dict(first["people"]), first["next"]
    while following is not None:
        page = client.get(path, params={"limit": 1000, "after": following}).json()
        found, following = {**found, **page["people"]}, page["next"]
    assert list(found) == [f"Person {n:04}" for n in range(1200, -1, -1)]
    assert list(client.get(path, params={"search": "PERSON 00", "limit": 2}).json()["people"]) == [
        "Person 0099", "Person 0098"
    ]  # fmt: skip
    for wrong in ({"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"after": "Ann"}, {"search": "x" * 201}):
        problem(client.get(path, params=wrong), 422, "UsageError")


def test_no_request_reads_all_people(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> dict[str, int]:
        raise AssertionError("all people were read")

    path = filled(tmp_path, 20)
    monkeypatch.setattr(SQLiteStore, "people", refuse)
    assert client.post(path, files={"photos": photo(1)}, data={"person": "Ann"}).json()["added"] == 1
    assert client.post("/v1/galleries/large/identify", files={"photo": photo(1)}).status_code == 200
    body = {"photo": base(photo(1)), "person": "Ann"}
    assert client.post("/v1/galleries/large/verify", json=body).json()["templates"] == 1
    missing = client.post("/v1/galleries/large/verify", json={**body, "person": "Eve"})
    assert problem(missing, 404, "ServiceError") == "no person 'Eve' is enrolled in large"
    assert client.delete(f"{path}/Ann").json()["removed"] == 1
    assert problem(client.delete(f"{path}/Ann"), 404, "ServiceError").startswith("no person 'Ann'")


def test_a_person_without_a_template_is_a_conflict(client: TestClient, tmp_path: Path) -> None:
    path = filled(tmp_path, 1)
    store = SQLiteStore(tmp_path / "galleries" / "large.db", MODEL.id)
    assert store.correct("Person 0000", template(0).digest) == 1
    store.close()
    assert client.get(path).json() == {"people": {"Person 0000": 0}, "next": None, "total": 0}
    body = {"photo": base(photo(1)), "person": "Person 0000"}
    detail = problem(client.post("/v1/galleries/large/verify", json=body), 409, "ServiceError")
    assert detail == "'Person 0000' has no template left in large; enroll a photo first"


def test_photos_are_grouped_by_person_and_nothing_is_kept(client: TestClient, tmp_path: Path) -> None:
    sent = [photo(1, 0), photo(2, 0), b"no photo", photo(1, 1), photo(2, 1)]
    files = [("photos", one) for one in sent]
    vectors = np.stack([MODEL.embed([one])[0] for one in sent if one != b"no photo"])
    scores = np.tril(vectors @ vectors.T, -1)
    alike = sorted(int(i) for i in np.unravel_index(np.argmax(scores), scores.shape))
    data = {"min_quality": "0", "threshold": str(scores.max() - 1e-4)}
    found = client.post("/v1/cluster", files=files, data=data).json()
    assert found["photos"] == 5 and [one["photo"] for one in found["faces"]] == [1, 2, 4, 5]
    people = [one["person"] for one in found["faces"]]
    assert [i for i, person in enumerate(people) if person == 1] == alike
    assert (found["people"], found["single"], sorted(people)) == (3, 2, [1, 1, 2, 3])
    assert [(one["photo"], one["kind"]) for one in found["unused"]] == [(3, "unreadable")]
    assert found["unused"][0]["reason"].startswith("not an image") and "3 people" in found["sentences"][0]
    poor = client.post("/v1/cluster", files=files, data={"min_quality": "1"}).json()
    assert {one["person"] for one in poor["faces"]} == {None} and poor["people"] == 0
    assert not [one for one in tmp_path.rglob("*") if one.is_file() and one.stat().st_size]
    many = [("photos", photo())] * 129
    assert "128" in problem(client.post("/v1/cluster", files=many), 422, "UsageError")
    both = client.post("/v1/cluster", files=files[:1], data={"fmr": "0.1", "threshold": "0.1"})
    assert "not both" in problem(both, 422, "UsageError")


def test_people_of_photos_are_named_from_a_gallery(client: TestClient, tmp_path: Path) -> None:
    for one in (photo(1, 0), photo(1, 1)):
        client.post("/v1/galleries/staff/people", files={"photos": one}, data={"person": "Ann"})
    vectors = np.stack([MODEL.embed([one])[0] for one in (photo(1, 0), photo(2, 0))])
    between = float(vectors[0] @ vectors[1])
    files = [("photos", one) for one in (photo(1, 0), b"no photo", photo(2, 0))]
    data = {"min_quality": "0", "threshold": str(min(0.99, between + 1e-3)), "name_from": "staff"}
    found = client.post("/v1/cluster", files=files, data=data).json()
    assert found["people"] == 2
    person = next(one["person"] for one in found["faces"] if one["photo"] == 1)
    match = next(one for one in found["matches"] if one["person"] == person)
    assert (match["name"], match["enrolled"], match["fpir"]) == ("Ann", "Ann", 0.001)
    assert match["score"] == pytest.approx(1.0, abs=1e-3) and match["score"] >= match["threshold"]
    assert f"{len(found['matches'])} with a name" in found["sentences"][0]
    entry = json.loads((tmp_path / "audit.jsonl").read_text("utf-8").splitlines()[-1])
    assert (entry["action"], entry["gallery"], entry["outcome"]) == ("identify", "staff", "match")
    assert (entry["people"], entry["named"]) == (2, len(found["matches"])) and "Ann" not in str(entry)
    strict = client.post("/v1/cluster", files=files, data={**data, "fpir": "1"})
    assert problem(strict, 422, "UsageError")
    store = SQLiteStore(tmp_path / "galleries" / "staff.db", MODEL.id)
    store.correct("Ann", photo_digest(photo(1, 0)).pixels)
    store.close()
    corrected = client.post("/v1/cluster", files=files, data=data).json()
    assert person not in [one["person"] for one in corrected["matches"]]
    assert client.post("/v1/cluster", files=files, data={"min_quality": "0"}).json()["matches"] == []
    missing = client.post("/v1/cluster", files=files, data={**data, "name_from": "other"})
    assert problem(missing, 404, "ServiceError").startswith("no gallery other")
    assert "name_from" in problem(
        client.post("/v1/cluster", files=files, data={**data, "name_from": "../x"}), 422, "UsageError"
    )


def test_more_faces_than_are_grouped_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.service.cluster_photos.MOST_FACES", 1)
    response = client.post("/v1/cluster", files=[("photos", photo(0)), ("photos", photo(1))])
    assert "send fewer photos" in problem(response, 422, "UsageError")


def test_the_model_says_how_far_to_trust_it(tmp_path: Path) -> None:
    model = Model.load()
    with running(tmp_path, model) as client:
        told = client.get("/v1/model").json()
    card, calibration = model.file.card, model.calibration
    assert told["card"]["intended_use"] == card.intended_use and told["card"]["licence"] == card.licence
    points = {one["fmr"]: one for one in told["operating_points"]}
    assert len(points) == len(calibration.operating_points) and list(points) == sorted(points, reverse=True)
    for point in calibration.operating_points:
        assert points[point.fmr]["fmr_interval"] == [point.fmr_low, point.fmr_high]
        assert points[point.fmr]["fnmr"] == point.fnmr
    assert told["survival"] == [list(one) for one in calibration.tail]
    assert told["groups"]["fmr"] == card.metrics["groups"]["fmr"]
    assert told["calibration_pairs"] == calibration.pairs
    plain = group_rates(replace(card, metrics={"groups": {"data": "x"}}))
    assert plain is None and group_rates(replace(card, metrics={"groups": 3})) is None


NAMES = ["..", "%2e%2e", "..%2f..%2fx", "a/b", "A", "", "x" * 65, "a.db", "a%00", "con:", "a%0a"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_nowhere_but_to_a_gallery(client: TestClient, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    response = client.post(f"/v1/galleries/{name}/people", files={"photos": photo()}, data={"person": "A"})
    assert response.status_code in (404, 405, 422)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/v1/compare", {"first": "???", "second": "AAAA"}, 422, "base64"),
        ("/v1/compare", {"first": "AAAA"}, 422, "second"),
        ("/v1/compare", {"first": "AAAA", "second": "AAAA", "x": 1}, 422, "x"),
        ("/v1/compare", {"first": "AAAA", "second": "AAAA", "fmr": 0.1, "threshold": 0.1}, 422, "not both"),
        ("/v1/compare", {"first": "AAAA", "second": "AAAA", "prior": 1}, 422, "prior"),
        ("/v1/compare", {"first": "AAAA", "second": "AAAA", "face": "all"}, 422, "face"),
        ("/v1/compare", [], 422, "the body"),
        ("/v1/detect", {"photo": ""}, 422, "photo"),
        ("/v1/galleries/x/identify", {"photo": "AAAA", "top": 0}, 422, "top"),
        ("/v1/galleries/x/people", {"photos": [], "person": "A"}, 422, "photos"),
        ("/v1/galleries/x/people", {"photos": ["AAAA"] * 17, "person": "A"}, 422, "photos"),
        ("/v1/galleries/x/people", {"photos": ["AAAA"], "person": "a\u0000"}, 422, "person"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_valid(client: TestClient, path: str, body: Any, status: int, word: str) -> None:
    response = client.post(path, json=body)
    assert word in problem(response, status, "UsageError")
    assert '"input"' not in response.text, "what was sent does not come back"


def test_further_refusals(client: TestClient) -> None:
    assert "multipart" in problem(client.post("/v1/detect", content=b"x"), 415, "ServiceError")
    response = client.post("/v1/detect", content=b"{", headers={"content-type": "application/json"})
    assert "not JSON" in problem(response, 422, "UsageError")
    kind = {"content-type": "multipart/form-data"}
    assert "multipart" in problem(client.post("/v1/detect", content=b"x", headers=kind), 422, "UsageError")
    twice = [("photo", photo()), ("photo", photo())]
    assert "more than once" in problem(client.post("/v1/detect", files=twice), 422, "UsageError")
    assert "no gallery" in problem(client.get("/v1/galleries/none/people"), 404, "ServiceError")
    problem(client.get("/nothing"), 404, "ServiceError")
    problem(client.get("/v1/compare"), 405, "ServiceError")
    low = client.post("/v1/compare", files={"first": photo(), "second": photo()}, data={"fmr": "1e-9"})
    problem(low, 422, "UsageError")


def test_limits_on_bytes_pixels_and_bytes_in_work(tmp_path: Path) -> None:
    with running(tmp_path, MODEL, max_bytes=20_000, max_pixels=10_000) as client:
        problem(client.post("/v1/detect", files={"photo": bytes(30_000)}), 413, "ServiceError")

        def chunks() -> Iterator[bytes]:
            yield from [b"x" * 5000] * 5

        kind = {"content-type": "application/json"}
        problem(client.post("/v1/detect", content=chunks(), headers=kind), 413, "ServiceError")
        large = png(np.zeros((101, 100, 3), np.uint8))
        assert "megapixels" in problem(
            client.post("/v1/detect", files={"photo": large}), 413, "ImageTooLarge"
        )
        assert client.app.state.resources.uploads.held == 0  # type: ignore[attr-defined]
        client.app.state.resources.uploads.held = 10**9  # type: ignore[attr-defined]
        busy = client.post("/v1/detect", files={"photo": photo()})
        problem(busy, 503, "ServiceError")
        assert busy.headers["retry-after"] == "1"


def test_health_model_metrics_page_and_documentation(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    told = client.get("/v1/model").json()
    assert told["id"] == MODEL.id and told["limits"]["photos"] == 16 and told["key_required"] is False
    client.post("/v1/detect", files={"photo": photo()})
    client.delete("/v1/galleries/secret/people/Ann")
    text = client.get("/metrics").text
    assert 'facealike_requests_total{method="POST",route="/v1/detect",status="200"} 1.0' in text
    assert "Ann" not in text and "secret" not in text
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
    for file in PAGE.iterdir():
        served = client.get(f"/page/{file.name}")
        assert served.content == file.read_bytes() and served.headers["x-content-type-options"] == "nosniff"
    problem(client.get("/page/..%2fserver.py"), 404, "ServiceError")


def test_the_page_is_small_and_needs_nothing_else() -> None:
    files = list(PAGE.iterdir())
    assert sum(file.stat().st_size for file in files) <= 200 * 1024
    for file in files:
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "innerHTML" not in text
        assert " style=" not in text and "onclick" not in text, "the Content-Security-Policy forbids both"


def test_the_openapi_document_describes_every_route_with_an_example(client: TestClient) -> None:
    api = client.get("/openapi.json").json()
    posts = [path for path, methods in api["paths"].items() if "post" in methods]
    assert len(posts) == 8
    for path in posts:
        operation = api["paths"][path]["post"]
        content = operation["requestBody"]["content"]
        assert set(content) == {"multipart/form-data", "application/json"}
        assert content["application/json"]["example"]
        assert {"200", "401", "403", "413", "422", "429", "503"} <= set(operation["responses"])


def test_the_settings_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEALIKE_SERVE_PORT", "8125")
    assert settings(tmp_path).port == 8125 and settings(tmp_path, port=9).port == 9
