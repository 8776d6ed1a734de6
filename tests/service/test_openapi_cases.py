"""Requests made from the OpenAPI document get no 5xx; benchmarks/tests/service_cases.py sends 5,000."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.service_app import running, service_model


def test_no_request_of_the_document_gets_a_5xx(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    from support.openapi_cases import send_cases

    with running(tmp_path, service_model()) as client:
        statuses = send_cases(client, 200)
    assert sum(statuses.values()) > 100
    assert statuses[200] > 20 and statuses[422] > 20, statuses
