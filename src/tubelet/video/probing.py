"""What a file states about itself, and what its first picture shows."""

from __future__ import annotations

import itertools
import os

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float64

from tubelet.video.info import VideoInfo
from tubelet.video.pictures import is_turned_sideways, rotation_deg
from tubelet.video.videofile import VideoFile

_MICROSECONDS = 1e6
# Matroska's clock has milliseconds, so steps of a constant rate differ by up to one of them.
_CLOCK_ROUNDING_S = 0.0015
_MAX_PACKETS_LOOKED_AT = 300


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
    start_pts_s = file.seconds(file.origin())
    num_frames, duration_s = _length(file)
    times_s = _times_s(file)
    # Only now: what is above may open the file anew, and the old stream is gone then.
    stream, container = file.stream, file.media.container
    is_sideways, pixel_format = is_turned_sideways(first), first.format
    return VideoInfo(
        path=file.path,
        container=_container_name(container),
        codec=stream.codec_context.codec.canonical_name,
        width=first.height if is_sideways else first.width,
        height=first.width if is_sideways else first.height,
        rotation_deg=rotation_deg(first),
        num_frames=num_frames,
        duration_s=duration_s,
        average_fps=_average_fps(stream, num_frames, duration_s, times_s),
        start_pts_s=start_pts_s,
        is_variable_frame_rate=_has_variable_rate(times_s),
        pixel_format=pixel_format.name,
        bit_depth=max((component.bits for component in pixel_format.components), default=8),
        has_alpha=any(component.is_alpha for component in pixel_format.components) or _has_separate_alpha(stream),
        is_interlaced=first.interlaced_frame,
        has_audio=len(container.streams.audio) > 0,
        size_bytes=file.media.size_bytes,
    )


def _container_name(container: InputContainer) -> str:
    """One plain name where the demuxer lists a family of them (`mov,mp4,m4a,3gp,3g2,mj2`)."""
    family = container.format.name.split(",")
    if "mp4" in family:
        brand = container.metadata.get("major_brand", "")
        return "mov" if brand.startswith("qt") else "3gp" if brand.startswith("3g") else "mp4"
    # Both are Matroska; the library does not tell which the file calls itself.
    return "matroska/webm" if "matroska" in family else family[0]


def claimed_duration_s(file: VideoFile) -> float | None:
    """Length of the picture stream as the container states it, or None where it does not."""
    stream = file.stream
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    container = file.media.container
    end_s = _tagged_duration_s(stream.metadata.get("DURATION", ""))
    if end_s is None:
        end_s = None if container.duration is None else container.duration / _MICROSECONDS
    if end_s is None or "matroska" not in container.format.name or stream.start_time is None:
        return end_s
    return end_s - max(0.0, file.seconds(stream.start_time))  # Matroska counts from the zero of its clock


def _tagged_duration_s(text: str) -> float | None:
    """Matroska's statistics tag, HH:MM:SS.fraction."""
    parts = text.split(":")
    if len(parts) != 3 or not all(part.replace(".", "", 1).isdigit() for part in parts):
        return None
    hours, minutes, seconds = (float(part) for part in parts)
    return hours * 3600 + minutes * 60 + seconds


def _length(file: VideoFile) -> tuple[int | None, float]:
    num_frames: int | None = file.stream.frames or None
    if _has_full_index(file):
        num_frames = sum(not entry.is_discard for entry in file.stream.index_entries)
    duration_s = claimed_duration_s(file)
    if duration_s is not None:
        return num_frames, duration_s
    num_frames = _count_packets(file)
    rate = file.stream.average_rate or file.stream.base_rate
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


def _times_s(file: VideoFile) -> Float64[np.ndarray, " time"]:
    """Times of all pictures where the index lists them, else of the first few hundred; increasing, from any zero."""
    if _has_full_index(file):
        ticks = [entry.timestamp for entry in file.stream.index_entries if not entry.is_discard]
    else:
        queue = file.rewind()
        packets = itertools.islice(iter(queue.pop, None), _MAX_PACKETS_LOOKED_AT)
        ticks = sorted(packet.pts for packet in packets if packet.pts is not None)
    return np.array([file.seconds(tick) for tick in ticks])


def _average_fps(
    stream: VideoStream, num_frames: int | None, duration_s: float, times_s: Float64[np.ndarray, " time"]
) -> float:
    if num_frames is not None and num_frames > 1 and duration_s > 0:
        return num_frames / duration_s
    if _has_variable_rate(times_s):
        return (len(times_s) - 1) / float(times_s[-1] - times_s[0])
    rate = stream.average_rate or stream.base_rate
    return float(rate) if rate else 0.0


def _has_variable_rate(times_s: Float64[np.ndarray, " time"]) -> bool:
    """Whether the steps between pictures differ by more than the rounding of a container's clock."""
    steps_s = np.diff(times_s)[:-1]
    return len(steps_s) > 1 and float(steps_s.max() - steps_s.min()) > _CLOCK_ROUNDING_S


def _has_separate_alpha(stream: VideoStream) -> bool:
    """VP8 and VP9 carry alpha beside the pictures, and only a tag says so."""
    return stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE", "0")) == "1"
