"""What the user names on the command line: files, folders, globs, cameras, network streams."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from tubelet.errors import ConfigError

# What is taken from a folder. A file that is named itself is read whatever its ending.
# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
})
# fmt: on
_STREAM_SCHEMES = ("rtsp://", "rtsps://")
_ANY_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """Something that gives frames.

    Attributes:
        name: As the user named it; for a file out of a folder or a glob, its path.
        kind: "file", "camera" or "stream". Only a file has an end that is known beforehand.
    """

    name: str
    kind: Literal["file", "camera", "stream"]

    @property
    def is_live(self) -> bool:
        """Whether its frames come as time passes: a camera or a network stream."""
        return self.kind != "file"

    @property
    def label(self) -> str:
        """The name without the password that a stream's address may carry; for messages and results."""
        return without_password(self.name)

    @property
    def stem(self) -> str:
        """A name for the folder of this source's results."""
        if self.kind == "file":
            return Path(self.name).stem
        if self.kind == "camera":
            return f"camera{self.name}"
        address = urlsplit(self.name)
        return re.sub(r"[^A-Za-z0-9.-]+", "_", f"{address.hostname or 'stream'}{address.path}").strip("_")


def expand_sources(arguments: Iterable[str | os.PathLike[str]]) -> list[Source]:
    """Turn what the user named into single sources, in the order given, each once.

    A number is a camera, unless a file has that name; an address is a network stream; a folder stands for the video
    files in it and below it, by name; a pattern with `*`, `?` or `[` stands for what it matches (`**` for any
    folders). Anything else is taken for a file, whether it exists or not, and so are a folder or a pattern that give
    nothing: reading says what is wrong with it, so that one bad name does not stop a batch.

    Raises:
        ConfigError: An address is of a kind that is not read, or nothing was named.
    """
    sources = [source for argument in arguments for source in _expand(os.fspath(argument))]
    if not sources:
        raise ConfigError(
            "no source was named; give video files, folders, a pattern, a camera number or an rtsp:// address"
        )
    return list(dict.fromkeys(sources))


def as_source(source: Source | str | int | os.PathLike[str]) -> Source:
    """A single source from its name.

    Raises:
        ConfigError: The address is of a kind that is not read.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, int):
        return Source(str(source), "camera")
    name = os.fspath(source)
    if name.startswith(_STREAM_SCHEMES):
        return Source(name, "stream")
    if _ANY_SCHEME.match(name):
        raise ConfigError(
            f"{without_password(name)}: addresses of this kind are not read; allowed are rtsp:// and rtsps://. "
            "Download the video and name the file"
        )
    if name.isdecimal() and not os.path.exists(name):
        return Source(name, "camera")
    return Source(name, "file")


def without_password(name: str) -> str:
    """An address with its password, if it has one, replaced by `***`."""
    if not _ANY_SCHEME.match(name):
        return name
    parts = urlsplit(name)
    if "@" not in parts.netloc:
        return name
    user = parts.netloc.rpartition("@")[0].partition(":")[0]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))


def _expand(name: str) -> list[Source]:
    if os.path.isdir(name):
        found = [str(path) for path in sorted(Path(name).rglob("*")) if _is_video_name(path)]
    elif not os.path.exists(name) and not _ANY_SCHEME.match(name) and glob.has_magic(name):
        found = [path for path in sorted(glob.glob(name, recursive=True)) if os.path.isfile(path)]
    else:
        return [as_source(name)]
    # A folder or pattern that gives nothing is a source that cannot be read: reading it says why.
    return [Source(path, "file") for path in found or [name]]


def _is_video_name(path: Path) -> bool:
    # Names that begin with a dot are leftovers of other programs (macOS writes "._clip.mp4" beside "clip.mp4").
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file()
