"""Outside truth: scikit-learn, items drawn one by one, all orders of a few items, and what floors mean."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics as truth
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.metrics.classification import average_precision
from tubelet.metrics.conditional_leakage import chance_average_precision, conditional_leakage
from tubelet.metrics.intervals import Estimate, group_draws
from tubelet.metrics.multi_label import mean_of_measured, ranks_by_lot, weighted_auroc
from tubelet.metrics.private_leakage import (
    class_prior_attacker,
    excess_leakage,
    guessed_actions,
    measure_leakage,
    prior_attacker,
)

NAN = float("nan")
NAMES = ("face", "gender", "nudity", "skin")


def attacked(seed: int, num_clips: int = 40, num_levels: int = 5) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Probabilities with ties, labels of which some are unknown and one attribute is constant, and groups."""
    generator = np.random.default_rng(seed)
    probabilities = generator.integers(num_levels + 1, size=(num_clips, 4)) / num_levels
    labels = (generator.random((num_clips, 4)) < 0.4).astype(np.float64)
    labels[generator.random((num_clips, 4)) < 0.2] = NAN
    labels[:2] = [[0] * 4, [1] * 4]
    labels[:, 3] = np.where(np.isnan(labels[:, 3]), NAN, 1.0)
    return probabilities, labels, generator.integers(9, size=num_clips).tolist()


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(1, 6))
def test_every_score_against_scikit_learn(seed: int, num_clips: int, num_levels: int) -> None:
    probabilities, labels, groups = attacked(seed, num_clips, num_levels)
    found = measure_leakage(probabilities, labels, groups, NAMES, num_resamples=4)
    assert found.excluded == {"skin": "always 1"} and list(found.of_attribute) == ["face", "gender", "nudity"]
    for column, scores in enumerate(found.of_attribute.values()):
        known = ~np.isnan(labels[:, column])
        answers, positive = probabilities[known, column], labels[known, column] == 1
        claimed = answers >= 0.5
        assert [each.value for each in scores] == pytest.approx(
            [
                truth.average_precision_score(positive, answers),
                truth.roc_auc_score(positive, answers),
                truth.balanced_accuracy_score(positive, claimed),
                truth.f1_score(positive, claimed, zero_division=0.0),
                positive.mean(),
            ]
        )
        assert scores.f1.num_groups == len({group for group, is_known in zip(groups, known, strict=True) if is_known})
    for place, mean in enumerate(found.mean):
        assert mean.value == pytest.approx(np.mean([scores[place].value for scores in found.of_attribute.values()]))
    assert (found.cmap, found.macro_f1, found.label_floor) == (found.mean[0], found.mean[3], found.mean[4])


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_the_interval_is_that_of_clips_drawn_by_group(seed: int) -> None:
    probabilities, labels, groups = attacked(seed)
    found = measure_leakage(probabilities, labels, groups, NAMES, num_resamples=30, seed=5)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    which = np.array([numbers[group] for group in groups])
    for draw, drawn in zip(next(group_draws(len(numbers), 30, 5)), found.drawn_cmap, strict=True):
        rows = np.repeat(np.arange(len(labels)), draw[which])
        each = []
        for column in range(3):
            known = rows[~np.isnan(labels[rows, column])]
            each.append(average_precision(probabilities[known, column], labels[known, column] == 1))
        assert drawn == pytest.approx(float(mean_of_measured(np.array(each), axis=0)), nan_ok=True)
    assert found.cmap.low <= found.cmap.high and found.cmap.num_groups == len(numbers)


