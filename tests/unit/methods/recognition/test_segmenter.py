"""Probabilities to segments: coverage, abstention, minimum duration, and independence of how the input is cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.methods.recognition.segmenter import ActionEvent, Segmenter, SegmenterSettings
from tubelet.methods.recognition.timeline import UNKNOWN, Segment

LABELS = ("stand", "walk", "run")
HZ = 15.0


def segment(probabilities: np.ndarray, allowed: frozenset[str] | None = None, **options: float) -> list[Segment]:
    rules = SegmenterSettings(**{"min_score": 0.5, **options})
    segmenter = Segmenter(LABELS, track_id=7, start_s=0.0, settings=rules, allowed=allowed)
    events: list[ActionEvent] = []
    for index, row in enumerate(probabilities):
        events += segmenter.push(index / HZ, row)
    events += segmenter.finish(len(probabilities) / HZ)
    return [event.segment for event in events if event.segment is not None]


def certain(*stretches: tuple[int, int], best: float = 0.9) -> np.ndarray:
    """Rows in which class `c` has probability `best` for `n` moments, for each (c, n)."""
    rows = []
    for label, count in stretches:
        row = np.full(len(LABELS), (1 - best) / (len(LABELS) - 1))
        row[label] = best
        rows.append(np.tile(row, (count, 1)))
    return np.concatenate(rows)


def test_two_actions_become_two_segments_that_meet() -> None:
    first, second = segment(certain((0, 30), (1, 45)))
    assert (first.label, second.label) == ("stand", "walk")
    assert first.start_s == 0.0
    assert first.end_s == second.start_s == pytest.approx(30 / HZ, abs=0.1)
    assert second.end_s == pytest.approx(75 / HZ)
    assert first.probability == pytest.approx(0.9)
    assert first.track_id == 7


def test_a_doubtful_moment_does_not_break_a_walk() -> None:
    rows = certain((1, 30), (2, 2), (1, 30))
    assert [s.label for s in segment(rows)] == ["walk"]


def test_a_stretch_shorter_than_the_minimum_is_taken_into_the_one_before() -> None:
    rows = certain((1, 30), (2, 8), (1, 30), best=0.99)
    assert [s.label for s in segment(rows, min_duration_s=1.0)] == ["walk"]
    assert [s.label for s in segment(rows, min_duration_s=0.2)] == ["walk", "run", "walk"]


def test_no_class_above_the_threshold_abstains_and_names_the_best_class() -> None:
    (only,) = segment(np.tile([0.40, 0.35, 0.25], (40, 1)))
    assert (only.label, only.best_label) == (UNKNOWN, "stand")
    assert only.abstained
    assert only.probability == pytest.approx(0.40)
    assert only.runners_up[0] == ("walk", pytest.approx(0.35))


def test_a_label_that_is_not_asked_for_is_unknown_not_renamed() -> None:
    (only,) = segment(certain((1, 40)), allowed=frozenset({"run"}))
    assert (only.label, only.best_label) == (UNKNOWN, "run")
    assert only.probability == pytest.approx(0.05)


def test_a_person_who_was_never_classified_is_unknown_for_its_whole_life() -> None:
    segmenter = Segmenter(LABELS, track_id=1, start_s=2.0, settings=SegmenterSettings(min_score=0.5))
    (begin, end) = segmenter.finish(2.5)
    assert begin.kind == "begin"
    assert end.segment is not None
    assert (end.segment.label, end.segment.start_s, end.segment.end_s) == (UNKNOWN, 2.0, 2.5)
    assert end.segment.probability == 0.0


def test_a_decision_falls_within_the_lag() -> None:
    rules = SegmenterSettings(min_score=0.5, lag=15, min_duration_s=0.4)
    segmenter = Segmenter(LABELS, track_id=1, start_s=0.0, settings=rules)
    rows = certain((0, 60), (1, 60))
    for index, row in enumerate(rows):
        ended = [event for event in segmenter.push(index / HZ, row) if event.kind == "end"]
        if ended:
            break
    assert 60 + 6 <= index <= 60 + 15 + 8


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.floats(0.2, 0.9), st.floats(0.0, 1.5))
def test_segments_cover_life_without_overlap_whatever_comes(
    seed: int, count: int, min_score: float, min_duration_s: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(len(LABELS), 0.4), size=max(count // 6, 1)).repeat(6, axis=0)[:count]
    found = segment(rows, min_score=min_score, min_duration_s=min_duration_s)
    assert found[0].start_s == 0.0
    assert found[-1].end_s == pytest.approx(len(rows) / HZ)
    for before, after in pairwise(found):
        assert before.end_s == after.start_s
        assert before.label != after.label
    if len(found) > 1:
        assert min(item.duration_s for item in found) >= min_duration_s - 1e-9
    assert all(item.abstained or item.probability >= min_score for item in found)


def test_a_short_stretch_at_the_start_of_a_life_is_taken_into_the_next() -> None:
    found = segment(certain((0, 3), (1, 40)))
    assert [(item.label, item.start_s) for item in found] == [("walk", 0.0)]


def test_a_life_shorter_than_the_minimum_is_one_segment() -> None:
    found = segment(certain((1, 4)), min_duration_s=1.0)
    assert [(item.label, item.start_s, item.end_s) for item in found] == [("walk", 0.0, pytest.approx(4 / HZ))]


def test_neighbours_without_a_label_are_one_segment() -> None:
    doubtful = np.concatenate([np.tile([0.45, 0.35, 0.20], (30, 1)), np.tile([0.20, 0.35, 0.45], (30, 1))])
    (only,) = segment(doubtful, min_score=0.5, change_cost=0.1)
    assert only.label == UNKNOWN
    assert only.probability == pytest.approx(0.35, abs=0.01)
