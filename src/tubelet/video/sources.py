"""What the user names on the command line: files, folders, globs, cameras, network streams."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
# A host that nobody can take for "user:password": at most a port behind it, or the colon of the sentence it stands in.
_PLAIN_HOST = re.compile(r"(\[[^\]\s]*\]|[^\s:@/?#'\"]*)(:\d*)?:?(?=[\s/?#'\",;)]|$)")
_SECRET_SETTING = re.compile(r"((?:password|passwd|pass|pwd|token|secret|api_?key|auth)=)[^\s&;/#'\"]+", re.IGNORECASE)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


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
        """The name for messages and results: without a password, and printable whatever bytes a file is named with."""
        return printable(without_password(self.name))


def expand_sources(
    arguments: Iterable[str | os.PathLike[str]], *, leave_out: str | os.PathLike[str] | None = None
) -> list[Source]:
    """Turn what the user named into single sources, in the order given, each once.

    A number is a camera, unless a file has that name; an address is a network stream; a folder stands for the video
    files in it and below it, by name; a pattern with `*`, `?` or `[` stands for what it matches (`**` for any
    folders). Anything else is taken for a file, whether it exists or not, and so are a folder or a pattern that give
    nothing, links that lead nowhere, and folders that cannot be looked into: reading says what is wrong with them, so
    that one bad name does not stop a batch.

    Args:
        arguments: What the user named.
        leave_out: A folder, of results say, of which folders and patterns take nothing; a file in it that is named
            itself is taken.

    Raises:
        ConfigError: An address is of a kind that is not read, nothing was named, or all that a folder or a pattern
            stands for is to be left out.
    """
    sources = [source for argument in arguments for source in _expand(os.fspath(argument), leave_out)]
    if not sources:
        raise ConfigError(
            "no source was named; give video files, folders, a pattern, a camera number or an rtsp:// address"
        )
    return list(dict.fromkeys(sources))


def as_source(source: Source | str | int | os.PathLike[str]) -> Source:
    """A single source from its name.

    Raises:
        ConfigError: The address is of a kind that is not read, or names no host.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, int):
        return Source(str(source), "camera")
    name = os.fspath(source)
    if name.startswith(_STREAM_SCHEMES):
        host = re.split("[/?#]", name.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
        if not host or host.startswith(":"):
            raise ConfigError(
                f"{printable(without_password(name))}: the address names no host; write rtsp://HOST[:PORT]/PATH"
            )
        return Source(name, "stream")
    if _ANY_SCHEME.match(name):
        raise ConfigError(
            f"{printable(without_password(name))}: addresses of this kind are not read; "
            "allowed are rtsp:// and rtsps://. Download the video and name the file"
        )
    if name.isdecimal() and not os.path.exists(name):
        return Source(name, "camera")
    return Source(name, "file")


def without_password(text: str) -> str:
    """`text` with the passwords of the addresses in it replaced by `***`: an address, a message, a command line.

    Passwords are also found where they hold characters that an address should have escaped, inside quotation marks,
    and in settings such as `?password=`. Mask the words of a command before quoting them: a password with a quotation
    mark in it cannot be told from the end of a quoted word.
    """
    if not _ANY_SCHEME.search(text):
        return text
    pieces, done = [], 0
    for scheme in _ANY_SCHEME.finditer(text):
        begin = scheme.end()
        end = _end_of_password(text, begin)
        if begin >= done and end is not None:
            pieces.append(f"{text[done:begin]}{text[begin:end].partition(':')[0]}:***")
            done = end
    return _SECRET_SETTING.sub(r"\1***", "".join(pieces) + text[done:])


def _end_of_password(text: str, begin: int) -> int | None:
    """Where the `@` behind user and password stands, if there are any in the address whose host begins at `begin`."""
    word = text[begin:].split(maxsplit=1)[0] if text[begin : begin + 1].strip() else ""
    at = re.split("[/?#]", word, maxsplit=1)[0].rfind("@")
    if at < 0 and not _PLAIN_HOST.match(text, begin):
        at = word.rfind("@")
        if at < 0:
            at = text.rfind("@", begin) - begin
    return begin + at if at >= 0 else None


def printable(name: str) -> str:
    r"""A file name that every output can take: bytes in it that are no text are written as `\xff`."""
    return _LONE_SURROGATE.sub(_as_escape, name)


def _as_escape(lone: re.Match[str]) -> str:
    code = ord(lone[0])
    # Python holds a byte that is no text as U+DC00 plus that byte.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _expand(name: str, leave_out: str | os.PathLike[str] | None) -> list[Source]:
    if os.path.isdir(name):
        found = _videos_below(name, leave_out)
        is_all_left_out = _lies_in(name, leave_out)
    elif not os.path.exists(name) and not _ANY_SCHEME.match(name) and glob.has_magic(name):
        matched = [path for path in sorted(glob.glob(name, recursive=True)) if not os.path.isdir(path)]
        found = [path for path in matched if not _lies_in(path, leave_out)]
        is_all_left_out = bool(matched) and not found
    else:
        return [as_source(name)]
    if is_all_left_out:
        raise ConfigError(
            f"{printable(name)}: results are to go into {leave_out}, and nothing in there is taken for a source; "
            "give another folder for the results, or name the files themselves"
        )
    # A folder or pattern that gives nothing is a source that cannot be read: reading it says why.
    return [Source(path, "file") for path in found or [name]]


def _videos_below(folder: str, leave_out: str | os.PathLike[str] | None) -> list[str]:
    """Video files of a folder and those below it, by name, and the folders that cannot be looked into."""
    found: list[str] = []

    def refused(error: OSError) -> None:
        found.append(str(error.filename))

    for where, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [each for each in folders if not _lies_in(os.path.join(where, each), leave_out)]
        found += [path for each in files if _is_video_name(path := os.path.join(where, each))]
    return [str(path) for path in sorted(map(Path, found))]


def _lies_in(path: str, folder: str | os.PathLike[str] | None) -> bool:
    return folder is not None and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_video_name(path: str) -> bool:
    name = os.path.basename(path)
    # Names that begin with a dot are leftovers of other programs (macOS writes "._clip.mp4" beside "clip.mp4").
    if name.startswith(".") or os.path.splitext(name)[1].lower() not in VIDEO_SUFFIXES:
        return False
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:  # it is listed and cannot be looked at, as a link that leads nowhere: reading it says why
        return True
