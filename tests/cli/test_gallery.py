"""``facealike gallery``: what it prints, and its exit codes, on real photos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from support.run_command import command
from support.tiny_model import hopper_path


def test_a_person_is_enrolled_identified_and_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery, missing = tmp_path / "people.db", tmp_path / "missing.jpg"
    code, out, err = command(capsys, "gallery", "identify", gallery, hopper_path())
    assert (code, out) == (2, "") and "no such gallery" in err
    code, out, _ = command(capsys, "gallery", "enroll", gallery, "Grace Hopper", hopper_path(), missing)
    assert code == 0 and out.splitlines()[0] == "Grace Hopper: 1 added, 1 refused"
    assert out.count("missing.jpg") == 1
    mirrored = tmp_path / "mirrored.png"
    Image.open(hopper_path()).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    code, out, _ = command(capsys, "gallery", "identify", gallery, mirrored)
    assert code == 0 and "mirrored.png: match; Grace Hopper" in out and "FPIR of 0.01 with 1 template" in out
    code, out, _ = command(capsys, "gallery", "list", gallery, "--json")
    assert code == 0 and json.loads(out) == {"people": {"Grace Hopper": 1}}
    code, out, _ = command(capsys, "gallery", "forget", gallery, "Grace Hopper", "--json")
    assert code == 0 and json.loads(out) == {"person": "Grace Hopper", "removed": 1}
    assert command(capsys, "gallery", "forget", gallery, "Grace Hopper")[0] == 2
    code, out, _ = command(capsys, "gallery", "identify", gallery, mirrored, "--json")
    assert code == 1 and json.loads(out)["decision"] == "unknown" and json.loads(out)["candidates"] == []


def test_a_photo_without_a_face_has_its_own_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery, white = tmp_path / "people.db", tmp_path / "white.png"
    Image.new("RGB", (200, 200), "white").save(white)
    assert command(capsys, "gallery", "enroll", gallery, "Ann", white)[0] == 2
    assert command(capsys, "gallery", "enroll", gallery, "Ann", hopper_path(), "--json")[0] == 0
    assert command(capsys, "gallery", "identify", gallery, white)[0] == 3
