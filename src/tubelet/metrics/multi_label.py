"""How well several labels per item are predicted, with intervals."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from tubelet.metrics.intervals import Estimate, group_draws, group_numbers, percentile_estimate


class AveragePrecisions(NamedTuple):
    """Average precision of each class and their mean.

    Attributes:
        mean: Over the classes with positives.
        of_class: One per class; NaN for a class without positives.
        drawn_means: The mean in each draw of the bootstrap; none with fewer than two groups.
    """

    mean: Estimate
    of_class: tuple[Estimate, ...]
    drawn_means: Float64[np.ndarray, " draws"]


def average_precisions(
    scores: Float[np.ndarray, "items classes"],
    positive: Bool[np.ndarray, "items classes"],
    groups: Sequence[Hashable],
    *,
    num_resamples: int = 500,
    seed: int = 0,
) -> AveragePrecisions:
    """`classification.average_precision` of each class and their mean, with 95 % intervals from drawing whole groups.

    Args:
        scores: Higher is more likely.
        positive: Whether the item has the class.
        groups: Which group each item belongs to.
        num_resamples: Draws of the bootstrap. Two calls with the same groups and seed draw the same groups, so their
            `drawn_means` may be subtracted from each other.
        seed: Of the draws.
    """
    which = group_numbers(groups, len(scores))
    num_groups = int(which.max()) + 1 if len(which) else 0
    once = np.ones((1, len(scores)), dtype=np.int64)
    values = [float(weighted_average_precision(*pair, once)[0]) for pair in zip(scores.T, positive.T, strict=True)]
    mean = float(mean_of_measured(np.array(values), axis=0))
    if num_groups < 2:
        estimates = tuple(Estimate(value, math.nan, math.nan, num_groups) for value in values)
        return AveragePrecisions(Estimate(mean, math.nan, math.nan, num_groups), estimates, np.zeros(0))
    drawn = np.concatenate(
        [
            np.stack(
                [weighted_average_precision(*pair, draws[:, which]) for pair in zip(scores.T, positive.T, strict=True)],
                axis=1,
            )
            for draws in group_draws(num_groups, num_resamples, seed)
        ]
    )
    means = mean_of_measured(drawn, axis=1)
    return AveragePrecisions(
        percentile_estimate(mean, means, num_groups),
        tuple(percentile_estimate(value, drawn[:, index], num_groups) for index, value in enumerate(values)),
        means,
    )


def weighted_average_precision(
    scores: Float[np.ndarray, " items"], positive: Bool[np.ndarray, " items"], weights: Int[np.ndarray, "draws items"]
) -> Float64[np.ndarray, " draws"]:
    """`classification.average_precision` where item i occurs `weights[draw, i]` times; NaN without positives.

    Source: scikit-learn's `average_precision_score` with `sample_weight`.
    """
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN; an item without a score cannot be ranked")
    if len(scores) == 0:
        return np.full(len(weights), np.nan)
    order = np.argsort(-scores, kind="stable")
    last_of_its_score = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    weighted = weights[:, order]
    found = np.cumsum(weighted * positive[order], axis=1)[:, last_of_its_score]
    taken = np.cumsum(weighted, axis=1)[:, last_of_its_score]
    precision = found / np.maximum(taken, 1)
    gained = np.diff(found, axis=1, prepend=0)
    num_positive = found[:, -1]
    result = np.full(len(weights), np.nan)
    np.divide((gained * precision).sum(axis=1), num_positive, out=result, where=num_positive > 0)
    return result


def weighted_auroc(
    scores: Float[np.ndarray, " items"], positive: Bool[np.ndarray, " items"], weights: Int[np.ndarray, "draws items"]
) -> Float64[np.ndarray, " draws"]:
    """How often a positive item scores above a negative one, ties half, where item i occurs `weights[draw, i]` times.

    Returns:
        0 to 1, 0.5 for scores that say nothing; NaN without a positive or without a negative item.

    Source: area under the ROC curve as the Mann-Whitney statistic, Hanley and McNeil 1982; scikit-learn's
        `roc_auc_score` with `sample_weight`.
    """
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN; an item without a score cannot be ranked")
    result = np.full(len(weights), np.nan)
    if len(scores) == 0:
        return result
    order = np.argsort(scores, kind="stable")
    last_of_its_score = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    weighted = weights[:, order].astype(np.float64)
    positives = np.cumsum(weighted * positive[order], axis=1)[:, last_of_its_score]
    negatives = np.cumsum(weighted * ~positive[order], axis=1)[:, last_of_its_score]
    gained, passed = np.diff(positives, axis=1, prepend=0), np.diff(negatives, axis=1, prepend=0)
    pairs = positives[:, -1] * negatives[:, -1]
    np.divide((gained * (negatives - passed / 2)).sum(axis=1), pairs, out=result, where=pairs > 0)
    return result


def ranks_by_lot(
    scores: Float[np.ndarray, "items *more"], lots: Float[np.ndarray, "items *more"]
) -> Float64[np.ndarray, "items *more"]:
    """The place of each item, 0 for the lowest score, where equal scores are put in the order of their lots."""
    order = np.lexsort((lots, scores), axis=0)
    ranks = np.empty(scores.shape)
    places = np.arange(len(scores), dtype=np.float64).reshape(-1, *[1] * (scores.ndim - 1))
    np.put_along_axis(ranks, order, np.broadcast_to(places, scores.shape), axis=0)
    return ranks


def mean_of_measured(values: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """Mean over an axis of what is not NaN; NaN where nothing is left."""
    measured = ~np.isnan(values)
    counts = measured.sum(axis=axis)
    means = np.full(counts.shape, np.nan)
    np.divide(np.where(measured, values, 0.0).sum(axis=axis), counts, out=means, where=counts > 0)
    return means
