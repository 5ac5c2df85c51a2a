"""One way to read frames from whatever the user named, decoding ahead in the background where asked."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator

from tubelet.errors import ConfigError
from tubelet.video.frames import Frame
from tubelet.video.live import camera_frames, network_frames
from tubelet.video.reader import VideoReader
from tubelet.video.sources import Source, as_source


def read_frames(
    source: Source | str | int | os.PathLike[str],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    prefetch: int = 0,
    timeout_s: float = 10.0,
) -> Iterator[Frame]:
    """Frames of a file, a camera or a network stream, in display order.

    Closing the iterator (or leaving the loop and dropping it) closes the source.

    Args:
        source: A file, a camera number, or an rtsp:// address.
        start_s: Seconds from the first frame; only files can start later.
        end_s: Frames from here on are not given. A live source is closed then.
        prefetch: How many frames a thread decodes ahead while the caller works on one; 0 decodes when asked. Each takes the
            memory of one picture.
        timeout_s: How long a network stream may be silent.

    Raises:
        VideoReadError: The source cannot be read, or not to its end.
        ConfigError: `start_s` was given for a live source.
    """
    if prefetch < 0:
        raise ValueError(f"prefetch is {prefetch}; it must be 0 or more frames")
    found = as_source(source)
    if found.is_live and start_s:
        raise ConfigError(f"{found.label}: a live source begins now; leave out the start time ({start_s:g} s)")
    frames = _frames(found, start_s, end_s, timeout_s)
    return _ahead(frames, prefetch) if prefetch else frames


def _frames(source: Source, start_s: float | None, end_s: float | None, timeout_s: float) -> Iterator[Frame]:
    if source.kind == "file":
        with VideoReader(source.name) as reader:
            yield from reader.frames(start_s, end_s)
        return
    live = camera_frames(source.name) if source.kind == "camera" else network_frames(source.name, timeout_s=timeout_s)
    for frame in live:
        if end_s is not None and frame.time_s >= end_s:
            return
        yield frame


class _End:
    """The last thing in the queue: what ended the reading, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _ahead(frames: Iterator[Frame], size: int) -> Iterator[Frame]:
    """Run an iterator in a thread, at most `size` items ahead; errors come out where the item would have."""
    items: queue.Queue[Frame | _End] = queue.Queue(maxsize=size)
    is_over = threading.Event()

    def put(item: Frame | _End) -> bool:
        while not is_over.is_set():
            try:
                items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for frame in frames:
                if not put(frame):
                    break
        except BaseException as found:  # noqa: BLE001 - handed to the reading thread, which raises it
            error = found
        put(_End(error))

    thread = threading.Thread(target=work, name="tubelet-decode", daemon=True)
    thread.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        is_over.set()
        thread.join()
