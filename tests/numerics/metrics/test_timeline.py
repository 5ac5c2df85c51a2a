"""Outside truth: the published frame-wise algorithms on rasterised labels, brute force, worked examples."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.metrics.timeline import (
    LabelledInterval,
    clipped,
    confusion_s,
    coverage,
    edit_distance,
    edit_score,
    frame_accuracy,
    frame_time,
    merged,
    segment_counts,
    shared_s,
    without_covered,
)

LABELS = ("walk", "run", "jump", "unknown")
FPS = 10


def intervals(*rows: tuple[float, float, str]) -> list[LabelledInterval]:
    return [LabelledInterval(*row) for row in rows]


def from_frames(labels: list[str]) -> list[LabelledInterval]:
    """Labels of frames as intervals; empty labels are gaps."""
    timeline, start = [], 0
    for label, run in itertools.groupby(labels):
        end = start + len(list(run))
        if label:
            timeline.append(LabelledInterval(start / FPS, end / FPS, label))
        start = end
    return timeline


frames = st.lists(st.sampled_from(LABELS), min_size=1, max_size=40)
gappy = st.lists(st.sampled_from((*LABELS, "")), min_size=1, max_size=40)


def published_f1(predicted: list[str], truth: list[str], threshold: float) -> tuple[int, int, int]:
    """F1@k of Lea et al. written from the paper, on frames: true positives, false positives, false negatives."""

    def segments(labels: list[str]) -> list[tuple[str, set[int]]]:
        found, start = [], 0
        for label, run in itertools.groupby(labels):
            end = start + len(list(run))
            if label not in ("unknown", ""):
                found.append((label, set(range(start, end))))
            start = end
        return found

    true, used, found, false = segments(truth), set(), 0, 0
    for label, span in segments(predicted):
        overlaps = [len(span & other) / len(span | other) * (label == name) for name, other in true]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= threshold and best not in used:
            used.add(best)
            found += 1
        else:
            false += 1
    return found, false, len(true) - len(used)


@given(gappy, gappy, st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_segment_counts_against_the_published_algorithm(predicted: list[str], truth: list[str], iou: float) -> None:
    assert segment_counts(from_frames(predicted), from_frames(truth), iou) == published_f1(predicted, truth, iou)


@given(gappy, frames)
def test_time_against_counting_frames(predicted: list[str], truth: list[str]) -> None:
    predicted = (predicted + [""] * len(truth))[: len(truth)]
    pairs = list(zip(predicted, truth, strict=True))
    time = frame_time(from_frames(predicted), from_frames(truth), outside=frozenset({"jump"}))
    expected = (
        len(truth),
        sum(guess != "" for guess, _ in pairs),
        sum(guess not in ("", "unknown") for guess, _ in pairs),
        sum(guess == true and guess != "unknown" for guess, true in pairs),
        sum(guess == "unknown" and true == "jump" for guess, true in pairs),
    )
    assert time == pytest.approx([count / FPS for count in expected], abs=1e-9)
    decided = expected[2]
    assert frame_accuracy(from_frames(predicted), from_frames(truth)) == pytest.approx(expected[3] / len(truth))
    assert coverage(from_frames(predicted), from_frames(truth)) == pytest.approx(decided / len(truth))
    if decided:
        only = frame_accuracy(from_frames(predicted), from_frames(truth), decided_only=True)
        assert only == pytest.approx(expected[3] / decided)
    confusion = confusion_s(from_frames(predicted), from_frames(truth))
    for key in {(true, guess or None) for guess, true in pairs}:
        count = sum((true, guess or None) == key for guess, true in pairs)
        assert confusion[key] == pytest.approx(count / FPS, abs=1e-9)


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_edit_distance_against_the_recursive_definition(first: list[str], second: list[str]) -> None:
    @functools.cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        swap = distance(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, swap)

    assert edit_distance(first, second) == distance(len(first), len(second))
    if first or second:
        assert edit_score(first, second) == pytest.approx(
            1 - distance(len(first), len(second)) / max(len(first), len(second))
        )


@given(gappy, gappy)
def test_what_is_left_and_what_is_shared_make_the_whole(first: list[str], second: list[str]) -> None:
    one, other = from_frames(first), from_frames(second)
    left = without_covered(one, other)
    assert shared_s(left, other) == pytest.approx(0.0, abs=1e-9)
    total = math.fsum(each.duration_s for each in one)
    assert math.fsum(each.duration_s for each in left) + shared_s(one, other) == pytest.approx(total)


def test_a_worked_example() -> None:
    truth = intervals((0, 4, "walk"), (4, 6, "jump"), (6, 10, "walk"))
    predicted = intervals((0, 3, "walk"), (3, 5, "run"), (5, 6, "unknown"), (6, 12, "walk"))
    assert frame_accuracy(predicted, truth) == pytest.approx(7 / 10)
    assert frame_accuracy(predicted, truth, decided_only=True) == pytest.approx(7 / 9)
    assert coverage(predicted, truth) == pytest.approx(9 / 10)
    # walk 3/4 and 4/6 are found; run is false, jump is missed
    assert segment_counts(predicted, truth, 0.5).f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert segment_counts(predicted, truth, 0.7).f1 == pytest.approx(2 * 1 / (2 * 1 + 2 + 2))
    assert edit_score(["walk", "run", "walk"], ["walk", "jump", "walk"]) == pytest.approx(2 / 3)


def test_an_iou_of_exactly_the_threshold_counts() -> None:
    assert segment_counts(intervals((0.1, 0.4, "a")), intervals((0.1, 0.7, "a")), 0.5) == (1, 0, 0)
    assert segment_counts(intervals((0.1, 0.399, "a")), intervals((0.1, 0.7, "a")), 0.5) == (0, 1, 1)


def test_over_segmentation_is_counted() -> None:
    truth = intervals((0, 10, "a"))
    pieces = intervals((0, 4, "a"), (4.5, 10, "a"))
    assert segment_counts(pieces, truth, 0.25) == (1, 1, 0)
    assert segment_counts(intervals((0, 4, "a"), (4, 10, "a")), truth, 0.5) == (1, 0, 0)  # neighbours are one


def test_nothing_to_measure_is_nan() -> None:
    some = intervals((0, 1, "a"))
    assert math.isnan(frame_accuracy(some, []))
    assert math.isnan(frame_accuracy([], some, decided_only=True))
    assert math.isnan(coverage([], []))
    assert math.isnan(segment_counts([], [], 0.5).f1)
    assert math.isnan(edit_score([], []))
    assert segment_counts([], some, 0.5).f1 == 0.0
    assert segment_counts(some, [], 0.5).f1 == 0.0
    assert edit_score([], ["a"]) == 0.0
    assert frame_accuracy([], some) == 0.0


def test_clipping_keeps_what_lies_between() -> None:
    timeline = intervals((0, 2, "a"), (2, 4, "b"), (5, 6, "c"))
    assert clipped(timeline, 1, 4) == intervals((1, 2, "a"), (2, 4, "b"))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap; one person does one thing at a time"):
        merged(intervals((0, 2, "a"), (1, 3, "b")))
    with pytest.raises(ValueError, match="ends before it starts"):
        merged(intervals((2, 2, "a")))
    with pytest.raises(ValueError, match="iou is 0; allowed: above 0, at most 1"):
        segment_counts([], [], 0)
