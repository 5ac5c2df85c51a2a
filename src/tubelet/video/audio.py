"""Put the sound of one file beside the pictures of another."""

from __future__ import annotations

import os
from pathlib import Path

import av

from tubelet.errors import VideoWriteError


def copy_audio(source: str | os.PathLike[str], pictures: str | os.PathLike[str], target: Path) -> None:
    """Write a file with the pictures of one and the first sound track of another, both as they are.

    Nothing else is taken over: no names, places, chapters or subtitles.

    Args:
        source: Where the sound is.
        pictures: Where the pictures are.
        target: What to write; appears when it is whole.

    Raises:
        VideoWriteError: There is no sound, it is of a kind that mp4 does not hold, or the file cannot be written.
    """
    partial = target.with_name(f".{target.stem}.{os.getpid()}.partial.mp4")
    try:
        with (
            av.open(f"file:{os.fspath(pictures)}") as seen,
            av.open(f"file:{os.fspath(source)}") as heard,
            av.open(f"file:{partial}", "w", format="mp4", options={"movflags": "+faststart"}) as out,
        ):
            if not heard.streams.audio:
                raise VideoWriteError(f"{os.fspath(source)}: has no sound; leave --keep-audio away")
            video_in, audio_in = seen.streams.video[0], heard.streams.audio[0]
            video_out, audio_out = out.add_stream_from_template(video_in), out.add_stream_from_template(audio_in)
            audio_out.metadata.clear()
            video_packets, audio_packets = seen.demux(video_in), heard.demux(audio_in)
            for packets, stream in ((video_packets, video_out), (audio_packets, audio_out)):
                for packet in packets:
                    if packet.dts is not None:
                        packet.stream = stream
                        out.mux(packet)
        os.replace(partial, target)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoWriteError(
            f"{target}: the sound of {os.fspath(source)} cannot be put into it ({reason}); leave --keep-audio away"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
