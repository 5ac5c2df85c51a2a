"""Which predicted track is which true person, before any label is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from scipy.optimize import linear_sum_assignment

from tubelet.metrics.timeline import Timeline, shared_s
from tubelet.metrics.tracking import BoxCounts, containment_matrix, identity_switches, match_over_time

_IGNORED_SHARE = 0.5  # of a predicted box's area inside an ignored one


class TrackBoxes(NamedTuple):
    """Where one track or person is.

    Attributes:
        times_s: Rising.
        boxes_px: x0, y0, x1, y1 at each time.
    """

    times_s: Float64[np.ndarray, "times"]
    boxes_px: Float64[np.ndarray, "times 4"]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Tracks and people of one source.

    Attributes:
        method: `boxes`, `id` or `overlap`.
        tracks_of: Tracks of each person, the one that fits best first; a person without tracks is missed.
        false_tracks: Tracks that are no true person.
        unjudged_tracks: Tracks that the truth says nothing about: they live where nothing is labelled, or are ignored.
        person_boxes: Per person, true boxes and how many of them a track lies on (method `boxes` only).
        track_boxes: Per track, boxes at labelled moments and how many of them lie on a person (method `boxes` only).
        num_switches: How often a person's track changes (method `boxes` only).
    """

    method: str
    tracks_of: Mapping[str, tuple[str, ...]]
    false_tracks: tuple[str, ...]
    unjudged_tracks: tuple[str, ...]
    person_boxes: Mapping[str, BoxCounts] = field(default_factory=dict)
    track_boxes: Mapping[str, BoxCounts] = field(default_factory=dict)
    num_switches: int | None = None


def assign_by_id(predicted: Mapping[str, Timeline], truth: Mapping[str, Timeline]) -> Assignment:
    """Equal ids mean the same person."""
    return _assignment("id", {person: (person,) if person in predicted else () for person in truth}, predicted, truth)


def assign_by_overlap(predicted: Mapping[str, Timeline], truth: Mapping[str, Timeline]) -> Assignment:
    """One track per person, such that they share as much time as possible; labels are not looked at.

    With several people at the same time this can mix them up; boxes cannot.
    """
    people, tracks = list(truth), list(predicted)
    shared = np.array([[shared_s(truth[person], predicted[track]) for track in tracks] for person in people])
    tracks_of: dict[str, tuple[str, ...]] = dict.fromkeys(people, ())
    if people and tracks:
        for row, column in zip(*linear_sum_assignment(shared, maximize=True), strict=True):
            if shared[row, column] > 0:
                tracks_of[people[row]] = (tracks[column],)
    return _assignment("overlap", tracks_of, predicted, truth)


def _assignment(
    method: str,
    tracks_of: Mapping[str, tuple[str, ...]],
    predicted: Mapping[str, Timeline],
    truth: Mapping[str, Timeline],
) -> Assignment:
    """Tracks of nobody are false where people are labelled, and not judged outside of that time."""
    used = {track for tracks in tracks_of.values() for track in tracks}
    starts = [interval.start_s for timeline in truth.values() for interval in timeline]
    ends = [interval.end_s for timeline in truth.values() for interval in timeline]
    false_tracks: list[str] = []
    unjudged: list[str] = []
    for track, timeline in predicted.items():
        if track in used:
            continue
        inside = any(interval.start_s < max(ends) and interval.end_s > min(starts) for interval in timeline if ends)
        (false_tracks if inside else unjudged).append(track)
    return Assignment(
        method=method, tracks_of=tracks_of, false_tracks=tuple(false_tracks), unjudged_tracks=tuple(unjudged)
    )


