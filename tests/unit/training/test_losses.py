"""Losses agree with PyTorch's where those exist, and means of parts are the mean of the whole."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tubelet.errors import DatasetError
from tubelet.training.losses import (
    balanced_class_weights,
    multi_label_cross_entropy,
    smoothed_multi_hot,
    soft_cross_entropy,
    soft_targets,
    target_entropy,
)

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 5, generator=GENERATOR)
LABELS = torch.randint(0, 5, (12,), generator=GENERATOR)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_single_labels_as_pytorch_does_them(smoothing: float) -> None:
    found = soft_cross_entropy(LOGITS, soft_targets(LABELS, 5, label_smoothing=smoothing))
    torch.testing.assert_close(found, functional.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing))


def test_weighted_single_labels_as_pytorch_sums_them() -> None:
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    found = soft_cross_entropy(LOGITS, soft_targets(LABELS, 5), class_weights=weights)
    torch.testing.assert_close(found, functional.cross_entropy(LOGITS, LABELS, weight=weights, reduction="sum") / 12)


def test_several_labels_as_pytorch_does_them() -> None:
    targets = (torch.rand(12, 5, generator=GENERATOR) > 0.5).float()
    torch.testing.assert_close(
        multi_label_cross_entropy(LOGITS, targets), functional.binary_cross_entropy_with_logits(LOGITS, targets)
    )
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    torch.testing.assert_close(
        multi_label_cross_entropy(LOGITS, targets, class_weights=weights),
        functional.binary_cross_entropy_with_logits(LOGITS, targets, weight=weights),
    )
    assert smoothed_multi_hot(targets, label_smoothing=0.2).unique().tolist() == pytest.approx([0.1, 0.9])


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])])
def test_parts_add_up_to_the_whole(weights: torch.Tensor | None) -> None:
    targets = soft_targets(LABELS, 5)
    for loss in (soft_cross_entropy, multi_label_cross_entropy):
        whole = loss(LOGITS, targets, class_weights=weights)
        parts = [loss(LOGITS[rows], targets[rows], class_weights=weights) for rows in (slice(0, 3), slice(3, 12))]
        torch.testing.assert_close((3 * parts[0] + 9 * parts[1]) / 12, whole)


def test_half_precision_logits_lose_no_more_than_they_have_lost() -> None:
    half = LOGITS.bfloat16()
    found = soft_cross_entropy(half, soft_targets(LABELS, 5))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, functional.cross_entropy(half.float(), LABELS))


def test_balanced_weights_are_one_on_average_over_clips() -> None:
    counts = [10, 30, 60]
    weights = balanced_class_weights(counts)
    assert (weights * torch.tensor(counts)).sum() == pytest.approx(100)
    assert [float(weight * count) for weight, count in zip(weights, counts, strict=True)] == pytest.approx(
        [100 / 3] * 3
    )
    assert balanced_class_weights(counts, power=0).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(
        DatasetError, match="class 1 has 0 training clips, so it cannot be weighed; leave the class out"
    ):
        balanced_class_weights([4, 0])


def test_the_floor_of_the_loss_is_reached_by_the_targets_themselves() -> None:
    targets = soft_targets(LABELS, 5, label_smoothing=0.3)
    assert soft_cross_entropy(targets.log(), targets) == pytest.approx(target_entropy(targets))
    assert target_entropy(soft_targets(LABELS, 5)) == 0.0


def test_wrong_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match="label_smoothing is 1; allowed: 0 to below 1"):
        soft_targets(LABELS, 5, label_smoothing=1.0)
    with pytest.raises(ValueError, match="label_smoothing is -0.1; allowed"):
        smoothed_multi_hot(LOGITS, label_smoothing=-0.1)
