"""Frames of cameras and network streams, as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator

import av
import cv2

from tubelet.errors import VideoReadError
from tubelet.video.frames import Frame
from tubelet.video.opening import pick_stream
from tubelet.video.pictures import PictureConverter
from tubelet.video.sources import without_password

_RESTART_S = 1.0  # a clock that steps back by more begins anew; by less, a picture is late
_FIRST_GAP_S = 0.04  # between pictures, as long as no two are known


def camera_frames(name: str) -> Iterator[Frame]:
    """Frames of a camera of this machine until the caller stops; times by the clock, from the first frame.

    Args:
        name: The camera's number.

    Raises:
        VideoReadError: There is no such camera, or it stops giving pictures ("unavailable").
    """
    # The capture library writes its own warnings to the terminal; what matters of them is in the error below.
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        camera = cv2.VideoCapture(int(name))
    finally:
        cv2.utils.logging.setLogLevel(level)
    try:
        if not camera.isOpened():
            raise VideoReadError(
                name, "unavailable", "there is no such camera, or another program uses it; cameras are numbered from 0"
            )
        began_s: float | None = None
        index = 0
        while True:
            is_there, picture = camera.read()
            now_s = time.monotonic()
            if not is_there:
                at_s = None if began_s is None else now_s - began_s
                raise VideoReadError(name, "unavailable", "the camera gives no pictures; check its cable", at_s)
            began_s = now_s if began_s is None else began_s
            yield Frame(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), now_s - began_s, index)
            index += 1
    finally:
        camera.release()


def network_frames(address: str, *, timeout_s: float) -> Iterator[Frame]:
    """Frames of a network stream until it ends; times by the sender's clock, from the first whole frame.

    Pictures that are damaged on the way are left out, as a live stream cannot be sent again, and so are those that are
    up to a second late. When the sender's clock steps back further (the camera was restarted, or set to another time),
    the times go on from the last frame, as if no time had passed.

    Args:
        address: rtsp:// or rtsps://
        timeout_s: How long to wait for the connection, and for each piece of data.

    Raises:
        VideoReadError: Nothing answers in time, or the connection is lost ("unavailable").
    """
    name = without_password(address)
    last_s: float | None = None
    waiting_since_s = time.monotonic()
    try:
        with av.open(address, mode="r", options={"rtsp_transport": "tcp"}, timeout=timeout_s) as container:
            stream = pick_stream(name, container)
            stream.codec_context.thread_type = "SLICE"  # frame threads would hold pictures back
            convert = PictureConverter()
            clock = _SenderClock()
            index = 0
            for packet in container.demux(stream):
                for picture in packet.decode():
                    ticks = picture.dts if picture.pts is None else picture.pts
                    if ticks is None or picture.is_corrupt or stream.time_base is None:
                        continue
                    time_s = clock.place(float(ticks * stream.time_base))
                    if time_s is None:
                        continue
                    last_s = time_s
                    yield Frame(convert(picture), time_s, index)
                    index += 1
                waiting_since_s = time.monotonic()
    except (av.FFmpegError, OSError) as error:
        waited_s = time.monotonic() - waiting_since_s
        # The library says of a time-out only that what it got is no data, so the clock tells.
        if waited_s > 0.9 * timeout_s:
            said = f"no answer within {timeout_s:g} s; check address and network"
        elif isinstance(error, ConnectionRefusedError):
            said = "the connection was refused: nothing serves a stream there; check address and port"
        elif last_s is None:
            said = f"no stream could be opened ({error.strerror}); check address and network"
        else:
            said = f"the connection broke ({error.strerror}); check the network"
        raise VideoReadError(name, "unavailable", said, last_s) from error


class _SenderClock:
    """Turns a sender's times into times that begin at 0 and only grow."""

    def __init__(self) -> None:
        self._zero_s: float | None = None
        self._last_s = 0.0
        self._gap_s = _FIRST_GAP_S

    def place(self, sent_s: float) -> float | None:
        """Seconds since the first frame; None for a picture that comes late."""
        if self._zero_s is None:
            self._zero_s = sent_s
            return 0.0
        time_s = sent_s - self._zero_s
        if self._last_s - time_s > _RESTART_S:
            time_s = self._last_s + self._gap_s
            self._zero_s = sent_s - time_s
        elif time_s <= self._last_s:
            return None
        else:
            self._gap_s = time_s - self._last_s
        self._last_s = time_s
        return time_s
