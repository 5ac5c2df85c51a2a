"""Facts about a video file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Facts about a video file, as the file states them.

    Attributes:
        path: As the user named it.
        container: A plain name: mp4, mov, matroska/webm, avi, mpegts, …
        width: In display orientation, pixels.
        height: In display orientation, pixels.
        rotation_deg: Clockwise rotation that display applies: 0, 90, 180 or 270.
        num_frames: None where the file does not say and counting would need a full decode.
        duration_s: Of the picture stream.
        average_fps: Frames per second over the whole stream.
        start_pts_s: Presentation time of the first displayed frame in the file's own clock.
    """

    path: str
    container: str
    codec: str
    width: int
    height: int
    rotation_deg: int
    num_frames: int | None
    duration_s: float
    average_fps: float
    start_pts_s: float
    is_variable_frame_rate: bool
    pixel_format: str
    bit_depth: int
    has_alpha: bool
    is_interlaced: bool
    has_audio: bool
    size_bytes: int
