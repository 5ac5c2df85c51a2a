"""How well one timeline of labelled intervals tells another.

Everything is exact interval arithmetic on seconds; nothing is rasterised into frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

UNKNOWN = "unknown"
_SAME_MOMENT_S = 1e-6  # times are written with three decimals; below this two are the same
_IOU_SLACK = 1e-9  # so that an IoU of exactly the threshold counts in spite of binary fractions


class LabelledInterval(NamedTuple):
    """One label from `start_s` to `end_s` (exclusive)."""

    start_s: float
    end_s: float
    label: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


Timeline = Sequence[LabelledInterval]


class FrameTime(NamedTuple):
    """Seconds of true time by what was predicted in them; sums over people and sources add up.

    Attributes:
        truth_s: All true time.
        covered_s: Of it, where there is a prediction at all, abstentions included.
        decided_s: Of it, where a label was predicted.
        right_s: Of it, where the predicted label is the true one.
        rightly_abstained_s: Time whose truth has no word in the vocabulary, and where the prediction abstains.
    """

    truth_s: float
    covered_s: float
    decided_s: float
    right_s: float
    rightly_abstained_s: float


class SegmentCounts(NamedTuple):
    """Segments found, invented and missed; sums over people and sources add up."""

    num_found: int
    num_false: int
    num_missed: int

    @property
    def f1(self) -> float:
        """2 found / (2 found + false + missed); NaN where there is nothing to find and nothing was predicted."""
        denominator = 2 * self.num_found + self.num_false + self.num_missed
        return 2 * self.num_found / denominator if denominator else math.nan


def merged(timeline: Timeline) -> list[LabelledInterval]:
    """The timeline in order of time, neighbours of one label joined.

    Raises:
        ValueError: Two intervals overlap, or one ends before it starts.
    """
    joined: list[LabelledInterval] = []
    for interval in sorted(timeline):
        if not interval.end_s > interval.start_s:
            raise ValueError(f"interval {interval} ends before it starts")
        last = joined[-1] if joined else None
        if last is not None and interval.start_s < last.end_s - _SAME_MOMENT_S:
            raise ValueError(f"intervals {last} and {interval} overlap; one person does one thing at a time here")
        if last is not None and last.label == interval.label and interval.start_s <= last.end_s + _SAME_MOMENT_S:
            joined[-1] = last._replace(end_s=interval.end_s)
        else:
            joined.append(interval)
    return joined


def overlap_s(first: LabelledInterval, second: LabelledInterval) -> float:
    """Seconds that two intervals share."""
    return max(0.0, min(first.end_s, second.end_s) - max(first.start_s, second.start_s))


def shared_s(first: Timeline, second: Timeline) -> float:
    """Seconds that two timelines share, whatever their labels."""
    return math.fsum(overlap_s(one, other) for one in first for other in second)


def temporal_iou(first: LabelledInterval, second: LabelledInterval) -> float:
    """Intersection over union of two intervals, whatever their labels."""
    shared = overlap_s(first, second)
    return shared / (first.duration_s + second.duration_s - shared)


def frame_time(
    predicted: Timeline, truth: Timeline, *, abstained: str = UNKNOWN, outside: frozenset[str] = frozenset()
) -> FrameTime:
    """Split true time by what was predicted in it: per-frame accuracy with frames of no length.

    Args:
        predicted: Intervals of one person; gaps are time without prediction.
        truth: Intervals of the same person; gaps are not counted.
        abstained: The predicted label that says nothing.
        outside: True labels that no prediction can name; abstaining is right there.
    """
    covered, decided, right, rightly_abstained = [0.0], [0.0], [0.0], [0.0]
    for true in truth:
        for guess in predicted:
            shared = overlap_s(true, guess)
            covered.append(shared)
            if guess.label != abstained:
                decided.append(shared)
                right.append(shared if guess.label == true.label else 0.0)
            elif true.label in outside:
                rightly_abstained.append(shared)
    return FrameTime(
        truth_s=math.fsum(true.duration_s for true in truth),
        covered_s=math.fsum(covered),
        decided_s=math.fsum(decided),
        right_s=math.fsum(right),
        rightly_abstained_s=math.fsum(rightly_abstained),
    )


def frame_accuracy(
    predicted: Timeline, truth: Timeline, *, abstained: str = UNKNOWN, decided_only: bool = False
) -> float:
    """Share of true time whose label is predicted rightly; abstention and gaps count as wrong.

    Args:
        predicted: Intervals of one person.
        truth: Intervals of the same person.
        abstained: The predicted label that says nothing.
        decided_only: Count only the time where a label was predicted.

    Returns:
        0 to 1, or NaN where there is no time to count.
    """
    time = frame_time(predicted, truth, abstained=abstained)
    counted = time.decided_s if decided_only else time.truth_s
    return time.right_s / counted if counted > 0 else math.nan


def coverage(predicted: Timeline, truth: Timeline, *, abstained: str = UNKNOWN) -> float:
    """Share of true time that got a label, right or wrong; NaN where there is no true time."""
    time = frame_time(predicted, truth, abstained=abstained)
    return time.decided_s / time.truth_s if time.truth_s > 0 else math.nan


def segment_counts(
    predicted: Timeline, truth: Timeline, iou: float, *, ignored: Iterable[str] = (UNKNOWN,)
) -> SegmentCounts:
    """Count true segments that a predicted segment of the same label meets with at least `iou`.

    In order of time, each predicted segment takes the true segment of its label that it overlaps best; if that one is
    taken already or overlaps too little, the prediction is false.

    Args:
        predicted: Intervals of one person.
        truth: Intervals of the same person.
        iou: Least temporal intersection over union, above 0 and at most 1.
        ignored: Labels that are no segments, neither predicted nor true.

    Source: Lea et al., Temporal Convolutional Networks for Action Segmentation and Detection, 2017, section 4
        (F1@k; `iou` is k / 100).
    """
    if not 0.0 < iou <= 1.0:
        raise ValueError(f"iou is {iou}; allowed: above 0, at most 1")
    left_out = frozenset(ignored)
    true = [interval for interval in merged(truth) if interval.label not in left_out]
    taken = [False] * len(true)
    num_false = 0
    for guess in (interval for interval in merged(predicted) if interval.label not in left_out):
        ious = [temporal_iou(guess, interval) if interval.label == guess.label else 0.0 for interval in true]
        best = max(range(len(true)), key=lambda index: ious[index], default=None)
        if best is not None and ious[best] >= iou - _IOU_SLACK and not taken[best]:
            taken[best] = True
        else:
            num_false += 1
    return SegmentCounts(sum(taken), num_false, len(true) - sum(taken))


def edit_score(predicted: Sequence[str], truth: Sequence[str]) -> float:
    """How alike two sequences of labels are, whatever their times: 1 - edit distance / length of the longer one.

    Args:
        predicted: Labels of the segments in order of time, without abstentions.
        truth: The same of the truth.

    Returns:
        0 to 1; NaN where both are empty.

    Source: Lea et al., Learning Convolutional Action Primitives for Fine-grained Action Recognition, 2016.
    Differs: a share of 1, not of 100.
    """
    if not predicted and not truth:
        return math.nan
    return 1.0 - edit_distance(predicted, truth) / max(len(predicted), len(truth))


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one sequence into the other (Levenshtein, 1966)."""
    row = list(range(len(second) + 1))
    for index, one in enumerate(first, start=1):
        diagonal, row[0] = row[0], index
        for column, other in enumerate(second, start=1):
            cost = min(row[column] + 1, row[column - 1] + 1, diagonal + (one != other))
            diagonal, row[column] = row[column], cost
    return row[-1]


