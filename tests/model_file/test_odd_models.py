"""Model files with odd values behind right hashes (issue 19 B4): one sentence from every command."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from facealike.cli import app
from facealike.detection.registry import default_detector, make_detector
from facealike.errors import DetectorError, ModelError
from facealike.model_file.model_file import ModelFile
from facealike.model_file.store import HOME_VARIABLE
from facealike.model_file.zip_format import pack, sha256, unpack
from facealike.utils.json_fields import to_json
from support.tiny_model import hopper_path, tiny_card, tiny_model_file

DETECTOR = default_detector()
FILE = tiny_model_file(
    align="landmarks", detector_spec=DETECTOR.spec, detector_weights=DETECTOR.weights, card=tiny_card()
)
MANIFEST, MEMBERS = unpack(FILE.to_bytes())
TABLES: dict[str, Any] = {
    "detector": MANIFEST["detector"],
    "preprocessing": MANIFEST["preprocessing"],
    "card": json.loads(MEMBERS["card.json"]),
    "calibration": json.loads(MEMBERS["calibration.json"]),
}
POINT = {
    "fmr": 0.1,
    "threshold": 0.5,
    "fmr_low": 0.0,
    "fmr_high": 0.2,
    "fnmr": 0.1,
    "impostor": 9,
    "band": None,
}
DEEP: Any = 1
for _ in range(400):
    DEEP = {"in": DEEP}
LONG = "x" * 200_000
HUGE = 10**400

ODD: list[tuple[str, str, Any]] = [
    ("detector", "kind", None), ("detector", "kind", ["yunet"]), ("detector", "min_confidence", "0.5"),
    ("detector", "min_confidence", None), ("detector", "min_confidence", 1.5),
    ("detector", "min_confidence", True),
    ("detector", "min_confidence", HUGE), ("detector", "overlap", -0.1), ("detector", "overlap", [0.3]),
    ("detector", "overlap", {}), ("detector", "max_side", 0), ("detector", "max_side", -800),
    ("detector", "max_side", 800.5), ("detector", "max_side", 10**9), ("detector", "max_side", "800"),
    ("detector", "max_side", None), ("detector", "landmark_overlap", "all"),
    ("detector", "landmark_overlap", 2),
    ("detector", "landmark_overlap", None), ("detector", "sha256", 7), ("detector", "sha256", "A" * 64),
    ("detector", "surprise", 1), ("detector", "threads", 10**6),
    ("preprocessing", "size", 513), ("preprocessing", "size", HUGE), ("preprocessing", "size", [32]),
    ("preprocessing", "mean", [1e39, 0, 0]), ("preprocessing", "mean", [HUGE, 0, 0]),
    ("preprocessing", "mean", [[1], 2, 3]), ("preprocessing", "std", [1e-300, 1, 1]),
    ("preprocessing", "std", {"r": 1}), ("preprocessing", "std", [1, 1, -1]),
    ("preprocessing", "align", ["box"]),
    ("preprocessing", "margin", HUGE), ("preprocessing", "context", {}), ("preprocessing", "channels", None),
    ("card", "name", LONG), ("card", "name", 7), ("card", "created", None), ("card", "created", LONG),
    ("card", "licence", {"weights": 7}), ("card", "licence", {"weights": ["MIT"]}),
    ("card", "licence", {"a": None}),
    ("card", "licence", "MIT"), ("card", "metrics", DEEP), ("card", "metrics", {"test": {"f1": HUGE}}),
    ("card", "data", DEEP), ("card", "data", {"people": LONG}), ("card", "recipe", {"name": HUGE}),
    ("card", "provenance", [1]), ("card", "limits", LONG), ("card", "identity_hashes", [7]),
    ("card", "identity_hashes", "abc"), ("card", "licences", {"weights": {"name": 7}}),
    ("card", "licences", {"soul": {"name": "MIT"}}), ("card", "licences", [1]),
    ("calibration", "rule", LONG), ("calibration", "people", LONG), ("calibration", "pairs", HUGE),
    ("calibration", "metrics", {"f1": HUGE}), ("calibration", "metrics", {"f1": [1]}),
    ("calibration", "tail", [[0.5, 0.0]]), ("calibration", "tail", [[0.5, -1]]),
    ("calibration", "tail", [[7, 0.5]]),
    ("calibration", "tail", [[0.5, 0.1], [0.4, 0.05]]), ("calibration", "tail", [[0.4, 0.1], [0.5, 0.2]]),
    ("calibration", "tail", [0.5]), ("calibration", "tail", {"a": 1}),
    ("calibration", "operating_points", [{**POINT, "impostor": HUGE}]),
    ("calibration", "operating_points", [{**POINT, "fmr": HUGE}]), ("calibration", "operating_points", [7]),
    ("calibration", "operating_points", [{**POINT, "band": [1, 0]}]), ("calibration", "band", [HUGE, HUGE]),
    ("calibration", "probability", {"method": "platt", "a": HUGE, "b": 0, "scale": "cosine"}),
    ("calibration", "probability", {"method": "platt", "a": 1e299, "b": 0, "scale": "cosine"}),
    ("calibration", "probability", {"method": "platt", "a": 1, "b": 0, "scale": ["cosine"]}),
    ("calibration", "probability", {"method": ["platt"]}),
    ("calibration", "probability", {"method": "isotonic"}),
    ("calibration", "probability", {"method": "isotonic", "knots": [[0, HUGE]]}),
    ("calibration", "probability", 7),
]  # fmt: skip


def odd_file(table: str, name: str, value: Any) -> bytes:
    """The tiny model with one value replaced, its hashes and its id as they must be."""
    tables = copy.deepcopy(TABLES)
    tables[table][name] = value
    members = {
        **MEMBERS,
        "card.json": json.dumps(tables["card"]).encode(),
        "calibration.json": json.dumps(tables["calibration"]).encode(),
    }
    parts = [sha256(FILE.embedder), tables["preprocessing"], tables["detector"]]
    try:
        own = sha256(to_json(parts, "").encode())[:12]
    except ModelError:
        own = MANIFEST["id"]
    about = {"id": own, "preprocessing": tables["preprocessing"], "detector": tables["detector"]}
    return pack(members, about)


def test_there_are_many_and_the_plain_one_is_read() -> None:
    assert len(ODD) >= 70
    assert ModelFile.from_bytes(odd_file("card", "name", FILE.card.name)) == FILE


@pytest.mark.parametrize(("table", "name", "value"), ODD, ids=lambda value: str(value)[:24])
def test_an_odd_value_is_refused_at_birth(table: str, name: str, value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        ModelFile.from_bytes(odd_file(table, name, value), "odd.facealike")
    sentence = str(caught.value)
    assert sentence.startswith("odd.facealike: ") and "\n" not in sentence and len(sentence) < 400


@pytest.mark.parametrize(
    "rule", ["FMR", "FMR 1.2.3", "FMR --", "FMR e", "FMR 1e9", "FMR 0", "FMR 1e-999", "", "x\ny"]
)
def test_a_rule_is_a_text_that_nobody_has_to_understand(rule: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.facealike"
    path.write_bytes(odd_file("calibration", "rule", rule))
    (tmp_path / "list.csv").write_text(f"file,race,gender,age\n{hopper_path()},A,F,20-29\n")
    run("evaluate", path, "--protocol", "groups", "--groups", tmp_path / "list.csv")
    run("compare", hopper_path(), hopper_path(), "-m", path)


def run(*arguments: object) -> tuple[int, str]:
    """The exit code and what stderr holds; no exception comes through, and no traceback."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (0, 1, 2, 3, 4) and "Traceback" not in done.output
    return done.exit_code, done.stderr


