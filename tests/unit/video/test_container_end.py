"""What a file promises beyond its last byte, told from its outermost structure."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from media import Recipe, make_video

from tubelet.video.container_end import container_family, missing_end


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def _missing(data: bytes) -> str | None:
    return missing_end(io.BytesIO(data), len(data))


FTYP, MOOV, MDAT = _box(b"ftyp", b"isom0000"), _box(b"moov", bytes(50)), _box(b"mdat", bytes(100))
LARGE_MDAT = struct.pack(">I4sQ", 1, b"mdat", 116) + bytes(100)
OPEN_MDAT = struct.pack(">I4s", 0, b"mdat") + bytes(100)


@pytest.mark.parametrize(
    "data",
    [
        FTYP + MOOV + MDAT,
        FTYP + MDAT + MOOV,
        FTYP + LARGE_MDAT + MOOV,
        FTYP + MOOV + OPEN_MDAT,
        FTYP + MOOV + MDAT + _box(b"free", bytes(20))[:-5],
        FTYP + MOOV + MDAT + b"GARBAGE that some camera appended",
        FTYP + MOOV + MDAT + bytes(64),
        FTYP + MOOV + MDAT + b"\0\0",
    ],
)
def test_whole_iso_files(data: bytes) -> None:
    assert _missing(data) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FTYP + MOOV + MDAT[:-10], "it ends inside its 'mdat' part, 10 bytes early"),
        (FTYP + MOOV + LARGE_MDAT[:-7], "it ends inside its 'mdat' part, 7 bytes early"),
        (FTYP + MOOV[:-5], "it ends inside its 'moov' part and has no complete index ('moov')"),
        (FTYP + MDAT[:-10], "it ends inside its 'mdat' part and has no complete index ('moov')"),
        (FTYP + MDAT, "it has no index ('moov'): the recording was not finished"),
        (FTYP[:12], "it ends inside its 'ftyp' part and has no complete index ('moov')"),
        (FTYP + struct.pack(">I", 3) + b"moov", "its structure breaks off"),
    ],
)
def test_cut_iso_files(data: bytes, message: str) -> None:
    assert _missing(data) == message


def test_matroska(tmp_path: Path) -> None:
    data = make_video(tmp_path / "video.mkv", Recipe(num_frames=5)).read_bytes()
    assert _missing(data) is None
    assert _missing(data[:-9]) == f"it should be {len(data)} bytes long and is {len(data) - 9}"
    live = bytearray(data)
    place = data.index(b"\x18\x53\x80\x67") + 4
    live[place : place + 8] = b"\x01" + b"\xff" * 7
    assert _missing(bytes(live[:-9])) is None
    assert _missing(data[:4]) is None
    assert _missing(data[:4] + b"\x80" + b"\x01\x02\x03\x04") is None
    assert _missing(data[:4] + b"\x00") is None


def test_riff() -> None:
    assert _missing(b"RIFF" + struct.pack("<I", 30) + bytes(30)) is None
    assert _missing(b"RIFF" + struct.pack("<I", 40) + bytes(30)) == "it should be 48 bytes long and is 38"
    assert _missing(b"RIFF" + b"\xff" * 4 + bytes(30)) is None


def test_other_files_promise_nothing() -> None:
    assert _missing(b"some text that is no video") is None
    assert [container_family(head) for head in (FTYP, b"\x1a\x45\xdf\xa3", b"RIFF", b"")] == [
        "iso",
        "matroska",
        "riff",
        None,
    ]
