"""Outside truth: what the official ActivityNet and AVA code said, recorded once, and brute force."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.metrics.detection import interpolated_average_precision
from tubelet.metrics.frame_map import DetectedBox, TrueBox, frame_map
from tubelet.metrics.temporal_detection import TEMPORAL_IOUS, DetectedSegment, TrueSegment, temporal_map

RECORDED = Path(__file__).parent / "recorded"
ACTIVITYNET = json.loads((RECORDED / "activitynet_detection.json").read_text())
AVA = json.loads((RECORDED / "ava_frame_map.json").read_text())


def test_the_recordings_are_there() -> None:
    assert len(ACTIVITYNET["cases"]) == 3
    assert len(AVA["cases"]) == 3
    assert ACTIVITYNET["ious"] == list(TEMPORAL_IOUS)


@pytest.mark.parametrize("case", ACTIVITYNET["cases"])
def test_temporal_map_is_what_the_activitynet_code_says(case: dict[str, Any]) -> None:
    scores = temporal_map(
        [DetectedSegment(*row) for row in case["detected"]], [TrueSegment(*row) for row in case["truth"]]
    )
    assert {label: pytest.approx(each, abs=1e-12) for label, each in case["per_label"].items()} == dict(scores.of_label)
    assert [each.value for each in scores.at_threshold] == pytest.approx(case["map"], abs=1e-12)
    assert scores.average.value == pytest.approx(case["average"], abs=1e-12)
    assert scores.average.low <= scores.average.value <= scores.average.high
    assert scores.average.low < scores.average.high


@pytest.mark.parametrize("case", AVA["cases"])
def test_frame_map_is_what_the_ava_code_says(case: dict[str, Any]) -> None:
    scores = frame_map(
        [DetectedBox(video, time_s, tuple(box), label, score) for video, time_s, box, label, score in case["detected"]],
        [TrueBox(video, time_s, tuple(box), label) for video, time_s, box, label in case["truth"]],
        empty_frames=[tuple(frame) for frame in case["empty_frames"]],
    )
    assert {label: each[0] for label, each in scores.of_label.items()} == pytest.approx(case["per_label"], abs=1e-12)
    assert scores.average.value == pytest.approx(case["map"], abs=1e-12)


def slow_average_precision(found: list[bool], num_truth: int) -> float:
    """Step by step from the definition: at each recall, the best precision there or beyond."""
    precisions, recalls, hits = [], [], 0
    for place, is_hit in enumerate(found, start=1):
        hits += is_hit
        precisions.append(hits / place)
        recalls.append(hits / num_truth)
    total, reached = 0.0, 0.0
    for recall in sorted(set(recalls)):
        best = max(p for p, r in zip(precisions, recalls, strict=True) if r >= recall)
        total += (recall - reached) * best
        reached = recall
    return total


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 4))
def test_interpolated_average_precision_against_the_definition(found: list[bool], num_missed: int) -> None:
    num_truth = sum(found) + num_missed
    once = np.ones((1, len(found)), dtype=np.int64)
    value = interpolated_average_precision(np.array(found, dtype=bool), once, np.array([num_truth]))[0]
    if num_truth == 0:
        assert math.isnan(value)
    else:
        assert value == pytest.approx(slow_average_precision(found, num_truth))


@given(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([0.3, 0.5, 0.8]))
def test_temporal_map_against_a_plain_loop(seed: int, num_true: int, iou: float) -> None:
    generator = np.random.default_rng(seed)

    def spans(number: int) -> list[tuple[str, float, float]]:
        starts = generator.integers(0, 10, number)
        return [(f"v{generator.integers(2)}", float(a), float(a + generator.integers(1, 6))) for a in starts]

    truth = [TrueSegment(*span, "a") for span in spans(num_true)]
    detected = [DetectedSegment(*span, "a", float(-place)) for place, span in enumerate(spans(8))]
    free, found = set(range(num_true)), []
    for guess in detected:
        candidates = []
        for index, true in enumerate(truth):
            shared = max(0.0, min(guess.end_s, true.end_s) - max(guess.start_s, true.start_s))
            union = guess.end_s - guess.start_s + true.end_s - true.start_s - shared
            if true.video == guess.video and index in free and shared / union >= iou:
                candidates.append((shared / union, index))
        found.append(bool(candidates))
        if candidates:
            free.discard(max(candidates)[1])
    value = temporal_map(detected, truth, [iou], num_resamples=2).average.value
    assert value == pytest.approx(slow_average_precision(found, num_true))


def test_a_detection_that_is_not_drawn_is_as_if_it_were_not_there() -> None:
    found = np.array([True, True, False, True])
    drawn = interpolated_average_precision(found, np.array([[1, 0, 1, 1], [1, 1, 1, 1]]), np.array([4, 5]))
    assert drawn.tolist() == [
        pytest.approx(slow_average_precision([True, False, True], 4)),
        pytest.approx(slow_average_precision(found.tolist(), 5)),
    ]


def test_degenerate_detections() -> None:
    segment = TrueSegment("v", 0.0, 1.0, "a")
    assert temporal_map([], [segment]).average.value == 0.0
    assert math.isnan(temporal_map([], []).average.value)
    assert temporal_map([DetectedSegment("v", 0.0, 1.0, "b", 1.0)], [segment]).of_label == {"a": (0.0,) * 10}
    perfect = temporal_map([DetectedSegment("v", 0.0, 1.0, "a", 1.0)], [segment])
    assert perfect.average.value == 1.0
    assert math.isnan(perfect.average.low)  # one video tells of no other
    elsewhere = [DetectedSegment("w", 0.0, 1.0, "a", 2.0), DetectedSegment("v", 0.0, 1.0, "a", 1.0)]
    assert temporal_map(elsewhere, [segment]).average.value == 0.5
    twice = [DetectedSegment("v", 0.0, 1.0, "a", 2.0), DetectedSegment("v", 0.0, 1.0, "a", 1.0)]
    assert temporal_map(twice, [segment]).average.value == 1.0
    assert temporal_map([DetectedSegment("v", 0.5, 0.5, "a", 1.0)], [segment]).average.value == 0.0
    box = TrueBox("v", 1.0, (0.0, 0.0, 1.0, 1.0), "a")
    flat = DetectedBox("v", 1.0, (0.0, 0.0, 0.0, 1.0), "a", 1.0)
    assert frame_map([flat], [box]).average.value == 0.0
    assert math.isnan(frame_map([], []).average.value)
    right, worse = flat._replace(box=(0.0, 0.0, 1.0, 1.0), score=0.5), flat._replace(box=(0.0, 0.0, 0.1, 0.1))
    assert frame_map([worse, right], [box]).average.value == 0.5
    assert frame_map([worse, right], [box], max_per_frame=1).average.value == 0.0


def test_wrong_detections_are_refused() -> None:
    segment, guess = TrueSegment("v", 0.0, 1.0, "a"), DetectedSegment("v", 0.0, 1.0, "a", 1.0)
    with pytest.raises(ValueError, match="iou is 0.0; allowed: above 0, at most 1"):
        temporal_map([], [segment], [0.0])
    with pytest.raises(ValueError, match="starts before it ends"):
        temporal_map([], [segment._replace(end_s=0.0)])
    with pytest.raises(ValueError, match="must not end before it starts"):
        temporal_map([guess._replace(start_s=2.0)], [segment])
    with pytest.raises(ValueError, match="a score is a finite number"):
        temporal_map([guess._replace(score=math.nan)], [segment])
    box = TrueBox("v", 1.0, (0.0, 0.0, 1.0, 1.0), "a")
    with pytest.raises(ValueError, match="x0 < x1 and y0 < y1"):
        frame_map([], [box._replace(box=(1.0, 0.0, 0.0, 1.0))])
    with pytest.raises(ValueError, match="iou is 2; allowed"):
        frame_map([], [box], iou=2)
    with pytest.raises(ValueError, match="box, time and score are finite"):
        frame_map([DetectedBox("v", 1.0, (0.0, 0.0, 1.0, math.inf), "a", 1.0)], [box])
