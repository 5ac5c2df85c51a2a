"""Segments in time found in untrimmed videos: mean average precision at temporal IoU, as ActivityNet defines it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from tubelet.metrics.detection import DetectionScores, RankedDetections, score_detections
from tubelet.metrics.intervals import group_numbers

TEMPORAL_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


class TrueSegment(NamedTuple):
    """One labelled action of a video, from `start_s` to `end_s` (exclusive)."""

    video: str
    start_s: float
    end_s: float
    label: str


class DetectedSegment(NamedTuple):
    """One predicted action of a video; a higher score is a surer one. Predictions may overlap each other."""

    video: str
    start_s: float
    end_s: float
    label: str
    score: float


def temporal_map(
    detected: Sequence[DetectedSegment],
    truth: Sequence[TrueSegment],
    ious: Sequence[float] = TEMPORAL_IOUS,
    *,
    num_resamples: int = 300,
    seed: int = 0,
) -> DetectionScores:
    """Mean average precision over the labels of the truth at each temporal IoU, and its average over IoUs.

    From the highest score to the lowest, a prediction takes the true segment of its label and video that it overlaps
    most, among those that overlap enough and are not taken; without one it is false. Labels that the truth does not
    have are not counted. Predictions in videos without true segments are false.

    Args:
        detected: In any order; of equal scores the earlier one counts first.
        truth: What is there.
        ious: Least intersections over union, above 0 and at most 1.
        num_resamples: Draws of the bootstrap over videos.
        seed: Of the draws.

    Raises:
        ValueError: A segment ends before it starts, a number is not finite, or an IoU is out of range.

    Source: ActivityNet's `eval_detection.py`; Heilbron et al., ActivityNet, 2015.
    """
    _check(detected, truth, ious)
    videos = [segment.video for segment in truth] + [guess.video for guess in detected]
    numbers = dict(zip(videos, group_numbers(videos, len(videos)).tolist(), strict=True))
    ranked = {}
    for label in dict.fromkeys(segment.label for segment in truth):
        own = [segment for segment in truth if segment.label == label]
        guesses = [segment for segment in detected if segment.label == label]
        guesses.sort(key=lambda segment: -segment.score)
        ranked[label] = RankedDetections(
            is_found=_found(guesses, own, ious),
            group=np.array([numbers[guess.video] for guess in guesses], dtype=np.int64),
            num_truth=np.bincount([numbers[segment.video] for segment in own], minlength=len(numbers)),
        )
    return score_detections(ranked, ious, len(numbers), num_resamples=num_resamples, seed=seed)


def _found(
    guesses: Sequence[DetectedSegment], truth: Sequence[TrueSegment], ious: Sequence[float]
) -> Bool[np.ndarray, "ious guesses"]:
    """Whether each prediction, best score first, takes a true segment."""
    of_video: dict[str, list[TrueSegment]] = {}
    for segment in truth:
        of_video.setdefault(segment.video, []).append(segment)
    free = {video: np.ones((len(ious), len(segments)), dtype=bool) for video, segments in of_video.items()}
    found = np.zeros((len(ious), len(guesses)), dtype=bool)
    for column, guess in enumerate(guesses):
        if guess.video not in of_video:
            continue
        overlaps = _ious(guess, of_video[guess.video])
        by_overlap = np.argsort(overlaps, kind="stable")[::-1]
        for row, least in enumerate(ious):
            fitting = [index for index in by_overlap if overlaps[index] >= least and free[guess.video][row, index]]
            if fitting:
                found[row, column] = True
                free[guess.video][row, fitting[0]] = False
    return found


def _ious(guess: DetectedSegment, truth: Sequence[TrueSegment]) -> Float64[np.ndarray, " truth"]:
    starts = np.array([segment.start_s for segment in truth])
    ends = np.array([segment.end_s for segment in truth])
    shared = np.maximum(0.0, np.minimum(ends, guess.end_s) - np.maximum(starts, guess.start_s))
    ious: Float64[np.ndarray, " truth"] = shared / (ends - starts + guess.end_s - guess.start_s - shared)
    return ious


def _check(detected: Sequence[DetectedSegment], truth: Sequence[TrueSegment], ious: Sequence[float]) -> None:
    for iou in ious:
        if not 0.0 < iou <= 1.0:
            raise ValueError(f"iou is {iou}; allowed: above 0, at most 1")
    for segment in truth:
        if not (math.isfinite(segment.start_s) and segment.start_s < segment.end_s < math.inf):
            raise ValueError(f"{segment}: a true segment starts before it ends, at finite times")
    for guess in detected:
        if not (math.isfinite(guess.start_s) and guess.start_s <= guess.end_s < math.inf):
            raise ValueError(f"{guess}: a segment must not end before it starts, and times are finite")
        if not math.isfinite(guess.score):
            raise ValueError(f"{guess}: a score is a finite number")
