"""Which H.264 packets no other picture may need."""

from __future__ import annotations

import struct

import av
import pytest
from media import Recipe, make_video

from tubelet.video.h264 import is_disposable, nal_length_size


def _unit(kind: int, reference: int, body: bytes = b"\x80\x01\x02") -> bytes:
    data = bytes([reference << 5 | kind]) + body
    return struct.pack(">I", len(data)) + data


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (_unit(1, 0), True),
        (_unit(9, 0) + _unit(6, 0) + _unit(1, 0) + _unit(1, 0), True),
        (_unit(1, 2), False),
        (_unit(1, 0) + _unit(1, 1), False),
        (_unit(5, 3), False),
        (_unit(7, 3) + _unit(1, 0), False),  # parameters that later pictures need
        (_unit(6, 0), False),  # no picture in it
        (_unit(1, 0)[:-1], False),  # cut off: the decoder shall say so
        (b"", False),
    ],
)
def test_a_packet_is_disposable_when_nothing_in_it_is_referred_to(packet: bytes, expected: bool) -> None:
    assert is_disposable(memoryview(packet), 4) is expected


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [("a.mp4", "libx264", 4), ("a.mkv", "libx264", 4), ("a.ts", "libx264", 0), ("b.mp4", "mpeg4", 0)],
)
def test_lengths_are_known_where_the_container_uses_them(tmp_path, name: str, codec: str, expected: int) -> None:
    path = make_video(tmp_path / name, Recipe(num_frames=6, codec=codec))
    with av.open(str(path)) as container:
        assert nal_length_size(container.streams.video[0]) == expected
