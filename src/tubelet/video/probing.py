"""What a file states about itself, and what its first picture shows."""

from __future__ import annotations

import os
from itertools import pairwise

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tubelet.video.info import VideoInfo
from tubelet.video.pictures import is_turned_sideways, rotation_deg
from tubelet.video.videofile import VideoFile

_MICROSECONDS = 1e6


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Facts about a video file. Decodes one frame, so a file that passes has pictures.

    Raises:
        VideoReadError: The file cannot be read; `cause` says why.
    """
    file = VideoFile(os.fspath(path), num_threads=1)
    try:
        _, first = next(file.pictures())
        return describe(file, first)
    finally:
        file.close()


def describe(file: VideoFile, first: VideoFrame) -> VideoInfo:
    """Facts about an open file, given its first picture.

    Args:
        file: Open; where its container states neither length nor number of frames, its packets are counted.
        first: Picture at 0 s.
    """
    stream, container = file.stream, file.media.container
    is_sideways = is_turned_sideways(first)
    num_frames, duration_s = _length(file)
    pixel_format = first.format
    return VideoInfo(
        path=file.path,
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=first.height if is_sideways else first.width,
        height=first.width if is_sideways else first.height,
        rotation_deg=rotation_deg(first),
        num_frames=num_frames,
        duration_s=duration_s,
        average_fps=_average_fps(stream, num_frames, duration_s),
        start_pts_s=file.seconds(file.origin()),
        is_variable_frame_rate=_has_variable_rate(stream),
        pixel_format=pixel_format.name,
        bit_depth=max((component.bits for component in pixel_format.components), default=8),
        has_alpha=any(component.is_alpha for component in pixel_format.components) or _has_separate_alpha(stream),
        is_interlaced=first.interlaced_frame,
        has_audio=len(container.streams.audio) > 0,
        size_bytes=file.media.size_bytes,
    )


def claimed_duration_s(file: VideoFile) -> float | None:
    """Length of the picture stream as the container states it, or None where it does not."""
    stream = file.stream
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    tagged = _tagged_duration_s(stream.metadata.get("DURATION", ""))
    if tagged is not None:
        return tagged
    duration = file.media.container.duration
    return None if duration is None else duration / _MICROSECONDS


def _tagged_duration_s(text: str) -> float | None:
    """Matroska's statistics tag, HH:MM:SS.fraction."""
    parts = text.split(":")
    if len(parts) != 3 or not all(part.replace(".", "", 1).isdigit() for part in parts):
        return None
    hours, minutes, seconds = (float(part) for part in parts)
    return hours * 3600 + minutes * 60 + seconds


def _length(file: VideoFile) -> tuple[int | None, float]:
    stream = file.stream
    num_frames: int | None = stream.frames or None
    if _has_full_index(file):
        num_frames = sum(not entry.is_discard for entry in stream.index_entries)
    duration_s = claimed_duration_s(file)
    if duration_s is not None:
        return num_frames, duration_s
    num_frames = _count_packets(file)
    rate = stream.average_rate or stream.base_rate
    return num_frames, num_frames / float(rate) if rate else 0.0


def _count_packets(file: VideoFile) -> int:
    queue = file.rewind()
    count = 0
    while (packet := queue.pop()) is not None:
        count += not packet.is_discard
    return count


def _has_full_index(file: VideoFile) -> bool:
    """Whether the index lists every picture: only mp4 and its kin promise that, and fragmented ones do not keep it."""
    stream = file.stream
    is_iso = "mp4" in file.media.container.format.name
    return is_iso and 0 < stream.frames == len(stream.index_entries)


def _average_fps(stream: VideoStream, num_frames: int | None, duration_s: float) -> float:
    if num_frames is not None and num_frames > 1 and duration_s > 0:
        return num_frames / duration_s
    rate = stream.average_rate or stream.base_rate
    return float(rate) if rate else 0.0


def _has_variable_rate(stream: VideoStream) -> bool:
    """Whether the steps between pictures differ by more than the rounding of the file's clock."""
    entries = stream.index_entries
    if len(entries) == stream.frames and len(entries) > 2:
        steps = [after.timestamp - before.timestamp for before, after in pairwise(entries)][:-1]
        return max(steps) - min(steps) > 2
    average, base = stream.average_rate, stream.base_rate
    return bool(average and base and abs(float(average / base) - 1.0) > 0.02)


def _has_separate_alpha(stream: VideoStream) -> bool:
    """VP8 and VP9 carry alpha beside the pictures, and only a tag says so."""
    return stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE", "0")) == "1"
