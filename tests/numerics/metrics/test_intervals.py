"""Outside truth: scipy's intervals, the definition in a loop, and how often an interval holds the true value."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tubelet.metrics.intervals import bootstrap_interval, ratio_interval, wilson_interval


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_against_scipy(counts: tuple[int, int]) -> None:
    num_right, num_items = counts
    expected = scipy.stats.binomtest(num_right, num_items).proportion_ci(method="wilson")
    found = wilson_interval(num_right, num_items)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.low <= found.value <= found.high


def test_wilson_of_nothing() -> None:
    assert all(math.isnan(number) for number in wilson_interval(0, 0)[:3])
    with pytest.raises(ValueError, match=r"num_right is 3; allowed: 0 to num_items \(2\)"):
        wilson_interval(3, 2)


def test_ratio_against_scipy_where_each_item_is_its_own_group() -> None:
    generator = np.random.default_rng(5)
    parts, wholes = generator.random(40), 1 + generator.random(40)
    expected = scipy.stats.bootstrap(
        (parts, wholes),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=1,
    ).confidence_interval
    found = ratio_interval(parts, wholes, list(range(40)))
    assert found.value == pytest.approx(parts.sum() / wholes.sum())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_both_bootstraps_agree_on_groups() -> None:
    generator = np.random.default_rng(6)
    groups = generator.integers(9, size=60).tolist()
    values = generator.random((60, 2))
    fast = ratio_interval(values[:, 0], values[:, 1], groups)
    slow = bootstrap_interval(values, groups, lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum()))
    assert fast.value == pytest.approx(slow.value)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), rel=0.03)
    assert fast.num_groups == slow.num_groups == 9


def test_items_that_repeat_within_a_group_do_not_narrow_it() -> None:
    generator = np.random.default_rng(7)
    once = (generator.random(12) < 0.6).astype(float)
    ten = np.repeat(once, 10)
    one = ratio_interval(once, np.ones(12), list(range(12)))
    many = ratio_interval(ten, np.ones(120), np.repeat(np.arange(12), 10).tolist())
    assert (many.low, many.high) == (one.low, one.high)
    naive = ratio_interval(ten, np.ones(120), list(range(120)))
    assert naive.high - naive.low < 0.5 * (many.high - many.low)


def test_the_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(8)
    holds = 0
    for _ in range(200):
        values = generator.normal(0.3, 0.2, size=30)
        found = ratio_interval(values, np.ones(30), list(range(30)), num_resamples=500)
        holds += found.low <= 0.3 <= found.high
    assert 0.88 <= holds / 200 <= 0.98


def test_the_same_seed_gives_the_same_interval() -> None:
    values, groups = np.random.default_rng(2).random(60), np.repeat(np.arange(30), 2).tolist()
    assert ratio_interval(values, np.ones(60), groups) == ratio_interval(values, np.ones(60), groups)
    assert bootstrap_interval(values, groups) == bootstrap_interval(values, groups)
    assert ratio_interval(values, np.ones(60), groups, seed=1) != ratio_interval(values, np.ones(60), groups)


@pytest.mark.parametrize("groups", [[], ["a"], ["a", "a"]])
def test_fewer_than_two_groups_have_no_interval(groups: list[str]) -> None:
    values = np.ones(len(groups))
    for found in (ratio_interval(values, values, groups), bootstrap_interval(values, groups)):
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert math.isnan(found.value) == (not groups)


@pytest.mark.parametrize("right", [0, 1])
def test_what_is_all_right_or_all_wrong_is_not_certain(right: int) -> None:
    found = ratio_interval(np.full(8, float(right)), np.ones(8), list("aabbccdd"))
    assert found == wilson_interval(4 * right, 4)
    assert found.high - found.low > 0.4
    twice = ratio_interval(np.full(4, 2.0), np.ones(4), list("abcd"))  # no share
    assert (twice.low, twice.high) == (2.0, 2.0)


def test_groups_without_anything_to_count_tell_nothing() -> None:
    found = ratio_interval(np.array([1.0, 0.0]), np.array([2.0, 0.0]), ["a", "b"])
    assert (found.value, found.num_groups) == (0.5, 1)
    assert math.isnan(found.low)


def test_one_group_per_item_is_wanted() -> None:
    with pytest.raises(ValueError, match="there are 1 groups for 2 items"):
        ratio_interval(np.ones(2), np.ones(2), ["a"])


def test_a_statistic_that_is_never_there_has_no_interval() -> None:
    found = bootstrap_interval(np.ones(3), list("abc"), lambda rows: math.nan)
    assert all(math.isnan(number) for number in found[:3])
