"""Reading detected and true segments and boxes: CSV, JSON lines, and AVA's rows without a header."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tubelet.errors import DatasetError
from tubelet.metrics.frame_map import DetectedBox, FrameKey, TrueBox
from tubelet.metrics.temporal_detection import DetectedSegment, TrueSegment

_AVA_COLUMNS = ("video", "time_s", "x0", "y0", "x1", "y1", "label")
Made = TypeVar("Made")


def read_true_segments(path: str | os.PathLike[str]) -> list[TrueSegment]:
    """True segments of a CSV or JSON lines file.

    Raises:
        DatasetError: It cannot be read or a row is wrong.
    """

    def segment(row: Mapping[str, Any]) -> TrueSegment:
        made = TrueSegment(_text(row, "video"), _number(row, "start_s"), _number(row, "end_s"), _text(row, "label"))
        if not made.start_s < made.end_s:
            raise ValueError(
                f"the segment goes from {made.start_s:g} to {made.end_s:g} s; it must start before it ends"
            )
        return made

    return _read(path, segment)


def read_detected_segments(path: str | os.PathLike[str]) -> list[DetectedSegment]:
    """Predicted segments of a CSV or JSON lines file.

    Raises:
        DatasetError: It cannot be read or a row is wrong.
    """

    def segment(row: Mapping[str, Any]) -> DetectedSegment:
        start_s, end_s = _number(row, "start_s"), _number(row, "end_s")
        if start_s > end_s:
            raise ValueError(f"the segment goes from {start_s:g} to {end_s:g} s; it must not end before it starts")
        return DetectedSegment(_text(row, "video"), start_s, end_s, _text(row, "label"), _number(row, "score"))

    return _read(path, segment)


def read_true_boxes(path: str | os.PathLike[str]) -> tuple[list[TrueBox], list[FrameKey]]:
    """True boxes, and frames that show nothing, of a CSV (AVA's included) or JSON lines file.

    Raises:
        DatasetError: It cannot be read or a row is wrong.
    """
    empty: list[FrameKey] = []

    def box(row: Mapping[str, Any]) -> TrueBox | None:
        video, time_s = _text(row, "video"), _number(row, "time_s")
        if "label" not in row:
            empty.append((video, time_s))
            return None
        x0, y0, x1, y1 = _box(row)
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"the box {x0:g}, {y0:g}, {x1:g}, {y1:g} has no area; it needs x0 < x1 and y0 < y1")
        return TrueBox(video, time_s, (x0, y0, x1, y1), _text(row, "label"))

    # The last column of AVA's truth is the person's number.
    made = _read(path, box, columns=(*_AVA_COLUMNS, "person"))
    return [each for each in made if each is not None], empty


def read_detected_boxes(path: str | os.PathLike[str]) -> list[DetectedBox]:
    """Predicted boxes of a CSV (AVA's included) or JSON lines file.

    Raises:
        DatasetError: It cannot be read or a row is wrong.
    """

    def box(row: Mapping[str, Any]) -> DetectedBox:
        return DetectedBox(
            _text(row, "video"), _number(row, "time_s"), _box(row), _text(row, "label"), _number(row, "score")
        )

    return _read(path, box, columns=(*_AVA_COLUMNS, "score"))


def _read(
    path: str | os.PathLike[str], make: Callable[[Mapping[str, Any]], Made], *, columns: Sequence[str] = ()
) -> list[Made]:
    """What `make` makes of each row; `columns` names those of a CSV file without a header."""
    made: list[Made] = []
    names: Sequence[str] = ()
    number = 0
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for line in file:
                number += 1
                if not line.strip():
                    continue
                if line.lstrip().startswith("{"):
                    made.append(make(json.loads(line)))
                    continue
                cells = [cell.strip() for cell in next(csv.reader([line]))]
                if not names and "video" in cells:
                    names = cells
                    continue
                names = names or columns
                made.append(make(_row(cells, names)))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{os.fspath(path)}: is not text in UTF-8; give a CSV or JSON lines file") from error
    except OSError as error:
        raise DatasetError(f"{os.fspath(path)} cannot be read ({error.strerror or error})") from error
    except (ValueError, csv.Error) as error:
        raise DatasetError(f"{os.fspath(path)}, line {number}: {error}") from error
    return made


def _row(cells: Sequence[str], names: Sequence[str]) -> Mapping[str, str]:
    """Cells by the names of their columns; rows of AVA may end early."""
    if not names:
        raise ValueError("there is no header with the column `video`; needed: video,start_s,end_s,label[,score]")
    lengths = {len(names), 2, 7} if set(_AVA_COLUMNS) < set(names) else {len(names)}
    if len(cells) not in lengths:
        raise ValueError(f"the row has {len(cells)} cells for {len(names)} columns ({', '.join(names)})")
    return dict(zip(names, cells, strict=False))


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str | int) or value == "":
        raise ValueError(f"{name} is {value!r}; needed: a text")
    return str(value)


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}; needed: a finite number")
    return number


def _box(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (_number(row, name) for name in ("x0", "y0", "x1", "y1"))
    return x0, y0, x1, y1
