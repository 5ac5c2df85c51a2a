"""95 % intervals: what a number could have been with other clips of the same kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

_NORMAL_95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


class Estimate(NamedTuple):
    """A number with its 95 % interval; the ends are NaN where there are fewer than two groups to tell from.

    Attributes:
        value: The number over everything.
        low: Lower end.
        high: Upper end.
        num_groups: How many independent groups it rests on.
    """

    value: float
    low: float
    high: float
    num_groups: int


def wilson_interval(num_right: int, num_items: int) -> Estimate:
    """A proportion with its score interval, for items that are independent of each other.

    Args:
        num_right: Successes.
        num_items: Trials; 0 gives NaN.

    Raises:
        ValueError: More successes than trials, or a negative number.

    Source: Wilson, 1927; recommended over the normal approximation by Brown, Cai and DasGupta, 2001.
    """
    if not 0 <= num_right <= num_items:
        raise ValueError(f"num_right is {num_right}; allowed: 0 to num_items ({num_items})")
    if num_items == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    share, z2 = num_right / num_items, _NORMAL_95**2
    centre = (share + z2 / (2 * num_items)) / (1 + z2 / num_items)
    spread = share * (1 - share) / num_items + z2 / (4 * num_items**2)
    half = _NORMAL_95 / (1 + z2 / num_items) * math.sqrt(spread)
    # At the ends the formula is exact and the arithmetic is not.
    low = 0.0 if num_right == 0 else max(0.0, centre - half)
    high = 1.0 if num_right == num_items else min(1.0, centre + half)
    return Estimate(share, low, high, num_items)


def ratio_interval(
    numerators: Float[np.ndarray, "items"],
    denominators: Float[np.ndarray, "items"],
    groups: Sequence[Hashable],
    *,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """A ratio of sums (accuracy over time, F1 from counts) with its percentile bootstrap over whole groups.

    Items of one group (people of one video, segments of one person) resemble each other: groups are drawn, not items.

    Args:
        numerators: Per item.
        denominators: Per item, 0 or more.
        groups: Which group each item belongs to.
        num_resamples: Draws of the bootstrap.
        seed: Of the draws; the same seed gives the same interval.

    Returns:
        The ratio over everything; NaN if the denominators sum to 0. Draws whose denominator is 0 are left out, and
        `num_groups` counts the groups with a denominator above 0. Where everything is right, or nothing, the ends are
        those of the Wilson interval of that many groups.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile); whole clusters as in
        Davison and Hinkley, 1997, section 3.8.
    """
    which = _group_numbers(groups, len(numerators))
    num_groups = int(which.max()) + 1 if len(which) else 0
    sums = np.stack(
        [np.bincount(which, weights=part, minlength=num_groups) for part in (numerators, denominators)], axis=1
    )
    total = sums.sum(axis=0)
    value = float(total[0] / total[1]) if total[1] > 0 else math.nan
    num_telling = int((sums[:, 1] > 0).sum())
    if num_telling < 2:
        return Estimate(value, math.nan, math.nan, num_telling)
    draws = np.random.default_rng(seed).multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=num_resamples)
    drawn = draws @ sums
    drawn = drawn[drawn[:, 1] > 0]
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    if low == high and value in (0.0, 1.0) and (numerators <= denominators).all():
        # Draws of what is all right are all right: no spread to see, which is not the same as certainty.
        return wilson_interval(round(value * num_telling), num_telling)
    return Estimate(value, float(low), float(high), num_telling)


def bootstrap_interval(
    values: Shaped[np.ndarray, "items *more"],
    groups: Sequence[Hashable],
    statistic: Callable[[Shaped[np.ndarray, "some *more"]], float] = lambda drawn: float(np.mean(drawn)),
    *,
    num_resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """Any statistic of the items with its percentile bootstrap over whole groups.

    Args:
        values: One row per item.
        groups: Which group each item belongs to.
        statistic: From rows to a number; draws for which it is NaN are left out.
        num_resamples: Draws of the bootstrap.
        seed: Of the draws.

    Source: as `ratio_interval`, which is much faster where the statistic is a ratio of sums.
    """
    which = _group_numbers(groups, len(values))
    num_groups = int(which.max()) + 1 if len(which) else 0
    value = float(statistic(values)) if len(values) else math.nan
    if num_groups < 2:
        return Estimate(value, math.nan, math.nan, num_groups)
    members = [np.flatnonzero(which == group) for group in range(num_groups)]
    generator = np.random.default_rng(seed)
    drawn = np.array(
        [
            statistic(
                values[np.concatenate([members[group] for group in generator.integers(num_groups, size=num_groups)])]
            )
            for _ in range(num_resamples)
        ]
    )
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) == 0:
        return Estimate(value, math.nan, math.nan, num_groups)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high), num_groups)


def _group_numbers(groups: Sequence[Hashable], num_items: int) -> Int[np.ndarray, "items"]:
    """Groups as 0, 1, …; in order of first appearance."""
    if len(groups) != num_items:
        raise ValueError(f"there are {len(groups)} groups for {num_items} items; give one per item")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
