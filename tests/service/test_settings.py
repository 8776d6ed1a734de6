"""Settings: options, before the environment, before a file, before defaults; and the example file."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest

from facealike.errors import DataError, UsageError
from facealike.service.log_lines import JsonLines, start_log
from facealike.service.settings import PREFIX, ServiceSettings, read_settings
from support.paths import ROOT
from support.run_command import command
from support.service_app import photo, running

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLE = ROOT / "deploy" / "facealike.toml"
FIELDS = ServiceSettings.model_fields


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*FIELDS, "config"]:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_an_option_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, 'rate = 1\nqueue = 101\nport = 1001\ndata = "~/faces"\ngrace = 3\n')
    monkeypatch.setenv(PREFIX + "RATE", "2")
    monkeypatch.setenv((PREFIX + "queue").lower(), "102")
    found = read_settings(path, rate=3)
    assert (found.rate, found.queue, found.port, found.batch, found.grace) == (3, 102, 1001, 32, 3.0)
    assert found.data == Path.home() / "faces"
    assert read_settings().rate == 2 and read_settings().port == 8000
    monkeypatch.setenv(PREFIX + "CONFIG", str(path))
    assert read_settings().port == 1001 and read_settings(port=5).port == 5
    assert read_settings(written(tmp_path, "port = 7")).port == 7


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rat = 5", "rat is no setting; the settings are batch, body_timeout,"),
        ("[serve]\nrate = 5", "serve is no setting"),
        ('rate = "600"', "rate: a whole number is needed, not '600'"),
        ("rate = true", "rate: a whole number is needed, not True"),
        ("rate = 1.0", "rate: a whole number is needed, not 1.0"),
        ('wait = "soon"', "wait: a number is needed, not 'soon'"),
        ("host = 127", "host: a text in quotes is needed, not 127"),
        ("data = []", "data: a text in quotes is needed, not []"),
        ("port = 70000", "port: input should be less than or equal to 65535, not 70000"),
        ("processes = 65", "processes: input should be less than or equal to 64, not 65"),
        ("processes = -1", "processes: input should be greater than or equal to 0, not -1"),
        ('log = "xml"', "log: input should be 'text', 'json' or 'none', not 'xml'"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_with_file_and_key(
    tmp_path: Path, text: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=re.escape(f"{path}: {named}")):
        read_settings(path)
    code, _, err = command(capsys, "serve", "--config", path)
    assert code == 2 and named in err and err.count("\n") == 1


@pytest.mark.parametrize("content", [b"rate = ", b"\xff", b"a = " + b"[" * 10_000, b"#" * (2**20 + 1), None])
def test_a_file_that_is_no_toml_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="no settings file that can be read"):
        read_settings(path)


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "RATE", "many")
    with pytest.raises(UsageError, match=r"^FACEALIKE_SERVE_RATE: .*'many'"):
        read_settings()
    monkeypatch.setenv(PREFIX + "RATE", "5")
    monkeypatch.setenv(PREFIX + "RATES", "5")
    with pytest.raises(UsageError, match=r"^FACEALIKE_SERVE_RATES: no such setting"):
        read_settings()


def test_the_example_file_loads_and_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    found = read_settings(EXAMPLE)
    assert (found.data, found.log) == (Path("/var/lib/facealike"), "json")
    shown = tomllib.loads(re.sub(r"(?m)^# (?=[a-z_]+ = )", "", text))
    assert set(shown) == set(FIELDS)
    defaults = {name: field.default for name, field in FIELDS.items()}
    assert {**shown, "model": None, "key_file": None, "data": defaults["data"], "log": "text"} == defaults
    assert read_settings(written(tmp_path, text.replace("\n# ", "\n# # "))) == found


def test_keys_are_made_where_the_file_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, f'data = "{tmp_path / "there"}"')
    assert command(capsys, "serve", "keys", "add", "door", "--config", path)[0] == 0
    code, listed, _ = command(capsys, "serve", "keys", "list", "--json", "--config", path)
    assert code == 0 and [one["name"] for one in json.loads(listed)["keys"]] == ["door"]
    assert (tmp_path / "there" / "keys.json").is_file()


def test_lines_of_the_json_log_are_objects_without_biometrics(tmp_path: Path) -> None:
    stream = io.StringIO()
    handler, logger = logging.StreamHandler(stream), logging.getLogger("facealike.service")
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with running(tmp_path) as client:
            client.post("/v1/galleries/x/people", files={"photos": photo()}, data={"person": "Grace"})
            client.delete("/v1/galleries/x/people/Grace")
            logger.error("a request failed: %s", "ValueError", exc_info=ValueError("why"))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    enrolled, forgotten, failed = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert set(enrolled) == {
        "time", "level", "logger", "method", "route", "status", "bytes", "ms", "key"
    }  # fmt: skip
    assert enrolled["route"] == "/v1/galleries/{name}/people" and enrolled["status"] == 200
    assert forgotten["method"] == "DELETE" and "Grace" not in stream.getvalue()
    assert failed["message"] == "a request failed: ValueError" and "why" in failed["trace"]
    assert failed["level"] == "error"


def test_the_log_none_says_nothing_of_requests() -> None:
    level = logging.getLogger("facealike.service").level
    start_log("none")
    assert logging.getLogger("facealike.service").level == level
