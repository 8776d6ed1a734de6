"""The registry: complete, sensible entries, and one sentence for a list that is none."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from facealike.errors import ModelError
from facealike.model_file.licenses import PARTS
from facealike.model_zoo.download import MAX_BYTES
from facealike.model_zoo.onnx_import import parse_normalize
from facealike.model_zoo.registry import Entry, read_registry

ENTRIES = read_registry()
IR = (
    f'[a]\nkind = "ir"\nurl = "https://example.org/a.xml"\nsha256 = "{"0" * 64}"\nsize = 5\n'
    f'bin_sha256 = "{"1" * 64}"\n'
)
GOOD = f'[a]\nkind = "onnx"\nurl = "https://example.org/a"\nsha256 = "{"0" * 64}"\nsize = 5\n'


def test_it_has_the_frozen_baseline_and_others() -> None:
    assert {"dlib", "sface"} <= set(ENTRIES)
    assert ENTRIES["dlib"].kind == "package" and ENTRIES["dlib"].commercial is True
    assert {entry.commercial for entry in ENTRIES.values()} >= {True, False}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
def test_an_entry_is_complete(entry: Entry) -> None:
    assert set(entry.licences) == set(PARTS) and entry.about and 0 < entry.size < MAX_BYTES
    assert all(licence.name and licence.source for licence in entry.licences.values())
    if entry.kind == "onnx":
        assert urlsplit(entry.url).scheme == "https" and parse_normalize(entry.normalise)
        assert "/main/" not in entry.url and "/master/" not in entry.url  # a branch would move
    assert entry.to_dict()["sha256"] == entry.sha256
    # Only the licence's own text settles commercial use.
    for licence in entry.licences.values():
        assert licence.commercial is not True or licence.spdx


def test_an_ir_is_two_files_that_lie_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(IR + f'bin_size = 7\nalso = ["{"2" * 64}"]\n')
    entry = read_registry(path)["a"]
    assert entry.bin_url == "https://example.org/a.bin" and entry.to_dict()["bytes"] == 12
    assert entry.is_file("0" * 64) and entry.is_file("2" * 64) and not entry.is_file("1" * 64)


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert read_registry(path) == {
        "a": Entry("a", "onnx", "0" * 64, 5, url="https://example.org/a"),
    }
    path.write_text("")
    assert read_registry(path) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a", "not a registry in TOML"), ("a = 1", "no entry of a model"), ("[a]", "missing or unknown"),
        (GOOD + "extra = 1", "missing or unknown"), (GOOD.replace("onnx", "zip"), "onnx, ir or package"),
        (GOOD.replace("0" * 64, "0" * 63), "64 small hex digits"), (GOOD.replace("= 5", "= 0"), "positive"),
        (GOOD.replace("= 5", "= true"), "positive"), (GOOD.replace('"onnx"', '"package"'), "needs url"),
        (GOOD.replace("[a]", "[default]"), "cannot be the name"),
        (GOOD.replace("[a]", '["a/b"]'), "cannot be"),
        (GOOD + 'align = "sideways"', "align must be"), (GOOD + 'channels = "xyz"', "channels must be"),
        (GOOD + "about = 3", "must be a text"), (GOOD + 'licences = "MIT"', "licences"),
        (GOOD + 'name = "b"', "no entry of a model"),
        (GOOD + "also = 3", "list of SHA-256"), (GOOD + 'also = ["abc"]', "also must be 64"),
        (GOOD.replace("onnx", "ir"), "bin_sha256 must be 64"), (IR + "bin_size = 0", "bin_size must be"),
        (IR.replace(".xml", "") + "bin_size = 7", "ends in .xml"),
    ],
)  # fmt: skip
def test_a_list_that_makes_no_sense_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=words) as caught:
        read_registry(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no registry can be read"):
        read_registry(tmp_path / "none.toml")
