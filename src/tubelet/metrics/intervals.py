"""95 % intervals: what a number could have been with other clips of the same kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64, Shaped

_NORMAL_95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution
_NUMBERS_AT_ONCE = 4_000_000  # draws x groups held in memory


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
    sums = group_sums(np.stack([numerators, denominators], axis=1), groups)
    total = sums.sum(axis=0)
    value = float(total[0] / total[1]) if total[1] > 0 else math.nan
    num_telling = int((sums[:, 1] > 0).sum())
    if num_telling < 2:
        return Estimate(value, math.nan, math.nan, num_telling)
    drawn = np.concatenate([draws @ sums for draws in group_draws(len(sums), num_resamples, seed)])
    drawn = drawn[drawn[:, 1] > 0]
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    if low == high and value in (0.0, 1.0) and (numerators <= denominators).all():
        # Draws of what is all right are all right: no spread to see, which is not the same as certainty.
        return wilson_interval(round(value * num_telling), num_telling)
    return Estimate(value, float(low), float(high), num_telling)


def totals_interval(
    totals: Float[np.ndarray, "items columns"],
    groups: Sequence[Hashable],
    statistic: Callable[[Float[np.ndarray, "draws columns"]], Float[np.ndarray, " draws"]],
    *,
    num_resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """Any function of column sums (mean recall over classes, calibration error) with its bootstrap over whole groups.

    Args:
        totals: What each item adds to each sum.
        groups: Which group each item belongs to.
        statistic: From sums, one row per draw, to one number per draw; draws for which it is NaN are left out.
        num_resamples: Draws of the bootstrap.
        seed: Of the draws.

    Source: as `ratio_interval`.
    """
    sums = group_sums(totals, groups)
    value = float(statistic(sums.sum(axis=0, keepdims=True))[0]) if len(sums) else math.nan
    if len(sums) < 2:
        return Estimate(value, math.nan, math.nan, len(sums))
    drawn = np.concatenate([statistic(draws @ sums) for draws in group_draws(len(sums), num_resamples, seed)])
    return percentile_estimate(value, drawn, len(sums))


def percentile_estimate(value: float, drawn: Float[np.ndarray, " draws"], num_groups: int) -> Estimate:
    """An estimate whose ends are the 2.5 % and 97.5 % points of the draws; those that are NaN are left out."""
    told = drawn[~np.isnan(drawn)]
    if len(told) == 0:
        return Estimate(value, math.nan, math.nan, num_groups)
    low, high = np.percentile(told, [2.5, 97.5])
    return Estimate(value, float(low), float(high), num_groups)


def group_draws(num_groups: int, num_resamples: int, seed: int) -> Iterator[Int64[np.ndarray, "draws groups"]]:
    """How often each group is drawn, in portions of draws that fit into memory; the same draws for the same seed."""
    generator = np.random.default_rng(seed)
    shares = np.full(num_groups, 1 / num_groups)
    portion = max(1, _NUMBERS_AT_ONCE // max(1, num_groups))
    for start in range(0, num_resamples, portion):
        yield generator.multinomial(num_groups, shares, size=min(portion, num_resamples - start))


def group_sums(
    totals: Float[np.ndarray, "items columns"], groups: Sequence[Hashable]
) -> Float[np.ndarray, "groups columns"]:
    """Column sums of the items of each group, groups in order of first appearance."""
    which = group_numbers(groups, len(totals))
    sums = np.zeros((int(which.max()) + 1 if len(which) else 0, totals.shape[1]))
    np.add.at(sums, which, totals)
    return sums


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
    which = group_numbers(groups, len(values))
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
    return percentile_estimate(value, drawn, num_groups)


def group_numbers(groups: Sequence[Hashable], num_items: int) -> Int[np.ndarray, "items"]:
    """Groups as 0, 1, …; in order of first appearance."""
    if len(groups) != num_items:
        raise ValueError(f"there are {len(groups)} groups for {num_items} items; give one per item")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
