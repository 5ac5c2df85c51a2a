"""Put the sound of one file beside the pictures of another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.packet import Packet

from tubelet.errors import VideoWriteError

_LEAD_IN_S = 0.1  # of sound kept before the first picture, not played: decoders need it to begin cleanly


def copy_audio(
    source: str | os.PathLike[str], pictures: str | os.PathLike[str], target: Path, *, start_s: float = 0.0
) -> None:
    """Write a file with the pictures of one and the first sound track of another, both as they are.

    Nothing else is taken over: no names, places, chapters or subtitles, nor sound from before the first picture.

    Args:
        source: Where the sound is.
        pictures: Where the pictures are, from 0 s on.
        target: What to write; appears when it is whole.
        start_s: The moment on the source's clock at which the pictures begin (`VideoInfo.start_pts_s`): the sound is
            shifted by it, as the pictures were.

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
            for packet in seen.demux(video_in):
                if packet.dts is not None:
                    packet.stream = video_out
                    out.mux(packet)
            for sound in _shifted(heard.demux(audio_in), start_s):
                sound.stream = audio_out
                out.mux(sound)
        os.replace(partial, target)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoWriteError(
            f"{target}: the sound of {os.fspath(source)} cannot be put into it ({reason}); leave --keep-audio away"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _shifted(packets: Iterable[Packet[AudioStream]], start_s: float) -> Iterator[Packet[AudioStream]]:
    """Packets on a clock that is 0 at a moment of theirs, without those that end well before it."""
    for packet in packets:
        # Sound is decoded in the order in which it is heard, so that one of its two times stands for the other.
        ticks = packet.dts if packet.pts is None else packet.pts
        if ticks is None or packet.time_base is None:
            continue
        ticks -= round(start_s / packet.time_base)
        if (ticks + (packet.duration or 0)) * packet.time_base > -_LEAD_IN_S:
            packet.pts = packet.dts = ticks
            yield packet
