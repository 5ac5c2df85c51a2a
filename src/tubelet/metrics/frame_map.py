"""People doing things, found in single frames: frame mAP as AVA defines it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from tubelet.metrics.detection import DetectionScores, RankedDetections, score_detections
from tubelet.metrics.intervals import group_numbers

FrameKey = tuple[str, float]
_MAX_PER_FRAME = 50


class TrueBox(NamedTuple):
    """One action of one person in a frame; x0, y0, x1, y1 in pixels or as shares of the picture."""

    video: str
    time_s: float
    box: tuple[float, float, float, float]
    label: str


class DetectedBox(NamedTuple):
    """One predicted action of one person in a frame."""

    video: str
    time_s: float
    box: tuple[float, float, float, float]
    label: str
    score: float


def frame_map(
    detected: Sequence[DetectedBox],
    truth: Sequence[TrueBox],
    *,
    iou: float = 0.5,
    empty_frames: Collection[FrameKey] = (),
    max_per_frame: int = _MAX_PER_FRAME,
    num_resamples: int = 300,
    seed: int = 0,
) -> DetectionScores:
    """Mean average precision over the labels of the truth, of boxes that overlap a true one.

    In each frame, from the highest score to the lowest, a box is right if the true box of its label that it overlaps
    most overlaps enough and was not found before. Boxes in frames that are not labelled are not counted; nor are labels
    that the truth does not have, nor boxes without area.

    Args:
        detected: In any order; of equal scores the earlier one counts first.
        truth: What is there.
        iou: Least intersection over union, above 0 and at most 1.
        empty_frames: Frames, as (video, time), that are labelled and show nothing: boxes there are false.
        max_per_frame: Only so many boxes of a frame count, those with the best scores over all labels.
        num_resamples: Draws of the bootstrap over videos.
        seed: Of the draws.

    Raises:
        ValueError: A true box has no area, a number is not finite, or `iou` is out of range.

    Source: Gu et al., AVA, 2018, section 4; its evaluation code of ActivityNet 2018 (`get_ava_performance.py`).
    """
    _check(detected, truth, iou)
    of_frame = _by_frame(truth, empty_frames)
    videos = list(dict.fromkeys(key[0] for key in of_frame))
    numbers = dict(zip(videos, group_numbers(videos, len(videos)).tolist(), strict=True))
    labels = dict.fromkeys(box.label for box in truth)
    guesses = _counted(detected, of_frame, labels, max_per_frame)
    ranked = {}
    for label in labels:
        own = sorted((guess for guess in guesses if guess.label == label), key=lambda guess: -guess.score)
        true_videos = [numbers[box.video] for box in truth if box.label == label]
        ranked[label] = RankedDetections(
            is_found=_found(own, of_frame, iou)[None],
            group=np.array([numbers[guess.video] for guess in own], dtype=np.int64),
            num_truth=np.bincount(true_videos, minlength=len(numbers)),
        )
    return score_detections(ranked, [iou], len(numbers), num_resamples=num_resamples, seed=seed)


def _key(video: str, time_s: float) -> FrameKey:
    return video, round(time_s, 6)  # as AVA writes it into its keys


def _by_frame(truth: Sequence[TrueBox], empty_frames: Collection[FrameKey]) -> dict[FrameKey, list[TrueBox]]:
    frames: dict[FrameKey, list[TrueBox]] = {_key(*frame): [] for frame in empty_frames}
    for box in truth:
        frames.setdefault(_key(box.video, box.time_s), []).append(box)
    return frames


def _counted(
    detected: Sequence[DetectedBox],
    of_frame: dict[FrameKey, list[TrueBox]],
    labels: Collection[str],
    max_per_frame: int,
) -> list[DetectedBox]:
    """Predictions of labelled frames and known labels, only the best of each frame."""
    frames: dict[FrameKey, list[DetectedBox]] = {}
    for guess in detected:
        key = _key(guess.video, guess.time_s)
        if key in of_frame and guess.label in labels:
            frames.setdefault(key, []).append(guess)
    counted = []
    for guesses in frames.values():
        guesses.sort(key=lambda guess: -guess.score)
        for guess in guesses[:max_per_frame]:
            x0, y0, x1, y1 = guess.box
            if x0 < x1 and y0 < y1:
                counted.append(guess)
    return counted


def _found(
    guesses: Sequence[DetectedBox], of_frame: dict[FrameKey, list[TrueBox]], least_iou: float
) -> Bool[np.ndarray, " guesses"]:
    """Whether each prediction of one label, best score first, is the first to find its true box."""
    taken: set[tuple[FrameKey, int]] = set()
    found = np.zeros(len(guesses), dtype=bool)
    for place, guess in enumerate(guesses):
        key = _key(guess.video, guess.time_s)
        true = [box for box in of_frame[key] if box.label == guess.label]
        if not true:
            continue
        ious = _ious(guess, true)
        best = int(ious.argmax())
        if ious[best] >= least_iou and (key, best) not in taken:
            taken.add((key, best))
            found[place] = True
    return found


def _ious(guess: DetectedBox, truth: Sequence[TrueBox]) -> Float64[np.ndarray, " truth"]:
    x0, y0, x1, y1 = np.array([box.box for box in truth], dtype=np.float64).T
    left, top, right, bottom = guess.box
    width = np.maximum(0.0, np.minimum(x1, right) - np.maximum(x0, left))
    height = np.maximum(0.0, np.minimum(y1, bottom) - np.maximum(y0, top))
    shared = width * height
    ious: Float64[np.ndarray, " truth"] = shared / ((x1 - x0) * (y1 - y0) + (right - left) * (bottom - top) - shared)
    return ious


def _check(detected: Sequence[DetectedBox], truth: Sequence[TrueBox], iou: float) -> None:
    if not 0.0 < iou <= 1.0:
        raise ValueError(f"iou is {iou}; allowed: above 0, at most 1")
    for box in truth:
        x0, y0, x1, y1 = box.box
        if not (all(map(math.isfinite, (*box.box, box.time_s))) and x0 < x1 and y0 < y1):
            raise ValueError(f"{box}: a true box has x0 < x1 and y0 < y1, all finite")
    for guess in detected:
        if not all(map(math.isfinite, (*guess.box, guess.time_s, guess.score))):
            raise ValueError(f"{guess}: box, time and score are finite numbers")
