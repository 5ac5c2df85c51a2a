"""Files that are not what a video should be, one case each: how to make it, and what every entry point must say of it.

A case's `cause` is the `VideoReadError.cause` to expect, None when the file is odd but must read in full.
`num_frames` is how many sound frames a sequential read gives before that error (None: any number, also none).

`BROKEN_CASES` is meant for every entry point: Python, command line, folder batch, stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from media import Recipe, make_audio, make_video

NUM_FRAMES = 40


@dataclass(frozen=True)
class BrokenCase:
    """One bad file. `make(folder)` writes it and returns its path."""

    name: str
    make: Callable[[Path], Path]
    cause: str | None
    num_frames: int | None = 0

    def __str__(self) -> str:
        return self.name


def _good(folder: Path, name: str = "good.mp4", **changes: object) -> Path:
    return make_video(folder / name, Recipe(num_frames=NUM_FRAMES, **changes))  # type: ignore[arg-type]


def _zero_bytes(folder: Path) -> Path:
    path = folder / "zero_bytes.mp4"
    path.touch()
    return path


def _cut(name: str, keep: float, **changes: object) -> Callable[[Path], Path]:
    """The first part of a good file: `keep` of its bytes."""

    def make(folder: Path) -> Path:
        path = _good(folder, name, **changes)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        return path

    return make


_INDEX_FIRST = {"container_options": {"movflags": "+faststart"}}


def _no_moov(folder: Path) -> Path:
    """As a recorder leaves it that was switched off before it could write the index."""
    path = _good(folder, "no_moov.mp4")
    data = bytearray(path.read_bytes())
    start = data.index(b"moov") - 4
    path.write_bytes(data[:start])
    return path


def _audio_only(folder: Path) -> Path:
    return make_audio(folder / "audio_only.mp4")


def _one_frame(folder: Path) -> Path:
    return make_video(folder / "one_frame.mp4", Recipe(num_frames=1))


def _text_named_mp4(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("This is not a video, whatever its name says.\n" * 50, encoding="utf-8")
    return path


def _random_bytes(folder: Path) -> Path:
    path = folder / "random.mp4"
    state, values = 1, bytearray()
    for _ in range(20000):
        state = (1103515245 * state + 12345) & 0x7FFFFFFF
        values.append(state >> 16 & 255)
    path.write_bytes(values)
    return path


def _playlist(folder: Path) -> Path:
    """A playlist would make the reader open other files than the one named."""
    good = _good(folder)
    path = folder / "playlist.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.6,\n{good.name}\n#EXT-X-ENDLIST\n", encoding="utf-8")
    return path


def _mp4_named_avi(folder: Path) -> Path:
    path = folder / "mp4_named.avi"
    _good(folder).rename(path)
    return path


def _without_suffix(folder: Path) -> Path:
    path = folder / "no suffix: 100%d.mp4?"
    _good(folder).rename(path)
    return path


def _unsupported_codec(folder: Path) -> Path:
    path = _good(folder, "unsupported_codec.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC"))
    return path


def _corrupt_middle(name: str, **changes: object) -> Callable[[Path], Path]:
    """Good at both ends, with the compressed pictures in between overwritten."""

    def make(folder: Path) -> Path:
        path = _good(folder, name, **changes)
        data = bytearray(path.read_bytes())
        start = data.index(b"mdat") + 4 if b"mdat" in data else 0
        size = struct.unpack(">I", data[start - 8 : start - 4])[0] - 8 if start else len(data)
        for position in range(start + size * 5 // 10, start + size * 6 // 10):
            data[position] = position * 167 & 255
        path.write_bytes(data)
        return path

    return make


def _corrupt_header(folder: Path) -> Path:
    path = _good(folder, "corrupt_header.mp4", **_INDEX_FIRST)
    data = bytearray(path.read_bytes())
    start = data.index(b"moov") + 4
    data[start : start + 200] = bytes(position * 91 & 255 for position in range(200))
    path.write_bytes(data)
    return path


def _absurd_rate(folder: Path) -> Path:
    """A clock that runs ten thousand times too fast."""
    path = _good(folder, "absurd_rate.mp4")
    data = bytearray(path.read_bytes())
    place = data.index(b"mdhd") + 4 + 12  # version, flags, two dates; then ticks per second
    data[place : place + 4] = struct.pack(">I", struct.unpack(">I", data[place : place + 4])[0] * 10000)
    path.write_bytes(data)
    return path


def _absurd_size(folder: Path) -> Path:
    """Raw pictures whose header claims 17000x64 of them."""
    path = make_video(folder / "absurd_size.avi", Recipe(codec="rawvideo", num_frames=4, b_frames=0))
    data = bytearray(path.read_bytes())
    place = data.index(b"strf") + 8 + 4  # width and height of the bitmap header
    data[place : place + 8] = struct.pack("<ii", 17000, 64)
    path.write_bytes(data)
    return path


def _absurd_duration(folder: Path) -> Path:
    """The last picture is said to be shown for years."""
    return make_video(folder / "absurd_duration.mkv", Recipe(times=(0, 1, 40_000_000), fps=1))


def _missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def _directory(folder: Path) -> Path:
    path = folder / "directory.mp4"
    path.mkdir()
    return path


def _below_a_file(folder: Path) -> Path:
    return _text_named_mp4(folder) / "clip.mp4"


BROKEN_CASES: tuple[BrokenCase, ...] = (
    BrokenCase("zero_bytes", _zero_bytes, "empty"),
    BrokenCase("cut_in_first_bytes", _cut("cut_in_first_bytes.mp4", 0.002), "truncated"),
    BrokenCase("cut_in_index", _cut("cut_in_index.mp4", 0.03, **_INDEX_FIRST), "truncated"),
    BrokenCase("cut_before_index", _cut("cut_before_index.mp4", 0.7), "truncated"),
    BrokenCase("cut_in_first_picture", _cut("cut_in_first_picture.mp4", 0.10, **_INDEX_FIRST), "truncated"),
    BrokenCase("cut_in_middle", _cut("cut_in_middle.mp4", 0.5, **_INDEX_FIRST), "truncated", None),
    BrokenCase("cut_near_end", _cut("cut_near_end.mp4", 0.97, **_INDEX_FIRST), "truncated", None),
    BrokenCase("cut_matroska", _cut("cut_matroska.mkv", 0.5), "truncated", None),
    BrokenCase("cut_avi", _cut("cut_avi.avi", 0.8, codec="mpeg4", b_frames=0), "truncated", None),
    BrokenCase("no_moov", _no_moov, "truncated"),
    BrokenCase("audio_only", _audio_only, "no_video_stream"),
    BrokenCase("one_frame", _one_frame, None, 1),
    BrokenCase("text_named_mp4", _text_named_mp4, "not_a_video"),
    BrokenCase("random_bytes", _random_bytes, "not_a_video"),
    BrokenCase("playlist", _playlist, "not_a_video"),
    BrokenCase("mp4_named_avi", _mp4_named_avi, None, NUM_FRAMES),
    BrokenCase("awkward_name", _without_suffix, None, NUM_FRAMES),
    BrokenCase("unsupported_codec", _unsupported_codec, "unsupported_codec"),
    BrokenCase("corrupt_middle", _corrupt_middle("corrupt_middle.mp4"), "corrupt", None),
    BrokenCase("corrupt_middle_mpeg4", _corrupt_middle("corrupt_middle_mpeg4.mp4", codec="mpeg4"), "corrupt", None),
    BrokenCase("corrupt_middle_hevc", _corrupt_middle("corrupt_middle_hevc.mp4", codec="libx265"), "corrupt", None),
    BrokenCase("corrupt_header", _corrupt_header, "corrupt"),
    BrokenCase("absurd_rate", _absurd_rate, "absurd_metadata"),
    BrokenCase("absurd_size", _absurd_size, "absurd_metadata"),
    BrokenCase("absurd_duration", _absurd_duration, "absurd_metadata"),
    BrokenCase("missing", _missing, "missing"),
    BrokenCase("directory", _directory, "directory"),
    BrokenCase("below_a_file", _below_a_file, "missing"),
)
