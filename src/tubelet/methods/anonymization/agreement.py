"""Whether a recogniser says the same about the hidden video as about the original: the command, and its files read."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from tubelet.errors import IncompleteEvaluationError, ReportError
from tubelet.metrics.intervals import Estimate, ratio_interval
from tubelet.metrics.tracking import match_over_time

ACTIONS_SCHEMA = "tubelet.actions/1"
UNKNOWN = "unknown"
LEAST_IOU = 0.3
STEP_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Track:
    """A person whom the recogniser followed.

    Attributes:
        track_id: Unique within its video.
        start_s: First moment.
        end_s: Behind the last moment.
        times_s: Of the boxes, increasing.
        boxes_px: x0, y0, x1, y1 at each of these times.
        segments: Start, end (exclusive) and label of what the person does, in order.
    """

    track_id: int
    start_s: float
    end_s: float
    times_s: Float64[np.ndarray, " time"]
    boxes_px: Float64[np.ndarray, "time 4"]
    segments: tuple[tuple[float, float, str], ...]

    def box_at(self, time_s: float) -> Float[np.ndarray, " 4"] | None:
        """Where the person is at a moment; None while they are not followed."""
        if not (self.start_s <= time_s < self.end_s and len(self.times_s)):
            return None
        return np.asarray(self.boxes_px[max(0, int(np.searchsorted(self.times_s, time_s, side="right")) - 1)])

    def label_at(self, time_s: float) -> str:
        """What the person does at a moment; "unknown" too where nothing was said."""
        place = bisect_right(self.segments, time_s, key=lambda segment: segment[0]) - 1
        if place < 0 or time_s >= self.segments[place][1]:
            return UNKNOWN
        return self.segments[place][2]


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """What the recogniser says about one video.

    Attributes:
        duration_s: End of its last frame.
        tracks: The people in it.
    """

    duration_s: float
    tracks: tuple[Track, ...]


class Agreement(NamedTuple):
    """How much of what is said of the original is said of the result too.

    Attributes:
        share: Of the original's labelled person-time; its interval is over the original's tracks.
        num_steps: Labelled person-time of the original, in steps of `STEP_S`.
    """

    share: Estimate
    num_steps: int


def recognise(videos: Sequence[Path], *, detector: str = "auto", fast: bool = False) -> list[Recognised]:
    """What `tubelet recognize` says about videos, run as a command of its own.

    Args:
        videos: Existing files, all different.
        detector: Its option of that name.
        fast: Its option of that name.

    Raises:
        IncompleteEvaluationError: The command fails for one of them.
        ReportError: Its results have a form that this version does not read.
    """
    with tempfile.TemporaryDirectory(prefix="tubelet-leftover-") as folder:
        out = Path(folder) / "recognised"
        words = ["recognize", *(str(path.resolve()) for path in videos), "--out", str(out), "--no-video"]
        words += ["--detector", detector, *(["--fast"] if fast else [])]
        # -P: a file of the user's that happens to be called tubelet.py is not asked.
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tubelet", *words],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise IncompleteEvaluationError(
                f"what a recogniser still sees was not measured: `tubelet {words[0]}` ended with code "
                f"{done.returncode} ({said[-1] if said else 'without a word'}); "
                f"run `tubelet recognize {' '.join(path.name for path in videos)}` to see why"
            )
        return read_results(out)


def read_results(out: Path) -> list[Recognised]:
    """The videos in a folder of `tubelet recognize --out`, in the order in which they were named.

    Raises:
        ReportError: The folder holds no such results, or those of another version.
    """
    path = out / "actions.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: cannot be read as results of `tubelet recognize`: {error}") from error
    schema = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if schema != ACTIONS_SCHEMA:
        raise ReportError(f"{path}: schema is {schema!r}; this version reads {ACTIONS_SCHEMA!r}")
    rows: dict[tuple[str, int], list[tuple[float, ...]]] = defaultdict(list)
    with (out / "tracks.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values = (float(row[name]) for name in ("time_s", "x0_px", "y0_px", "x1_px", "y1_px"))
            rows[row["source"], int(row["track_id"])].append(tuple(values))
    return [
        Recognised(
            duration_s=float(source["duration_s"]),
            tracks=tuple(_track(track, rows[source["source"], track["track_id"]]) for track in source["tracks"]),
        )
        for source in document["sources"]
    ]


def _track(track: dict[str, Any], rows: list[tuple[float, ...]]) -> Track:
    values = np.array(rows, np.float64).reshape(-1, 5)
    return Track(
        track_id=int(track["track_id"]),
        start_s=float(track["start_s"]),
        end_s=float(track["end_s"]),
        times_s=values[:, 0],
        boxes_px=values[:, 1:],
        segments=tuple((float(s["start_s"]), float(s["end_s"]), str(s["label"])) for s in track["segments"]),
    )


def agreement(original: Recognised, result: Recognised) -> Agreement:
    """Share of the original's labelled person-time for which the result says the same of the same person.

    Both are asked in the middle of every `STEP_S`. The same person is who is in the same place at that time, with an
    overlap (IoU) of `LEAST_IOU`; a pair that still fits stays one. Nobody there, and "unknown", disagree.

    Source: the matching is that of `metrics.tracking.match_over_time`.
    """
    num_moments = int(max((track.end_s for track in original.tracks), default=0.0) / STEP_S) + 1
    moments = [(number + 0.5) * STEP_S for number in range(num_moments)]
    mine, theirs = ({str(t.track_id): t for t in video.tracks} for video in (original, result))
    matched = match_over_time(_boxes(mine, moments), _boxes(theirs, moments), LEAST_IOU).track_of
    num_same: dict[str, int] = dict.fromkeys(mine, 0)
    num_asked: dict[str, int] = dict.fromkeys(mine, 0)
    for time_s, pairs in zip(moments, matched, strict=True):
        for name, track in mine.items():
            label = track.label_at(time_s)
            if label == UNKNOWN or track.box_at(time_s) is None:
                continue
            num_asked[name] += 1
            num_same[name] += name in pairs and theirs[pairs[name]].label_at(time_s) == label
    share = ratio_interval(
        np.array(list(num_same.values()), np.float64), np.array(list(num_asked.values()), np.float64), list(mine)
    )
    return Agreement(share, sum(num_asked.values()))


def _boxes(tracks: dict[str, Track], moments: Sequence[float]) -> list[dict[str, list[float]]]:
    """Per moment, the box of everybody who is there."""
    return [
        {name: box.tolist() for name, track in tracks.items() if (box := track.box_at(time_s)) is not None}
        for time_s in moments
    ]
