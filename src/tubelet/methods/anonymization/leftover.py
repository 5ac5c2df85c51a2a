"""What is left to see in a hidden video, by three attackers that anybody can run: none of them was trained for it.

A number near chance says that these attackers fail, not that every attacker does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from tubelet.errors import ConfigError
from tubelet.methods.anonymization.agreement import LEAST_IOU, STEP_S, Recognised, agreement, recognise
from tubelet.methods.anonymization.likeness import LikenessModel, inside, reidentified
from tubelet.metrics.intervals import Estimate, ratio_interval
from tubelet.metrics.tracking import containment_matrix, iou_matrix, match_boxes
from tubelet.people.faces import FaceDetector
from tubelet.runs import Metric, Progress
from tubelet.runs.progress import Task
from tubelet.video import VideoReader

LEAST_ITEMS = 30
"""Below this number of faces, steps, or people who are compared a share is not given: it would say little."""

MIN_GAP_S = 1.0

# Times of frames are rounded to the clocks of their files, and both files must take the same frame for a moment: no
# usual clock has a tick so close to this much before one that rounding could carry a frame across.
_TIME_SLACK_S = 3.7e-4
_OF_SOMEBODY = 0.5  # of a face that lies in a person's box

Image = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """Where people are in a video, at some moments of it.

    Attributes:
        times_s: The moments, increasing.
        boxes_px: Of the people of each moment, as x0, y0, x1, y1.
        track_ids: Who is in each box; the same person has the same id.

    Raises:
        ValueError: The parts do not fit together.
    """

    times_s: Float[np.ndarray, " moments"]
    boxes_px: Sequence[Float[np.ndarray, "_ 4"]]  # a different number of people at each moment
    track_ids: Sequence[Int[np.ndarray, " _"]]

    def __post_init__(self) -> None:
        counts = [len(self.times_s), len(self.boxes_px), len(self.track_ids)]
        if len(set(counts)) > 1:
            raise ValueError(f"there are {counts[0]} times, {counts[1]} sets of boxes and {counts[2]} of track ids")
        if (np.diff(self.times_s) <= 0).any():
            raise ValueError("times_s do not increase; give each moment once, in order")
        for time_s, boxes, ids in zip(self.times_s, self.boxes_px, self.track_ids, strict=True):
            if boxes.shape != (len(ids), 4):
                raise ValueError(f"at {time_s:g} s boxes are {boxes.shape} for {len(ids)} track ids; wanted (n, 4)")


@dataclass(frozen=True)
class Lookers:
    """The networks that look at what is left, which many videos can share.

    Attributes:
        faces: Finds faces.
        likeness: Compares people.
    """

    faces: FaceDetector
    likeness: LikenessModel


def load_lookers(faces: FaceDetector | None = None, *, notify: Callable[[str], None] | None = None) -> Lookers:
    """Bring the networks.

    Args:
        faces: One that is there already.
        notify: Called with a sentence when a file is being fetched.

    Raises:
        WeightsError: A file cannot be brought.
    """
    return Lookers(FaceDetector(notify=notify) if faces is None else faces, LikenessModel(notify=notify))


def measure_leftover(
    original: Path,
    result: Path,
    *,
    people: Sightings | None = None,
    lookers: Lookers | None = None,
    detector: str = "auto",
    fast: bool = False,
    samples_per_s: float = 2.0,
    notify: Callable[[str], None] | None = None,
) -> dict[str, Metric]:
    """What a recogniser, a face detector and a comparison of pictures still find in a hidden video.

    Args:
        original: The video before.
        result: The same video hidden, frame for frame.
        people: Where people are in the original; None for the tracks that the recogniser finds there.
        lookers: Networks that are loaded already; None loads them.
        detector: Person detector of the recogniser.
        fast: The recogniser's option of that name.
        samples_per_s: How often faces and people are looked at, where `people` does not say when.
        notify: Called with a sentence when pretrained parts are being fetched.

    Returns:
        `recogniser_agreement`: of the time for which `tubelet recognize` names an action of somebody in the original,
            the share for which it names the same of the same place in the result; n in steps of 0.1 s, interval over
            people.
        `faces_still_found`: of the faces that are found in the original, the share that is found in the result too;
            interval over people.
        `people_told_again_before`, `people_told_again_after`: how often the most similar picture of another moment is
            of the same person, in the original and in the result, to a weak attacker (see `LikenessModel`), who sees
            what is behind people too. To be held against `people_told_again_by_chance`. Each track counts as one
            person: n is how many of them there are, and the interval is over them, however many pictures each has.
        The value is None where fewer than 30 faces, steps or people (n) are behind it: not measurable.

    Raises:
        ConfigError: The two are the same file, or differ in size or length.
        VideoReadError: One of them cannot be read.
        WeightsError: A pretrained part cannot be brought.
        IncompleteEvaluationError: The recogniser fails.
    """
    _require_pair(original, result)
    lookers = load_lookers(notify=notify) if lookers is None else lookers
    with Progress() as progress:
        line = progress.add("recognising before and after")
        before, after = recognise([original, result], detector=detector, fast=fast)
        line.finish()
        if people is None:
            people = sightings(before, samples_per_s)
        line = progress.add("looking for faces and likeness", len(people.times_s), "moments")
        found = look(original, result, people, lookers, line)
        line.finish()
    agreed = agreement(before, after)
    return {
        "recogniser_agreement": _share(agreed.share, agreed.num_steps),
        "faces_still_found": _share(
            ratio_interval(np.array(found.is_left, np.float64), np.ones(len(found.is_left)), found.face_owners),
            len(found.is_left),
        ),
        **_told_again(found),
    }


def sightings(recognised: Recognised, samples_per_s: float) -> Sightings:
    """The recogniser's tracks, at evenly spaced moments."""
    if not samples_per_s > 0:
        raise ValueError(f"samples_per_s is {samples_per_s}; it must be positive")
    times_s = np.arange(0.0, max(recognised.duration_s, STEP_S), 1 / samples_per_s)
    there = [[(box, t.track_id) for t in recognised.tracks if (box := t.box_at(time)) is not None] for time in times_s]
    return Sightings(
        times_s=times_s,
        boxes_px=[np.array([box for box, _ in people], np.float64).reshape(-1, 4) for people in there],
        track_ids=[np.array([track_id for _, track_id in people], np.int64) for people in there],
    )


