"""Outside truth: scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as truth
from hypothesis import given
from hypothesis import strategies as st

from tubelet.metrics.classification import (
    average_precision,
    class_scores,
    confusion_matrix,
    mean_average_precision,
    mean_class_accuracy,
    top_k,
)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(2, 6))
def test_labels_against_scikit_learn(seed: int, num_items: int, num_classes: int) -> None:
    generator = np.random.default_rng(seed)
    labels, predicted = generator.integers(num_classes, size=(2, num_items))
    confusion = confusion_matrix(predicted, labels, num_classes)
    names = list(range(num_classes))
    assert np.array_equal(confusion, truth.confusion_matrix(labels, predicted, labels=names))
    precision, recall, f1, num = truth.precision_recall_fscore_support(
        labels, predicted, labels=names, zero_division=np.nan
    )
    scores = class_scores(confusion)
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.f1, f1)
    assert np.array_equal(scores.num_items, num)
    if set(predicted) <= set(labels) and len(set(labels)) > 1:  # scikit-learn warns of other cases
        assert mean_class_accuracy(confusion) == pytest.approx(truth.balanced_accuracy_score(labels, predicted))
    assert mean_class_accuracy(confusion) == pytest.approx(
        np.mean([np.mean(predicted[labels == label] == label) for label in set(labels)])
    )


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(3, 7))
def test_top_k_against_scikit_learn(seed: int, num_items: int, num_classes: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.permuted(np.tile(np.arange(num_classes) / 7, (num_items, 1)), axis=1)
    labels = generator.integers(num_classes, size=num_items)
    for k in range(1, num_classes):
        expected = truth.top_k_accuracy_score(labels, scores, k=k, labels=range(num_classes))
        assert top_k(scores, labels, k) == pytest.approx(expected)
    assert top_k(scores, labels, num_classes) == 1.0


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 8))
def test_average_precision_against_scikit_learn(seed: int, num_items: int, num_levels: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random((num_items, 3)) < 0.4
    scores = generator.integers(num_levels, size=(num_items, 3)) / num_levels  # with many ties
    positive[0] = True
    each = [truth.average_precision_score(positive[:, index], scores[:, index]) for index in range(3)]
    for index in range(3):
        assert average_precision(scores[:, index], positive[:, index]) == pytest.approx(each[index])
    assert mean_average_precision(scores, positive) == pytest.approx(np.mean(each))


def test_classes_without_positives_do_not_count() -> None:
    positive = np.array([[True, False], [False, False]])
    assert mean_average_precision(np.array([[0.9, 0.1], [0.1, 0.9]]), positive) == 1.0
    assert math.isnan(mean_average_precision(np.zeros((2, 2)), np.zeros((2, 2), dtype=bool)))
    assert math.isnan(average_precision(np.zeros(0), np.zeros(0, dtype=bool)))


def test_a_score_shared_by_all_classes_earns_nothing() -> None:
    labels = np.array([0, 1, 2])
    assert top_k(np.zeros((3, 3)), labels, 1) == 0.0
    assert top_k(np.zeros((3, 3)), labels, 2) == 0.0
    assert top_k(np.zeros((3, 3)), labels, 3) == 1.0


def test_nothing_to_measure_is_nan() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert math.isnan(top_k(np.zeros((0, 3)), none))
    assert math.isnan(mean_class_accuracy(confusion_matrix(none, none, 3)))
    assert np.isnan(class_scores(confusion_matrix(none, none, 2)).f1).all()


def test_wrong_input_is_refused() -> None:
    two = np.array([0, 1])
    with pytest.raises(ValueError, match="k is 4; allowed: 1 to 3 classes"):
        top_k(np.zeros((2, 3)), two, 4)
    with pytest.raises(ValueError, match="labels go from 0 to 1; allowed: 0 to 0"):
        top_k(np.zeros((2, 1)), two)
    with pytest.raises(ValueError, match="predicted go from -1 to 0; allowed: 0 to 1"):
        confusion_matrix(np.array([-1, 0]), two, 2)
    with pytest.raises(ValueError, match="scores hold NaN"):
        top_k(np.full((2, 3), np.nan), two)
    with pytest.raises(ValueError, match="scores hold NaN"):
        average_precision(np.array([np.nan, 0.0]), np.array([True, False]))
