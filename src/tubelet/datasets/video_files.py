"""Which video files are in a folder, by name: nothing is opened, so that ten thousand files take a moment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tubelet.errors import DatasetError
from tubelet.video.sources import VIDEO_SUFFIXES, printable

_SHOWN = 5


def is_video_name(name: str) -> bool:
    """Whether a file is taken for a video by its ending; names that begin with a dot are not."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES and not name.startswith(".")


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder by name, links to folders among them, those that begin with a dot left out.

    Raises:
        DatasetError: The folder cannot be read, or a name is not text.
    """
    return [folder / name for name, kind in _entries(folder) if kind == "folder" and name != "__MACOSX"]


def videos_in(folder: Path) -> list[Path]:
    """Video files in a folder by name, links to files among them, without those in the folders below it.

    Raises:
        DatasetError: The folder cannot be read, a name is not text, or a link leads nowhere.
    """
    found = [(folder / name, kind) for name, kind in _entries(folder) if kind != "folder" and is_video_name(name)]
    lost = [path for path, kind in found if kind == "lost"]
    if lost:
        raise DatasetError(f"{lost[0]}: is a link that leads nowhere ({len(lost)} in that folder); mend or remove it")
    return [path for path, _ in found]


def videos_below(folder: Path) -> Iterator[Path]:
    """Video files in a folder and in the folders below it; links are followed, each folder once.

    A link that leads nowhere is no file.

    Raises:
        DatasetError: A folder cannot be read, or a name is not text.
    """
    seen: set[tuple[int, int]] = set()
    todo = [folder]
    while todo:
        here = todo.pop()
        try:
            status = here.stat()
        except OSError as error:
            raise DatasetError(f"{here}: cannot be read: {error.strerror}") from error
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for name, kind in _entries(here):
            if kind == "folder":
                todo.append(here / name)
            elif kind == "file" and is_video_name(name):
                yield here / name


def other_endings(folder: Path) -> str:
    """What there is in a folder instead of videos, for messages: `12 .jpg and 1 .txt`."""
    endings = Counter(
        os.path.splitext(name)[1].lower() or "without an ending" for name, kind in _entries(folder) if kind != "folder"
    )
    return " and ".join(f"{count} {ending}" for ending, count in endings.most_common(3))


def _entries(folder: Path) -> list[tuple[str, str]]:
    """Names in a folder, sorted, and whether each is a "folder", a "file", or a link that is "lost"."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, _kind(entry)) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror}") from error
    for name, _ in found:
        check_name(name, folder)
    return found


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink() and not os.path.exists(entry.path):
        return "lost"
    return "folder" if entry.is_dir() else "file"


def check_name(name: str, folder: Path) -> None:
    """Refuse a name that is not UTF-8 text: names of clips are written into text files.

    Raises:
        DatasetError: It is not.
    """
    if not name.isascii() and printable(name) != name:
        raise DatasetError(f"{folder}: the name {printable(name)} is not UTF-8 text; rename it")


class VideoIndex:
    """The video files below a folder by the name without its ending.

    Args:
        folder: Where to look, at any depth.

    Raises:
        DatasetError: There is no such folder, or no video in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DatasetError(f"{folder}: there is no such folder; give the folder of the videos")
        self.folder = folder
        self._paths: dict[str, list[Path]] = {}
        for path in videos_below(folder):
            self._paths.setdefault(path.stem, []).append(path)
        if not self._paths:
            raise DatasetError(f"{folder}: there is no video in it; put the videos of the dataset there")

    def find(self, stem: str, *, near: Sequence[str] = ()) -> Path | None:
        """The video of this name, None if there is none.

        Args:
            stem: The file name without its ending.
            near: Names of folders, the most telling first: of several videos of that name, those are taken that have
                such a folder in their path. Blanks and underscores are alike in them.

        Raises:
            DatasetError: Several are left.
        """
        found = self._paths.get(stem, [])
        for name in near:
            if len(found) > 1:
                wanted = _plain(name)
                found = [
                    path
                    for path in found
                    if any(_plain(part) == wanted for part in path.relative_to(self.folder).parts[:-1])
                ] or found
        if len(found) > 1:
            shown = " or ".join(path.relative_to(self.folder).as_posix() for path in sorted(found)[:3])
            raise DatasetError(f"{self.folder}: {stem!r} could be {shown}; keep one of them in that folder")
        return found[0] if found else None


def _plain(name: str) -> str:
    return name.replace(" ", "_").lower()


def left_out(missing: Sequence[str], num_expected: int, where: Path, *, allow_missing: bool) -> str:
    """Say which files are missing, or refuse to go on without them.

    Args:
        missing: Their names.
        num_expected: How many the annotations list.
        where: Where they were looked for.
        allow_missing: Whether to go on.

    Returns:
        A sentence for `ClipSet.split_rule`; empty if nothing is missing.

    Raises:
        DatasetError: Files are missing and that was not allowed, or all of them are.
    """
    if not missing:
        return ""
    shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
    said = f"{len(missing)} of {num_expected} videos that are listed are not there"
    if not allow_missing or len(missing) == num_expected:
        do = "is this the right folder?" if allow_missing else "bring them, or pass allow_missing to go on without them"
        raise DatasetError(f"{where}: {said}: {shown}; {do}")
    return f"; {said} and are left out ({shown})"
