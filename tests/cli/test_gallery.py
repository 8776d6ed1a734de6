"""``facealike gallery``: what it prints, and its exit codes, on real photos."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from PIL import Image

from support.gallery_stores import new_place
from support.run_command import command
from support.tiny_model import hopper_path, tiny_model_file


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


def test_a_person_is_verified_corrected_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = tmp_path / "people.db"
    command(capsys, "gallery", "enroll", gallery, "Grace Hopper", hopper_path())
    code, out, _ = command(capsys, "gallery", "verify", gallery, hopper_path(), "Grace Hopper")
    assert code == 0 and out.startswith("same person (match probability ")
    assert "Grace Hopper: the only template: " in out and out.splitlines()[-1].startswith("model ")
    code, out, _ = command(capsys, "gallery", "verify", gallery, hopper_path(), "Grace Hopper", "--json")
    told = json.loads(out)
    assert code == 0 and told["verdict"] == "same" and told["templates"] == 1 and not told["corrected"]
    assert command(capsys, "gallery", "verify", gallery, hopper_path(), "Nobody")[0] == 2
    mirrored = tmp_path / "mirrored.png"
    Image.open(hopper_path()).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    code, out, _ = command(capsys, "gallery", "correct", gallery, mirrored, "--not-person", "Grace Hopper")
    assert code == 0 and out == f"{mirrored}: not Grace Hopper; 0 templates removed\n"
    code, out, _ = command(capsys, "gallery", "verify", gallery, mirrored, "Grace Hopper", "-t", "-1")
    assert code == 1 and out.startswith("different people (by a correction")
    code, out, _ = command(capsys, "gallery", "info", gallery, "--json")
    told = json.loads(out)
    assert code == 0 and (told["people"], told["templates"], told["corrections"]) == (1, 1, 1)
    code, out, _ = command(capsys, "gallery", "info", gallery)
    assert code == 0 and "people: 1" in out.splitlines() and f"model: {told['model']}" in out.splitlines()
    code, out, _ = command(capsys, "gallery", "check", gallery)
    assert code == 0 and out.endswith("people.db: whole; 1 person, 1 template\n")
    with sqlite3.connect(gallery) as db:
        db.execute("UPDATE templates SET digest = 'x'")
    db.close()
    code, out, _ = command(capsys, "gallery", "check", gallery, "--json")
    assert code == 1 and not json.loads(out)["whole"] and len(json.loads(out)["problems"]) == 1


def test_a_gallery_on_a_server_is_named_by_its_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = new_place("postgresql", tmp_path).replace("postgres@", "postgres:sEcret@")
    code, out, err = command(capsys, "gallery", "identify", url, hopper_path())
    assert code == 2 and "no such gallery; facealike gallery enroll makes one" in err and "sEcret" not in err
    people = tmp_path / "people" / "Grace Hopper"
    people.mkdir(parents=True)
    shutil.copy(hopper_path(), people / "one.jpg")
    code, out, err = command(capsys, "embed", people.parent, "--to", url, "--strict")
    assert code == 2 and "leave out --strict" in err and "sEcret" not in err
    code, out, _ = command(capsys, "embed", people.parent, "--to", url)
    assert code == 0 and "1 added" in out
    assert command(capsys, "gallery", "enroll", url, "Grace Hopper", hopper_path())[1].endswith(
        "1 known already\n"
    )
    code, out, _ = command(capsys, "gallery", "identify", url, hopper_path())
    assert code == 0 and "match; Grace Hopper" in out
    code, out, _ = command(capsys, "gallery", "info", url)
    assert code == 0 and "gallery: postgresql://postgres@/postgres?gallery=" in out and "sEcret" not in out
    code, out, _ = command(capsys, "gallery", "check", url)
    assert code == 0 and "whole; 1 person, 1 template" in out and "sEcret" not in out
    assert command(capsys, "gallery", "export", url, "-o", tmp_path / "people.jsonl")[0] == 0
    assert command(capsys, "gallery", "import", tmp_path / "copy.db", tmp_path / "people.jsonl")[0] == 0
    code, out, _ = command(capsys, "gallery", "forget", url, "Grace Hopper")
    assert code == 0 and out == "Grace Hopper: forgotten, 1 template removed\n"
    code, _, err = command(capsys, "gallery", "list", "postgresql://ann:sEcret@127.0.0.1:1/db")
    assert code == 2 and "Connection refused" in err and "sEcret" not in err


def test_a_gallery_is_compacted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery = tmp_path / "people.db"
    command(capsys, "gallery", "enroll", gallery, "Grace Hopper", hopper_path())
    code, out, _ = command(capsys, "gallery", "compact", gallery)
    assert code == 0 and out.endswith("bytes freed\n")
    assert command(capsys, "gallery", "compact", gallery, "--json")[0] == 0
    assert command(capsys, "gallery", "compact", tmp_path / "none.db")[0] == 2


def test_a_gallery_is_exported_and_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery, out_file, copy = tmp_path / "people.db", tmp_path / "people.jsonl", tmp_path / "copy.db"
    command(capsys, "gallery", "enroll", gallery, "Grace Hopper", hopper_path())
    code, _, err = command(capsys, "gallery", "export", gallery, "-o", gallery)
    assert code == 2 and "the gallery itself" in err
    code, out, _ = command(capsys, "gallery", "export", gallery, "-o", out_file, "--json")
    assert code == 0 and json.loads(out)["templates"] == 1
    code, out, _ = command(capsys, "gallery", "import", copy, out_file)
    assert code == 0 and out.endswith("people.jsonl: 1 person, 1 template and 0 corrections added\n")
    code, out, _ = command(capsys, "gallery", "import", copy, out_file, "--json")
    assert code == 0 and json.loads(out)["known"] == 1 and json.loads(out)["templates"] == 0
    tiny = tmp_path / "tiny.facealike"
    tiny_model_file().write(tiny)
    code, _, err = command(capsys, "gallery", "import", tmp_path / "tiny.db", out_file, "-m", tiny)
    assert code == 2 and "embeddings of the model" in err


def test_a_folder_of_people_is_enrolled_or_searched_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEALIKE_HOME", str(tmp_path / "home"))
    people, gallery = tmp_path / "people", tmp_path / "people.db"
    (people / "Grace").mkdir(parents=True)
    Image.open(hopper_path()).save(people / "Grace" / "1.png")
    (people / "Grace" / "broken.png").write_bytes(b"nothing")
    code, out, _ = command(capsys, "gallery", "enroll", gallery, "--from", people)
    assert (
        code == 0 and out.splitlines()[0] == "1 person: 1 added, 1 refused" and out.count("broken.png") == 1
    )
    code, out, _ = command(capsys, "gallery", "enroll", gallery, "--from", people, "--json")
    assert code == 0 and (json.loads(out)["added"], json.loads(out)["known"]) == (0, 1)
    for wrong in (["Ann", "--from", people], [], ["Ann"]):
        assert command(capsys, "gallery", "enroll", gallery, *wrong)[0] == 2
    code, out, err = command(capsys, "identify", hopper_path(), people)
    assert code == 0 and "match; Grace 1.000" in out and "not enrolled: " in err and "broken.png" in err
    code, out, err = command(capsys, "identify", hopper_path(), people, "--json")
    assert code == 0 and json.loads(out)["decision"] == "match" and err == ""
    (people / "Grace" / "1.png").write_bytes(b"nothing")
    code, _, err = command(capsys, "gallery", "enroll", tmp_path / "none.db", "--from", people)
    assert code == 2 and "no photo could be enrolled" in err


def test_a_photo_without_a_face_has_its_own_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery, white = tmp_path / "people.db", tmp_path / "white.png"
    Image.new("RGB", (200, 200), "white").save(white)
    assert command(capsys, "gallery", "enroll", gallery, "Ann", white)[0] == 2
    assert command(capsys, "gallery", "enroll", gallery, "Ann", hopper_path(), "--json")[0] == 0
    assert command(capsys, "gallery", "identify", gallery, white)[0] == 3


def test_a_gallery_is_encrypted_and_opened_by_a_file_or_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, key, new = tmp_path / "people.db", tmp_path / "one.key", tmp_path / "new.key"
    command(capsys, "gallery", "enroll", gallery, "Grace Hopper", hopper_path())
    assert command(capsys, "gallery", "new-key", key)[0] == command(capsys, "gallery", "new-key", new)[0] == 0
    code, out, _ = command(capsys, "gallery", "encrypt", gallery, "--key-file", key)
    assert (code, out) == (0, f"{gallery}: encrypted, 1 template\n")
    code, out, err = command(capsys, "gallery", "list", gallery)
    assert (code, out) == (2, "") and "encrypted; give its key by --key-file" in err
    code, out, _ = command(capsys, "gallery", "identify", gallery, hopper_path(), "--key-file", key)
    assert code == 0 and "match; Grace Hopper" in out
    code, out, _ = command(
        capsys, "gallery", "rekey", gallery, "--key-file", key, "--new-key-file", new, "--json"
    )
    assert code == 0 and json.loads(out)["done"] == "encrypted anew"
    assert command(capsys, "gallery", "info", gallery, "--key-file", key)[0] == 2
    monkeypatch.setenv("FACEALIKE_GALLERY_KEY", new.read_text())
    code, out, _ = command(capsys, "gallery", "info", gallery)
    assert code == 0 and "encrypted: yes" in out and "mapped from another model: 0" in out
    code, _, err = command(capsys, "gallery", "export", gallery, "-o", tmp_path / "x.jsonl")
    assert code == 2 and "--plain" in err and not (tmp_path / "x.jsonl").exists()
    assert command(capsys, "gallery", "decrypt", gallery)[0] == 0
    code, _, err = command(capsys, "gallery", "info", gallery)
    assert code == 2 and "not encrypted; facealike gallery encrypt does that" in err


def test_what_is_not_there_makes_no_gallery(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery, missing = tmp_path / "people.db", tmp_path / "missing"
    for words in (
        ("gallery", "enroll", gallery, "Ann", missing),
        ("gallery", "enroll", gallery, "--from", missing),
        ("gallery", "import", gallery, missing),
        ("embed", missing, "--to", gallery),
    ):
        code, _, err = command(capsys, *words)
        assert code == 2 and f"{missing}: no such file or folder" in err and not gallery.exists()
    (flat := tmp_path / "flat").mkdir()
    code, _, err = command(capsys, "gallery", "enroll", gallery, "--from", flat)
    assert code == 2 and "no photos of people" in err and not gallery.exists()
    code, _, err = command(capsys, "gallery", "identify", tmp_path, hopper_path())
    assert code == 2 and "a folder; give the file of a gallery" in err
