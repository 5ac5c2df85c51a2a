"""Decode exactly the pictures on display at given times, and as little else as possible.

Three things save work, none of which may change a picture:

- Between targets the file is sought only when its index shows a key frame clearly ahead of the decoder. Index entries
  carry *decoding* times, so they say whether to seek; the seek itself goes to the target's presentation time.
- Pictures that no other picture refers to are not decoded unless they are wanted. In H.264 of mp4 and Matroska they are
  not even sent to the decoder, where each would hold up a thread. Which are wanted is decided from the
  packets before any is decoded, looking ahead past reordered ones, so a picture is never replaced by its neighbour.
  Only codecs for which "not referred to" is exact take part: in HEVC a skipped picture may serve pictures of a higher
  temporal layer.
- Before a seek the decoder is emptied by ending its stream, not by decoding further pictures until the wanted ones
  come out.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from tubelet.video.h264 import is_disposable, nal_length_size
from tubelet.video.packets import PacketQueue
from tubelet.video.videofile import VideoFile

# Codecs whose bit streams mark pictures that nothing refers to.
_SKIPPABLE_CODECS = frozenset({"h264", "mpeg4", "mpeg2video", "mpeg1video"})
# Going on is cheaper than seeking when the key frame is this many pictures ahead or fewer.
_NEAR_PICTURES = 4
# Without an index, a key frame is expected within this time.
_UNINDEXED_JUMP_S = 5.0
# A part needs a few groups of pictures for its decoder to be worth opening, and for parts to be about equal work.
_GROUPS_PER_PART = 3


@dataclass(frozen=True, slots=True)
class Picked:
    """A picture with its presentation time on the file's clock, ticks."""

    ticks: int
    image: UInt8[np.ndarray, "height width 3"]


Convert = Callable[[VideoFrame], UInt8[np.ndarray, "height width 3"]]


def pick_pictures(file: VideoFile, targets: Sequence[int], convert: Convert) -> list[Picked]:
    """The pictures on display at the given times.

    Args:
        file: Open; its position is moved.
        targets: Ticks of the file's clock, increasing.
        convert: From a decoded picture to the image that is kept.

    Raises:
        VideoReadError: A picture that is needed is damaged or missing.
    """
    found: list[Picked | None] = [None] * len(targets)
    if file.has_times:
        with suppress(_MissingTimesError):  # then all pictures are counted off, below
            found = _Picker(file, targets, convert).run()
    missing = [number for number, picked in enumerate(found) if picked is None]
    if missing:
        for number, picked in zip(
            missing, _pick_in_sequence(file, [targets[number] for number in missing], convert), strict=True
        ):
            found[number] = picked
    return [picked for picked in found if picked is not None]


