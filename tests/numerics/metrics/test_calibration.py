"""Outside truth: definitions spelt out in loops, scikit-learn's curve, a grid, and torch's optimiser."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from tubelet.metrics.calibration import (
    abstention_threshold,
    brier_scores,
    expected_calibration_error,
    expected_calibration_error_interval,
    fit_temperature,
    negative_log_likelihood,
    reliability_bins,
    risk_coverage,
)


def items(seed: int, num_items: int, levels: int = 50) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    confidences = generator.integers(levels + 1, size=num_items) / levels
    return confidences, generator.random(num_items) < confidences


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 20))
def test_calibration_error_against_a_loop(seed: int, num_items: int, num_bins: int) -> None:
    confidences, right = items(seed, num_items)
    expected = 0.0
    for index in range(num_bins):
        low, high = np.linspace(0, 1, num_bins + 1)[index : index + 2]
        inside = [i for i, c in enumerate(confidences) if low < c <= high or (index == 0 and c == 0)]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            expected += len(inside) / num_items * abs(accuracy - sum(confidences[i] for i in inside) / len(inside))
    assert expected_calibration_error(confidences, right, num_bins) == pytest.approx(expected, abs=1e-12)


def test_bins_against_scikit_learn() -> None:
    generator = np.random.default_rng(4)
    confidences = generator.random(500)
    right = generator.random(500) < confidences**2
    accuracy, mean = calibration_curve(right, confidences, n_bins=10)
    bins = reliability_bins(confidences, right, 10)
    np.testing.assert_allclose(bins.accuracy, accuracy)
    np.testing.assert_allclose(bins.confidence, mean)
    assert bins.num_items.sum() == 500


def test_an_empty_bin_is_nan_and_no_items_are_nan() -> None:
    bins = reliability_bins(np.array([0.0, 1.0]), np.array([False, True]), 4)
    assert bins.num_items.tolist() == [1, 0, 0, 1]
    assert np.isnan(bins.accuracy[1:3]).all()
    assert math.isnan(expected_calibration_error(np.zeros(0), np.zeros(0, dtype=bool)))
    assert abstention_threshold(np.zeros(0), np.zeros(0, dtype=bool), 0.5) == math.inf


@pytest.mark.parametrize("true_temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_found_again(true_temperature: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 5)) * 3
    gumbel = generator.gumbel(size=logits.shape)
    labels = (logits / true_temperature + gumbel).argmax(axis=1)  # drawn from the softmax
    assert fit_temperature(logits, labels) == pytest.approx(true_temperature, rel=0.06)


def test_the_temperature_against_torch() -> None:
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(80, 4)) * 2, generator.integers(4, size=80)
    logits[np.arange(80), labels] += 1.5
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits) / log_t.exp(), torch.from_numpy(labels))
        loss.backward()
        return loss

    best = float(optimizer.step(closure).detach())
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(math.exp(float(log_t.detach())), rel=1e-4)
    assert negative_log_likelihood(logits, labels, found) <= best + 1e-9


def test_the_temperature_stays_in_its_range() -> None:
    logits = np.array([[0.05, 0.0], [0.0, 0.05]])
    assert fit_temperature(logits, np.array([0, 1])) == 0.01
    assert fit_temperature(logits, np.array([1, 0])) == 100.0
    with pytest.raises(ValueError, match="there are no items"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
    with pytest.raises(ValueError, match="logits hold NaN or infinity"):
        fit_temperature(np.array([[np.inf, 0.0]]), np.array([0]))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 50))
def test_risk_and_coverage_against_a_loop(seed: int, num_items: int, levels: int) -> None:
    confidences, right = items(seed, num_items, levels)
    curve = risk_coverage(confidences, right)
    assert curve.thresholds.tolist() == sorted(set(confidences.tolist()), reverse=True)
    for threshold, coverage, risk in zip(*curve, strict=True):
        decided = [i for i in range(num_items) if confidences[i] >= threshold]
        assert coverage == pytest.approx(len(decided) / num_items)
        assert risk == pytest.approx(sum(not right[i] for i in decided) / len(decided))


@given(st.integers(0, 2**32), st.integers(1, 30), st.floats(0, 1))
def test_the_threshold_keeps_the_risk_and_no_lower_one_does(seed: int, num_items: int, greatest_risk: float) -> None:
    confidences, right = items(seed, num_items, 10)
    threshold = abstention_threshold(confidences, right, greatest_risk)

    def risk(at: float) -> float:
        decided = right[confidences >= at]
        return float(1 - decided.mean()) if len(decided) else 0.0

    assert risk(threshold) <= greatest_risk + 1e-12
    assert all(risk(lower) > greatest_risk - 1e-12 for lower in confidences if lower < threshold)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"confidences go from 0.0 to 1.5; allowed: 0 to 1"):
        reliability_bins(np.array([0.0, 1.5]), np.array([True, True]))
    with pytest.raises(ValueError, match="confidences go from nan"):
        risk_coverage(np.array([0.0, np.nan]), np.array([True, True]))
    with pytest.raises(ValueError, match="greatest_risk is 2; allowed: 0 to 1"):
        abstention_threshold(np.zeros(1), np.ones(1, dtype=bool), 2)


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_the_interval_of_the_calibration_error_is_around_it(seed: int, num_items: int) -> None:
    confidences, right = items(seed, num_items)
    groups = np.random.default_rng(seed).integers(10, size=num_items).tolist()
    found = expected_calibration_error_interval(confidences, right, groups)
    assert found.value == pytest.approx(expected_calibration_error(confidences, right), nan_ok=True)
    assert found.num_groups == len(set(groups))
    assert math.isnan(found.low) or found.low <= found.high


def test_the_calibration_error_of_a_draw_is_that_of_its_items() -> None:
    confidences, right = items(3, 30)
    groups = (np.arange(30) // 3).tolist()
    drawn = []
    generator = np.random.default_rng(0)
    for _ in range(2000):
        rows = np.concatenate([3 * group + np.arange(3) for group in generator.integers(10, size=10)])
        drawn.append(expected_calibration_error(confidences[rows], right[rows]))
    found = expected_calibration_error_interval(confidences, right, groups)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.02)


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(2, 6))
def test_scores_of_probabilities_against_scikit_learn(seed: int, num_items: int, num_classes: int) -> None:
    generator = np.random.default_rng(seed)
    logits = 3 * generator.normal(size=(num_items, num_classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = generator.integers(num_classes, size=num_items)
    every = list(range(num_classes))
    assert negative_log_likelihood(logits, labels) == pytest.approx(log_loss(labels, probabilities, labels=every))
    right = np.eye(num_classes)[labels]
    by_class = [
        brier_score_loss(right[:, index], probabilities[:, index], pos_label=1, labels=[0, 1]) for index in every
    ]
    assert brier_scores(probabilities, labels).mean() == pytest.approx(sum(by_class))
