"""Timelines and boxes of people as CSV files: what recognition writes and what people label by hand.

`actions.csv` and truth: `source,track_id,start_s,end_s,label`. `tracks.csv` and true boxes:
`source,track_id,time_s,x0_px,y0_px,x1_px,y1_px`. Columns may stand in any order, and there may be more of them.
"""

from __future__ import annotations

import csv
import difflib
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from tubelet.errors import DatasetError
from tubelet.metrics.assignment import TrackBoxes
from tubelet.metrics.timeline import LabelledInterval

TIMELINE_COLUMNS = ("source", "track_id", "start_s", "end_s", "label")
BOX_COLUMNS = ("source", "track_id", "time_s", "x0_px", "y0_px", "x1_px", "y1_px")
_SAME_MOMENT_S = 1e-6

Timelines = dict[str, dict[str, list[LabelledInterval]]]  # by source, by track
Boxes = dict[str, dict[str, TrackBoxes]]  # by source, by track


class _Row:
    """One line of a CSV file, which says where it stands when a value is not allowed."""

    def __init__(self, path: Path, line: int, values: Mapping[str, str]) -> None:
        self._path = path
        self.line = line
        self._values = values

    def error(self, said: str) -> DatasetError:
        return DatasetError(f"{self._path}, line {self.line}: {said}")

    def text(self, column: str) -> str:
        value = self._values[column].strip()
        if not value:
            raise self.error(f"{column} is empty; allowed: any text")
        return value

    def number(self, column: str) -> float:
        value = self._values[column].strip()
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.error(f"{column} is {value!r}; allowed: a finite number with . for decimals")
        return number


def read_timelines(path: str | os.PathLike[str]) -> Timelines:
    """Read actions.csv or hand labels.

    Args:
        path: The file.

    Returns:
        By source and track, intervals in order of time.

    Raises:
        DatasetError: The file is missing, its header lacks a column, or a line has a value that is not allowed; the
            message names file, line, value, and what is allowed.
    """
    timelines: Timelines = {}
    lines: dict[tuple[str, str, LabelledInterval], int] = {}
    for row in _rows(Path(path), TIMELINE_COLUMNS):
        source, track = row.text("source"), row.text("track_id")
        interval = LabelledInterval(row.number("start_s"), row.number("end_s"), row.text("label"))
        if interval.start_s < 0:
            raise row.error(f"start_s is {interval.start_s:g}; allowed: 0 (the first displayed frame) or more")
        if not interval.end_s > interval.start_s:
            raise row.error(f"end_s is {interval.end_s:g}; allowed: a number above start_s ({interval.start_s:g})")
        timelines.setdefault(source, {}).setdefault(track, []).append(interval)
        lines[source, track, interval] = row.line
    for source, tracks in timelines.items():
        for track, intervals in tracks.items():
            intervals.sort()
            for before, after in itertools.pairwise(intervals):
                if after.start_s < before.end_s - _SAME_MOMENT_S:
                    raise DatasetError(
                        f"{path}, line {lines[source, track, after]}: {after.start_s:g} to {after.end_s:g} s of track "
                        f"{track} in {source} overlaps {before.start_s:g} to {before.end_s:g} s (line "
                        f"{lines[source, track, before]}); allowed: segments of one track that follow each other"
                    )
    return timelines


def read_boxes(path: str | os.PathLike[str]) -> Boxes:
    """Read tracks.csv or hand-drawn boxes.

    Args:
        path: The file.

    Returns:
        By source and track, boxes in order of time.

    Raises:
        DatasetError: As `read_timelines`; also where a track has two boxes at one time.
    """
    found: dict[str, dict[str, dict[float, tuple[float, float, float, float]]]] = {}
    for row in _rows(Path(path), BOX_COLUMNS):
        source, track, time_s = row.text("source"), row.text("track_id"), row.number("time_s")
        x0, y0, x1, y1 = (row.number(column) for column in BOX_COLUMNS[3:])
        for low, high, axis in ((x0, x1, "x"), (y0, y1, "y")):
            if not high > low:
                raise row.error(f"{axis}1_px is {high:g}; allowed: a number above {axis}0_px ({low:g})")
        boxes = found.setdefault(source, {}).setdefault(track, {})
        if time_s in boxes:
            raise row.error(f"track {track} in {source} has a box at time_s {time_s:g} already; allowed: one per time")
        boxes[time_s] = (x0, y0, x1, y1)
    return {
        source: {
            track: TrackBoxes(np.array(sorted(boxes)), np.array([boxes[time_s] for time_s in sorted(boxes)]))
            for track, boxes in tracks.items()
        }
        for source, tracks in found.items()
    }


def match_sources(wanted: Sequence[str], there: Sequence[str], *, where: str) -> dict[str, str]:
    """Find sources of one file among those of another: by the same text, else by the same file name.

    Args:
        wanted: Sources to find.
        there: Sources to find them among.
        where: The file that `there` comes from, for messages.

    Returns:
        From the wanted source to the one found; those that are not found are left out.

    Raises:
        DatasetError: Several sources have the file name.
    """
    found = {source: source for source in wanted if source in there}
    free = [source for source in there if source not in found]
    for source in wanted:
        if source in found:
            continue
        name = PurePath(source).name
        same = [each for each in free if PurePath(each).name == name]
        rivals = [each for each in wanted if each not in there and PurePath(each).name == name]
        if len(same) > 1 or (same and len(rivals) > 1):
            raise DatasetError(
                f"source {source!r} could be any of {', '.join(map(repr, same))} in {where}: "
                "the file name alone does not tell; write the sources alike in both files"
            )
        if same:
            found[source] = same[0]
    return found


def _rows(path: Path, columns: Sequence[str]) -> Iterator[_Row]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, columns)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise DatasetError(
                        f"{path}, line {reader.line_num}: {len(cells)} values; allowed: {len(header)}, as in the header"
                    )
                yield _Row(path, reader.line_num, dict(zip(header, cells, strict=True)))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}; give a CSV file") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{path}: is not CSV: {error}; save it as CSV with commas") from error


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if not missing and not repeated:
        return
    allowed = f"allowed: {','.join(columns)} (and more)"
    if not header:
        raise DatasetError(f"{path}: is empty; {allowed}")
    if repeated:
        raise DatasetError(f"{path}, line 1: column {', '.join(repeated)} is there twice; {allowed}")
    hint = ""
    if len(header) == 1 and header[0].count(";") >= len(columns) - 1:
        hint = " It has semicolons; save it with commas."
    else:
        unknown = [name for name in header if name not in columns]
        near = {name: difflib.get_close_matches(name, unknown, n=1) for name in missing}
        renamed = [f"{close[0]!r} should be {name!r}" for name, close in near.items() if close]
        hint = f" Perhaps {' and '.join(renamed)}." if renamed else ""
    raise DatasetError(f"{path}, line 1: the header lacks {', '.join(missing)}; {allowed}.{hint}")
