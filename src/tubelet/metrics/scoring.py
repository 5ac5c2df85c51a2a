"""The score of a predicted timeline of several people and sources against the true one."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tubelet.metrics.assignment import Assignment
from tubelet.metrics.intervals import Estimate, ratio_interval
from tubelet.metrics.timeline import (
    UNKNOWN,
    FrameTime,
    LabelledInterval,
    SegmentCounts,
    Timeline,
    clipped,
    confusion_s,
    edit_score,
    frame_time,
    merged,
    segment_counts,
    shared_s,
    without_covered,
)

OTHER = "other"
SEGMENT_IOUS = (0.1, 0.25, 0.5)
_NO_SEGMENT = frozenset({UNKNOWN, OTHER})


@dataclass(frozen=True, kw_only=True)
class PersonScore:
    """One true person.

    Attributes:
        person: Id in the truth.
        tracks: Ids of the tracks taken for this person; none means missed.
        time: True seconds by what was predicted.
        segments: Counts at each of `SEGMENT_IOUS`.
        edit: Edit score, NaN where there is no segment on either side.
        confusion_s: Seconds by true and predicted label.
    """

    person: str
    tracks: tuple[str, ...]
    time: FrameTime
    segments: Mapping[float, SegmentCounts]
    edit: float
    confusion_s: Mapping[tuple[str, str | None], float]


@dataclass(frozen=True, kw_only=True)
class SourceScore:
    """One video.

    Attributes:
        source: Its name in the truth.
        people: Every true person with labelled time.
        assignment: Who is who, and how that was found.
        num_false_segments: Per false track, segments with a label where people are labelled.
    """

    source: str
    people: tuple[PersonScore, ...]
    assignment: Assignment
    num_false_segments: Mapping[str, int]


def score_source(
    source: str, predicted: Mapping[str, Timeline], truth: Mapping[str, Timeline], assignment: Assignment
) -> SourceScore:
    """Score one video.

    True time labelled `unknown` is not counted (nobody can tell). True time labelled `other` is of an action that the
    vocabulary has no word for: abstaining is right there, any label is wrong. A predicted segment with more than half
    of its length outside of the counted time of its person is not judged.

    Args:
        source: Name of the video.
        predicted: Segments of each track.
        truth: Segments of each person.
        assignment: Which tracks are which person.
    """
    people = []
    for person, timeline in truth.items():
        counted = [interval for interval in merged(timeline) if interval.label != UNKNOWN]
        if not counted:
            continue
        tracks = assignment.tracks_of.get(person, ())
        people.append(_score_person(person, tracks, _combined([predicted.get(track, ()) for track in tracks]), counted))
    starts = [interval.start_s for timeline in truth.values() for interval in timeline]
    ends = [interval.end_s for timeline in truth.values() for interval in timeline]
    num_false_segments = {
        track: sum(
            interval.label != UNKNOWN
            for interval in merged(clipped(predicted.get(track, ()), min(starts, default=0.0), max(ends, default=0.0)))
        )
        for track in assignment.false_tracks
    }
    return SourceScore(
        source=source, people=tuple(people), assignment=assignment, num_false_segments=num_false_segments
    )


def _combined(timelines: Sequence[Timeline]) -> list[LabelledInterval]:
    """One timeline out of several tracks of one person; where they overlap, the first counts."""
    combined: list[LabelledInterval] = []
    for timeline in timelines:
        combined += without_covered(timeline, combined)
    return sorted(combined)


def _score_person(
    person: str, tracks: tuple[str, ...], predicted: list[LabelledInterval], counted: list[LabelledInterval]
) -> PersonScore:
    inside = [
        interval
        for interval in merged(clipped(predicted, counted[0].start_s, counted[-1].end_s))
        if 2 * shared_s([interval], counted) >= interval.duration_s
    ]
    return PersonScore(
        person=person,
        tracks=tracks,
        time=frame_time(predicted, counted, outside=frozenset({OTHER})),
        segments={iou: segment_counts(inside, counted, iou, ignored=_NO_SEGMENT) for iou in SEGMENT_IOUS},
        edit=edit_score(_labels(inside), _labels(counted)),
        confusion_s=confusion_s(predicted, counted),
    )


def _labels(timeline: Timeline) -> list[str]:
    return [interval.label for interval in timeline if interval.label not in _NO_SEGMENT]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Numbers over one or more sources.

    Attributes:
        shares: By name, a share with its interval and the number of items behind it.
        counts: By name, how many, out of how many.
        clusters: What the intervals treat as independent: `source` or `track`.
    """

    shares: Mapping[str, tuple[Estimate, int]]
    counts: Mapping[str, tuple[int, int]]
    clusters: str