def assign_by_boxes(
    predicted: Mapping[str, TrackBoxes],
    truth: Mapping[str, TrackBoxes],
    ignored: Sequence[TrackBoxes] = (),
    *,
    least_iou: float = 0.4,
) -> Assignment:
    """Tracks are the person whose true boxes they lie on.

    At each labelled moment tracks are matched to people. A track belongs to the person that it is matched to most
    often, if it is matched at half or more of the labelled moments that it lives through; otherwise it is false. One
    person may have several tracks, one after the other. Boxes on ignored people count neither way.

    Args:
        predicted: Boxes of each track at the decoded frames.
        truth: Boxes of each person at the labelled moments, all people of a moment.
        ignored: Boxes of people (or posters, reflections) that count neither as missed nor as false.
        least_iou: Of a match.
    """
    moments = np.unique(np.concatenate([boxes.times_s for boxes in (*truth.values(), *ignored)] or [np.empty(0)]))
    tolerance_s = _tolerance_s(predicted)
    people = [_present(truth, moment, 1e-6) for moment in moments]
    tracks = [_present(predicted, moment, tolerance_s) for moment in moments]
    matches = match_over_time(people, tracks, least_iou)

    votes: dict[str, dict[str, int]] = {track: {} for track in predicted}
    lives = dict.fromkeys(predicted, 0)
    for moment, now, present in zip(moments, matches.track_of, tracks, strict=True):
        person_of = {track: person for person, track in now.items()}
        for track, box in present.items():
            if track in person_of:
                votes[track][person_of[track]] = votes[track].get(person_of[track], 0) + 1
            elif _is_ignored(box, ignored, moment):
                continue
            lives[track] += 1

    tracks_of: dict[str, list[str]] = {person: [] for person in truth}
    false_tracks, unjudged = [], []
    for track, lived in lives.items():
        matched = sum(votes[track].values())
        if lived == 0:
            unjudged.append(track)
        elif 2 * matched < lived:
            false_tracks.append(track)
        else:
            tracks_of[max(votes[track], key=lambda person: votes[track][person])].append(track)
    return Assignment(
        method="boxes",
        tracks_of={
            person: tuple(sorted(own, key=lambda track: -votes[track][person])) for person, own in tracks_of.items()
        },
        false_tracks=tuple(false_tracks),
        unjudged_tracks=tuple(unjudged),
        person_boxes={
            person: BoxCounts(
                sum(person in moment for moment in people), 0, sum(person in now for now in matches.track_of)
            )
            for person in truth
        },
        track_boxes={track: BoxCounts(0, lives[track], sum(votes[track].values())) for track in predicted},
        num_switches=identity_switches(matches.track_of),
    )


def _tolerance_s(tracks: Mapping[str, TrackBoxes]) -> float:
    """How far a box may lie from a labelled moment: three quarters of a frame, whatever the frame rate."""
    times = [boxes.times_s for boxes in tracks.values() if len(boxes.times_s) > 1]
    return 0.75 * float(np.median(np.concatenate([np.diff(each) for each in times]))) if times else 0.05


def _present(boxes: Mapping[str, TrackBoxes], moment_s: float, tolerance_s: float) -> dict[str, tuple[float, ...]]:
    """The box of each track that has one near a moment."""
    present = {}
    for name, (times_s, boxes_px) in boxes.items():
        right = int(np.searchsorted(times_s, moment_s))
        near = [index for index in (right - 1, right) if 0 <= index < len(times_s)]
        if not near:
            continue
        nearest = min(near, key=lambda index: abs(float(times_s[index]) - moment_s))
        if abs(float(times_s[nearest]) - moment_s) <= tolerance_s:
            present[name] = tuple(boxes_px[nearest].tolist())
    return present


def _is_ignored(box_px: Sequence[float], ignored: Sequence[TrackBoxes], moment_s: float) -> bool:
    there = _present({str(index): boxes for index, boxes in enumerate(ignored)}, moment_s, 1e-6)
    if not there:
        return False
    shares: Float[np.ndarray, "1 n"] = containment_matrix(
        np.array([box_px], dtype=np.float64), np.array(list(there.values()), dtype=np.float64)
    )
    return bool(shares.max() >= _IGNORED_SHARE)