def confusion_s(predicted: Timeline, truth: Timeline) -> dict[tuple[str, str | None], float]:
    """Seconds of true time by true and predicted label; a predicted label of None is time without prediction."""
    seconds: dict[tuple[str, str | None], float] = {}
    for true in truth:
        left = true.duration_s
        for guess in predicted:
            shared = overlap_s(true, guess)
            if shared > 0:
                seconds[true.label, guess.label] = seconds.get((true.label, guess.label), 0.0) + shared
                left -= shared
        if left > _SAME_MOMENT_S:
            seconds[true.label, None] = seconds.get((true.label, None), 0.0) + left
    return seconds


def without_covered(timeline: Timeline, covering: Timeline) -> list[LabelledInterval]:
    """What is left of a timeline outside of the time that another one covers."""
    left = list(timeline)
    for cover in covering:
        left = [
            interval._replace(start_s=start_s, end_s=end_s)
            for interval in left
            for start_s, end_s in (
                (interval.start_s, min(interval.end_s, cover.start_s)),
                (max(interval.start_s, cover.end_s), interval.end_s),
            )
            if end_s > start_s + _SAME_MOMENT_S
        ]
    return left


def clipped(timeline: Timeline, start_s: float, end_s: float) -> list[LabelledInterval]:
    """What lies of a timeline between two moments."""
    return [
        interval._replace(start_s=max(interval.start_s, start_s), end_s=min(interval.end_s, end_s))
        for interval in timeline
        if min(interval.end_s, end_s) > max(interval.start_s, start_s) + _SAME_MOMENT_S
    ]