def independent_parts(file: VideoFile, targets: Sequence[int], num_parts: int) -> list[Sequence[int]]:
    """Split targets into parts that are about equal work and share no group of pictures.

    Args:
        file: Open; its index says where key frames are.
        targets: Ticks, increasing.
        num_parts: At most this many.

    Returns:
        One part with all targets where splitting would not pay: no index, or too few groups of pictures.
    """
    if not file.has_times:
        return [targets]
    delay = file.rewind().delay
    index = file.stream.index_entries  # after rewinding, which may open the file anew
    if len(index) == 0:
        return [targets]
    keys = [index.search_timestamp(target - delay, backward=True) for target in targets]
    starts = [number for number in range(len(keys)) if number == 0 or keys[number] != keys[number - 1]]
    num_parts = min(num_parts, len(starts) // _GROUPS_PER_PART)
    if num_parts < 2:
        return [targets]
    cuts = [starts[len(starts) * part // num_parts] for part in range(num_parts)]
    return [targets[cut:end] for cut, end in zip(cuts, [*cuts[1:], len(targets)], strict=True)]


def pick_parts(path: str, parts: Sequence[Sequence[int]], make_converter: Callable[[], Convert]) -> list[Picked]:
    """The pictures on display at the targets of several parts, each with a decoder of its own in its own thread.

    Decoders that have nothing to do with each other never wait for each other, as the threads of one decoder do.
    """

    def pick(part: Sequence[int]) -> list[Picked]:
        file = VideoFile(path, num_threads=1)
        try:
            return pick_pictures(file, part, make_converter())
        finally:
            file.close()

    with ThreadPoolExecutor(max_workers=len(parts), thread_name_prefix="tubelet-pick") as threads:
        return list(itertools.chain.from_iterable(threads.map(pick, parts)))


def _pick_in_sequence(file: VideoFile, targets: Sequence[int], convert: Convert) -> list[Picked]:
    """The same pictures, found by decoding everything from the first target (or the beginning) to the last."""
    found: list[Picked] = []
    shown: tuple[int, VideoFrame] | None = None
    for ticks, picture in file.pictures():
        while shown is not None and len(found) < len(targets) and targets[len(found)] < ticks:
            found.append(Picked(shown[0], convert(shown[1])))
        if len(found) == len(targets):
            return found
        shown = (ticks, picture)
    if shown is not None:
        found.extend(Picked(shown[0], convert(shown[1])) for _ in targets[len(found) :])
    return found


class _MissingTimesError(Exception):
    """The packets carry no presentation times."""


class _Picker:
    """Fetches the pictures on display at several times of one file.

    Args:
        file: Open.
        targets: Ticks, increasing.
        convert: From a decoded picture to what is kept of it.
    """

    def __init__(self, file: VideoFile, targets: Sequence[int], convert: Convert) -> None:
        self._file = file
        self._targets = targets
        self._convert = convert
        self._skips = file.stream.codec_context.codec.name in _SKIPPABLE_CODECS
        self._length_size = nal_length_size(file.stream)
        self._assigned = [False] * len(targets)
        self._waiting: dict[int, list[int]] = {}
        self._results: list[Picked | None] = [None] * len(targets)

    def run(self) -> list[Picked | None]:
        """Presentation time and image for each target; None for a target whose picture the decoder did not give.

        Raises:
            _MissingTimesError: Times are missing in the file.
            VideoReadError: A picture that is needed is damaged.
        """
        queue: PacketQueue | None = None
        for number, target in enumerate(self._targets):
            if self._assigned[number]:
                continue
            if queue is None or self._should_jump(queue, target):
                if queue is not None:
                    self._decode(queue, None)
                queue = self._file.seek_before(target)
            self._send_until(queue, number)
        if queue is not None:
            self._decode(queue, None)
        return self._results

    def _send_until(self, queue: PacketQueue, number: int) -> None:
        context = self._file.stream.codec_context
        while not self._assigned[number]:
            packet = queue.pop()
            if packet is None:
                return
            if packet.pts is None:
                raise _MissingTimesError
            is_wanted = not packet.is_discard and self._assign(queue, packet.pts)
            if not is_wanted and self._length_size and is_disposable(memoryview(packet), self._length_size):
                continue
            if self._skips:
                context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            self._decode(queue, packet)

    def _assign(self, queue: PacketQueue, pts: int) -> bool:
        """Note for which targets the picture at `pts` is wanted; False when for none."""
        first = number = bisect_left(self._targets, pts)
        while number < len(self._targets) and queue.is_displayed_at(pts, self._targets[number]):
            if not self._assigned[number]:
                self._assigned[number] = True
                self._waiting.setdefault(pts, []).append(number)
            number += 1
        return number > first

    def _should_jump(self, queue: PacketQueue, target: int) -> bool:
        stream = self._file.stream
        if queue.position is None:
            return False
        if len(stream.index_entries) == 0:
            return self._file.seconds(target - queue.position) > _UNINDEXED_JUMP_S
        entry = stream.index_entries.search_timestamp(target - queue.delay, backward=True)
        if entry < 0:
            return False
        step = 0 if not stream.average_rate or not stream.time_base else 1 / (stream.average_rate * stream.time_base)
        return bool(stream.index_entries[entry].timestamp > queue.position + _NEAR_PICTURES * step)

    def _decode(self, queue: PacketQueue, packet: Packet[VideoStream] | None) -> None:
        try:
            pictures = self._file.stream.codec_context.decode(packet)
        except av.FFmpegError as error:
            pts = None if packet is None else packet.pts
            raise self._file.damage(f"a picture cannot be decoded ({error})", pts) from error
        for picture in pictures:
            self._take(queue, picture)

    def _take(self, queue: PacketQueue, picture: VideoFrame) -> None:
        if picture.pts is None:
            raise _MissingTimesError
        # Pictures displayed before the key frame that was sought to are not decodable from it, and not wanted either.
        if picture.is_corrupt and queue.first_key is not None and picture.pts >= queue.first_key:
            raise self._file.damage("a picture is damaged", picture.pts)
        numbers = self._waiting.pop(picture.pts, None)
        if numbers is not None:
            image = self._convert(picture)
            for number in numbers:
                self._results[number] = Picked(picture.pts, image)
