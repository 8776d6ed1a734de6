"""A bundle brings models over, equal to the byte, and is refused where a byte is wrong."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from facealike.errors import ModelError, UsageError
from facealike.model_file.locate import read_model_file
from facealike.model_file.store import HOME_VARIABLE, store_model
from facealike.model_zoo.bundle import is_bundle, read_bundle, write_bundle
from support.tiny_model import tiny_model_file

FIRST, SECOND = tiny_model_file(), tiny_model_file(seed=1)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    store_model(FIRST, "first")
    store_model(SECOND, "second")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(["second", "first"], tmp_path / "b.zip")
    return tmp_path / "b.zip"


def rewritten(bundle: Path, **changes: bytes | None) -> Path:
    """The bundle with some members changed or left out."""
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, content in changes.items():
        key = name.replace("__", ".")
        if content is None:
            del members[key]
        else:
            members[key] = content
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return bundle


def test_models_come_back_equal_and_sums_are_those_of_sha256sum(bundle: Path, tmp_path: Path) -> None:
    assert is_bundle(bundle) and dict(read_bundle(bundle)) == {"first": FIRST, "second": SECOND}
    with zipfile.ZipFile(bundle) as archive:
        lines = archive.read("SHA256SUMS").decode().splitlines()
        for line in lines:
            digest, name = line.split("  ")
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    assert len(lines) == 2
    ids = write_bundle(["second", "first"], tmp_path / "again.zip")
    assert ids == [SECOND.id, FIRST.id]
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_the_shipped_model_comes_under_a_name_of_its_own(tmp_path: Path) -> None:
    shipped = read_model_file()
    write_bundle(["default"], tmp_path / "b.zip")
    assert dict(read_bundle(tmp_path / "b.zip")) == {f"default-{shipped.id}": shipped}


def test_what_cannot_be_bundled(tmp_path: Path) -> None:
    for names, words in (([], "one model or more"), (["first", "first"], "each once"), (["a/b"], "by their")):
        with pytest.raises(UsageError, match=words):
            write_bundle(names, tmp_path / "b.zip")
    with pytest.raises(ModelError, match="no model of this name"):
        write_bundle(["first", "third"], tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


def test_every_byte_counts(bundle: Path) -> None:
    content = bundle.read_bytes()
    for place in range(5, len(content), len(content) // 60):
        broken = bytearray(content)
        broken[place] ^= 0x40
        bundle.write_bytes(broken)
        try:
            assert dict(read_bundle(bundle)) == {"first": FIRST, "second": SECOND}
        except ModelError as error:
            assert "\n" not in str(error) and str(bundle) in str(error)


def test_cut_off_anywhere_it_is_refused(bundle: Path) -> None:
    content = bundle.read_bytes()
    for length in range(0, len(content), len(content) // 25):
        bundle.write_bytes(content[:length])
        with pytest.raises(ModelError):
            list(read_bundle(bundle))
        # What is left is a bundle still, and not the last of its models, which is a whole zip itself.
        assert is_bundle(bundle) or length < 60


def test_a_table_that_lies(bundle: Path) -> None:
    whole = bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        table = json.loads(archive.read("bundle.json"))
    entry = table["models"][0]
    lies = [
        {"format": "other"}, {"version": 2}, {"models": []}, {"models": "x"}, {"models": [1]},
        {"models": [{**entry, "name": "../x", "file": "../x.facealike"}]},
        {"models": [{**entry, "file": "first.facealike"}]}, {"models": [{**entry, "bytes": 3}]},
        {"models": [{**entry, "sha256": "0" * 64}]}, {"models": [{**entry, "bytes": "many"}]},
    ]  # fmt: skip
    for lie in lies:
        bundle.write_bytes(whole)
        rewritten(bundle, bundle__json=json.dumps({**table, **lie}).encode())
        with pytest.raises(ModelError):
            list(read_bundle(bundle))
    bundle.write_bytes(whole)
    with pytest.raises(ModelError, match=r"no bundle\.json"):
        list(read_bundle(rewritten(bundle, bundle__json=None)))
    assert not is_bundle(bundle)
    bundle.write_bytes(whole)
    with pytest.raises(ModelError, match="missing"):
        list(read_bundle(rewritten(bundle, first__facealike=None)))


def test_another_model_in_its_place_is_found_out(bundle: Path) -> None:
    rewritten(bundle, first__facealike=SECOND.to_bytes())
    with pytest.raises(ModelError, match=r"does not match its SHA-256|more than it may have"):
        list(read_bundle(bundle))


def test_a_bundle_that_is_a_bomb_is_refused_in_one_sentence(bundle: Path) -> None:
    """Issue 19 B2: zlib.error came through, and members that no list names were let pass."""
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    bombs = [
        (zipfile.ZIP_DEFLATED, members, "not stored"),
        (zipfile.ZIP_STORED, {**members, "extra.bin": b"0"}, r"extra\.bin is no part of"),
        (
            zipfile.ZIP_STORED,
            {**members, "third.facealike": b"0"},
            "members are not those that its table lists",
        ),
        (zipfile.ZIP_STORED, {**members, "bundle.json": b" " * (2 << 20)}, "over the limit"),
    ]
    for method, content, words in bombs:
        with zipfile.ZipFile(bundle, "w", method) as archive:
            for name, member in content.items():
                archive.writestr(name, member)
        assert is_bundle(bundle)
        with pytest.raises(ModelError, match=words) as caught:
            list(read_bundle(bundle))
        assert "\n" not in str(caught.value) and str(bundle) in str(caught.value)
    damaged = bytearray(bundle.read_bytes())
    place = damaged.rindex(b"PK\x01\x02", 0, damaged.rindex(b"first.facealike"))
    damaged[place + 10] = 8  # says that it is deflated, which it is not
    bundle.write_bytes(damaged)
    with pytest.raises(ModelError):
        list(read_bundle(bundle))
