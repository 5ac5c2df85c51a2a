"""One way to read frames from whatever the user named, decoding ahead in the background where asked."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

from tubelet.errors import ConfigError
from tubelet.video.frames import Frame
from tubelet.video.live import camera_frames, network_frames
from tubelet.video.reader import VideoReader
from tubelet.video.sources import Source, as_source

_LIVE_BUFFER = 30  # frames: about a second, so that a burst of work loses nothing


def read_frames(
    source: Source | str | int | os.PathLike[str],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    prefetch: int = 0,
    timeout_s: float = 10.0,
    wants: Callable[[float], bool] | None = None,
    on_decoded: Callable[[float], None] | None = None,
) -> Iterator[Frame]:
    """Frames of a file, a camera or a network stream, in display order.

    Closing the iterator (or leaving the loop and dropping it) closes the source.

    Args:
        source: A file, a camera number, or an rtsp:// address.
        start_s: Seconds from the first frame; only files can start later.
        end_s: Frames from here on are not given. A live source is closed then.
        prefetch: How many frames a thread decodes ahead while the caller works on one; 0 decodes when asked. Each
            takes the memory of one picture.
        timeout_s: How long a network stream may be silent.
        wants: Of a file, whether the frame at a time is wanted; others come without their picture (see
            `VideoReader.frames`).
        on_decoded: Called with the seconds that each frame of a file took to decode, in whatever thread decodes.

    Raises:
        VideoReadError: The source cannot be read, or not to its end.
        ConfigError: `start_s` was given for a live source.
    """
    if prefetch < 0:
        raise ValueError(f"prefetch is {prefetch}; it must be 0 or more frames")
    found = as_source(source)
    if found.is_live and start_s:
        raise ConfigError(f"{found.label}: a live source begins now; leave out the start time ({start_s:g} s)")
    frames = _file_frames(found, start_s, end_s, wants) if found.kind == "file" else _live(found, end_s, timeout_s)
    if on_decoded is not None and not found.is_live:
        frames = _timed(frames, on_decoded)
    return _ahead(frames, prefetch) if prefetch else frames


def _file_frames(
    source: Source, start_s: float | None, end_s: float | None, wants: Callable[[float], bool] | None
) -> Generator[Frame, None, None]:
    with VideoReader(source.name) as reader:
        yield from reader.frames(start_s, end_s, wants=wants)


def _live(source: Source, end_s: float | None, timeout_s: float) -> Generator[Frame, None, None]:
    live = camera_frames(source.name) if source.kind == "camera" else network_frames(source.name, timeout_s=timeout_s)
    for frame in _newest(live, _LIVE_BUFFER):
        if end_s is not None and frame.time_s >= end_s:
            return
        yield frame


def _timed(frames: Generator[Frame, None, None], on_decoded: Callable[[float], None]) -> Generator[Frame, None, None]:
    """The same frames, telling what each cost."""
    try:
        while True:
            started = time.perf_counter()
            frame = next(frames, None)
            on_decoded(time.perf_counter() - started)
            if frame is None:
                return
            yield frame
    finally:
        frames.close()


def _newest(frames: Iterator[Frame], size: int) -> Iterator[Frame]:
    """Frames of a live source for a caller that may be slower: it never falls more than `size` frames behind.

    A thread takes frames as they come and the oldest go unread, which shows as a jump in `Frame.index`. An error comes
    out after the frames before it.
    """
    waiting: deque[Frame] = deque(maxlen=size)
    changed = threading.Condition()
    is_wanted, has_ended = True, False

    def read() -> None:
        nonlocal has_ended
        try:
            for frame in frames:
                with changed:
                    waiting.append(frame)
                    changed.notify()
                if not is_wanted:
                    return
        finally:
            with changed:
                has_ended = True
                changed.notify()

    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tubelet-live")
    reading = thread.submit(read)
    try:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or has_ended)
                if not waiting:
                    break
                frame = waiting.popleft()
            yield frame
        reading.result()  # raises what ended the reading, if it was an error
    finally:
        is_wanted = False
        thread.shutdown(wait=False)


def _ahead(frames: Generator[Frame, None, None], size: int) -> Iterator[Frame]:
    """Take items out of a generator in a thread, at most `size` ahead; its errors come out where an item would have."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tubelet-decode") as thread:
        pending = deque(thread.submit(next, frames, None) for _ in range(size))
        try:
            while (frame := pending.popleft().result()) is not None:
                pending.append(thread.submit(next, frames, None))
                yield frame
        finally:
            for future in pending:
                future.cancel()
            thread.submit(frames.close).result()
