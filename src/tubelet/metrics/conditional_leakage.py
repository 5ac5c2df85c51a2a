"""What an attacker learns of private attributes beyond what the action tells: the same measures within each class.

Among clips of one class the action says nothing of a person, so whatever is learnt there comes out of the pictures.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from tubelet.metrics.intervals import Estimate, group_draws, group_numbers, percentile_estimate
from tubelet.metrics.multi_label import mean_of_measured, ranks_by_lot, weighted_auroc, weighted_average_precision
from tubelet.metrics.private_leakage import check_private_labels

_NUM_ORDERS = 8  # orders by lot, by which chance is measured in each draw; for clips drawn twice there is no formula


class ConditionalLeakage(NamedTuple):
    """Means over attributes of means over the classes that have clips with and without the attribute.

    Attributes:
        average_precision: Within a class.
        chance: Average precision within a class of scores that say nothing. It lies above the prevalence, the more so
            the fewer clips a class has.
        excess: The first minus the second: 0 for an attacker who learns nothing beyond the action.
        auroc: Within a class; 0.5 for scores that say nothing.
        num_classes: By attribute, over how many classes the means go; attributes without one are left out of the means.
    """

    average_precision: Estimate
    chance: float
    excess: Estimate
    auroc: Estimate
    num_classes: dict[str, int]


def conditional_leakage(
    scores: Float[np.ndarray, "clips attributes"],
    labels: Float[np.ndarray, "clips attributes"],
    actions: Int[np.ndarray, " clips"],
    groups: Sequence[Hashable],
    attributes: Sequence[str],
    *,
    num_resamples: int = 200,
    seed: int = 0,
) -> ConditionalLeakage:
    """Score an attacker within classes, with 95 % intervals from drawing whole groups.

    Equal scores are put into an order by lot, so that an attacker who gives all clips of a class one score earns what
    chance earns.

    Args:
        scores: Higher is more likely.
        labels: 1, 0 or NaN where nobody knows.
        actions: The true class of each clip.
        groups: Which group (source video) each clip belongs to.
        attributes: Names of the attributes.
        num_resamples: Draws of the bootstrap.
        seed: Of the draws and the lots.

    Raises:
        ValueError: A label is something else, a score is NaN, the shapes do not fit, or no class has clips with and
            without an attribute.
    """
    check_private_labels(labels)
    if scores.shape != labels.shape or labels.shape != (len(actions), len(attributes)):
        raise ValueError(
            f"scores are {scores.shape}, labels {labels.shape}, with {len(actions)} actions and {len(attributes)} "
            "attributes; needed: one row per clip and one column per attribute"
        )
    cells = [_cells(column, actions) for column in labels.T]
    if not any(cells):
        raise ValueError("no class has clips with and without an attribute; there is nothing to tell apart within one")
    which = group_numbers(groups, len(labels))
    num_groups = int(which.max()) + 1
    lots = np.random.default_rng((seed, 1)).random((_NUM_ORDERS + 1, *labels.shape))
    once = np.ones((1, len(labels)), dtype=np.int64)
    value = _means(scores, labels, cells, lots, once)[0]
    chances = np.array([_chance(column, rows) for column, rows in zip(labels.T, cells, strict=True)])
    chance = float(mean_of_measured(chances, axis=0))
    drawn = np.zeros((0, 3))
    if num_groups >= 2:
        drawn = np.concatenate(
            [
                _means(scores, labels, cells, lots, draws[:, which])
                for draws in group_draws(num_groups, num_resamples, seed)
            ]
        )
    # Clips that are drawn twice tie with themselves, which lifts average precision and chance alike: what a draw tells
    # is the difference of the two.
    excess = percentile_estimate(float(value[0]) - chance, drawn[:, 0] - drawn[:, 1], num_groups)
    return ConditionalLeakage(
        average_precision=Estimate(float(value[0]), chance + excess.low, chance + excess.high, num_groups),
        chance=chance,
        excess=excess,
        auroc=percentile_estimate(float(value[2]), drawn[:, 2], num_groups),
        num_classes={name: len(rows) for name, rows in zip(attributes, cells, strict=True)},
    )


def chance_average_precision(num_items: int, num_positive: int) -> float:
    """Average precision that scores without any meaning and without ties earn on average.

    Args:
        num_items: How many items are ranked.
        num_positive: How many of them are positive, at least one.

    Raises:
        ValueError: There are no positive items, or more than items.

    Source: Bestgen, Exact expected average precision of the random baseline for system evaluation, 2015 (The Prague
        Bulletin of Mathematical Linguistics 103).
    """
    if not 1 <= num_positive <= num_items:
        raise ValueError(f"num_positive is {num_positive}; allowed: 1 to num_items ({num_items})")
    if num_items == 1:
        return 1.0
    harmonic = float((1 / np.arange(1, num_items + 1)).sum()) / num_items
    return harmonic + (num_positive - 1) / (num_items - 1) * (1 - harmonic)


def _cells(labels: Float[np.ndarray, " clips"], actions: Int[np.ndarray, " clips"]) -> list[Int64[np.ndarray, "_"]]:
    """The clips with a known label of each class that has both labels."""
    known = np.flatnonzero(~np.isnan(labels))
    rows = [known[actions[known] == action] for action in np.unique(actions[known])]
    return [each for each in rows if 0 < labels[each].sum() < len(each)]


def _chance(labels: Float[np.ndarray, " clips"], cells: Sequence[Int64[np.ndarray, "_"]]) -> float:
    each = [chance_average_precision(len(rows), int(labels[rows].sum())) for rows in cells]
    return float(np.mean(each)) if each else float("nan")


def _means(
    scores: Float[np.ndarray, "clips attributes"],
    labels: Float[np.ndarray, "clips attributes"],
    cells: Sequence[Sequence[Int64[np.ndarray, "_"]]],
    lots: Float64[np.ndarray, "orders clips attributes"],
    weights: Int64[np.ndarray, "draws clips"],
) -> Float64[np.ndarray, "draws 3"]:
    """Average precision, that of chance, and AUROC in each draw."""
    of_attribute = np.full((len(labels.T), len(weights), 3), np.nan)
    for column, rows_of_classes in enumerate(cells):
        found = [
            _of_class(scores[rows, column], labels[rows, column] == 1, lots[:, rows, column], weights[:, rows])
            for rows in rows_of_classes
        ]
        if found:
            of_attribute[column] = mean_of_measured(np.stack(found), axis=0)
    return mean_of_measured(of_attribute, axis=0)


def _of_class(
    scores: Float[np.ndarray, " some"],
    positive: Bool[np.ndarray, " some"],
    lots: Float64[np.ndarray, "orders some"],
    weights: Int64[np.ndarray, "draws some"],
) -> Float64[np.ndarray, "draws 3"]:
    ranks = ranks_by_lot(scores, lots[0])
    auroc = weighted_auroc(scores, positive, weights)
    chance = np.mean([weighted_average_precision(lot, positive, weights) for lot in lots[1:]], axis=0)
    both = np.stack([weighted_average_precision(ranks, positive, weights), chance, auroc], axis=1)
    # A draw in which the class has one label only says nothing, of any of the three.
    both[np.isnan(auroc)] = np.nan
    return both
