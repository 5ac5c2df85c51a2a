"""Outside truth: scikit-learn, also on drawn items."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as truth
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.metrics.classification import (
    average_precision,
    confusion_matrix,
    label_ranks,
    mean_average_precision,
    mean_class_accuracy,
    mean_class_accuracy_interval,
    predicted_classes,
    top_k,
)
from tubelet.metrics.intervals import bootstrap_interval, group_draws, ratio_interval, totals_interval
from tubelet.metrics.multi_label import average_precisions, weighted_average_precision


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 6))
def test_weighted_average_precision_against_scikit_learn(seed: int, num_items: int, num_levels: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(num_items) < 0.4
    positive[0] = True
    scores = generator.integers(num_levels, size=num_items) / num_levels
    weights = generator.integers(0, 4, size=(5, num_items))
    weights[:, 0] = 1
    expected = [truth.average_precision_score(positive, scores, sample_weight=row) for row in weights]
    assert weighted_average_precision(scores, positive, weights).tolist() == pytest.approx(expected)
    repeated = np.repeat(np.arange(num_items), weights[0])
    assert expected[0] == pytest.approx(average_precision(scores[repeated], positive[repeated]))


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_the_interval_is_that_of_items_drawn_by_group(seed: int) -> None:
    generator = np.random.default_rng(seed)
    positive, scores = generator.random((24, 3)) < 0.3, generator.random((24, 3))
    groups = generator.integers(8, size=24).tolist()
    found = average_precisions(scores, positive, groups, num_resamples=40, seed=3)
    assert found.mean.value == pytest.approx(mean_average_precision(scores, positive), nan_ok=True)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    which = np.array([numbers[group] for group in groups])
    for draws in group_draws(len(numbers), 40, 3):
        for draw, drawn_mean in zip(draws, found.drawn_means, strict=True):
            rows = np.repeat(np.arange(24), draw[which])
            expected = mean_average_precision(scores[rows], positive[rows])
            assert drawn_mean == pytest.approx(expected, nan_ok=True)


def test_degenerate_labels() -> None:
    none = average_precisions(np.zeros((3, 2)), np.zeros((3, 2), dtype=bool), [0, 1, 2], num_resamples=5)
    assert math.isnan(none.mean.value) and math.isnan(none.mean.low)
    one_group = average_precisions(np.eye(3)[:, :2], np.eye(3, dtype=bool)[:, :2], [0, 0, 0])
    assert one_group.mean.value == 1.0 and math.isnan(one_group.mean.low) and len(one_group.drawn_means) == 0
    assert math.isnan(average_precisions(np.zeros((0, 2)), np.zeros((0, 2), dtype=bool), []).mean.value)
    tied = average_precisions(np.ones((4, 1)), np.array([[True], [False], [False], [False]]), [0, 1, 2, 3])
    assert tied.mean.value == 0.25
    with pytest.raises(ValueError, match="scores hold NaN"):
        average_precisions(np.full((2, 1), np.nan), np.ones((2, 1), dtype=bool), [0, 1])


@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 5))
def test_mean_class_accuracy_of_drawn_groups(seed: int, num_items: int, num_classes: int) -> None:
    generator = np.random.default_rng(seed)
    labels, predicted = generator.integers(num_classes, size=(2, num_items))
    groups = generator.integers(6, size=num_items).tolist()
    found = mean_class_accuracy_interval(predicted, labels, num_classes, groups, seed=1)
    expected = mean_class_accuracy(confusion_matrix(predicted, labels, num_classes))
    assert found.value == pytest.approx(expected, nan_ok=True)
    if found.num_groups >= 2:
        assert 0 <= found.low <= found.high <= 1


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 4))
def test_confusions_of_equal_scores_say_what_top_1_says(seed: int, num_items: int, num_levels: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(num_levels, size=(num_items, 3)).astype(float)
    labels = generator.integers(3, size=num_items)
    predicted = predicted_classes(scores, labels)
    assert (predicted == labels).mean() == top_k(scores, labels)
    assert (scores[np.arange(num_items), predicted] == scores.max(axis=1)).all()
    assert ((label_ranks(scores, labels) == 1) == (predicted == labels)).all()


def test_totals_against_the_two_other_bootstraps() -> None:
    generator = np.random.default_rng(5)
    values, groups = generator.random(200), generator.integers(30, size=200).tolist()
    by_sums = totals_interval(
        np.stack([values, np.ones(200)], axis=1), groups, lambda sums: sums[:, 0] / sums[:, 1], num_resamples=10_000
    )
    assert by_sums == ratio_interval(values, np.ones(200), groups)
    by_items = bootstrap_interval(values, groups, num_resamples=4000)
    assert (by_sums.low, by_sums.high) == pytest.approx((by_items.low, by_items.high), abs=0.005)


def test_draws_are_the_same_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(group_draws(7, 50, 2)))
    monkeypatch.setattr("tubelet.metrics.intervals._NUMBERS_AT_ONCE", 20)
    portions = list(group_draws(7, 50, 2))
    assert len(portions) == 25
    assert np.array_equal(np.concatenate(portions), whole)
    assert (whole.sum(axis=1) == 7).all()
