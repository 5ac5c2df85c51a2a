"""How far a media file says it reaches, read from its outermost structure.

Demuxers stop quietly where a cut-off file stops. Whether anything is missing can be told without them from the sizes
that the three common container families write in front of their parts.
"""

from __future__ import annotations

from typing import BinaryIO

# Top-level boxes of the ISO base media family (mp4, mov, 3gp, …), by which a damaged file is still recognised.
_ISO_BOXES = frozenset(
    {
        b"ftyp",
        b"styp",
        b"moov",
        b"mdat",
        b"free",
        b"skip",
        b"wide",
        b"pnot",
        b"moof",
        b"sidx",
        b"uuid",
        b"meta",
        b"mfra",
    }
)
_EBML_MAGIC = b"\x1a\x45\xdf\xa3"
_SEGMENT_ID = b"\x18\x53\x80\x67"


def container_family(head: bytes) -> str | None:
    """The container family that a file's first bytes belong to: "iso", "matroska", "riff", or None for any other."""
    if head[4:8] in _ISO_BOXES:
        return "iso"
    if head[:4] == _EBML_MAGIC:
        return "matroska"
    if head[:4] == b"RIFF":
        return "riff"
    return None


def missing_end(file: BinaryIO, size_bytes: int) -> str | None:
    """Say what a file promises beyond its last byte.

    Args:
        file: Opened for binary reading; its position is moved.
        size_bytes: The file's size.

    Returns:
        What is missing, as the end of a sentence, or None when nothing is (or when the container does not tell).

    Source:
        ISO/IEC 14496-12 section 4.2 (boxes), RFC 8794 section 6 (EBML element sizes), RIFF.
    """
    file.seek(0)
    head = file.read(16)
    family = container_family(head)
    if family == "iso":
        return _missing_iso_end(file, size_bytes)
    if family == "matroska":
        declared = _matroska_end(file)
    elif family == "riff":
        riff_size = int.from_bytes(head[4:8], "little")
        declared = None if riff_size == 0xFFFFFFFF else 8 + riff_size  # the latter: "unknown", as live writers put it
    else:
        return None
    if declared is not None and declared > size_bytes:
        return f"it should be {declared} bytes long and is {size_bytes}"
    return None


def _missing_iso_end(file: BinaryIO, size_bytes: int) -> str | None:
    position, has_index = 0, False
    while position + 8 <= size_bytes:
        file.seek(position)
        header = file.read(16)
        size, name = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1 and len(header) == 16:
            size = int.from_bytes(header[8:16], "big")
        elif size == 0:  # "to the end of the file"
            size = size_bytes - position
        if size < 8:
            return "its structure breaks off"
        has_index = has_index or name == b"moov"
        position += size
        if has_index and name not in _ISO_BOXES:
            break  # something appended that is no part of the video
        if position > size_bytes:
            part = name.decode("ascii", "replace")
            if not has_index or name == b"moov":
                return f"it ends inside its '{part}' part and has no complete index ('moov')"
            if name not in (b"mdat", b"moof"):
                return None
            return f"it ends inside its '{part}' part, {position - size_bytes} bytes early"
    return None if has_index else "it has no index ('moov'): the recording was not finished"


def _matroska_end(file: BinaryIO) -> int | None:
    file.seek(4)
    header_size = _ebml_size(file)
    if header_size is None:
        return None
    file.seek(header_size, 1)
    if file.read(4) != _SEGMENT_ID:
        return None
    segment_size = _ebml_size(file)
    return None if segment_size is None else file.tell() + segment_size


def _ebml_size(file: BinaryIO) -> int | None:
    """Read a variable-length size; None when it is the reserved "unknown" (live recordings) or not there."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    num_bytes = 9 - first[0].bit_length()
    rest = file.read(num_bytes - 1)
    value = ((first[0] & ((1 << (8 - num_bytes)) - 1)) << (8 * (num_bytes - 1))) | int.from_bytes(rest, "big")
    return None if value == (1 << (7 * num_bytes)) - 1 else value
