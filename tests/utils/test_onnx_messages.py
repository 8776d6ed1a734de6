"""The fields of an ONNX file: read, and written again byte by byte."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.utils.onnx_messages import (
    BYTES,
    FIXED32,
    FIXED64,
    GRAPH,
    NODE,
    VARINT,
    Field,
    encode,
    fields,
    graph_of,
    submessage,
    text_of,
    values_of,
    with_graph,
)
from support.small_network import small_network

NUMBERS = st.integers(1, 2**29 - 1)
FIELDS = st.one_of(
    st.tuples(NUMBERS, st.just(VARINT), st.integers(0, 2**64 - 1)),
    st.tuples(NUMBERS, st.just(BYTES), st.binary(max_size=40)),
    st.tuples(NUMBERS, st.just(FIXED64), st.binary(min_size=8, max_size=8)),
    st.tuples(NUMBERS, st.just(FIXED32), st.binary(min_size=4, max_size=4)),
)


@given(st.lists(FIELDS, max_size=6))
def test_what_is_written_is_read(message: list[Field]) -> None:
    content = encode(message)
    assert list(fields(content)) == message and encode(fields(content)) == content


@given(st.lists(FIELDS, min_size=1, max_size=4), st.data())
def test_a_message_that_ends_early_is_refused(message: list[Field], data: st.DataObject) -> None:
    content = encode(message)
    whole = {len(encode(message[:count])) for count in range(len(message) + 1)}
    size = data.draw(st.integers(0, len(content)))
    if size in whole:
        assert list(fields(content[:size])) == message[: sorted(whole).index(size)]
    else:
        with pytest.raises(ValueError, match="end"):
            list(fields(content[:size]))


def test_a_network_is_read_as_onnx_reads_it() -> None:
    content = small_network()
    wanted = onnx.load_model_from_string(content)
    assert encode(fields(content)) == content
    graph = submessage(values_of(content, GRAPH)[0])
    assert graph_of(content) == list(fields(graph)) and with_graph(content, graph_of(content)) == content
    nodes = [submessage(each) for each in values_of(graph, NODE)]
    assert [text_of(each, 4) for each in nodes] == [each.op_type for each in wanted.graph.node]
    assert text_of(nodes[0], 1000) == ""
    with pytest.raises(ValueError, match="a number where a message was expected"):
        submessage(7)
