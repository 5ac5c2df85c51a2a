"""What `tubelet recognize --out DIR` leaves behind, written so that no file is ever half there.

    DIR/actions.json  actions.csv  tracks.csv  report.html      one file each for all sources of the command
    DIR/<stem>/actions.vtt  actions.srt  annotated.mp4          one folder per source

Everything is made in a hidden folder inside DIR first and moved into place when it is complete. What is complete
reaches DIR soon after each source and at the latest when the writer is left, whatever the reason, so that an
interruption loses the source at hand and no other. `actions.json` comes last: a source that it lists is complete in
all other files.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tubelet.errors import ConfigError, OutputExistsError
from tubelet.methods.recognition import subtitles
from tubelet.methods.recognition.documents import (
    ACTIONS_COLUMNS,
    TRACKS_COLUMNS,
    Failure,
    actions_csv_lines,
    actions_document,
    csv_line,
    now_utc,
    tracks_csv_line,
)
from tubelet.methods.recognition.page import AnnotatedVideo, render_report
from tubelet.methods.recognition.spool import RowSpool
from tubelet.methods.recognition.timeline import Recognition, TrackRow
from tubelet.runs.files import write_json, write_text

SHARED_FILES = ("actions.json", "actions.csv", "tracks.csv", "report.html")
MEDIA_FILES = ("actions.vtt", "actions.srt", "annotated.mp4")

# Rewriting the shared files after every source of a large batch would cost more and more; at most about a tenth of the
# time goes into it.
_COMMIT_SHARE = 0.1


class ResultWriter:
    """Writes the results of one command into a folder.

    Constructing it checks the folder and does nothing else, so that a command can refuse before it starts to work.

        with ResultWriter(out, sources, command=command) as results:
            for name in sources:
                with results.source(name) as sink:
                    for row in rows: sink.add(row)
                    sink.finish(recognition)

    Args:
        directory: Where results go; made if missing.
        sources: Everything that will be recognised, as the user named it.
        command: The command line, for the record.
        overwrite: Replace results of an earlier command; its files are kept until new ones are complete.

    Raises:
        OutputExistsError: A result is already there and `overwrite` is false.
        ConfigError: A source is named twice, or the folder cannot be one.
    """

    def __init__(
        self, directory: str | os.PathLike[str], sources: Sequence[str], *, command: str = "", overwrite: bool = False
    ) -> None:
        self.directory = Path(directory)
        self.stems = unique_stems(sources)
        self.recognitions: list[Recognition] = []
        self.failures: list[Failure] = []
        self._workshop = self.directory / f".tubelet-{secrets.token_hex(4)}"
        self._is_new_directory = False
        self._command = command
        self._created = now_utc()
        self._videos: dict[str, AnnotatedVideo] = {}
        self._pending_tracks: list[Path] = []
        self._tracks_in_place = False
        self._committed_at = time.monotonic()
        self._commit_cost_s = 0.0
        self._check(overwrite)

    @property
    def report_path(self) -> Path:
        """Where the report is, once something is complete."""
        return self.directory / "report.html"

    def __enter__(self) -> Self:
        self._is_new_directory = not self.directory.exists()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._workshop.mkdir()
        except OSError as error:
            raise ConfigError(
                f"{self.directory}: results cannot be written here ({error.strerror}); "
                "name a folder that you may write to with --out"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # An interruption before anything is complete leaves an earlier result as it was.
            if kind is None or self.recognitions or self.failures:
                self._commit()
        finally:
            shutil.rmtree(self._workshop)
            if self._is_new_directory and not any(self.directory.iterdir()):
                self.directory.rmdir()

    @contextmanager
    def source(self, name: str, *, keeps_rows: bool = True) -> Iterator[SourceWriter]:
        """Write the results of one source; what is not finished when an error passes through is dropped.

        Args:
            name: One of the sources given to the writer.
            keeps_rows: Whether rows will be read back, for drawing; they take half a kilobyte each on disk meanwhile.

        Yields:
            The place for rows, for the finished recognition, and for the annotated video.
        """
        if name not in self.stems:
            raise ValueError(f"{name!r} was not announced; announced: {', '.join(map(repr, self.stems))}")
        workshop = self._workshop / self.stems[name]
        workshop.mkdir()
        media = self.directory / self.stems[name]
        writer = SourceWriter(name, media_directory=media, workshop=workshop, keeps_rows=keeps_rows)
        try:
            yield writer
            if writer.recognition is None:
                raise ValueError(f"finish() was not called for {name!r}")
        finally:
            writer.close()
            if writer.recognition is not None:
                self._keep(writer, writer.recognition)
        if time.monotonic() - self._committed_at > self._commit_cost_s / _COMMIT_SHARE:
            self._commit()

    def fail(self, name: str, error: Exception) -> None:
        """List a source among the failures; the other sources go on."""
        self.failures.append(Failure.of(name, error))
        if name not in (recognition.source for recognition in self.recognitions):
            for stale in MEDIA_FILES:  # of an earlier command: they would go on saying what is not known now
                (self.directory / self.stems[name] / stale).unlink(missing_ok=True)

    def _check(self, overwrite: bool) -> None:
        if self.directory.exists() and not self.directory.is_dir():
            raise ConfigError(f"{self.directory} is a file; --out takes a folder, which is made if it is missing")
        media = [self.directory / stem / name for stem in self.stems.values() for name in MEDIA_FILES]
        results = [self.directory / name for name in SHARED_FILES] + media
        originals = {os.path.realpath(source): source for source in self.stems}
        for path in results:
            if os.path.realpath(path) in originals:
                raise ConfigError(
                    f"{path} is a source of this command and would be replaced; name another folder with --out"
                )
        for path in results:
            if path.exists() and not overwrite:
                raise OutputExistsError(
                    f"{path} already exists; pass --overwrite to replace the results in {self.directory}, "
                    "or name another folder with --out"
                )

    def _keep(self, writer: SourceWriter, recognition: Recognition) -> None:
        self.recognitions.append(recognition)
        self._pending_tracks.append(writer.tracks_path)
        if writer.video is None:
            # An annotated video of an earlier run would show what the new files no longer say.
            (writer.media_directory / "annotated.mp4").unlink(missing_ok=True)
        else:
            self._videos[recognition.source] = writer.video
        texts = {
            "actions.vtt": subtitles.to_webvtt(recognition.segments),
            "actions.srt": subtitles.to_subrip(recognition.segments),
        }
        for name, text in texts.items():
            write_text(writer.media_path(name), text)

    def _commit(self) -> None:
        started = time.monotonic()
        self._append_tracks()
        lines = (line for recognition in self.recognitions for line in actions_csv_lines(recognition))
        write_text(self.directory / "actions.csv", csv_line(ACTIONS_COLUMNS) + "".join(lines))
        document = actions_document(self.recognitions, self.failures, command=self._command, created=self._created)
        write_text(self.report_path, render_report(document, self.recognitions, self._videos))
        write_json(self.directory / "actions.json", document)
        self._committed_at = time.monotonic()
        self._commit_cost_s = self._committed_at - started

    def _append_tracks(self) -> None:
        """Move complete rows to `tracks.csv`: it can be large, so it is appended to instead of being rewritten."""
        target = self.directory / "tracks.csv"
        if not self._tracks_in_place:
            write_text(target, csv_line(TRACKS_COLUMNS))
            self._tracks_in_place = True
        length = target.stat().st_size
        try:
            with target.open("ab") as whole:
                for part_path in self._pending_tracks:
                    with part_path.open("rb") as part:
                        shutil.copyfileobj(part, whole, 1 << 20)
        except BaseException:
            os.truncate(target, length)
            raise
        for part_path in self._pending_tracks:
            part_path.unlink()
        self._pending_tracks.clear()


class SourceWriter:
    """Takes the results of one source; made by `ResultWriter.source`.

    Attributes:
        recognition: What `finish` was given, or None.
        video: What `add_video` was given, or None.
        media_directory: Where the files of this source alone go.
    """

    def __init__(self, name: str, *, media_directory: Path, workshop: Path, keeps_rows: bool = True) -> None:
        self.name = name
        self.media_directory = media_directory
        self.recognition: Recognition | None = None
        self.video: AnnotatedVideo | None = None
        self.tracks_path = workshop / "tracks.csv"
        self._quoted_source = csv_line((name,)).removesuffix("\n")
        self._tracks = self.tracks_path.open("w", encoding="utf-8", newline="")
        self._spool_path = workshop / "rows"
        self._spool = RowSpool(self._spool_path) if keeps_rows else None
        self._last_time_s = float("-inf")

    def add(self, row: TrackRow) -> None:
        """Append one row to `tracks.csv` and keep it for the pass that draws.

        Raises:
            ValueError: The row is earlier than the row before it; rows come in order of time.
        """
        if row.time_s < self._last_time_s:
            raise ValueError(f"rows must come in order of time: {row.time_s} s after {self._last_time_s} s")
        self._last_time_s = row.time_s
        self._tracks.write(tracks_csv_line(self._quoted_source, row))
        if self._spool is not None:
            self._spool.append(row)

    def rows(self) -> Iterator[TrackRow]:
        """The rows so far, read back from disk with their landmarks.

        Raises:
            ValueError: They were not kept.
        """
        if self._spool is None:
            raise ValueError(f"the rows of {self.name!r} were not kept; ask for it with keeps_rows=True")
        return self._spool.rows()

    def finish(self, recognition: Recognition) -> None:
        """Say that the source is recognised to its end; from here on it is kept.

        Raises:
            ValueError: The recognition is of another source.
        """
        if recognition.source != self.name:
            raise ValueError(f"the recognition is of {recognition.source!r}, not of {self.name!r}")
        self.recognition = recognition

    def media_path(self, name: str) -> Path:
        """Where a media file of this source goes; its folder is made."""
        self.media_directory.mkdir(exist_ok=True)
        return self.media_directory / name

    def add_video(self, path: Path, *, offset_s: float = 0.0) -> None:
        """Say that an annotated video is there.

        Args:
            path: A complete file in the folder of this source.
            offset_s: Time in the source at which the annotated video begins.
        """
        relative = path.relative_to(self.media_directory.parent).as_posix()
        self.video = AnnotatedVideo(relative_path=relative, offset_s=offset_s)

    def close(self) -> None:
        """Close and remove what only this pass needed."""
        self._tracks.close()
        if self._spool is not None:
            self._spool.close()
            self._spool_path.unlink()


def unique_stems(sources: Sequence[str]) -> dict[str, str]:
    """A folder name for each source, in order, unique also where the file system ignores case.

    `a/walk.mp4` and `b/walk.avi` become `walk` and `walk-2`, camera `0` becomes `camera-0`, and a network address
    becomes its host and path without credentials.

    Raises:
        ConfigError: A source is named twice.
    """
    taken = {name.casefold() for name in SHARED_FILES}
    stems: dict[str, str] = {}
    for source in sources:
        if source in stems:
            raise ConfigError(f"{source} is named twice; name every source once")
        base = _stem(source)
        stem, number = base, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{base}-{number}"
        taken.add(stem.casefold())
        stems[source] = stem
    return stems


def _stem(source: str) -> str:
    if source.isdecimal():
        return f"camera-{source}"
    if "://" in source:
        address = urlsplit(source)
        stem = f"{address.hostname or ''}{address.path}"
    else:
        stem = Path(source).stem
    # Separators, control characters and what other systems forbid in names; no leading dot: not hidden, never "..".
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]+', "-", stem).strip(" .-")[:100] or "source"
