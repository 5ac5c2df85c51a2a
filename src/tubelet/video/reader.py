"""Read a video file: one frame after the other, or those on display at given times."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import Float

from tubelet.errors import ConfigError, VideoReadError
from tubelet.video.frames import Clip, Frame
from tubelet.video.info import VideoInfo
from tubelet.video.picking import Picked, independent_parts, pick_parts, pick_pictures
from tubelet.video.pictures import PictureConverter
from tubelet.video.probing import claimed_duration_s, describe
from tubelet.video.videofile import VideoFile

# Times are compared with this much slack, so that a time that was rounded when it was written down still finds its
# frame.
TIME_SLACK_S = 1e-4
# Far-apart frames are decoded side by side; more than a few decoders would only compete for memory.
_NO_PICTURE = np.zeros((0, 0, 3), np.uint8)
_MAX_DECODERS = min(4, os.cpu_count() or 1)


class VideoReader:
    """An open video file. Use it as a context manager: leaving it closes the file at once.

    Times are seconds from the first displayed frame, whatever clock the file uses. A reader serves one read at a
    time, in the thread and process that made it.

    Args:
        path: The file.
        num_threads: Of the decoder; 0 chooses by the number of processors, and lets `frames_at` open further decoders
            for frames that lie far apart. Use 1 where many readers work in parallel.

    Raises:
        VideoReadError: The file cannot be read; `cause` says why.
    """

    def __init__(self, path: str | os.PathLike[str], *, num_threads: int = 0) -> None:
        self.path = os.fspath(path)
        self._num_threads = num_threads
        self._file = VideoFile(self.path, num_threads)
        self._info: VideoInfo | None = None
        self._read_number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Harmless when it is closed already."""
        self._file.close()

    @property
    def info(self) -> VideoInfo:
        """Facts about the file. The first access decodes one frame, and ends a read that is under way.

        Raises:
            VideoReadError: The first frame cannot be decoded.
        """
        if self._info is None:
            self._read_number += 1
            _, first = next(self._file.pictures())
            self._info = describe(self._file, first)
        return self._info

    def frames(
        self,
        start_s: float | None = None,
        end_s: float | None = None,
        *,
        wants: Callable[[float], bool] | None = None,
    ) -> Iterator[Frame]:
        """Every frame whose display begins in [start_s, end_s), in display order.

        A damaged or cut-off file gives its sound frames in full, up to the first that is not; then the error is raised.
        Nothing is left out silently, as far as the container tells: mp4 and its kin tell everything, while Matroska and
        transport streams may lose whole pictures without a trace.

        Args:
            start_s: None for the first frame.
            end_s: None for all to the end.
            wants: Asked once for the time of each frame, in order; a frame that is not wanted comes without its picture
                (an image of 0 x 0), which saves converting it.

        Raises:
            VideoReadError: The data are damaged ("corrupt"), end early ("truncated"), or hold no picture ("no_frames").
            ConfigError: The interval begins behind the end of this video.
            ValueError: The interval is empty or negative.
        """
        start_s = 0.0 if start_s is None else float(start_s)
        end_s = math.inf if end_s is None else float(end_s)
        if not 0 <= start_s < end_s:
            raise ValueError(f"start_s is {start_s:g} and end_s is {end_s:g}; needed: 0 <= start_s < end_s")
        duration_s = claimed_duration_s(self._file)
        if duration_s is not None and start_s > duration_s:
            duration_s = self._file.last_end_s(duration_s)
        if duration_s is not None and start_s > duration_s:
            raise ConfigError(
                f"{self.path}: the start is {start_s:g} s, but the video ends at {duration_s:.3f} s; start earlier"
            )
        self._read_number += 1
        return self._frames(start_s, end_s, self._read_number, wants)

    def frames_at(
        self, times_s: Sequence[float] | Float[np.ndarray, " time"], *, short_side: int | None = None
    ) -> Clip:
        """The frame on display at each time, in the order given; decodes little else.

        Args:
            times_s: Between 0 and the duration; the last frame stays on display to the end.
            short_side: Resize while converting, so that the shorter side has this many pixels.

        Raises:
            VideoReadError: A frame that is needed is damaged or not there.
            ValueError: A time lies outside of the video, or none is given.
        """
        wanted = np.asarray(times_s, dtype=np.float64)
        if wanted.ndim != 1 or wanted.size == 0 or not np.all(np.isfinite(wanted)):
            raise ValueError(f"times_s is {times_s!r}; it must be a list of at least one time in seconds")
        self._check_inside(float(wanted.min()), float(wanted.max()))
        self._read_number += 1
        ticks = [math.floor(self._file.ticks(time_s + TIME_SLACK_S)) for time_s in wanted.tolist()]
        targets = sorted(set(ticks))
        parts = independent_parts(self._file, targets, 1 if self._num_threads == 1 else _MAX_DECODERS)
        if len(parts) > 1:
            pictures = pick_parts(self.path, parts, lambda: PictureConverter(short_side))
        else:
            pictures = pick_pictures(self._file, targets, PictureConverter(short_side))
        found: dict[int, Picked] = dict(zip(targets, pictures, strict=True))
        picked = [found[tick] for tick in ticks]
        if len({one.image.shape for one in picked}) > 1:
            raise VideoReadError(
                self.path, "corrupt", "its pictures change their size on the way; read it with frames()"
            )
        times = np.array([self._time_s(one.ticks) for one in picked], dtype=np.float64)
        return Clip(np.stack([one.image for one in picked]), times, self.path)

    def _time_s(self, ticks: int) -> float:
        return self._file.seconds(ticks - self._file.origin())

    def _check_inside(self, low_s: float, high_s: float) -> None:
        end_s = claimed_duration_s(self._file)
        if end_s is not None and high_s > end_s + TIME_SLACK_S:
            end_s = self._file.last_end_s(end_s)  # what containers claim is not always right
        if low_s < 0 or (end_s is not None and high_s > end_s + TIME_SLACK_S):
            end = "an unknown end" if end_s is None else f"{end_s:.3f} s"
            asked = f"{low_s:g} s" if low_s == high_s else f"times from {low_s:g} to {high_s:g} s"
            raise ValueError(f"{self.path}: {asked} asked for; the video lasts from 0 s to {end}")

    def _frames(
        self, start_s: float, end_s: float, number: int, wants: Callable[[float], bool] | None
    ) -> Iterator[Frame]:
        start = math.ceil(self._file.ticks(start_s - TIME_SLACK_S)) if start_s > 0 else None
        convert = PictureConverter()
        for index, (ticks, picture) in enumerate(self._file.pictures(start)):
            time_s = self._time_s(ticks)
            if time_s >= end_s - TIME_SLACK_S:
                return
            is_wanted = wants is None or wants(time_s)
            yield Frame(convert(picture) if is_wanted else _NO_PICTURE, time_s, index)
            if number != self._read_number:
                raise ValueError(f"another read of {self.path} was begun before this one ended; use a reader for each")


def read_clip(
    path: str | os.PathLike[str],
    times_s: Sequence[float] | Float[np.ndarray, " time"],
    *,
    short_side: int | None = None,
    num_threads: int = 0,
) -> Clip:
    """The frames of a file that are on display at the given times, as `VideoReader.frames_at` finds them.

    Args:
        path: The file.
        times_s: Seconds from the first displayed frame, in any order.
        short_side: Resize so that the shorter side has this many pixels; None keeps the size.
        num_threads: Of the decoder; 0 chooses by the number of processors.

    Raises:
        VideoReadError: The file, or a frame that is needed, cannot be read.
        ValueError: A time lies outside of the video, or none is given.
    """
    with VideoReader(path, num_threads=num_threads) as reader:
        return reader.frames_at(times_s, short_side=short_side)
