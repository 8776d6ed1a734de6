"""External data in ONNX files: refused on reading, embedded on importing (issue 19 B1)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from facealike import Model
from facealike.detection.yunet import YuNetDetector
from facealike.errors import DetectorError, ModelError
from facealike.model_file.model_file import ModelFile
from facealike.model_file.zip_format import pack, sha256
from facealike.model_zoo.onnx_import import wrap_onnx
from facealike.utils.onnx_external_data import CHILDREN, embed_external_data, refuse_external_data
from facealike.utils.onnx_session import MAX_WEIGHTS, Session
from support.tiny_model import tiny_model_file, tiny_onnx


def external(name: str = "w", location: str = "w.bin", **entries: int) -> Any:
    """A tensor of four float32 that lie in another file."""
    tensor = numpy_helper.from_array(np.arange(4, dtype=np.float32), name)
    set_external_data(tensor, location, **entries)
    tensor.ClearField("raw_data")
    return tensor


def inner_graph(tensor: Any) -> Any:
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    output = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])
    return helper.make_graph([constant], "inner", [], [output])


def sparse(values: Any, indices: Any) -> Any:
    made = onnx.SparseTensorProto()
    made.values.CopyFrom(values)
    made.indices.CopyFrom(indices)
    return made


PLAIN = numpy_helper.from_array(np.arange(4, dtype=np.float32), "plain")


def in_initializer(model: Any, tensor: Any) -> None:
    model.graph.initializer.append(tensor)


def in_attribute(model: Any, tensor: Any) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def in_attribute_list(model: Any, tensor: Any) -> None:
    model.graph.node.append(helper.make_node("Odd", [], ["c"], values=[PLAIN, tensor]))


def in_subgraph(model: Any, tensor: Any) -> None:
    graph = inner_graph(tensor)
    model.graph.node.append(helper.make_node("If", ["b"], ["c"], then_branch=graph, else_branch=graph))


def in_deep_subgraph(model: Any, tensor: Any) -> None:
    graph = inner_graph(tensor)
    for _ in range(12):
        graph = helper.make_graph([helper.make_node("If", ["b"], ["c"], then_branch=graph)], "g", [], [])
    model.graph.node.append(helper.make_node("If", ["b"], ["c"], then_branch=graph))


def in_graph_list(model: Any, tensor: Any) -> None:
    model.graph.node.append(helper.make_node("Odd", [], ["c"], graphs=[inner_graph(tensor)]))


def in_sparse_values(model: Any, tensor: Any) -> None:
    model.graph.sparse_initializer.append(sparse(tensor, PLAIN))


def in_sparse_indices(model: Any, tensor: Any) -> None:
    model.graph.sparse_initializer.append(sparse(PLAIN, tensor))


def in_sparse_attribute(model: Any, tensor: Any) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], sparse_value=sparse(tensor, PLAIN)))


def in_training(model: Any, tensor: Any) -> None:
    model.training_info.add().algorithm.CopyFrom(inner_graph(tensor))


def in_training_start(model: Any, tensor: Any) -> None:
    model.training_info.add().initialization.CopyFrom(inner_graph(tensor))


def in_function(model: Any, tensor: Any) -> None:
    node = helper.make_node("Constant", [], ["c"], value=tensor)
    model.functions.append(helper.make_function("d", "f", [], ["c"], [node], [helper.make_opsetid("", 17)]))


def in_function_default(model: Any, tensor: Any) -> None:
    in_function(model, PLAIN)
    model.functions[0].attribute_proto.append(helper.make_attribute("default", tensor))


PLACES = [
    in_initializer, in_attribute, in_attribute_list, in_subgraph, in_deep_subgraph, in_graph_list,
    in_sparse_values, in_sparse_indices, in_sparse_attribute, in_training, in_training_start, in_function,
    in_function_default,
]  # fmt: skip


def test_every_way_from_a_model_to_a_tensor_is_walked() -> None:
    """Against the descriptors of the onnx package: no field that can hold a tensor is missing."""
    found: dict[str, dict[int, str]] = {}

    def leads(kind: Any, above: tuple[str, ...]) -> bool:
        if kind.name == "TensorProto":
            return True
        inner = {
            field.number: field.message_type.name
            for field in kind.fields
            if field.message_type is not None
            and (field.message_type.name in above or leads(field.message_type, (*above, kind.name)))
        }
        # A message that leads only back to itself, such as a type of types, holds no tensor.
        if any(name not in (*above, kind.name) or name == "GraphProto" for name in inner.values()):
            found[kind.name] = inner
            return True
        return False

    leads(onnx.ModelProto.DESCRIPTOR, ())
    assert {name: fields for name, fields in CHILDREN.items() if fields} == found


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_external_data_are_refused_wherever_they_are(place: Callable[[Any, Any], None]) -> None:
    model = onnx.load_from_string(tiny_onnx())
    refuse_external_data(model.SerializeToString(), "the embedder")
    place(model, PLAIN)
    refuse_external_data(model.SerializeToString(), "the embedder")
    place(model, external())
    with pytest.raises(ModelError, match=r"the embedder keeps weights in a second file \('w\.bin'\)"):
        refuse_external_data(model.SerializeToString(), "the embedder")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_external_data_are_embedded_wherever_they_are(
    place: Callable[[Any, Any], None], tmp_path: Path
) -> None:
    values = np.arange(4, dtype=np.float32)
    (tmp_path / "w.bin").write_bytes(b"head" + values.tobytes() + b"tail")
    model = onnx.load_from_string(tiny_onnx())
    place(model, external(offset=4, length=16))
    embedded = embed_external_data(model.SerializeToString(), tmp_path, MAX_WEIGHTS)
    refuse_external_data(embedded, "it")
    wanted = onnx.load_from_string(tiny_onnx())
    place(wanted, numpy_helper.from_array(values, "w"))
    assert onnx.load_from_string(embedded) == wanted


def test_without_external_data_every_byte_stays(tmp_path: Path) -> None:
    content = tiny_onnx()
    assert embed_external_data(content, tmp_path, MAX_WEIGHTS) == content


def split(folder: Path) -> Path:
    """``tiny_onnx`` of 112 px, its weights in a second file beside it."""
    path = folder / "split.onnx"
    onnx.save_model(
        onnx.load_from_string(tiny_onnx(size=112)), str(path), save_as_external_data=True,
        location="split.onnx.data", size_threshold=0,
    )  # fmt: skip
    return path


def hostile_archive(embedder: bytes) -> bytes:
    """A model file around any embedder, all its hashes right; ``ModelFile`` would refuse to make it."""
    whole = tiny_model_file(size=112)
    fake = object.__new__(ModelFile)
    for name in ("preprocessing", "detector_spec", "detector_weights", "card", "calibration"):
        object.__setattr__(fake, name, getattr(whole, name))
    object.__setattr__(fake, "embedder", embedder)
    return fake.to_bytes()


def test_a_model_file_never_loads_what_lies_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = split(tmp_path)
    (tmp_path / "bad.facealike").write_bytes(hostile_archive(path.read_bytes()))
    monkeypatch.chdir(tmp_path)  # where onnxruntime would find split.onnx.data
    with pytest.raises(ModelError, match=r"bad\.facealike: the embedder keeps weights in a second file"):
        Model.load(tmp_path / "bad.facealike", "cpu")
    with pytest.raises(ModelError, match="the embedder keeps weights in a second file"):
        replace(tiny_model_file(size=112), embedder=path.read_bytes())
    with pytest.raises(ModelError, match="it keeps weights in a second file"):
        Session(path.read_bytes(), "it")


def test_an_import_embeds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = wrap_onnx(split(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    (tmp_path / "split.onnx.data").unlink()
    crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    whole = tmp_path / "whole.onnx"
    whole.write_bytes(tiny_onnx(size=112))
    wanted = Model(wrap_onnx(whole), "cpu").embed_crops(crops)
    assert np.array_equal(Model(ModelFile.from_bytes(file.to_bytes()), "cpu").embed_crops(crops), wanted)


def test_a_detector_given_by_its_path_embeds_them_too(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="not of the YuNet format"):  # so its weights were found
        YuNetDetector(split(tmp_path))
    (tmp_path / "split.onnx.data").unlink()
    with pytest.raises(DetectorError, match="is not there"):
        YuNetDetector(tmp_path / "split.onnx")


@pytest.mark.parametrize(
    "location",
    [
        "../secret", "/etc/passwd", "a/../../secret", "", ".", "..", "C:\\secret", "\\\\host\\share",
        "..\\secret", "w\0.bin", "link", "linked/secret", "a" * 5000,
    ],
)  # fmt: skip
def test_no_file_outside_the_folder_is_ever_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    model = onnx.load_from_string(tiny_onnx())
    in_initializer(model, external(location=location))
    with pytest.raises(ModelError, match=r"outside the folder|is not there"):
        embed_external_data(model.SerializeToString(), folder, MAX_WEIGHTS)


def test_what_is_not_a_file_or_too_short_or_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "w.bin").write_bytes(bytes(16))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"location": "folder"}, "not there"), ({"location": "pipe"}, "not there"),
        ({"location": "none.bin"}, "not there"), ({"offset": 4, "length": 16}, "not as long"),
        ({"offset": 17}, "not as long"), ({"length": 10**30}, "not as long"),
    ]  # fmt: skip
    for entries, words in cases:
        model = onnx.load_from_string(tiny_onnx())
        in_initializer(model, external(**entries))
        with pytest.raises(ModelError, match=words):
            embed_external_data(model.SerializeToString(), tmp_path, MAX_WEIGHTS)
    model = onnx.load_from_string(tiny_onnx())
    for i in range(3):  # one file that is stated often: the sum counts
        in_initializer(model, external(name=str(i)))
    content = model.SerializeToString()
    embed_external_data(content, tmp_path, len(content) + 48)
    with pytest.raises(ModelError, match="more than"):
        embed_external_data(content, tmp_path, len(content) + 47)


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_tricks_of_the_encoding_hide_nothing() -> None:
    """Ways in which a parser of protobuf would still see external data."""
    entry = field(13, field(1, b"location") + field(2, b"w.bin"))
    flag = varint(14 << 3) + varint(1)
    tricks = {
        "flag alone": flag,
        "entries alone": entry,
        "a flag of 64 bits whose low half is 1": varint(14 << 3) + varint((1 << 32) + 1),
        "a flag that is taken back": flag + varint(14 << 3) + varint(0),
        "tags longer than need be": bytes([14 << 3 | 0x80, 0x80, 0x00]) + varint(1),
    }
    for name, tensor in tricks.items():
        content = field(7, field(5, tensor))
        with pytest.raises(ModelError, match="keeps weights in a second file"):
            refuse_external_data(content, name)
        # In a second graph, which protobuf merges with the first.
        with pytest.raises(ModelError, match="keeps weights in a second file"):
            refuse_external_data(tiny_onnx() + content, name)


def test_what_cannot_be_walked_is_refused() -> None:
    deep = b""
    for _ in range(200):  # a graph in a node's attribute in a graph
        deep = field(1, field(5, field(6, deep)))
    bad = [
        b"weights", b"\x08", b"\x3a\x05abc", b"\xff" * 11, field(7, b"\x0b\x0c"), field(7, b"\x00\x00"),
        field(7, deep),
    ]  # fmt: skip
    for content in bad:
        with pytest.raises(ModelError, match="not an ONNX graph that can be run"):
            refuse_external_data(content, "it")


def test_fields_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.utils.onnx_external_data.MAX_FIELDS", 50)
    with pytest.raises(ModelError, match="too many fields"):
        refuse_external_data(varint(1 << 3) + varint(1) + b"\x08\x01" * 60, "it")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_graph_gives_an_answer_or_one_sentence(data: st.DataObject) -> None:
    content = bytearray(tiny_onnx(8, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        refuse_external_data(bytes(content), "it")
    except ModelError as error:
        assert "\n" not in str(error)


def test_the_hashes_of_the_hostile_archive_are_right() -> None:
    """The test above could not fail if its model file were refused for another reason."""
    content = tiny_onnx(size=112)
    assert ModelFile.from_bytes(hostile_archive(content)).embedder == content
    assert sha256(content) and pack({}, {})