@dataclass(kw_only=True)
class Looked:
    """What was seen in both videos.

    Attributes:
        is_left: Per face of the original, whether it is found in the result.
        face_owners: Per face, whose it is: a track, or nobody known at that moment.
        track_ids: Per picture of a person, who it is.
        times_s: Per picture, when.
        before: Features of the pictures in the original.
        after: And of the same places in the result.
    """

    is_left: list[bool] = field(default_factory=list)
    face_owners: list[tuple[str, float]] = field(default_factory=list)
    track_ids: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    before: list[Float[np.ndarray, "_ features"]] = field(default_factory=list)
    after: list[Float[np.ndarray, "_ features"]] = field(default_factory=list)


def look(original: Path, result: Path, people: Sightings, lookers: Lookers, line: Task) -> Looked:
    """Compare the two videos at the moments of the sightings.

    Raises:
        ConfigError: One of them ends before the other, or has frames at other times.
    """
    found = Looked()
    times_s = people.times_s.tolist()
    with VideoReader(original) as first, VideoReader(result) as second:
        for mine, theirs in zip_longest(frames_from(first, times_s), frames_from(second, times_s)):
            if mine is None or theirs is None or mine.place != theirs.place:
                time_s = min(times_s[moment.place] for moment in (mine, theirs) if moment is not None)
                raise ConfigError(
                    f"at {time_s:.2f} s only one of {original} and {result} has a frame; "
                    "give the hidden video that was made of the original, frame for frame"
                )
            height, width = theirs.image.shape[:2]
            boxes, ids = people.boxes_px[mine.place], people.track_ids[mine.place]
            is_seen = inside(boxes, min(width, mine.image.shape[1]), min(height, mine.image.shape[0]))
            _look_at(mine, theirs, boxes[is_seen], ids[is_seen], lookers, found)
            line.update(completed=mine.place + 1)
    return found


