"""Cutting the network out of a detection graph, on graphs written here."""

import pytest

from tubelet.errors import WeightsError
from tubelet.people.ssdlite import _HEADS, _INPUT, _fields, prune_graph


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def node(name: str, *inputs: str) -> bytes:
    parts = field(1, name.encode()) + field(2, b"Op") + b"".join(field(3, i.encode()) for i in inputs)
    # A varint, a fixed 64 and a fixed 32: fields that the walk must step over.
    parts += b"\x78\x96\x01" + b"\x79" + bytes(8) + b"\x7d" + bytes(4)
    return parts


def graph(*nodes: bytes) -> bytes:
    return b"".join(bytes([0x0A, 0x80 | len(n) & 0x7F, len(n) >> 7]) + n for n in nodes)


def names(pruned: bytes) -> list[str]:
    return [dict(_fields(n))[1].decode() for number, n in _fields(pruned) if number == 1]


HEADS = [node(f"{head}/BiasAdd", "backbone:1", "^ready") for head in _HEADS]


def test_what_the_heads_need_is_kept_and_the_rest_goes() -> None:
    whole = graph(
        node("image"),
        node("Preprocessor/resize", "image"),
        node(_INPUT, "Preprocessor/resize"),
        node("backbone", _INPUT, "constant"),
        node("constant"),
        node("ready"),
        *HEADS,
        node("Postprocessor/nms", f"{_HEADS[0]}/BiasAdd"),
    )
    pruned = prune_graph(whole)
    assert names(pruned) == [_INPUT, "backbone", "constant", "ready", *(f"{head}/BiasAdd" for head in _HEADS)]
    kept = [n for number, n in _fields(pruned) if number == 1]
    assert kept[1] == node("backbone", _INPUT, "constant")  # byte for byte
    assert dict(_fields(kept[0]))[2] == b"Placeholder"
    assert 3 not in dict(_fields(kept[0]))  # no inputs any more


def test_a_graph_without_the_heads_is_refused() -> None:
    with pytest.raises(
        WeightsError, match=r"the graph has no node 'BoxPredictor_5/ClassPredictor/BiasAdd'; wanted an SSD"
    ):
        prune_graph(graph(node("image")))


def test_a_graph_with_a_loose_end_is_refused() -> None:
    with pytest.raises(WeightsError, match="the graph has no node"):
        prune_graph(graph(node(_INPUT), node("constant"), *HEADS))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<html>not a graph</html>", id="text"),
        pytest.param(graph(node("a"))[:-3], id="cut in a node"),
        pytest.param(b"\x0a\xff", id="cut in a length"),
        pytest.param(b"\x0a" + b"\xff" * 11, id="endless length"),
        pytest.param(graph(b"\x12\x02Op"), id="node without a name"),
        pytest.param(graph(field(1, b"\xff\xfe")), id="name that is no text"),
    ],
)
def test_damaged_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(WeightsError, match="this is not a frozen TensorFlow graph .*weights verify"):
        prune_graph(content)


def test_nothing_is_not_a_graph() -> None:
    with pytest.raises(WeightsError, match="the graph has no node"):
        prune_graph(b"")
