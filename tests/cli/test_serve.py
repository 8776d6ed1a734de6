"""``facealike serve`` refuses before it loads a model; ``serve keys`` makes, lists and revokes keys."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from facealike.service.api_keys import KeyFile
from support.run_command import command


def test_keys_are_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--data", tmp_path)
    code, key, _ = command(capsys, "serve", "keys", "add", "door", "--scope", "enroll", *where)
    assert code == 0 and key.startswith("fa_")
    file = KeyFile(tmp_path / "keys.json")
    record = file.check(key.strip())
    assert record is not None and record.scope == "enroll"
    _, told, _ = command(capsys, "serve", "keys", "add", "other", "--json", *where)
    assert file.check(json.loads(told)["key"]) is not None and json.loads(told)["scope"] == "read"
    code, table, _ = command(capsys, "serve", "keys", "list", *where)
    assert code == 0 and "door" in table and key.strip() not in table and record.sha256 not in table
    assert command(capsys, "serve", "keys", "revoke", record.id, *where)[0] == 0
    assert file.check(key.strip()) is None
    _, listed, _ = command(capsys, "serve", "keys", "list", "--json", *where)
    assert [bool(one["revoked"]) for one in json.loads(listed)["keys"]] == [True, False]
    code, _, err = command(capsys, "serve", "keys", "revoke", "none", *where)
    assert code == 2 and "no such key" in err


def test_another_address_without_a_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "serve", "--host", "0.0.0.0", "--data", tmp_path)
    assert code == 2 and "no key yet" in err and err.count("\n") == 1


def test_a_port_that_is_taken_and_settings_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = command(capsys, "serve", "--port", port, "--data", tmp_path)
    assert code == 2 and "cannot listen there" in err
    code, _, err = command(capsys, "serve", "--port", 70000, "--data", tmp_path)
    assert code == 2 and err.startswith("facealike: port: ") and "70000" in err
    monkeypatch.setenv("FACEALIKE_SERVE_QUEUE", "few")
    code, _, err = command(capsys, "serve", "--data", tmp_path)
    assert code == 2 and "FACEALIKE_SERVE_QUEUE" in err
