"""Average precision of detections, whatever they are: what segments in time and boxes in frames share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from tubelet.metrics.intervals import Estimate, group_draws, percentile_estimate


class RankedDetections(NamedTuple):
    """Detections of one class, the best score first.

    Attributes:
        is_found: Whether the detection is the first to find a true instance, at each threshold.
        group: Number of the video that each detection is in.
        num_truth: True instances in each video.
    """

    is_found: Bool[np.ndarray, "thresholds detections"]
    group: Int[np.ndarray, " detections"]
    num_truth: Int[np.ndarray, " groups"]


@dataclass(frozen=True, kw_only=True)
class DetectionScores:
    """Average precision of detections.

    Attributes:
        thresholds: Least overlaps, rising.
        of_label: Average precision of each true label at each threshold.
        at_threshold: Mean over labels at each threshold, with its 95 % interval from drawing whole videos.
        average: Mean over thresholds of those means.
        num_truth: True instances of each label.
    """

    thresholds: tuple[float, ...]
    of_label: Mapping[str, tuple[float, ...]]
    at_threshold: tuple[Estimate, ...]
    average: Estimate
    num_truth: Mapping[str, int]


def interpolated_average_precision(
    is_found: Bool[np.ndarray, " detections"],
    weights: Int[np.ndarray, "draws detections"],
    num_truth: Int[np.ndarray, " draws"],
) -> Float64[np.ndarray, " draws"]:
    """Area under the precision-recall curve whose precision is the best at that recall or beyond.

    Args:
        is_found: Of detections from the best score to the worst: whether each is right.
        weights: How often each detection occurs, per draw; ones for the plain value.
        num_truth: True instances, per draw.

    Returns:
        0 to 1; NaN where there is nothing to find.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2012 development kit, section 3.4.1.
    """
    result = np.full(len(weights), np.nan)
    if len(is_found) == 0:
        result[num_truth > 0] = 0.0
        return result
    gained = weights * is_found
    precision = np.cumsum(gained, axis=1) / np.maximum(1, np.cumsum(weights, axis=1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    np.divide((gained * best).sum(axis=1), num_truth, out=result, where=num_truth > 0)
    return result


def score_detections(
    ranked: Mapping[str, RankedDetections],
    thresholds: Sequence[float],
    num_groups: int,
    *,
    num_resamples: int = 300,
    seed: int = 0,
) -> DetectionScores:
    """Average precision per label and threshold, their means, and intervals from drawing whole videos.

    Args:
        ranked: Detections of each label that occurs in the truth.
        thresholds: What the rows of `is_found` stand for.
        num_groups: How many videos there are.
        num_resamples: Draws of the bootstrap.
        seed: Of the draws.
    """
    once = np.ones((1, num_groups), dtype=np.int64)
    values = _means(ranked, len(thresholds), once)
    drawn = [np.zeros((0, len(thresholds)))]
    if num_groups >= 2:
        drawn += [_means(ranked, len(thresholds), draws) for draws in group_draws(num_groups, num_resamples, seed)]
    draws = np.concatenate(drawn)

    def estimate(
        reduce: Callable[[Float64[np.ndarray, "draws thresholds"]], Float64[np.ndarray, " draws"]],
    ) -> Estimate:
        value = float(reduce(values)[0]) if ranked else math.nan
        return percentile_estimate(value, reduce(draws), num_groups)

    return DetectionScores(
        thresholds=tuple(thresholds),
        of_label={
            label: tuple(float(each) for each in _of_one_label(one, once)[0]) for label, one in sorted(ranked.items())
        },
        at_threshold=tuple(
            estimate(lambda means, column=column: means[:, column])  # type: ignore[misc]
            for column in range(len(thresholds))
        ),
        average=estimate(lambda means: means.mean(axis=1)),
        num_truth={label: int(one.num_truth.sum()) for label, one in sorted(ranked.items())},
    )


def _means(
    ranked: Mapping[str, RankedDetections], num_thresholds: int, draws: Int[np.ndarray, "draws groups"]
) -> Float64[np.ndarray, "draws thresholds"]:
    """Mean over labels; a label that is not drawn does not count."""
    total, count = np.zeros((len(draws), num_thresholds)), np.zeros((len(draws), num_thresholds))
    for one in ranked.values():
        precision = _of_one_label(one, draws)
        measured = ~np.isnan(precision)
        total += np.where(measured, precision, 0.0)
        count += measured
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def _of_one_label(
    one: RankedDetections, draws: Int[np.ndarray, "draws groups"]
) -> Float64[np.ndarray, "draws thresholds"]:
    weights, num_truth = draws[:, one.group], draws @ one.num_truth
    return np.stack([interpolated_average_precision(found, weights, num_truth) for found in one.is_found], axis=1)
