"""Outside truth: McNemar's and the sign test of scipy, all sign patterns one by one, and simulated experiments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tubelet.metrics.paired import holm, paired_difference, sign_flip_test


@given(st.lists(st.integers(-6, 6), max_size=9))
def test_the_sign_flip_test_against_every_sign_pattern(gains: list[int]) -> None:
    observed = abs(sum(gains))
    patterns = [
        abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(gains))
    ]
    expected = np.mean([pattern >= observed for pattern in patterns])
    assert sign_flip_test(np.array(gains, dtype=np.int64)) == pytest.approx(expected)


@given(st.integers(0, 30), st.integers(0, 30))
def test_with_one_item_per_group_it_is_mcnemars_exact_test(num_first: int, num_second: int) -> None:
    gains = np.array([1] * num_first + [-1] * num_second + [0] * 5, dtype=np.int64)
    both = num_first + num_second
    expected = scipy.stats.binomtest(num_first, both).pvalue if both else 1.0
    assert sign_flip_test(gains) == pytest.approx(expected)


def test_many_large_groups_are_counted_exactly_too() -> None:
    gains = np.random.default_rng(0).integers(-300, 320, size=400)  # sums beyond what is convolved directly
    p_value = sign_flip_test(gains)
    flips = np.random.default_rng(1).choice([-1, 1], size=(20_000, len(gains)))
    simulated = float((np.abs(flips @ gains) >= abs(gains.sum())).mean())
    assert p_value == pytest.approx(simulated, abs=0.01)
    assert sign_flip_test(np.full(2000, 40)) > 0  # not 0, though it is far below what a float can hold


def test_the_power_estimate_holds_in_simulated_experiments() -> None:
    generator = np.random.default_rng(0)

    def experiment(num_groups: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
        groups = np.repeat(np.arange(num_groups), 3)
        leaning = np.repeat(generator.normal(0, 0.15, num_groups), 3)  # clips of one video are alike
        first = generator.random(len(groups)) < 0.7 + leaning
        second = generator.random(len(groups)) < 0.6 + leaning
        return first, second, groups.tolist()

    first, second, groups = experiment(4000)
    large = paired_difference(first, second, groups, num_resamples=10)
    num_groups = round(large.groups_needed)
    found = [
        sign_flip_test(np.bincount(groups, weights=first.astype(float) - second).astype(np.int64)) < 0.05
        for first, second, groups in (experiment(num_groups) for _ in range(400))
    ]
    assert 0.7 < np.mean(found) < 0.9
    few = paired_difference(*experiment(num_groups), num_resamples=10)
    assert few.least_detectable == pytest.approx(large.difference.value, rel=0.25)


def test_the_interval_covers_the_true_difference() -> None:
    generator = np.random.default_rng(1)
    covered = []
    for trial in range(300):
        groups = np.repeat(np.arange(40), 4)
        leaning = np.repeat(generator.normal(0, 0.2, 40), 4)
        first = generator.random(len(groups)) < 0.6 + leaning
        second = generator.random(len(groups)) < 0.5 + leaning * 0.5
        truth = 0.1  # up to the few probabilities that leave 0 to 1
        found = paired_difference(first, second, groups.tolist(), num_resamples=400, seed=trial).difference
        covered.append(found.low <= truth <= found.high)
    assert 0.90 <= np.mean(covered) <= 0.98


def test_the_standard_error_agrees_with_the_bootstrap() -> None:
    generator = np.random.default_rng(2)
    groups = generator.integers(60, size=500)
    first, second = generator.random(500) < 0.7, generator.random(500) < 0.5
    found = paired_difference(first, second, groups.tolist())
    assert (found.difference.high - found.difference.low) / (2 * 1.96) == pytest.approx(found.standard_error, rel=0.1)
    assert found.difference.value == pytest.approx(first.mean() - second.mean())


def test_degenerate_pairs() -> None:
    right, wrong = np.ones(6, dtype=bool), np.zeros(6, dtype=bool)
    groups = [0, 0, 1, 1, 2, 3]
    same = paired_difference(right, right, groups)
    assert (same.difference.value, same.p_value, same.groups_needed) == (0.0, 1.0, math.inf)
    assert same.difference.low == -same.difference.high < 0  # four groups are not certainty
    best = paired_difference(right, wrong, groups)
    assert best.difference[:3] == (1.0, 1.0, 1.0)
    assert best.p_value == pytest.approx(2 / 2**4)
    assert (best.num_groups_for_first, best.num_groups_for_second) == (4, 0)
    assert paired_difference(wrong, right, groups).difference.value == -1.0
    alone = paired_difference(right, wrong, [0] * 6)
    assert alone.difference.value == 1.0 and math.isnan(alone.difference.low)
    assert alone.p_value == 1.0 and math.isnan(alone.groups_needed)
    nothing = paired_difference(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), [])
    assert math.isnan(nothing.difference.value) and math.isnan(nothing.p_value)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
