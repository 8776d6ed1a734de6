"""Requests that schemathesis makes from the OpenAPI document, sent to a service in this process."""

from __future__ import annotations

import base64
import contextlib
from collections import Counter
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from starlette.testclient import TestClient

from support.service_app import photo

PHOTO = photo()
PHOTOS = ("photo", "photos", "first", "second")
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def send_cases(client: TestClient, cases: int, number: int = 0) -> Counter[int]:
    """Send about ``cases`` requests in all, as many for each operation, valid ones and others.

    Returns:
        How many requests got each status.

    Raises:
        AssertionError: One got 5xx, or something else than JSON or a problem document.
    """
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    statuses: Counter[int] = Counter()
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    each = max(1, cases // (len(operations) * len(modes)))
    for operation in operations:
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)
            with contextlib.suppress(Unsatisfiable):  # nothing to vary: a GET without parameters
                _run(client, strategy, mode, each, number, statuses)
    return statuses


def _with_photos(case: Any) -> None:
    """Put real photos in the place of random bytes, so that a valid request is answered."""
    in_json = case.media_type == "application/json"
    for name in PHOTOS:
        if isinstance(case.body, dict) and name in case.body:
            data = base64.b64encode(PHOTO).decode() if in_json else PHOTO
            case.body[name] = [data] if name == "photos" else data


def _run(
    client: TestClient, strategy: Any, mode: GenerationMode, count: int, number: int, statuses: Counter[int]
) -> None:  # fmt: skip
    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=QUIET,
        phases=[Phase.generate], verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(case=strategy)
    def send(case: Any) -> None:
        if mode == GenerationMode.POSITIVE and sum(statuses.values()) % 2:
            _with_photos(case)
        made = requests.Request(**case.as_transport_kwargs(str(client.base_url))).prepare()
        headers = {name: value for name, value in made.headers.items() if name.lower() != "content-length"}
        answer = client.request(made.method, made.url, headers=headers, content=made.body)
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, (made.method, made.url, headers, made.body, answer.text)
        kind = answer.headers["content-type"]
        assert kind.startswith(("application/json", "application/problem+json", "text/plain")), kind

    send()
