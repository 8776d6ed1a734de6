"""The zip below a model file: both versions of the format, atomic writing, and what hides in zips."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike import Model, compare
from facealike.archive import FORMAT_VERSION, pack, sha256, unpack
from facealike.embed import read_model_file
from facealike.errors import DataError, ModelError
from facealike.model import ModelFile
from tiny_model import tiny_model_file

ABOUT = {"id": "0123456789ab"}
PARTS = {"b.onnx": b"weights", "a.json": b"{}"}


def repacked(manifest: dict[str, Any], members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def as_version_1(model: ModelFile) -> bytes:
    """The same model as facealike 0.1 wrote it: a calibration of five entries, and that version number."""
    manifest, members = unpack(model.to_bytes())
    calibration = json.loads(members["calibration.json"])
    members["calibration.json"] = json.dumps(
        {name: calibration[name] for name in ("threshold", "rule", "people", "pairs", "metrics")}
    ).encode()
    hashes = {name: sha256(content) for name, content in members.items()}
    return repacked({**manifest, "version": 1, "sha256": hashes}, members)


def test_what_is_packed_comes_back() -> None:
    manifest, members = unpack(pack(PARTS, ABOUT))
    assert members == PARTS
    assert manifest == {
        "format": "facealike", "version": FORMAT_VERSION, **ABOUT,
        "sha256": {name: sha256(content) for name, content in PARTS.items()},
    }  # fmt: skip
    assert FORMAT_VERSION == 2


def test_equal_content_gives_equal_bytes() -> None:
    assert pack(dict(reversed(PARTS.items())), ABOUT) == pack(PARTS, ABOUT)


def test_a_model_of_version_1_is_read_and_has_no_probability() -> None:
    model = tiny_model_file()
    old = ModelFile.from_bytes(as_version_1(model))
    assert old == model and old.id == model.id
    assert old.calibration.probability is None and old.calibration.band is None
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    result = compare(photo, photo, Model(old, device="cpu"), aligned=True)
    assert result.same and result.probability is None and not result.uncertain
    assert unpack(old.to_bytes())[0]["version"] == 2  # what is written again is of today


def test_the_shipped_model_is_read_whatever_its_version() -> None:
    try:
        shipped = read_model_file()
    except ModelError:
        pytest.skip("this checkout carries no model (src/facealike/weights/default.facealike)")
    assert len(shipped.id) == 12 and -1 < shipped.calibration.threshold < 1
    assert ModelFile.from_bytes(shipped.to_bytes()) == shipped


@pytest.mark.parametrize("version", [0, 3, 2.0, "2", None, True, [2]])
def test_other_versions_are_refused(version: Any) -> None:
    manifest, members = unpack(pack(PARTS, ABOUT))
    with pytest.raises(ModelError, match=r"format version .* update facealike"):
        unpack(repacked({**manifest, "version": version}, members))


def test_a_path_that_leads_out_of_the_archive_is_only_a_name() -> None:
    """Nothing is ever unpacked to disk, so such a member can do no harm and is still accounted for."""
    evil = {"../../evil.json": b"{}"}
    assert unpack(pack(evil, ABOUT))[1] == evil
    with pytest.raises(ModelError, match="members are not those"):
        unpack(repacked(unpack(pack(PARTS, ABOUT))[0], {**PARTS, **evil}))


def test_an_encrypted_or_strangely_packed_member_is_refused() -> None:
    content = bytearray(pack(PARTS, ABOUT))
    entry = content.rindex(b"b.onnx") - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    encrypted = bytes(content[: entry + 8]) + b"\x01" + bytes(content[entry + 9 :])
    with pytest.raises(ModelError, match="encrypted"):
        unpack(encrypted)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("manifest.json", "{}")
    with pytest.raises(ModelError, match="packed in an unknown way"):
        unpack(buffer.getvalue())


def test_a_write_that_dies_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.facealike"
    old, new = tiny_model_file(seed=0), tiny_model_file(seed=1)
    old.write(path)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DataError, match="No space left"):
        new.write(path)
    monkeypatch.undo()
    assert ModelFile.read(path) == old and list(tmp_path.iterdir()) == [path]
