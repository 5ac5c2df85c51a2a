"""Detected segments of untrimmed videos, and detected boxes in frames, scored into a Report."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from tubelet.evaluation.detection_files import (
    read_detected_boxes,
    read_detected_segments,
    read_true_boxes,
    read_true_segments,
)
from tubelet.evaluation.scoring import to_metric
from tubelet.metrics.detection import DetectionScores
from tubelet.metrics.frame_map import DetectedBox, FrameKey, TrueBox, frame_map
from tubelet.metrics.intervals import ratio_interval
from tubelet.metrics.temporal_detection import DetectedSegment, TrueSegment, temporal_map
from tubelet.metrics.timeline import LabelledInterval, edit_score, merged, overlap_s, segment_counts
from tubelet.runs import Metric, Report

SEGMENT_IOUS = (0.1, 0.25, 0.5)


def score_temporal(
    detected: Sequence[DetectedSegment],
    truth: Sequence[TrueSegment],
    *,
    dataset: str,
    dataset_fingerprint: str,
    title: str = "Temporal detection",
    seed: int = 0,
) -> Report:
    """Mean average precision at temporal IoU 0.5 to 0.95, segment F1 at 10, 25 and 50 % overlap, and edit score.

    F1 and edit score are of one thing at a time: of predictions that overlap, the one with the higher score is kept.
    Where true segments of a video overlap, they are not measured.

    Args:
        detected: Predicted segments of all videos.
        truth: True segments.
        dataset: Name of the data.
        dataset_fingerprint: What tells them from others of that name.
        title: Of the Report.
        seed: Of the bootstrap over videos.
    """
    videos = list(dict.fromkeys(segment.video for segment in truth))
    scores = temporal_map(detected, truth, seed=seed)
    unlabelled = sorted({guess.video for guess in detected} - set(videos))
    return Report(
        title=title,
        metrics={**_map_metrics(scores, len(truth)), **_timeline_metrics(detected, truth, videos, seed)},
        num_expected=len(videos),
        num_scored=len(videos),
        protocol=f"Items are videos, {len(truth)} true segments. mAP as ActivityNet defines it (interpolated average "
        "precision per label, mean over labels; mAP is the mean over IoUs). Segment F1 and edit score after keeping "
        "the surer of predictions that overlap. 95 % intervals from drawing whole videos again and "
        f"again (bootstrap). {_outside(unlabelled)}".rstrip(),
        dataset=dataset,
        dataset_fingerprint=dataset_fingerprint,
        seed=seed,
        details={"kind": "segments", "videos_without_truth": unlabelled, **_label_details(scores)},
    )


def score_frames(
    detected: Sequence[DetectedBox],
    truth: Sequence[TrueBox],
    *,
    dataset: str,
    dataset_fingerprint: str,
    empty_frames: Collection[FrameKey] = (),
    title: str = "Boxes in frames",
    seed: int = 0,
) -> Report:
    """Frame mAP of boxes with actions at IoU 0.5, as AVA defines it.

    Args:
        detected: Predicted boxes.
        truth: True boxes.
        dataset: Name of the data.
        dataset_fingerprint: What tells them from others of that name.
        empty_frames: Frames that are labelled and show nothing.
        title: Of the Report.
        seed: Of the bootstrap over videos.
    """
    frames = {(box.video, box.time_s) for box in truth} | set(empty_frames)
    scores = frame_map(detected, truth, empty_frames=empty_frames, seed=seed)
    ignored = len({(guess.video, guess.time_s) for guess in detected} - frames)
    return Report(
        title=title,
        metrics={"frame_mAP_0.50": to_metric(scores.average, len(truth))},
        num_expected=len(frames),
        num_scored=len(frames),
        protocol=f"Items are labelled frames, {len(truth)} true boxes. Frame mAP as AVA defines it (IoU 0.5, the 50 "
        "best boxes of a frame, interpolated average precision per label, mean over the labels of the truth). 95 % "
        f"interval from drawing whole videos again and again (bootstrap). Boxes in {ignored} frames without truth not "
        "counted.",
        dataset=dataset,
        dataset_fingerprint=dataset_fingerprint,
        seed=seed,
        details={"kind": "boxes", "num_frames_without_truth": ignored, **_label_details(scores)},
    )


def score_segments_file(detected: str | os.PathLike[str], truth: str | os.PathLike[str], *, seed: int = 0) -> Report:
    """`score_temporal` of two files.

    Args:
        detected: CSV or JSON lines with video, start_s, end_s, label, score.
        truth: The same without score.
        seed: Of the bootstrap.

    Raises:
        DatasetError: A file cannot be read or a row is wrong; the line is named.
    """
    true, found = read_true_segments(truth), read_detected_segments(detected)
    return score_temporal(found, true, **_described(detected, truth), seed=seed)


def score_boxes_file(detected: str | os.PathLike[str], truth: str | os.PathLike[str], *, seed: int = 0) -> Report:
    """`score_frames` of two files.

    Args:
        detected: CSV or JSON lines with video, time_s, x0, y0, x1, y1, label, score; or AVA's rows.
        truth: The same without score; a row of AVA with only video and time is a labelled frame that shows nothing.
        seed: Of the bootstrap.

    Raises:
        DatasetError: A file cannot be read or a row is wrong; the line is named.
    """
    true, empty = read_true_boxes(truth)
    found = read_detected_boxes(detected)
    return score_frames(found, true, empty_frames=empty, **_described(detected, truth), seed=seed)


class _Described(TypedDict):
    title: str
    dataset: str
    dataset_fingerprint: str


def _described(detected: str | os.PathLike[str], truth: str | os.PathLike[str]) -> _Described:
    """File and folder of each, which tell files of one name apart without telling where on a machine they lie."""
    short = ["/".join(Path(path).parts[-2:]) for path in (detected, truth)]
    digest = hashlib.sha256(Path(truth).read_bytes()).hexdigest()[:16]
    return {"title": f"{short[0]} against {short[1]}", "dataset": short[1], "dataset_fingerprint": f"sha256:{digest}"}


def _map_metrics(scores: DetectionScores, num_truth: int) -> dict[str, Metric]:
    metrics = {"mAP": to_metric(scores.average, num_truth)}
    for iou, estimate in zip(scores.thresholds, scores.at_threshold, strict=True):
        metrics[f"mAP_{iou:.2f}"] = to_metric(estimate, num_truth)
    return metrics


def _timeline_metrics(
    detected: Sequence[DetectedSegment], truth: Sequence[TrueSegment], videos: Sequence[str], seed: int
) -> dict[str, Metric]:
    """Segment F1 and edit score over the videos of the truth; not measured where true segments overlap."""
    true = {
        video: [LabelledInterval(s.start_s, s.end_s, s.label) for s in truth if s.video == video] for video in videos
    }
    names = [f"segment_f1_{iou:.2f}" for iou in SEGMENT_IOUS]
    if not all(_follow_each_other(timeline) for timeline in true.values()):
        return {name: Metric(value=None, n=len(truth)) for name in (*names, "edit_score")}
    found = {video: _kept([guess for guess in detected if guess.video == video]) for video in videos}
    metrics = {}
    for name, iou in zip(names, SEGMENT_IOUS, strict=True):
        counts = [segment_counts(found[video], true[video], iou, ignored=()) for video in videos]
        hits = np.array([2.0 * each.num_found for each in counts])
        estimate = ratio_interval(
            hits, hits + np.array([each.num_false + each.num_missed for each in counts]), videos, seed=seed
        )
        metrics[name] = to_metric(estimate, len(truth))
    edits = np.array([edit_score(_labels(found[video]), _labels(true[video])) for video in videos], dtype=np.float64)
    metrics["edit_score"] = to_metric(ratio_interval(edits, np.ones(len(edits)), videos, seed=seed), len(videos))
    return metrics


def _labels(timeline: Sequence[LabelledInterval]) -> list[str]:
    return [interval.label for interval in merged(timeline)]


def _follow_each_other(timeline: Sequence[LabelledInterval]) -> bool:
    ordered = sorted(timeline)
    return all(overlap_s(one, other) == 0 for one, other in itertools.pairwise(ordered))


def _kept(guesses: Sequence[DetectedSegment]) -> list[LabelledInterval]:
    """Of predictions that overlap each other, the one with the best score."""
    kept: list[LabelledInterval] = []
    for guess in sorted(guesses, key=lambda guess: -guess.score):
        interval = LabelledInterval(guess.start_s, guess.end_s, guess.label)
        if guess.start_s < guess.end_s and all(overlap_s(interval, other) == 0 for other in kept):
            kept.append(interval)
    return kept


def _label_details(scores: DetectionScores) -> Mapping[str, Any]:
    return {
        "ious": scores.thresholds,
        "labels": {
            label: {"num_true": scores.num_truth[label], "average_precision": precisions}
            for label, precisions in scores.of_label.items()
        },
    }


def _outside(videos: Sequence[str]) -> str:
    if not videos:
        return ""
    return f"Predictions in {len(videos)} videos without true segments (e.g. {videos[0]}) count as false."