@given(st.integers(0, 2**32), st.integers(2, 30), st.integers(1, 6))
def test_weighted_auroc_against_scikit_learn(seed: int, num_items: int, num_levels: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(num_items) < 0.5
    positive[:2] = [True, False]
    scores = generator.integers(num_levels, size=num_items) / num_levels
    weights = generator.integers(0, 4, size=(5, num_items))
    weights[:, :2] = 1
    expected = [truth.roc_auc_score(positive, scores, sample_weight=row) for row in weights]
    assert weighted_auroc(scores, positive, weights).tolist() == pytest.approx(expected)
    one_label = np.ones(num_items, dtype=bool)
    assert np.isnan(weighted_auroc(scores, one_label, weights)).all()


def test_degenerate_weighted_auroc() -> None:
    assert np.isnan(weighted_auroc(np.zeros(0), np.zeros(0, dtype=bool), np.zeros((2, 0), dtype=int))).all()
    with pytest.raises(ValueError, match="scores hold NaN"):
        weighted_auroc(np.array([NAN]), np.ones(1, dtype=bool), np.ones((1, 1), dtype=int))


def labels_by_class(
    seed: int, num_clips: int = 1200, num_classes: int = 12
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training labels and actions, test labels and actions: how frequent an attribute is depends on the class alone."""
    generator = np.random.default_rng(seed)
    chances = generator.uniform(0.05, 0.95, size=(num_classes, 3))
    actions = generator.integers(num_classes, size=(2, num_clips))
    labels = (generator.random((2, num_clips, 3)) < chances[actions]).astype(np.float64)
    return labels[0], actions[0], labels[1], actions[1]


def standard_error(estimate: Estimate) -> float:
    return (estimate.high - estimate.low) / (2 * 1.96)


def test_shuffled_labels_leave_the_label_floor() -> None:
    train, train_actions, labels, actions = labels_by_class(1)
    answers = class_prior_attacker(train, train_actions, actions)
    groups = np.arange(len(labels)).tolist()
    told = measure_leakage(answers, labels, groups, NAMES[:3])
    shuffled = measure_leakage(answers, np.random.default_rng(2).permutation(labels), groups, NAMES[:3])
    floor = shuffled.label_floor.value
    assert abs(shuffled.cmap.value - floor) < 2 * standard_error(shuffled.cmap)
    assert told.label_floor.value == pytest.approx(floor) and told.cmap.low > floor + 0.1


def test_who_knows_nothing_reaches_the_label_floor() -> None:
    train, _, labels, _ = labels_by_class(3)
    found = measure_leakage(prior_attacker(train, len(labels)), labels, list(range(len(labels))), NAMES[:3])
    assert found.cmap.value == pytest.approx(found.label_floor.value)
    assert found.mean.auroc.value == 0.5 and found.mean.balanced_accuracy.value == 0.5
    majority = (train.mean(axis=0) >= 0.5).astype(int)
    expected = [truth.f1_score(labels[:, n], np.full(len(labels), majority[n]), zero_division=0.0) for n in range(3)]
    assert found.macro_f1.value == pytest.approx(np.mean(expected))


def test_the_class_prior_attacker_against_a_plain_loop() -> None:
    train, train_actions, _, actions = labels_by_class(4, num_clips=60, num_classes=7)
    train[::3, 1] = NAN
    train[train_actions == 2, 2] = NAN
    found = class_prior_attacker(train, train_actions, actions)
    for clip, action in enumerate(actions):
        for attribute in range(3):
            column = train[:, attribute]
            seen = [label for label, its in zip(column, train_actions, strict=True) if its == action and label == label]
            everything = [label for label in column if label == label]
            assert found[clip, attribute] == pytest.approx(np.mean(seen or everything))


def test_the_action_floor_falls_with_the_accuracy_and_the_excess_is_paired() -> None:
    train, train_actions, labels, actions = labels_by_class(5)
    groups = (np.arange(len(labels)) // 3).tolist()
    found = []
    for accuracy in (1.0, 0.8, 0.5, 1 / 12):
        guessed = guessed_actions(actions, accuracy, 12, seed=1)
        assert (guessed == actions).sum() == round(accuracy * len(actions))
        assert guessed.min() >= 0 and guessed.max() < 12
        answers = class_prior_attacker(train, train_actions, guessed)
        found.append(measure_leakage(answers, labels, groups, NAMES[:3], seed=7))
    values = [each.cmap.value for each in found]
    assert values == sorted(values, reverse=True)
    assert abs(values[-1] - found[-1].label_floor.value) < 2 * standard_error(found[-1].cmap)
    assert excess_leakage(found[0], found[0]) == Estimate(0.0, 0.0, 0.0, 400)
    excess = excess_leakage(found[0], found[1])
    assert excess.value == values[0] - values[1] and 0 < excess.low < excess.value < excess.high
    assert standard_error(excess) < standard_error(found[0].cmap)  # paired: the same clips were drawn for both
    with pytest.raises(ValueError, match="measured on other clips or draws"):
        excess_leakage(found[0], measure_leakage(answers, labels, groups, NAMES[:3], seed=8))
    with pytest.raises(ValueError, match="measured on other clips or draws"):
        excess_leakage(found[0], measure_leakage(answers, 1 - labels, groups, NAMES[:3], seed=7))


def test_wrong_guesses_are_spread_over_the_other_classes() -> None:
    guessed = guessed_actions(np.zeros(3000, dtype=np.int64), 0.0, 4)
    assert np.bincount(guessed, minlength=4)[0] == 0
    assert (np.bincount(guessed, minlength=4)[1:] > 900).all()
    with pytest.raises(ValueError, match="accuracy is 1.2 of 4 classes; allowed: 0 to 1"):
        guessed_actions(np.zeros(3, dtype=np.int64), 1.2, 4)


def test_within_a_class_the_class_prior_attacker_earns_what_chance_earns() -> None:
    train, train_actions, labels, actions = labels_by_class(6, num_clips=900, num_classes=15)
    groups = list(range(len(labels)))
    prior = class_prior_attacker(train, train_actions, actions)
    nothing = conditional_leakage(prior, labels, actions, groups, NAMES[:3])
    assert nothing.excess.low < 0 < nothing.excess.high and nothing.auroc.value == 0.5
    assert nothing.average_precision.low < nothing.chance < nothing.average_precision.high
    seen = prior + 0.4 * labels + np.random.default_rng(1).normal(0, 0.3, labels.shape)
    learnt = conditional_leakage(seen, labels, actions, groups, NAMES[:3])
    assert learnt.excess.low > 0.1 and learnt.auroc.low > 0.7
    assert learnt.excess.value == pytest.approx(learnt.average_precision.value - learnt.chance)
    assert learnt.average_precision.low - learnt.excess.low == pytest.approx(learnt.chance) == nothing.chance
    assert set(learnt.num_classes) == set(NAMES[:3]) and max(learnt.num_classes.values()) <= 15


def test_within_classes_against_a_plain_loop() -> None:
    _, labels, groups = attacked(8, num_clips=50)
    generator = np.random.default_rng(9)
    scores, actions = generator.random(labels.shape), generator.integers(5, size=len(labels))
    found = conditional_leakage(scores, labels, actions, groups, NAMES, num_resamples=5)
    means, aurocs, chances = [], [], []
    for column in range(4):
        each = []
        for action in range(5):
            rows = np.flatnonzero((actions == action) & ~np.isnan(labels[:, column]))
            if len(set(labels[rows, column])) == 2:
                pair = labels[rows, column], scores[rows, column]
                chance = chance_average_precision(len(rows), int(labels[rows, column].sum()))
                each.append((truth.average_precision_score(*pair), truth.roc_auc_score(*pair), chance))
        assert found.num_classes[NAMES[column]] == len(each)
        if each:
            for values, mean in zip((means, aurocs, chances), np.mean(each, axis=0), strict=True):
                values.append(mean)
    assert found.num_classes["skin"] == 0
    assert found.average_precision.value == pytest.approx(np.mean(means))
    assert found.auroc.value == pytest.approx(np.mean(aurocs))
    assert found.chance == pytest.approx(np.mean(chances))


@pytest.mark.parametrize(("num_items", "num_positive"), [(1, 1), (4, 1), (5, 2), (6, 5), (6, 6)])
def test_chance_is_the_mean_over_all_orders(num_items: int, num_positive: int) -> None:
    scores = np.arange(num_items, dtype=float)
    orders = [
        average_precision(scores, np.isin(np.arange(num_items), chosen))
        for chosen in itertools.combinations(range(num_items), num_positive)
    ]
    assert chance_average_precision(num_items, num_positive) == pytest.approx(np.mean(orders))


def test_few_groups_give_no_interval() -> None:
    probabilities, labels, _ = attacked(10)
    found = measure_leakage(probabilities, labels, ["one"] * len(labels), NAMES)
    assert math.isnan(found.cmap.low) and not math.isnan(found.cmap.value) and len(found.drawn_cmap) == 0
    actions = np.zeros(len(labels), dtype=np.int64)
    assert math.isnan(conditional_leakage(probabilities, labels, actions, ["one"] * len(labels), NAMES).excess.low)


def test_equal_scores_in_the_order_of_lots() -> None:
    scores, lots = np.array([0.5, 0.1, 0.5, 0.5]), np.array([0.3, 0.9, 0.2, 0.7])
    assert ranks_by_lot(scores, lots).tolist() == [2, 0, 1, 3]
    both = ranks_by_lot(np.stack([scores, lots], axis=1), np.zeros((4, 2)))
    assert both.tolist() == [[1, 1], [0, 3], [2, 0], [3, 2]]


def test_a_floor_with_ties_by_lot_is_what_an_attacker_without_ties_earns() -> None:
    train, train_actions, labels, actions = labels_by_class(12, num_clips=300)
    groups = list(range(len(labels)))
    floor = class_prior_attacker(train, train_actions, actions)
    together = measure_leakage(floor, labels, groups, NAMES[:3], num_resamples=2)
    by_lot = [measure_leakage(floor, labels, groups, NAMES[:3], tie_seed=n, num_resamples=2) for n in range(30)]
    noise = np.random.default_rng(1)
    attackers = [floor * 0.99 + noise.uniform(0, 1e-4, floor.shape) for _ in range(30)]  # the same, without ties
    without = [measure_leakage(each, labels, groups, NAMES[:3], num_resamples=2).cmap.value for each in attackers]
    values = [each.cmap.value for each in by_lot]
    assert np.mean(values) == pytest.approx(np.mean(without), abs=0.002)
    assert np.mean(values) - together.cmap.value > 0.005
    assert by_lot[0].mean[1:] == together.mean[1:] and len(set(values)) == 30
    assert measure_leakage(floor, labels, groups, NAMES[:3], tie_seed=4).cmap.value == values[4]


def test_means_of_what_is_measured() -> None:
    values = np.array([[1.0, NAN, 3.0], [NAN, NAN, NAN]])
    np.testing.assert_array_equal(mean_of_measured(values, axis=1), [2.0, NAN])
    np.testing.assert_array_equal(mean_of_measured(values, axis=0), [1.0, NAN, 3.0])


def test_wrong_input_is_refused() -> None:
    probabilities, labels, groups = attacked(11)
    with pytest.raises(ValueError, match=r"probabilities go from -2 to 1; allowed: 0 to 1 \(are these logits"):
        measure_leakage(np.where(probabilities == 0, -2.0, probabilities), labels, groups, NAMES)
    with pytest.raises(ValueError, match="probabilities go from nan to nan"):
        measure_leakage(np.full(labels.shape, NAN), labels, groups, NAMES)
    wrong = labels.copy()
    wrong[0, 0] = 2
    with pytest.raises(ValueError, match=r"labels\[0, 0\] is 2 \(1 such\); allowed: 0, 1, and NaN"):
        measure_leakage(probabilities, wrong, groups, NAMES)
    with pytest.raises(ValueError, match="there are 3 attributes; needed: one row per clip"):
        measure_leakage(probabilities, labels, groups, NAMES[:3])
    with pytest.raises(
        ValueError, match=r"no attribute can be measured: face \(no label is known\), gender \(always 1\)"
    ):
        measure_leakage(np.ones((3, 2)), np.array([[NAN, 1]] * 3), [1, 2, 3], NAMES[:2])
    with pytest.raises(ValueError, match="no attribute can be measured"):
        measure_leakage(np.zeros((0, 2)), np.zeros((0, 2)), [], NAMES[:2])
    with pytest.raises(ValueError, match=r"the attributes \[1\] have no label in training"):
        prior_attacker(np.array([[1.0, NAN]]), 3)
    actions = np.zeros(len(labels), dtype=np.int64)
    with pytest.raises(ValueError, match="scores hold NaN"):
        conditional_leakage(np.full(labels.shape, NAN), labels, actions, groups, NAMES)
    with pytest.raises(ValueError, match="with 40 actions and 3 attributes; needed"):
        conditional_leakage(probabilities, labels, actions, groups, NAMES[:3])
    with pytest.raises(ValueError, match="no class has clips with and without an attribute"):
        conditional_leakage(probabilities, np.ones(labels.shape), actions, groups, NAMES)
    with pytest.raises(ValueError, match="num_positive is 0; allowed: 1 to num_items"):
        chance_average_precision(3, 0)
