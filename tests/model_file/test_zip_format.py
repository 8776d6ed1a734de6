"""The zip below a model file: both versions of the format, atomic writing, zip bombs (issue 19 B2)."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike import Model, compare
from facealike.errors import DataError, ModelError
from facealike.model_file.locate import read_model_file
from facealike.model_file.model_file import ModelFile
from facealike.model_file.zip_format import FORMAT_VERSION, MAX_TOTAL, MEMBERS, opened, pack, sha256, unpack
from support.tiny_model import tiny_model_file

ABOUT = {"id": "0123456789ab"}
PARTS = {"embedder.onnx": b"weights", "card.json": b"{}"}


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
    """Nothing is ever unpacked to disk, so such a member could do no harm; it has no place there either."""
    with pytest.raises(ModelError, match=r"evil\.json is no part of such a file"):
        unpack(pack({"../../evil.json": b"{}"}, ABOUT))


def test_an_encrypted_or_strangely_packed_member_is_refused() -> None:
    content = bytearray(pack(PARTS, ABOUT))
    entry = content.rindex(b"embedder.onnx") - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    encrypted = bytes(content[: entry + 8]) + b"\x01" + bytes(content[entry + 9 :])
    with pytest.raises(ModelError, match="encrypted"):
        unpack(encrypted)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("manifest.json", "{}")
    with pytest.raises(ModelError, match="not stored"):
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


# ---- issue 19 B2: zips that cost more than they are worth ----------------------------------------

WHOLE = tiny_model_file()


def parts() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(WHOLE.to_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def many_entries() -> bytes:
    """Half a million entries in the directory, of a file that holds next to nothing."""
    name = b"a" * 4
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 9, len(name), *[0] * 6) + name
    directory = entry * 500_000
    return directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)


def claiming_zip64() -> bytes:
    content = WHOLE.to_bytes()
    return content[:-22] + b"PK\x06\x07" + bytes(16) + content[-22:]


def overlapping() -> bytes:
    """The entries of card and calibration lead to the same bytes of the file."""
    content = bytearray(zipped({**parts(), "card.json": b" " * 4000, "calibration.json": b"{}"}))
    card, calibration = (
        content.rindex(b"PK\x01\x02", 0, content.rindex(n)) for n in (b"card.json", b"calibration.json")
    )
    content[calibration + 20 : calibration + 28] = content[card + 20 : card + 28]
    return bytes(content)


def bomb(name: str) -> bytes:
    nothing = b"0" * (48 << 20)
    made: dict[str, Callable[[], bytes]] = {
        "deflated": lambda: zipped({**parts(), "embedder.onnx": nothing}, zipfile.ZIP_DEFLATED),
        "unlisted": lambda: zipped({**parts(), "a.onnx": nothing, "b.onnx": nothing}, zipfile.ZIP_DEFLATED),
        "bzip2": lambda: zipped({**parts(), "embedder.onnx": nothing}, zipfile.ZIP_BZIP2),
        "many lists": lambda: zipped({**parts(), "manifest.json": b"[" + b"[]," * 4_000_000 + b"[]]"}),
        "many tables": lambda: zipped({**parts(), "manifest.json": b"[" + b"{}," * 4_000_000 + b"{}]"}),
        "many entries": many_entries,
        "zip64": claiming_zip64,
        "overlapping": overlapping,
        "comment": lambda: WHOLE.to_bytes()[:-2] + b"\x04\x00note",
    }
    return made[name]()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deflated", "not stored"), ("unlisted", "no part of"), ("bzip2", "not stored"),
        ("many lists", "more lists and tables"), ("many tables", "more lists and tables"),
        ("many entries", "table of contents has"), ("zip64", "not a whole"), ("overlapping", "overlap"),
        ("comment", "not a whole"),
    ],
)  # fmt: skip
def test_a_bomb_is_refused_before_it_costs_memory(name: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.facealike"
    path.write_bytes(bomb(name))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=words) as caught:
            ModelFile.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert peak < 32 << 20, f"{peak:,} bytes"


def test_a_large_file_that_is_no_zip_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "sparse.facealike").open("wb") as file:
        file.truncate(500 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="not a whole facealike model file"):
            ModelFile.read(tmp_path / "sparse.facealike")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_pipe_is_no_model_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.facealike")
    with pytest.raises(ModelError, match="a pipe or a device"):
        ModelFile.read(tmp_path / "pipe.facealike")


def test_every_member_has_a_limit_and_all_fit_the_total() -> None:
    assert set(MEMBERS) == {
        "manifest.json", "card.json", "calibration.json", "embedder.onnx", "detector.onnx",
    }  # fmt: skip
    assert max(MEMBERS.values()) <= MAX_TOTAL < 1 << 30
    with pytest.raises(ModelError, match="states 8 bytes, over the limit of 7"):
        unpack(pack({"embedder.onnx": b"12345678"}, ABOUT), {**MEMBERS, "embedder.onnx": 7})
    assert unpack(pack({"embedder.onnx": b"1234567"}, ABOUT), {**MEMBERS, "embedder.onnx": 7})


# ---- neighbors of faults that tests can miss (benchmarks/tests/mutation.py) -------------------------------


def test_the_headers_are_the_same_on_every_machine() -> None:
    with zipfile.ZipFile(io.BytesIO(pack({"card.json": b"{}", "calibration.json": b"{}"}, ABOUT))) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == ["manifest.json", "calibration.json", "card.json"]
    for entry in entries:
        assert entry.date_time == (1980, 1, 1, 0, 0, 0) and entry.create_system == 3
        assert entry.external_attr == 0o644 << 16 and entry.compress_type == zipfile.ZIP_STORED


def test_the_limits_are_these_many_bytes() -> None:
    assert (MEMBERS["embedder.onnx"], MEMBERS["detector.onnx"], MAX_TOTAL) == (
        536_870_912, 134_217_728, 671_088_640,
    )  # fmt: skip
    assert {MEMBERS[name] for name in ("manifest.json", "card.json", "calibration.json")} == {16_777_216}


def test_a_file_over_the_total_is_refused_by_its_size(tmp_path: Path) -> None:
    for size, words in ((MAX_TOTAL + 1, r"too large .*671,088,641 bytes"), (MAX_TOTAL, "not a whole")):
        with (tmp_path / "sparse.facealike").open("wb") as file:
            file.truncate(size)
        with pytest.raises(ModelError, match=words):
            ModelFile.read(tmp_path / "sparse.facealike")


def test_a_member_that_is_there_twice_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("manifest.json", "card.json", "card.json"):
            archive.writestr(name, b"{}")
    with pytest.raises(ModelError, match="a member is there twice"):
        unpack(buffer.getvalue())


def test_a_table_of_contents_may_be_as_large_as_the_limit_and_no_larger() -> None:
    content = zipped({"a": b"1", "b": b"2"})
    size = 2 * (46 + 1)  # the fixed part of an entry, and a name of one letter
    with opened(io.BytesIO(content), "zip", size) as archive:
        assert archive.namelist() == ["a", "b"]
    with (
        pytest.raises(ModelError, match="has 94 bytes, over the limit of 93"),
        opened(io.BytesIO(content), "zip", size - 1),
    ):
        pass
    for short in (b"", b"PK", content[-21:]):
        with pytest.raises(ModelError, match="not a whole zip"), opened(io.BytesIO(short), "zip"):
            pass
    with opened(io.BytesIO(zipped({})), "zip") as archive:  # an empty one is its end alone
        assert archive.namelist() == []


def test_a_name_is_cut_to_80_characters_in_messages() -> None:
    with pytest.raises(ModelError, match=r"^x{80} is no part of such a file"):
        unpack(zipped({"x" * 200: b"", "manifest.json": b"{}"}))


def test_a_member_with_two_sizes_is_refused() -> None:
    content = bytearray(zipped({**parts()}))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 20 : entry + 24] = struct.pack("<L", 3)  # the size as it is packed
    with pytest.raises(ModelError, match=r"states two sizes|not a whole"):
        unpack(bytes(content))


@pytest.mark.parametrize("end", ["bytes after the end", "a comment that is not there"])
def test_a_file_that_goes_on_after_its_end_is_refused(end: str) -> None:
    """Found by mutation: Python's zipfile reads both, and looks for another table of contents in them."""
    content = pack(PARTS, ABOUT)
    damaged = content + bytes(22) if end == "bytes after the end" else content[:-2] + b"\x04\x00"
    with pytest.raises(ModelError, match="not a whole facealike model file"):
        unpack(damaged)


def test_a_small_zip_with_the_end_of_a_large_one_is_refused() -> None:
    """Found by mutation: zipfile reads the zip64 end, whose table of contents was never measured."""
    content = pack(PARTS, ABOUT)
    *_, entries, size, offset, _ = struct.unpack("<4s4H2LH", content[-22:])
    large = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset
    ) + struct.pack("<4sLQL", b"PK\x06\x07", 0, len(content) - 22, 1)
    ended = content[:-22] + large + content[-22:]
    assert zipfile.ZipFile(io.BytesIO(ended)).namelist()
    with pytest.raises(ModelError, match="not a whole facealike model file"):
        unpack(ended)