@pytest.mark.parametrize(("table", "name", "value"), ODD[::6], ids=lambda value: str(value)[:24])
def test_every_command_ends_in_one_sentence(
    table: str, name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    path = tmp_path / "home" / "models" / "odd.facealike"
    path.parent.mkdir(parents=True)
    path.write_bytes(odd_file(table, name, value))
    people = tmp_path / "people"
    people.mkdir()
    for arguments in (
        ("compare", hopper_path(), hopper_path(), "-m", path),
        ("detect", hopper_path(), "-m", path),
        ("embed", hopper_path(), "-o", tmp_path / "e.npz", "-m", path),
        ("model", "info", path), ("model", "verify", path), ("models", "list"),
        ("models", "bundle", "odd", "-o", tmp_path / "b.zip"), ("models", "add", path, "--name", "again"),
        ("evaluate", path, people), ("calibrate", path, people, "-o", tmp_path / "c.facealike"),
    ):  # fmt: skip
        code, said = run(*arguments)
        assert code == 2 and said.count("\n") == 1, (arguments[0], said)


@pytest.mark.parametrize("value", [None, "0.5", 7, True, [1], HUGE])
def test_a_detector_is_not_made_from_an_odd_spec(value: Any) -> None:
    for name in ("min_confidence", "overlap", "max_side", "sha256", "kind"):
        with pytest.raises(DetectorError):
            make_detector(
                {**DETECTOR.spec, name: 5 if value == 7 and name == "max_side" else value}, DETECTOR.weights
            )
