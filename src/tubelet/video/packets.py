"""Compressed pictures in decoding order, with as much looking ahead as a decision needs."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Generator
from typing import cast

import av
from av.packet import Packet
from av.video.stream import VideoStream

from tubelet.errors import VideoReadError
from tubelet.video.opening import OpenMedia

# No real stream reorders its pictures over more packets than this.
_MAX_LOOK_AHEAD = 256
_MAX_TIMES = 2048


class PacketQueue:
    """Reads the picture packets of an open container one after the other, remembering those looked at ahead of time.

    Packets in front of the first key frame are left out: nothing can be decoded from them. Where the data are damaged
    or end early, all packets before that place are given first, then the error is raised.

    Attributes:
        has_times: False once a packet came without a presentation time.
        first_key: Presentation time of the first key frame, ticks; None before it was read or when it has none.
        delay: How much later than its decoding time the first key frame is displayed, ticks.
        position: Decoding time of the packet that was taken last, ticks.
        is_fresh: Whether no packet was taken yet.
    """

    def __init__(self, media: OpenMedia) -> None:
        self._media = media
        packets = media.container.demux(media.stream)
        self._source = cast("Generator[Packet[VideoStream], None, None]", packets)
        self._ahead: deque[Packet[VideoStream]] = deque()
        self._times: list[int] = []
        self._last_dts: int | None = None
        self._started = self._ended = self._closed = False
        self._error: VideoReadError | None = None
        self.has_times = True
        self.first_key: int | None = None
        self.delay = 0
        self.position: int | None = None
        self.is_fresh = True

    def close(self) -> None:
        """Read no more. To be called before the container is closed, which takes the memory for reading with it."""
        self._closed = True
        self._source.close()

    def pop(self) -> Packet[VideoStream] | None:
        """The next packet, or None at the end.

        Raises:
            VideoReadError: The data do not go on as they should ("corrupt", "truncated").
            ValueError: The reader was closed, or another read was begun.
        """
        if self._closed:
            raise ValueError(f"{self._media.path}: its reader was closed or began anew; use two")
        if not self._ahead and not self._read():
            if self._error is not None:
                raise self._error
            return None
        packet = self._ahead.popleft()
        self.is_fresh = False
        self.position = self.position if packet.dts is None else packet.dts
        return packet

    def is_empty(self) -> bool:
        """Whether there is no packet left."""
        return not self._ahead and not self._read()

    def settle_start(self) -> int | None:
        """Presentation time of the first picture, from the packets alone; None where they do not tell.

        They do not tell when times are missing or when pictures come before the first key frame in display order,
        because those may need pictures that are not in the file.
        """
        for _ in range(_MAX_LOOK_AHEAD):
            if self._times and self._last_dts is not None and self._last_dts >= self._times[0]:
                break
            if not self.has_times or not self._read():
                break
        if not self._times or not self.has_times or self.first_key is None or self._times[0] < self.first_key:
            return None
        return self._times[0]

    def is_displayed_at(self, pts: int, time: int) -> bool:
        """Whether the picture with presentation time `pts` is the one on display at `time` >= `pts`, in ticks.

        Looks ahead until no later packet can be displayed between the two: decoding times increase, and no picture is
        displayed before it is decoded.
        """
        for _ in range(_MAX_LOOK_AHEAD):
            after = bisect_right(self._times, pts)
            if after < len(self._times) and self._times[after] <= time:
                return False
            if self._last_dts is not None and self._last_dts >= time:
                return True
            if not self._read():
                if self._error is not None:
                    raise self._error
                return True
        raise VideoReadError(self._media.path, "corrupt", "the order of its pictures cannot be made out; re-encode it")

    def _read(self) -> bool:
        while not self._ended:
            try:
                packet = next(self._source, None)
            except (av.FFmpegError, OSError) as error:
                self._end(f"its data cannot be read any further ({error})")
                return False
            if packet is None:
                self._end(None)
                return False
            # The empty packet at the end asks for what is still in the decoder; others stand for repeated pictures.
            if packet.size == 0 or not (self._started or packet.is_keyframe):
                continue
            if packet.is_corrupt:
                self._end("a piece of its data is damaged")
                return False
            self._note(packet)
            self._ahead.append(packet)
            return True
        return False

    def _end(self, damage: str | None) -> None:
        self._ended = True
        path, missing = self._media.path, self._media.missing_end
        if missing is not None:
            self._error = VideoReadError(path, "truncated", f"{missing}; get the whole file")
        elif damage is not None:
            self._error = VideoReadError(path, "corrupt", f"{damage}; get the file again")

    def _note(self, packet: Packet[VideoStream]) -> None:
        if packet.dts is not None:
            self._last_dts = packet.dts
        if packet.pts is None:
            self.has_times = False
        elif not packet.is_discard:
            insort(self._times, packet.pts)
            if len(self._times) > _MAX_TIMES:
                del self._times[: _MAX_TIMES // 2]
        if not self._started and packet.pts is not None:
            self.first_key = packet.pts
            self.delay = 0 if packet.dts is None else packet.pts - packet.dts
        self._started = True
