"""The person detector that pip alone can bring: SSDLite-MobileNetV2 for pedestrians, a frozen graph, in OpenCV.

OpenCV cannot read the graph as it is: it stops at the nodes that make anchors and suppress boxes. Those do nothing that
`ssd.py` does not do, so `prune_graph` keeps the network proper, byte for byte, and gives it a plain input.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tubelet.errors import WeightsError
from tubelet.people import ssd

_INPUT = "FeatureExtractor/MobilenetV2/MobilenetV2/input"
_HEADS = [f"BoxPredictor_{level}/{head}" for level in range(6) for head in ("BoxEncodingPredictor", "ClassPredictor")]
# Protobuf field numbers of GraphDef and NodeDef.
_GRAPH_NODE, _NODE_NAME, _NODE_INPUT = 1, 1, 3
_LENGTH_DELIMITED = 2


class _WireError(ValueError):
    """The bytes are not protobuf wire format."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number written at `at` in base 128, and where the next byte lies."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            raise _WireError(f"ends inside a number at byte {at}")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise _WireError(f"a number longer than 64 bits at byte {at}")


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of every length-delimited field of a message; other fields are stepped over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire_type = key & 7
        if wire_type == 0:
            _, at = _varint(data, at)
            continue
        if wire_type == _LENGTH_DELIMITED:
            size, at = _varint(data, at)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise _WireError(f"wire type {wire_type} at byte {at}")
        if at + size > len(data):
            raise _WireError(f"ends inside field {key >> 3} at byte {at}")
        if wire_type == _LENGTH_DELIMITED:
            yield key >> 3, data[at : at + size]
        at += size


def _field(number: int, content: bytes) -> bytes:
    size, encoded = len(content), bytearray()
    while size >= 0x80:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes([number << 3 | _LENGTH_DELIMITED]) + bytes(encoded) + content


def _float_placeholder(name: str) -> bytes:
    """A GraphDef node `name` of type Placeholder with `dtype: DT_FLOAT`."""
    dtype = _field(1, b"dtype") + _field(2, b"\x30\x01")
    return _field(1, name.encode()) + _field(2, b"Placeholder") + _field(5, dtype)


def prune_graph(graph: bytes) -> bytes:
    """Keep the part of the detection graph that lies between the network's input and its twelve heads.

    Args:
        graph: A frozen GraphDef of the TensorFlow Object Detection API with an SSD on MobileNetV2.

    Returns:
        A GraphDef that OpenCV reads. A pure function of `graph`.

    Raises:
        WeightsError: The bytes are no GraphDef, or not one with these heads.
    """
    nodes: dict[str, bytes] = {}
    inputs: dict[str, list[str]] = {}
    try:
        for number, node in _fields(graph):
            if number != _GRAPH_NODE:
                continue
            parts = list(_fields(node))
            name = next(content.decode() for field, content in parts if field == _NODE_NAME)
            nodes[name] = node
            # "^a" is a control dependency on a, "a:1" the second output of a.
            inputs[name] = [c.decode().lstrip("^").split(":")[0] for field, c in parts if field == _NODE_INPUT]
    except (_WireError, UnicodeDecodeError, StopIteration) as error:
        found = str(error) or "a node without a name"
        raise WeightsError(
            f"this is not a frozen TensorFlow graph ({found}); "
            "run `tubelet weights verify`, and delete the file to fetch it anew"
        ) from error
    wanted = {_INPUT}
    waiting = [f"{head}/BiasAdd" for head in _HEADS]
    while waiting:
        name = waiting.pop()
        if name in wanted:
            continue
        if name not in nodes:
            raise WeightsError(f"the graph has no node {name!r}; wanted an SSD on MobileNetV2 with six levels")
        wanted.add(name)
        waiting += inputs[name]
    kept = (_float_placeholder(_INPUT) if name == _INPUT else node for name, node in nodes.items() if name in wanted)
    return b"".join(_field(_GRAPH_NODE, node) for node in kept)


class SsdliteNetwork:
    """One forward pass of the network over a rectangle of an image; thread-safe.

    Args:
        path: The frozen graph.
        num_workers: How many passes may run at the same time.

    Raises:
        WeightsError: The file is not this network.
    """

    def __init__(self, path: Path, num_workers: int) -> None:
        self.num_workers = num_workers
        self._idle: queue.SimpleQueue[cv2.dnn.Net] = queue.SimpleQueue()
        pruned = np.frombuffer(prune_graph(path.read_bytes()), np.uint8)
        for _ in range(num_workers):
            self._idle.put(cv2.dnn.readNetFromTensorflow(pruned))

    def __call__(
        self, crop: UInt8[np.ndarray, "height width 3"]
    ) -> tuple[Float[np.ndarray, "1917 4"], Float[np.ndarray, " 1917"]]:
        """Box encodings and the logit of "person" for every anchor; the crop is stretched to the input."""
        side = ssd.INPUT_SIZE_PX
        blob = cv2.dnn.blobFromImage(crop, 1 / 127.5, (side, side), (127.5, 127.5, 127.5))
        net = self._idle.get()
        try:
            net.setInput(blob)
            # OpenCV folds the bias into the convolution before it and keeps the convolution's name.
            heads = net.forward([f"{head}/Conv2D" for head in _HEADS])
        finally:
            self._idle.put(net)
        encodings = [head.transpose(0, 2, 3, 1).reshape(-1, 4) for head in heads[0::2]]
        logits = [head.transpose(0, 2, 3, 1).reshape(-1, 2)[:, 1] for head in heads[1::2]]
        return np.concatenate(encodings), np.concatenate(logits)
