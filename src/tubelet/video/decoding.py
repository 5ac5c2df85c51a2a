"""Decode packets in a row and stop at the first picture that is not sound."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tubelet.errors import VideoReadError
from tubelet.video.packets import PacketQueue

_MAX_NOTES = 128
# Codecs that give a picture for every packet. Others have packets for pictures that are never displayed.
_COMPLETE_CODECS = frozenset({"h264", "hevc"})


class DecodingError(Exception):
    """The decoder refused a packet. With several threads, sound pictures may have been lost along with it."""


class Decoder:
    """Decodes what a queue gives.

    A damaged picture is often displayed after pictures that were decoded from it. So as many pictures are held back
    as the stream reorders, and when a damaged one comes out, those held back are judged by when they were decoded.

    Args:
        stream: Of the open container.
        queue: At a key frame.
    """

    def __init__(self, stream: VideoStream, queue: PacketQueue) -> None:
        self._context = stream.codec_context
        self._queue = queue
        self._decoded_at: dict[int, int] = {}
        self._bad_packet: Packet[VideoStream] | None = None
        self._gives_all = self._context.codec.name in _COMPLETE_CODECS
        self._pending: list[int] = []
        self._has_begun = False

    def pictures(self) -> Iterator[VideoFrame]:
        """Pictures in display order.

        Raises:
            VideoReadError: After the last sound picture in front of a damaged one, or of where the data end early.
            DecodingError: Likewise, but the pictures that the decoder still held are left: see `last_pictures`.
        """
        self._context.skip_frame = "DEFAULT"
        held: deque[VideoFrame] = deque()
        packet: Packet[VideoStream] | None
        while True:
            try:
                packet = self._queue.pop()
            except VideoReadError:
                yield from self._sound_part([*held, *self._flushed()], self._end_of_data())
                raise
            try:
                self._note(packet)
                decoded = self._context.decode(packet)
            except av.FFmpegError as error:
                self._bad_packet = packet
                yield from self._sound_part(held, self._end_before(packet))
                raise DecodingError(f"a picture cannot be decoded ({error.strerror})") from error
            for picture in decoded:
                if picture.is_corrupt and self._is_leading(picture):
                    continue
                missing = self._missing_before(picture)
                if picture.is_corrupt or missing is not None:
                    yield from self._decoded_before(held, picture.pts if missing is None else missing)
                    raise DecodingError("a picture is damaged" if missing is None else "a picture is missing")
                held.append(picture)
                if len(held) > self._context.reorder_depth:
                    yield held.popleft()
            if packet is None:
                yield from self._rest(held)
                return

    def _rest(self, held: deque[VideoFrame]) -> Iterator[VideoFrame]:
        missing = self._missing_before(None)
        if missing is not None:
            yield from self._decoded_before(held, missing)
            raise DecodingError("a picture is missing")
        yield from held

    def last_pictures(self) -> Iterator[VideoFrame]:
        """After DecodingError in a decoder with one thread: sound pictures that it still holds."""
        if self._bad_packet is not None:
            yield from self._sound_part(self._flushed(), self._end_before(self._bad_packet))

    def _flushed(self) -> list[VideoFrame]:
        try:
            return self._context.decode(None)
        except av.FFmpegError:
            return []  # the damage itself, which is being reported

    def _sound_part(self, pictures: Iterable[VideoFrame], end: int | None) -> Iterator[VideoFrame]:
        for picture in pictures:
            ticks = picture_ticks(picture)
            if picture.is_corrupt or end is None or ticks is None or ticks >= end:
                return
            yield picture

    def _end_of_data(self) -> int | None:
        """All pictures before this time are there: what comes later is decoded, so also displayed, later."""
        return None if self._queue.position is None else self._queue.position + 1

    def _end_before(self, packet: Packet[VideoStream] | None) -> int | None:
        if packet is None or packet.pts is None or packet.dts is None:
            return None
        return min(packet.dts + 1, packet.pts)

    def _decoded_before(self, held: deque[VideoFrame], damaged: int | None) -> Iterator[VideoFrame]:
        limit = self._decoded_at.get(damaged) if damaged is not None else None
        for picture in held:
            place = self._decoded_at.get(picture.pts) if picture.pts is not None else None
            if limit is None or place is None or place >= limit:
                return
            yield picture

    def _missing_before(self, picture: VideoFrame | None) -> int | None:
        """Time of a picture that was decoded and did not come out though a later one has (None: though all have)."""
        if picture is not None and (picture.pts is None or picture.interlaced_frame):
            self._gives_all = False  # the two fields of a picture may come as two packets
        if not self._gives_all:
            return None
        pending = self._pending
        place = len(pending) if picture is None or picture.pts is None else bisect_left(pending, picture.pts)
        # A stream may be joined at a place where nothing is displayed for a while.
        missing = pending[0] if place > 0 and self._has_begun else None
        del pending[: place + (place < len(pending) and picture is not None and pending[place] == picture.pts)]
        self._has_begun = True
        return missing

    def _is_leading(self, picture: VideoFrame) -> bool:
        """Whether it is displayed before the key frame that decoding began at: it cannot be whole, nor is it wanted."""
        first = self._queue.first_key
        return first is not None and picture.pts is not None and picture.pts < first

    def _note(self, packet: Packet[VideoStream] | None) -> None:
        if packet is None or packet.pts is None or packet.dts is None:
            return
        self._decoded_at[packet.pts] = packet.dts
        first = self._queue.first_key
        if self._gives_all and not packet.is_discard and (first is None or packet.pts >= first):
            insort(self._pending, packet.pts)
        if len(self._decoded_at) > _MAX_NOTES:
            for pts in list(islice(self._decoded_at, _MAX_NOTES // 2)):
                del self._decoded_at[pts]


def picture_ticks(picture: VideoFrame) -> int | None:
    """A picture's time on its stream's clock: presentation time, else decoding time, else None."""
    return picture.dts if picture.pts is None else picture.pts
