"""A video file as a sequence of decoded pictures on its own clock: rewind, seek, decode on, and stop at damage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tubelet.errors import VideoReadError
from tubelet.video.opening import OpenMedia, open_media
from tubelet.video.packets import PacketQueue

# How far in front of the wanted picture to look for a key frame, seconds, before reading from the beginning.
_SEEK_BACK_S = (0.0, 2.0, 12.0)


class VideoFile:
    """An open file whose pictures are addressed in ticks of its own clock.

    Args:
        path: The file.
        num_threads: Of the decoder; 0 chooses by the number of processors.

    Raises:
        VideoReadError: The file cannot be read.
    """

    def __init__(self, path: str, num_threads: int) -> None:
        self.path = path
        self._num_threads = num_threads
        self._media: OpenMedia | None = open_media(path, num_threads=num_threads)
        self._queue = PacketQueue(self._media)
        self._origin: int | None = None
        self._has_times = True

    def close(self) -> None:
        """Close the file. Harmless when it is closed already."""
        if self._media is not None:
            self._queue.close()
            self._media.container.close()
        self._media = None

    @property
    def media(self) -> OpenMedia:
        """The open container."""
        if self._media is None:
            raise ValueError(f"the reader of {self.path} is closed; open another one")
        return self._media

    @property
    def stream(self) -> VideoStream:
        """The stream that holds the pictures."""
        return self.media.stream

    @property
    def has_times(self) -> bool:
        """Whether the packets carry presentation times, without which nothing can be sought."""
        self.origin()
        return self._has_times

    def seconds(self, ticks: int) -> float:
        """A number of ticks of the stream's clock in seconds."""
        time_base = self.stream.time_base or Fraction(1, 90000)
        return ticks * time_base.numerator / time_base.denominator

    def ticks(self, time_s: float) -> float:
        """The position on the stream's clock, in (broken) ticks, of a time counted from the first displayed frame."""
        return self.origin() + time_s / self.seconds(1)

    def origin(self) -> int:
        """Ticks of the first displayed frame: from the packets where they tell, else by decoding it."""
        if self._origin is None:
            queue = self.rewind()
            origin = queue.settle_start()
            self._has_times = queue.has_times
            if origin is None:
                picture = next(self._decoded(queue), None)
                if picture is None:
                    raise self._nothing()
                origin = picture_ticks(picture) or 0
            self._origin = origin
        return self._origin

    def rewind(self) -> PacketQueue:
        """The packets from the beginning. Opens the file anew if some were taken: not all containers can seek there."""
        if self._queue.position is not None:
            return self._reopen(self._num_threads)
        return self._queue

    def seek_before(self, ticks: int) -> PacketQueue:
        """The packets from a key frame on from which the picture on display at `ticks` can be decoded."""
        for back_s in _SEEK_BACK_S if self.has_times else ():
            goal = ticks - math.ceil(back_s / self.seconds(1))
            if goal <= self.origin():
                break
            try:
                self.media.container.seek(goal, stream=self.stream)
            except av.FFmpegError:
                break  # this container cannot seek: it is read from the beginning
            self._queue.close()
            queue = self._queue = PacketQueue(self.media)
            if not queue.is_empty() and queue.first_key is not None and queue.first_key <= ticks:
                return queue
        return self._reopen(self._num_threads)

    def pictures(self, start: int | None = None) -> Iterator[tuple[int, VideoFrame]]:
        """Ticks and picture in display order, with increasing times, from `start` on (None: from the first).

        Raises:
            VideoReadError: After the last sound picture, when a damaged one follows or the file ends early; or at
                once, when there is no picture.
        """
        origin, step = self.origin(), self._step_ticks()
        last: int | None = None
        for picture in self._sound_pictures(start):
            ticks = picture_ticks(picture)
            if ticks is None:
                ticks = origin if last is None else last + step
            elif last is not None and ticks <= last:
                ticks = last + 1 if picture.pts is not None else last + step
            last = ticks
            if start is None or ticks >= start:
                yield ticks, picture
        if last is None:
            raise self._nothing()

    def damage(self, what: str, ticks: int | None = None) -> VideoReadError:
        """The error for damaged data; a file that ends early is reported as that."""
        missing = self.media.missing_end
        time_s = None if ticks is None or self._origin is None else max(0.0, self.seconds(ticks - self._origin))
        if missing is not None:
            return VideoReadError(self.path, "truncated", f"{missing}; get the whole file", time_s)
        return VideoReadError(self.path, "corrupt", f"{what}; get the file again", time_s)

    def _reopen(self, num_threads: int) -> PacketQueue:
        media = self.media
        self._queue.close()
        media.container.close()
        self._media = open_media(self.path, num_threads=num_threads)
        self._queue = PacketQueue(self._media)
        return self._queue

    def _nothing(self) -> VideoReadError:
        if self.media.missing_end is not None:
            return self.damage("")
        return VideoReadError(self.path, "no_frames", "its picture track holds no picture; record or export it again")

    def _step_ticks(self) -> int:
        rate, time_base = self.stream.average_rate or self.stream.base_rate, self.stream.time_base
        return max(1, round(1 / (rate * time_base))) if rate and time_base else 1

    def _sound_pictures(self, start: int | None) -> Iterator[VideoFrame]:
        """Pictures up to the first that is damaged, then the error.

        Decoding threads lose sound pictures that were under way beside a damaged one, so on an error the rest is
        decoded again without them.
        """
        num_given = 0
        try:
            for picture in self._decoded(self._queue_from(start)):
                num_given += 1
                yield picture
            return
        except VideoReadError:
            if self.stream.codec_context.thread_count == 1:
                raise
        self._reopen(num_threads=1)
        for number, picture in enumerate(self._decoded(self._queue_from(start))):
            if number >= num_given:
                yield picture

    def _queue_from(self, start: int | None) -> PacketQueue:
        return self.rewind() if start is None or not self.has_times else self.seek_before(start)

    def _decoded(self, queue: PacketQueue) -> Iterator[VideoFrame]:
        context = self.stream.codec_context
        context.skip_frame = "DEFAULT"
        last: int | None = None
        packet = None
        error: VideoReadError | None = None
        while error is None:
            try:
                packet = queue.pop()
                pictures = context.decode(packet)
            except (VideoReadError, av.FFmpegError) as found:
                error = (
                    found
                    if isinstance(found, VideoReadError)
                    else self.damage(f"a picture cannot be decoded ({found})")
                )
                pictures = self._last_pictures()
            for picture in pictures:
                ticks = picture_ticks(picture)
                # Pictures displayed before the key frame that was sought to cannot be whole, and nobody asked for them.
                is_leading = ticks is not None and queue.first_key is not None and ticks < queue.first_key
                if picture.is_corrupt and not is_leading:
                    error = self.damage("a picture is damaged")
                    break
                last = ticks if ticks is not None else last
                yield picture
            if packet is None and error is None:
                return
        if error is not None:
            raise self._at(error, last)

    def _at(self, error: VideoReadError, last: int | None) -> VideoReadError:
        """The error with the time of the last sound picture in front of it."""
        if last is None or self._origin is None:
            return error
        return VideoReadError(self.path, error.cause, error.detail, max(0.0, self.seconds(last - self._origin)))

    def _last_pictures(self) -> list[VideoFrame]:
        """What is still in the decoder in front of a damaged place."""
        try:
            return self.stream.codec_context.decode(None)
        except av.FFmpegError:
            return []  # the damage itself, which is about to be reported


def picture_ticks(picture: VideoFrame) -> int | None:
    """A picture's time on its stream's clock: presentation time, else decoding time, else None."""
    return picture.dts if picture.pts is None else picture.pts
