"""How well one label per item is predicted."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from tubelet.metrics.intervals import Estimate, totals_interval


class ClassScores(NamedTuple):
    """Per class; NaN where there is nothing to divide by.

    Attributes:
        precision: Share of the predictions of the class that are right.
        recall: Share of the items of the class that were found.
        f1: 2 right / (predictions + items).
        num_items: Items of the class.
    """

    precision: Float64[np.ndarray, "classes"]
    recall: Float64[np.ndarray, "classes"]
    f1: Float64[np.ndarray, "classes"]
    num_items: Int64[np.ndarray, "classes"]


def top_k(scores: Float[np.ndarray, "items classes"], labels: Int[np.ndarray, "items"], k: int = 1) -> float:
    """Share of items whose class is among the `k` best scores; NaN without items.

    A class that shares its score with others counts as the worst of them, so equal scores for all classes earn nothing.

    Args:
        scores: Higher is better; finite.
        labels: Class index of each item.
        k: 1 to the number of classes.

    Raises:
        ValueError: `k` or a label is out of range, or a score is NaN.
    """
    num_classes = scores.shape[1]
    if not 1 <= k <= num_classes:
        raise ValueError(f"k is {k}; allowed: 1 to {num_classes} classes")
    ranks = label_ranks(scores, labels)
    return float((ranks <= k).mean()) if len(ranks) else math.nan


def label_ranks(
    scores: Float[np.ndarray, "items classes"], labels: Int[np.ndarray, "items"]
) -> Int64[np.ndarray, "items"]:
    """Place of each item's own class among its scores: 1 is the best; of equal scores it counts as the worst.

    Raises:
        ValueError: A label is out of range, or a score is NaN.
    """
    _check_labels(labels, scores.shape[1], "labels")
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN; a class without a score cannot be ranked")
    own = scores[np.arange(len(labels)), labels]
    ranks: Int64[np.ndarray, "items"] = (scores >= own[:, None]).sum(axis=1)  # the own class counts itself
    return ranks


def predicted_classes(
    scores: Float[np.ndarray, "items classes"], labels: Int[np.ndarray, "items"]
) -> Int64[np.ndarray, "items"]:
    """The class with the best score; of equal best scores, one that is not the true class.

    With that rule a confusion matrix says the same as `top_k`, where equal scores earn nothing.
    """
    best: Int64[np.ndarray, "items"] = scores.argmax(axis=1)
    tied = np.flatnonzero((best == labels) & (label_ranks(scores, labels) > 1))
    others = scores[tied].astype(np.float64)
    others[np.arange(len(tied)), labels[tied]] = -np.inf
    best[tied] = others.argmax(axis=1)
    return best


def confusion_matrix(
    predicted: Int[np.ndarray, "items"], labels: Int[np.ndarray, "items"], num_classes: int
) -> Int64[np.ndarray, "classes classes"]:
    """Counts of items by true class (row) and predicted class (column).

    Raises:
        ValueError: An index is out of range.
    """
    _check_labels(labels, num_classes, "labels")
    _check_labels(predicted, num_classes, "predicted")
    cells = np.bincount(labels.astype(np.int64) * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def class_scores(confusion: Int[np.ndarray, "classes classes"]) -> ClassScores:
    """Precision, recall and F1 of each class from a confusion matrix (rows true, columns predicted)."""
    right = np.diagonal(confusion).astype(np.float64)
    num_predicted, num_items = confusion.sum(axis=0), confusion.sum(axis=1)
    return ClassScores(
        precision=_shares(right, num_predicted),
        recall=_shares(right, num_items),
        f1=_shares(2 * right, num_predicted + num_items),
        num_items=num_items.astype(np.int64),
    )


def mean_class_accuracy(confusion: Int[np.ndarray, "classes classes"]) -> float:
    """Mean recall over the classes that occur, each counting the same; NaN where none occurs.

    Known as balanced accuracy too.
    """
    recall = class_scores(confusion).recall
    return float(np.nanmean(recall)) if not np.isnan(recall).all() else math.nan


def mean_class_accuracy_interval(
    predicted: Int[np.ndarray, "items"],
    labels: Int[np.ndarray, "items"],
    num_classes: int,
    groups: Sequence[Hashable],
    *,
    seed: int = 0,
) -> Estimate:
    """`mean_class_accuracy` with its 95 % interval from drawing whole groups; a class that is not drawn does not count.

    Args:
        predicted: Class index of each item.
        labels: Its true class.
        num_classes: How many classes there are.
        groups: Which group each item belongs to.
        seed: Of the draws.
    """
    _check_labels(labels, num_classes, "labels")
    occurring, places = np.unique(labels, return_inverse=True)
    totals = np.zeros((len(labels), 2 * len(occurring)))
    totals[np.arange(len(labels)), places] = predicted == labels
    totals[np.arange(len(labels)), len(occurring) + places] = 1.0

    def mean_recall(sums: Float[np.ndarray, "draws columns"]) -> Float[np.ndarray, " draws"]:
        right, there = sums[:, : len(occurring)], sums[:, len(occurring) :]
        recall = np.divide(right, there, out=np.zeros_like(right), where=there > 0)
        mean: Float[np.ndarray, " draws"] = recall.sum(axis=1) / (there > 0).sum(axis=1)
        return mean

    return totals_interval(totals, groups, mean_recall, seed=seed)


def average_precision(scores: Float[np.ndarray, "items"], positive: Bool[np.ndarray, "items"]) -> float:
    """Sum over thresholds of precision times the recall gained; NaN without positives.

    Items of one score come under the same threshold, so their order does not matter. Nothing is interpolated.

    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4, without its
        interpolation; scikit-learn's `average_precision_score`.
    """
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN; an item without a score cannot be ranked")
    num_positive = int(positive.sum())
    if num_positive == 0:
        return math.nan
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(positive[order])
    last_of_its_score = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    precision = found[last_of_its_score] / (last_of_its_score + 1)
    recall = found[last_of_its_score] / num_positive
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def mean_average_precision(
    scores: Float[np.ndarray, "items classes"], positive: Bool[np.ndarray, "items classes"]
) -> float:
    """Mean of `average_precision` over the classes with positives; NaN where there are none."""
    each = [average_precision(scores[:, index], positive[:, index]) for index in range(scores.shape[1])]
    measured = [precision for precision in each if not math.isnan(precision)]
    return math.fsum(measured) / len(measured) if measured else math.nan


def _shares(
    parts: Float64[np.ndarray, "classes"], wholes: Int[np.ndarray, "classes"]
) -> Float64[np.ndarray, "classes"]:
    shares = np.full(len(parts), np.nan)
    np.divide(parts, wholes, out=shares, where=wholes > 0)
    return shares


def _check_labels(labels: Int[np.ndarray, "items"], num_classes: int, name: str) -> None:
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"{name} go from {labels.min()} to {labels.max()}; allowed: 0 to {num_classes - 1}")