# Name, part and whole of each share of true time.
_TIME_SHARES: tuple[tuple[str, Callable[[FrameTime], float], Callable[[FrameTime], float]], ...] = (
    ("accuracy", lambda time: time.right_s + time.rightly_abstained_s, lambda time: time.truth_s),
    ("accuracy_decided", lambda time: time.right_s, lambda time: time.decided_s),
    ("coverage", lambda time: time.decided_s, lambda time: time.truth_s),
    ("tracked", lambda time: time.covered_s, lambda time: time.truth_s),
)
_LEAST_SOURCES = 5  # with fewer, a bootstrap over sources says little; people are drawn instead


def summarise(scores: Sequence[SourceScore], *, seed: int = 0) -> Summary:
    """The numbers over some sources, with intervals from drawing whole sources, or people where sources are few.

    Args:
        scores: Of each source.
        seed: Of the bootstrap.
    """
    clusters = "source" if len(scores) >= _LEAST_SOURCES else "track"
    shares: dict[str, tuple[Estimate, int]] = {}

    def add(name: str, rows: list[tuple[str, str, float, float]], num_items: int) -> None:
        """Rows are source, cluster inside of it, numerator, denominator."""
        groups: list[Hashable] = [row[0] if clusters == "source" else row[:2] for row in rows]
        parts = np.array([row[2:] for row in rows], dtype=np.float64).reshape(-1, 2)
        shares[name] = (ratio_interval(parts[:, 0], parts[:, 1], groups, seed=seed), num_items)

    everyone = [(score.source, f"person {each.person}", each) for score in scores for each in score.people]
    for name, part, whole in _TIME_SHARES:
        rows = [(source, cluster, part(each.time), whole(each.time)) for source, cluster, each in everyone]
        add(name, rows, len(rows))
    for iou in SEGMENT_IOUS:
        rows, num_segments = _segment_rows(scores, iou)
        add(f"segment_f1_{iou:.2f}", rows, num_segments)
    edits = [(source, cluster, each.edit, 1.0) for source, cluster, each in everyone if not math.isnan(each.edit)]
    add("edit_score", edits, len(edits))

    assignments = [(score.source, score.assignment) for score in scores]
    boxed = [(source, each) for source, each in assignments if each.num_switches is not None]
    num_false = sum(len(each.false_tracks) for _, each in assignments)
    num_true = sum(len(tracks) for _, each in assignments for tracks in each.tracks_of.values())
    counts = {
        "false_tracks": (num_false, num_false + num_true),
        "missed_people": (sum(not each.tracks for _, _, each in everyone), len(everyone)),
    }
    if boxed:
        truth = [
            (source, f"person {person}", float(boxes.num_matched), float(boxes.num_truth))
            for source, each in boxed
            for person, boxes in each.person_boxes.items()
        ]
        tracked = [
            (source, f"track {track}", float(boxes.num_matched), float(boxes.num_predicted))
            for source, each in boxed
            for track, boxes in each.track_boxes.items()
        ]
        add("box_recall", truth, int(sum(row[3] for row in truth)))
        add("box_precision", tracked, int(sum(row[3] for row in tracked)))
        counts["identity_switches"] = (
            sum(each.num_switches or 0 for _, each in boxed),
            sum(boxes.num_matched for _, each in boxed for boxes in each.person_boxes.values()),
        )
    return Summary(shares=shares, counts=counts, clusters=clusters)


def _segment_rows(scores: Sequence[SourceScore], iou: float) -> tuple[list[tuple[str, str, float, float]], int]:
    """F1 as a ratio of sums: twice the found, over found + false and found + missed; false tracks add false ones."""
    rows: list[tuple[str, str, float, float]] = []
    num_true = 0
    for score in scores:
        for each in score.people:
            found, false, missed = each.segments[iou]
            rows.append((score.source, f"person {each.person}", 2.0 * found, 2.0 * found + false + missed))
            num_true += found + missed
        for track, num_segments in score.num_false_segments.items():
            rows.append((score.source, f"track {track}", 0.0, float(num_segments)))
    return rows, num_true


def total_confusion_s(scores: Sequence[SourceScore]) -> dict[str, dict[str, float]]:
    """Seconds by true label and predicted label over some sources; `untracked` is time without prediction."""
    total: dict[str, dict[str, float]] = {}
    for score in scores:
        for each in score.people:
            for (true, predicted), seconds in each.confusion_s.items():
                row = total.setdefault(true, {})
                name = "untracked" if predicted is None else predicted
                row[name] = row.get(name, 0.0) + seconds
    return {true: dict(sorted(row.items())) for true, row in sorted(total.items())}
