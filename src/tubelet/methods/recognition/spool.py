"""Track rows on disk between the pass that recognises and the pass that draws, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from tubelet.methods.recognition.timeline import TrackRow

_RECORD = np.dtype(
    [
        ("track_id", "<i8"),
        ("frame_index", "<i8"),
        ("time_s", "<f8"),
        ("box_px", "<f8", (4,)),
        ("score", "<f8"),
        ("interpolated", "?"),
        ("has_landmarks", "?"),
        ("landmarks_px", "<f4", (33, 3)),
    ]
)
_ROWS_PER_BLOCK = 512


class RowSpool:
    """Track rows appended to a temporary file and read back in the same order.

    Args:
        path: File to write; it is replaced, and the caller removes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._block = np.zeros(_ROWS_PER_BLOCK, dtype=_RECORD)
        self._used = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, row: TrackRow) -> None:
        """Keep one row."""
        landmarks = row.landmarks_px
        self._block[self._used] = (
            row.track_id,
            row.frame_index,
            row.time_s,
            row.box_px,
            row.score,
            row.interpolated,
            landmarks is not None,
            0.0 if landmarks is None else landmarks,
        )
        self._used += 1
        if self._used == _ROWS_PER_BLOCK:
            self._flush()

    def rows(self) -> Iterator[TrackRow]:
        """All rows so far, in the order in which they were appended."""
        self._flush()
        self._file.flush()
        with self._path.open("rb") as file:
            while block := file.read(_RECORD.itemsize * _ROWS_PER_BLOCK):
                for record in np.frombuffer(block, dtype=_RECORD):
                    yield _to_row(record)

    def close(self) -> None:
        """Close the file; rows cannot be read any more once the caller has removed it."""
        self._file.close()

    def _flush(self) -> None:
        if self._used:
            self._file.write(self._block[: self._used].tobytes())
            self._used = 0


def _to_row(record: np.void) -> TrackRow:
    x0, y0, x1, y1 = record["box_px"].tolist()
    return TrackRow(
        track_id=int(record["track_id"]),
        frame_index=int(record["frame_index"]),
        time_s=float(record["time_s"]),
        box_px=(x0, y0, x1, y1),
        score=float(record["score"]),
        interpolated=bool(record["interpolated"]),
        landmarks_px=record["landmarks_px"].copy() if record["has_landmarks"] else None,
    )
