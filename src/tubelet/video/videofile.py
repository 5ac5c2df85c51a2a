"""A video file as a sequence of decoded pictures on its own clock: rewind, seek, decode on, and stop at damage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tubelet.errors import VideoReadError
from tubelet.video.decoding import Decoder, DecodingError, picture_ticks
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
        self._is_sought = False
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
        """The stream that holds the pictures. Rewinding and seeking may replace it: ask again, never keep it."""
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
                picture = self._first_picture(queue)
                origin = picture_ticks(picture) or 0
            self._origin = origin
        return self._origin

    def _first_picture(self, queue: PacketQueue) -> VideoFrame:
        try:
            picture = next(Decoder(self.stream, queue).pictures(), None)
        except DecodingError as error:
            raise self.damage(str(error)) from error
        if picture is None:
            raise self._nothing()
        return picture

    def rewind(self) -> PacketQueue:
        """The packets from the beginning. Opens the file anew if some were taken: not all containers can seek there."""
        return self._queue if self._queue.is_fresh and not self._is_sought else self._reopen()

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
            self._is_sought = True
            queue = self._queue = PacketQueue(self.media)
            if not queue.is_empty() and queue.first_key is not None and queue.first_key <= ticks:
                return queue
        return self._reopen()

    def last_end_s(self, near_s: float) -> float:
        """When the last picture's display ends, seconds from the first one's beginning, from the packets.

        Args:
            near_s: Where the end is expected; reading begins at the key frame before.

        Raises:
            VideoReadError: The file ends early.
        """
        origin, step = self.origin(), self._step_ticks()
        queue = self.seek_before(math.floor(self.ticks(near_s)))
        end = origin
        while (packet := queue.pop()) is not None:
            if packet.pts is not None:
                end = max(end, packet.pts + (packet.duration or step))
        return self.seconds(end - origin)

    def pictures(self, start: int | None = None) -> Iterator[tuple[int, VideoFrame]]:
        """Ticks and picture in display order, with increasing times, from `start` on (None: from the first).

        Raises:
            VideoReadError: After the last sound picture, when a damaged one follows or the file ends early; or at
                once, when there is no picture.
        """
        origin, step = self.origin(), self._step_ticks()
        last: int | None = None
        try:
            for picture in self._sound_pictures(start):
                ticks = picture_ticks(picture)
                if ticks is None:
                    ticks = origin if last is None else last + step
                elif last is not None and ticks <= last:
                    ticks = last + 1 if picture.pts is not None else last + step
                last = ticks
                if start is None or ticks >= start:
                    yield ticks, picture
        except VideoReadError as error:
            time_s = None if last is None else self.seconds(last - origin)
            raise VideoReadError(self.path, error.cause, error.detail, time_s) from error
        if last is None:
            raise self._nothing()

    def damage(self, what: str, ticks: int | None = None) -> VideoReadError:
        """The error for damaged data; a file that ends early is reported as that."""
        missing = self.media.missing_end
        time_s = None if ticks is None or self._origin is None else max(0.0, self.seconds(ticks - self._origin))
        if missing is not None:
            return VideoReadError(self.path, "truncated", f"{missing}; get the whole file", time_s)
        return VideoReadError(self.path, "corrupt", f"{what}; get the file again", time_s)

    def _reopen(self) -> PacketQueue:
        media = self.media
        self._queue.close()
        media.container.close()
        self._media = open_media(self.path, num_threads=self._num_threads)
        self._queue = PacketQueue(self._media)
        self._is_sought = False
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

        Decoding threads lose sound pictures that were under way beside a damaged one, so at an error the last stretch
        is decoded again without them.
        """
        num_given = 0
        last: int | None = None
        try:
            for picture in self._decoder_from(start).pictures():
                num_given += 1
                last = picture.pts if self.has_times else None
                yield picture
            return
        except DecodingError:
            self._num_threads = 1
            self._reopen()
        decoder = self._decoder_from(start if last is None else last)
        try:
            for number, picture in enumerate(decoder.pictures()):
                is_given = number < num_given if last is None else picture.pts is not None and picture.pts <= last
                if not is_given:
                    yield picture
        except DecodingError as error:
            for picture in decoder.last_pictures():
                yield picture
            raise self.damage(str(error)) from error

    def _decoder_from(self, start: int | None) -> Decoder:
        queue = self.rewind() if start is None or not self.has_times else self.seek_before(start)
        return Decoder(self.stream, queue)
