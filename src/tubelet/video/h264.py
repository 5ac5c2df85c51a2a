"""The little that is read from H.264 packets themselves: whether any other picture may need them.

Source:
    ITU-T H.264 section 7.3.1 (NAL unit header) and table 7-1 (types), ISO/IEC 14496-15 section 5.3.3 (length prefixes).
"""

from __future__ import annotations

from av.video.stream import VideoStream

_SLICE = 1  # of a picture that is no key frame
_WITHOUT_PICTURE = frozenset({6, 9, 12})  # supplemental information, delimiter, filler
_TYPE, _REFERENCE = 0x1F, 0x60


def nal_length_size(stream: VideoStream) -> int:
    """Bytes in front of each unit that hold its length; 0 where the stream is no H.264 or has no such lengths."""
    extradata = stream.codec_context.extradata
    if stream.codec_context.codec.name != "h264" or extradata is None or len(extradata) < 7 or extradata[0] != 1:
        return 0
    return (extradata[4] & 3) + 1


def is_disposable(packet: memoryview, length_size: int) -> bool:
    """Whether a packet holds only slices that no other picture refers to, and nothing else that decoding needs.

    Args:
        packet: One picture, as units with their lengths in front.
        length_size: Bytes of each length.
    """
    position, has_slice = 0, False
    while position + length_size < len(packet):
        length = int.from_bytes(packet[position : position + length_size], "big")
        header = packet[position + length_size]
        if header & _TYPE == _SLICE and header & _REFERENCE == 0:
            has_slice = True
        elif header & _TYPE not in _WITHOUT_PICTURE:
            return False
        position += length_size + length
    return has_slice and position == len(packet)
