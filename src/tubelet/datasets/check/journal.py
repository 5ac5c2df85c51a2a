"""What was found so far, one line per task, appended as it is found: a check that was killed goes on from here."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from tubelet.datasets.check.sketch import SKETCH_BYTES, Sketch

JOURNAL_SCHEMA = "tubelet.check.journal/1"
JOURNAL_NAME = "check-journal.jsonl"
_SYNC_EVERY = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal.

    Attributes:
        offset: Where in the file it begins, bytes.
        key: The name of the video file.
        size_bytes: Of the video file then, None where it was not there.
        mtime_ns: When the video file had last been written to.
        video: Facts about it.
        spans: One mapping per clip, see `SpanResult`.
    """

    offset: int
    key: str
    size_bytes: int | None
    mtime_ns: int | None
    video: dict[str, Any] | None
    spans: list[dict[str, Any]]


class Journal:
    """An append-only file of results. A context manager.

    Args:
        path: The file; made where it is missing. One that another version wrote is begun anew.
        fresh: Begin anew in any case.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        if fresh or not _is_ours(path):
            path.write_bytes(_line({"schema": JOURNAL_SCHEMA}))
        self._file: BinaryIO = open(path, "r+b")  # noqa: SIM115 - closed on leaving
        self._file.seek(_sound_length(self._file))
        # What a killed process left unfinished is cut off.
        self._file.truncate()
        self._num_unsynced = 0
        self.read_sketch = lru_cache(maxsize=512)(self._read_sketch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sync()
        self._file.close()

    def append(
        self,
        *,
        key: str,
        size_bytes: int | None,
        mtime_ns: int | None,
        video: dict[str, Any] | None,
        spans: list[dict[str, Any]],
    ) -> Entry:
        """Add a line; it survives the end of this process at once, and that of the machine a little later."""
        offset = self._file.seek(0, os.SEEK_END)
        entry = Entry(offset, key, size_bytes, mtime_ns, video, spans)
        row = {"key": key, "size_bytes": size_bytes, "mtime_ns": mtime_ns, "video": video, "spans": spans}
        self._file.write(_line(row))
        self._file.flush()
        self._num_unsynced += 1
        if self._num_unsynced >= _SYNC_EVERY:
            self._sync()
        return entry

    def entries(self) -> Iterator[Entry]:
        """All lines, one at a time, oldest first."""
        with open(self.path, "rb") as file:
            offset = len(file.readline())
            for line in file:
                row = json.loads(line)
                yield Entry(offset, row["key"], row["size_bytes"], row["mtime_ns"], row["video"], row["spans"])
                offset += len(line)

    def _read_sketch(self, offset: int, number: int) -> Sketch:
        self._file.seek(offset)
        span = json.loads(self._file.readline())["spans"][number]
        sketch: Sketch = np.frombuffer(base64.b64decode(span["sketch"]), dtype=np.uint8)
        return sketch

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._num_unsynced = 0


def sketch_of(span: dict[str, Any]) -> Sketch | None:
    """The sketch of a clip, None where it has none."""
    data = base64.b64decode(span["sketch"])
    return np.frombuffer(data, dtype=np.uint8) if len(data) == SKETCH_BYTES else None


def _line(row: dict[str, Any]) -> bytes:
    # Names of files may hold bytes that are no text; as escapes they survive.
    return json.dumps(row, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def _is_ours(path: Path) -> bool:
    if not path.exists():
        return False
    with open(path, "rb") as file:
        return file.readline() == _line({"schema": JOURNAL_SCHEMA})


def _sound_length(file: BinaryIO) -> int:
    """Bytes up to the end of the last whole line."""
    file.seek(0)
    length = 0
    for line in file:
        if not line.endswith(b"\n") or not _is_object(line):
            break
        length += len(line)
    return length


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
