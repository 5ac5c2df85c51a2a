"""Whether one method is better than another on the same items, and how many items it would take to tell."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy.signal import fftconvolve
from scipy.stats import binom

from tubelet.metrics.intervals import Estimate, group_sums, totals_interval, wilson_interval

_NORMAL_975, _NORMAL_80 = 1.959963984540054, 0.8416212335729143  # points of the standard normal distribution
_LARGE = 20_000  # sums beyond this are convolved by Fourier transform, whose error is some 1e-16


class PairedDifference(NamedTuple):
    """Share right of the first method minus that of the second.

    Attributes:
        difference: With its 95 % interval, from drawing whole groups.
        standard_error: Of the difference, between groups; NaN with fewer than two groups.
        p_value: How often a difference as large or larger would come about if the two methods were alike.
        num_groups_for_first: Groups where the first is right more often.
        num_groups_for_second: Groups where the second is right more often.
        groups_needed: Groups like these that would show a difference of this size in four of five experiments; infinity
            where there is no difference, NaN where it cannot be told.
        least_detectable: The difference that this many groups show in four of five experiments.
    """

    difference: Estimate
    standard_error: float
    p_value: float
    num_groups_for_first: int
    num_groups_for_second: int
    groups_needed: float
    least_detectable: float


def paired_difference(
    first_right: Bool[np.ndarray, " items"],
    second_right: Bool[np.ndarray, " items"],
    groups: Sequence[Hashable],
    *,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference:
    """Compare two methods item by item; items of one group are not independent of each other.

    Args:
        first_right: Whether the first method is right on each item.
        second_right: Likewise the second, on the same items.
        groups: Which group (source video) each item belongs to.
        num_resamples: Draws of the bootstrap.
        seed: Of the draws.

    Source: Cluster bootstrap as `intervals.ratio_interval`; test: see `sign_flip_test`; standard error of a ratio of
        group totals by linearisation, Cochran, Sampling Techniques, 1977, section 6.3.
    """
    gains = first_right.astype(np.float64) - second_right.astype(np.float64)
    totals = np.stack([gains, np.ones(len(gains))], axis=1)
    sums = group_sums(totals, groups)
    num_groups, num_items = len(sums), len(gains)
    if num_items == 0:
        return PairedDifference(Estimate(math.nan, math.nan, math.nan, 0), math.nan, math.nan, 0, 0, math.nan, math.nan)
    estimate = totals_interval(
        totals, groups, lambda drawn: drawn[:, 0] / drawn[:, 1], num_resamples=num_resamples, seed=seed
    )
    if num_groups >= 2 and not gains.any():
        # No spread to see is not certainty: as many groups could hide this share of differing ones.
        hidden = wilson_interval(0, num_groups).high
        estimate = Estimate(0.0, -hidden, hidden, num_groups)
    spread = math.nan
    if num_groups >= 2:
        off = sums[:, 0] - estimate.value * sums[:, 1]
        spread = math.sqrt(num_groups / (num_groups - 1) * float(np.square(off).sum())) / num_items
    reach = _NORMAL_975 + _NORMAL_80
    needed = math.inf if estimate.value == 0 else num_groups * (reach * spread / abs(estimate.value)) ** 2
    return PairedDifference(
        difference=estimate,
        standard_error=spread,
        p_value=sign_flip_test(np.rint(sums[:, 0]).astype(np.int64)),
        num_groups_for_first=int((sums[:, 0] > 0).sum()),
        num_groups_for_second=int((sums[:, 0] < 0).sum()),
        groups_needed=math.nan if math.isnan(spread) else needed,
        least_detectable=reach * spread,
    )


def sign_flip_test(gains: Int[np.ndarray, " groups"]) -> float:
    """Exact two-sided p-value of the sum of the gains, if each group's gain could as well have had the other sign.

    That is so where the two methods are alike: then it does not matter which of them is called the first. With one item
    per group it is McNemar's exact test; with gains of -1, 0 and 1 the sign test over groups.

    Args:
        gains: Per group, items that only the first method is right on minus items that only the second is right on.

    Returns:
        Above 0, at most 1; 1 without any gain.

    Source: Fisher's randomisation test for pairs (The Design of Experiments, 1935, section 21), by counting all sign
        patterns at once: the distribution of the sum is a convolution of scaled binomial distributions.
    """
    sizes, counts = np.unique(np.abs(gains[gains != 0]), return_counts=True)
    total = int((sizes * counts).sum())
    chances: Float64[np.ndarray, " sums"] = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spaced = np.zeros(size * count + 1)
        spaced[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        longest = max(len(chances), len(spaced))
        chances = fftconvolve(chances, spaced) if longest > _LARGE else np.convolve(chances, spaced)
    # chances[i] is that of a sum of 2 i - total.
    as_extreme = np.abs(2 * np.arange(len(chances)) - total) >= abs(int(gains.sum()))
    return min(1.0, max(float(chances[as_extreme].sum()), math.ulp(0.0)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, raised so that any of them below 0.05 is a false alarm at most 1 time in 20 overall.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    raised = [0.0] * len(p_values)
    floor = 0.0
    for place, index in enumerate(order):
        floor = max(floor, min(1.0, (len(p_values) - place) * p_values[index]))
        raised[index] = floor
    return raised
