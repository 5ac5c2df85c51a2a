"""Timelines and boxes of people as CSV files: what recognition writes and what people label by hand.

`actions.csv` and truth: `source,track_id,start_s,end_s,label`. `tracks.csv` and true boxes:
`source,track_id,time_s,x0_px,y0_px,x1_px,y1_px`. Columns may stand in any order, and there may be more of them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from tubelet.datasets.annotation_files import Place, csv_rows
from tubelet.errors import DatasetError
from tubelet.metrics.assignment import TrackBoxes
from tubelet.metrics.timeline import LabelledInterval

TIMELINE_COLUMNS = ("source", "track_id", "start_s", "end_s", "label")
BOX_COLUMNS = ("source", "track_id", "time_s", "x0_px", "y0_px", "x1_px", "y1_px")
_SAME_MOMENT_S = 1e-6

Timelines = dict[str, dict[str, list[LabelledInterval]]]  # by source, by track
Boxes = dict[str, dict[str, TrackBoxes]]  # by source, by track


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
    places: dict[tuple[str, str, LabelledInterval], Place] = {}
    for row in csv_rows(Path(path), TIMELINE_COLUMNS):
        source, track = row.text("source"), row.text("track_id")
        interval = LabelledInterval(row.number("start_s"), row.number("end_s"), row.text("label"))
        if interval.start_s < 0:
            raise row.place.error(f"start_s is {interval.start_s:g}; allowed: 0 (the first displayed frame) or more")
        if not interval.end_s > interval.start_s:
            raise row.place.error(
                f"end_s is {interval.end_s:g}; allowed: a number above start_s ({interval.start_s:g})"
            )
        timelines.setdefault(source, {}).setdefault(track, []).append(interval)
        places[source, track, interval] = row.place
    for source, tracks in timelines.items():
        for track, intervals in tracks.items():
            intervals.sort()
            for before, after in itertools.pairwise(intervals):
                if after.start_s < before.end_s - _SAME_MOMENT_S:
                    raise places[source, track, after].error(
                        f"{after.start_s:g} to {after.end_s:g} s of track {track} in {source} overlaps "
                        f"{before.start_s:g} to {before.end_s:g} s ({places[source, track, before].where}); "
                        "allowed: segments of one track that follow each other"
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
    for row in csv_rows(Path(path), BOX_COLUMNS):
        source, track, time_s = row.text("source"), row.text("track_id"), row.number("time_s")
        x0, y0, x1, y1 = (row.number(column) for column in BOX_COLUMNS[3:])
        for low, high, axis in ((x0, x1, "x"), (y0, y1, "y")):
            if not high > low:
                raise row.place.error(f"{axis}1_px is {high:g}; allowed: a number above {axis}0_px ({low:g})")
        boxes = found.setdefault(source, {}).setdefault(track, {})
        if time_s in boxes:
            raise row.place.error(
                f"track {track} in {source} has a box at time_s {time_s:g} already; allowed: one per time"
            )
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
