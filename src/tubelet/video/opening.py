"""Open a media file, or say in one error why it cannot be read."""

from __future__ import annotations

import glob
import os
import stat
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from tubelet.errors import VideoReadError
from tubelet.video.container_end import container_family, missing_end

MAX_SIDE_PX = 16384
MAX_PIXELS = 120_000_000
MAX_FPS = 1000.0
MAX_DURATION_S = 30 * 24 * 3600.0

# Playlists would make the decoder open other files and addresses than the one the user named.
_PLAYLIST_FORMATS = frozenset({"hls", "concat", "dash", "sdp"})


@dataclass(frozen=True)
class OpenMedia:
    """An open container with the stream that holds its pictures.

    Attributes:
        missing_end: What the file promises beyond its last byte; None when nothing is known to be missing.
    """

    path: str
    container: InputContainer
    stream: VideoStream
    size_bytes: int
    missing_end: str | None


def open_media(path: str | os.PathLike[str], *, num_threads: int = 0) -> OpenMedia:
    """Open a video file for decoding.

    Args:
        path: A file on this machine.
        num_threads: Of the decoder; 0 lets it choose from the number of processors.

    Raises:
        VideoReadError: The file cannot be read; `cause` says why.
    """
    name = os.fspath(path)
    size_bytes, head, missing = _look_at_file(name)
    try:
        container = av.open(f"file:{name}", mode="r", metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _cannot_open(name, head, missing, error) from error
    try:
        stream = pick_stream(name, container)
    except VideoReadError as error:
        container.close()
        # Half an index can look like any other fault.
        raise _cannot_open(name, head, missing, error) if missing is not None else error from None
    stream.codec_context.thread_type = "AUTO"
    stream.codec_context.thread_count = num_threads
    return OpenMedia(name, container, stream, size_bytes, missing)


def pick_stream(name: str, container: InputContainer) -> VideoStream:
    """Choose the stream that holds the pictures, check what it claims, and switch the other streams off.

    Raises:
        VideoReadError: There is none, it has no decoder, or its size or rate is absurd.
    """
    if container.format.name.split(",")[0] in _PLAYLIST_FORMATS:
        kind = container.format.name
        raise VideoReadError(name, "not_a_video", f"it is a playlist ({kind}); name the video files themselves")
    if not container.streams:
        raise VideoReadError(name, "corrupt", "its index is damaged: no stream is listed in it; get the file again")
    candidates = [stream for stream in container.streams.video if not is_cover_art(stream)]
    if not candidates:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise VideoReadError(
            name, "no_video_stream", f"it holds {kinds} but no moving pictures; give a file with a picture track"
        )
    # A stream without a decoder has no codec context, whatever the type stubs of the library say.
    decodable = [stream for stream in candidates if getattr(stream, "codec_context", None) is not None]
    if not decodable:
        raise VideoReadError(
            name, "unsupported_codec", "there is no decoder for its pictures; convert it, for instance to H.264 in mp4"
        )
    stream = next((stream for stream in decodable if stream.disposition & Disposition.default), decodable[0])
    _check_claims(name, container, stream)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    return stream


def is_cover_art(stream: VideoStream) -> bool:
    """Whether the stream is a still picture that belongs to the file, as album covers do."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _check_claims(name: str, container: InputContainer, stream: VideoStream) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise VideoReadError(
            name,
            "absurd_metadata",
            f"it claims pictures of {width}x{height} pixels; at most {MAX_SIDE_PX} a side "
            f"and {MAX_PIXELS // 10**6} million in all are read. "
            "Its header is probably damaged; get it again",
        )
    if width < 1 or height < 1:
        raise VideoReadError(
            name, "corrupt", "the size of its pictures is not known: no picture in it can be decoded; get it again"
        )
    rate = stream.average_rate
    if rate is not None and float(rate) > MAX_FPS:
        raise VideoReadError(
            name,
            "absurd_metadata",
            f"it claims {float(rate):g} frames per second; at most {MAX_FPS:g} are read. "
            "Rewrite its times, for instance with `ffmpeg -i IN -vf setpts=N/25/TB OUT.mp4`",
        )
    duration_s = _claimed_duration_s(container, stream)
    if duration_s > MAX_DURATION_S:
        raise VideoReadError(
            name,
            "absurd_metadata",
            f"it claims to last {duration_s / 3600:.0f} hours; at most {MAX_DURATION_S / 3600:.0f} are read. "
            "Rewrite its times, for instance with `ffmpeg -i IN -vf setpts=N/25/TB OUT.mp4`",
        )


def _claimed_duration_s(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6


def _look_at_file(name: str) -> tuple[int, bytes, str | None]:
    """Size, first bytes, and what is missing at the end.

    The operating system's refusals are met here, where they can be told apart, before any decoder sees the file.
    """
    try:
        status = os.stat(name)
        if stat.S_ISDIR(status.st_mode):
            os.scandir(name).close()  # whether it holds videos is known only of a folder that may be looked into
            raise VideoReadError(
                name,
                "directory",
                "it is a folder without video files; name a file, or a folder that has some in it or below it",
            )
        with open(name, "rb") as file:
            if not stat.S_ISREG(status.st_mode):
                raise VideoReadError(
                    name, "not_a_video", "it is a device or a pipe; give a file, a camera number, or an rtsp:// address"
                )
            head = file.read(4096)
            if not head:
                raise VideoReadError(name, "empty", "it has zero bytes; copy or record it again")
            return status.st_size, head, missing_end(file, status.st_size)
    except FileNotFoundError as error:
        what = "no file matches this pattern" if glob.has_magic(name) else "there is no such file"
        raise VideoReadError(name, "missing", f"{what}; check the spelling and the folder") from error
    except NotADirectoryError as error:
        raise VideoReadError(name, "missing", "a part of its path is a file; check the spelling") from error
    except PermissionError as error:
        raise VideoReadError(
            name, "permission", "this user may not read it; change its permissions or run as its owner"
        ) from error
    except OSError as error:
        raise VideoReadError(
            name, "unavailable", f"the system cannot read it ({error.strerror}); check the disk"
        ) from error


def _cannot_open(name: str, head: bytes, missing: str | None, error: Exception) -> VideoReadError:
    if missing is not None:
        return VideoReadError(name, "truncated", f"{missing}; get the whole file, or repair it")
    if isinstance(error, av.error.DecoderNotFoundError):
        return VideoReadError(
            name, "unsupported_codec", "there is no decoder for its pictures; convert it, for instance to H.264 in mp4"
        )
    if container_family(head) is not None:
        return VideoReadError(name, "corrupt", f"its header is damaged ({_reason(error)}); get the file again")
    return VideoReadError(
        name, "not_a_video", "its contents are in no known video format, whatever its name says; give a video file"
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