class _Moment(NamedTuple):
    """A frame, and the place of its moment in the list of moments."""

    place: int
    time_s: float
    image: Image


def frames_from(reader: VideoReader, times_s: Sequence[float]) -> Iterator[_Moment]:
    """For each moment the first frame from there on; one frame for several moments stands for the last of them."""
    waiting = deque(enumerate(times_s))
    due: deque[int] = deque()

    def wants(time_s: float) -> bool:
        place = None
        while waiting and waiting[0][1] <= time_s + _TIME_SLACK_S:
            place = waiting.popleft()[0]
        if place is not None:
            due.append(place)
        return place is not None

    for frame in reader.frames(wants=wants):
        if frame.image.size:
            yield _Moment(due.popleft(), frame.time_s, np.ascontiguousarray(frame.image))
            if not waiting:
                return


def _look_at(
    mine: _Moment,
    theirs: _Moment,
    boxes_px: Float[np.ndarray, "people 4"],
    track_ids: Int[np.ndarray, " people"],
    lookers: Lookers,
    found: Looked,
) -> None:
    """Look at one moment of both videos in the same places."""
    seen, left = (lookers.faces.detect(moment.image, people_px=boxes_px).xyxy_px for moment in (mine, theirs))
    remaining = set(match_boxes(iou_matrix(seen, left), LEAST_IOU)[:, 0].tolist())
    within = containment_matrix(seen, boxes_px)
    for number in range(len(seen)):
        owner = int(within[number].argmax()) if len(boxes_px) else 0
        is_known = len(boxes_px) > 0 and within[number, owner] >= _OF_SOMEBODY
        found.is_left.append(number in remaining)
        found.face_owners.append(("track", float(track_ids[owner])) if is_known else ("at", mine.time_s))
    if len(boxes_px):
        found.before.append(lookers.likeness.features(mine.image, boxes_px))
        found.after.append(lookers.likeness.features(theirs.image, boxes_px))
        found.track_ids += track_ids.tolist()
        found.times_s += [mine.time_s] * len(boxes_px)


def _told_again(found: Looked) -> dict[str, Metric]:
    """The three numbers of the attacker who compares pictures of people."""
    ids, times = np.array(found.track_ids, np.int64), np.array(found.times_s, np.float64)
    before, after = (
        reidentified(np.concatenate(parts) if parts else np.zeros((0, 1)), ids, times, min_gap_s=MIN_GAP_S)
        for parts in (found.before, found.after)
    )
    n = before.rank1.num_groups  # people: many pictures of a few of them say little of others
    return {
        "people_told_again_before": _share(before.rank1, n),
        "people_told_again_after": _share(after.rank1, n),
        "people_told_again_by_chance": Metric(value=before.chance if n >= LEAST_ITEMS else None, n=n),
    }


def _share(estimate: Estimate, n: int) -> Metric:
    """A share as a metric, with its interval where there is one; no value where too little is behind it."""
    if n < LEAST_ITEMS:
        return Metric(value=None, n=n)
    has_ends = not math.isnan(estimate.low)
    return Metric(
        value=estimate.value, low=estimate.low if has_ends else None, high=estimate.high if has_ends else None, n=n
    )


def _require_pair(original: Path, result: Path) -> None:
    """See that the second can be made of the first; the hidden video may be a row or column larger, to be even."""
    if original.resolve() == result.resolve():
        raise ConfigError(f"{original} was named twice; give the original and the hidden video made of it")
    with VideoReader(original) as first, VideoReader(result) as second:
        sizes = [(reader.info.width, reader.info.height) for reader in (first, second)]
    if any(not 0 <= after - before <= 1 for before, after in zip(*sizes, strict=True)):
        shown = [f"{width} x {height}" for width, height in sizes]
        raise ConfigError(
            f"{original} is {shown[0]} and {result} is {shown[1]}; give the hidden video that was made of the original"
        )
