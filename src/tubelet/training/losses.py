"""Losses of classifiers: means over the clips of a batch, so that batches in parts add up to the whole."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tubelet.errors import DatasetError


def soft_targets(
    labels: Int[Tensor, " batch"], num_classes: int, *, label_smoothing: float = 0.0
) -> Float[Tensor, "batch classes"]:
    """A distribution over classes for each label: one-hot, or with a share of it spread over all classes.

    Args:
        labels: 0 to `num_classes` - 1.
        num_classes: How many there are.
        label_smoothing: The share, 0 to below 1.

    Source: Szegedy et al., Rethinking the Inception Architecture, 2016, sec. 7.
    """
    _check_smoothing(label_smoothing)
    one_hot = torch.nn.functional.one_hot(labels.long(), num_classes).float()
    return one_hot * (1.0 - label_smoothing) + label_smoothing / num_classes


def smoothed_multi_hot(
    targets: Float[Tensor, "batch classes"], *, label_smoothing: float = 0.0
) -> Float[Tensor, "batch classes"]:
    """Several yes-or-no targets per clip, each moved towards one half by a share of the way."""
    _check_smoothing(label_smoothing)
    return targets * (1.0 - label_smoothing) + label_smoothing / 2


def soft_cross_entropy(
    logits: Float[Tensor, "batch classes"],
    targets: Float[Tensor, "batch classes"],
    *,
    class_weights: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """Cross entropy against distributions, computed in fp32.

    Args:
        logits: Before the softmax.
        targets: Rows that sum to 1; see `soft_targets`, `mixing.mix`.
        class_weights: What each class's part of the loss is multiplied by; see `balanced_class_weights`.

    Differs: PyTorch divides by the sum of the weights of the batch's labels. This divides by the number of clips: a
        mean over a batch is then the mean of the means of its parts, however classes fall into them.
    """
    losses = -targets * torch.log_softmax(logits.float(), dim=1)
    return (losses if class_weights is None else losses * class_weights).sum(dim=1).mean()


def multi_label_cross_entropy(
    logits: Float[Tensor, "batch classes"],
    targets: Float[Tensor, "batch classes"],
    *,
    class_weights: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """Binary cross entropy of each class by itself, summed over classes' mean, computed in fp32.

    Args:
        logits: Before the sigmoid.
        targets: 0 to 1 for each class.
        class_weights: What each class's loss is multiplied by.
    """
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return (losses if class_weights is None else losses * class_weights).mean()


def balanced_class_weights(counts: Sequence[int], *, power: float = 1.0) -> Float[Tensor, " classes"]:
    """Weights that make rare classes count as much as frequent ones; 1 on average over the clips.

    Args:
        counts: Training clips of each class.
        power: 1 for full balance, 0 for none, between for some.

    Raises:
        DatasetError: A class has no clip.
    """
    absent = [index for index, count in enumerate(counts) if count < 1]
    if absent:
        raise DatasetError(
            f"class {absent[0]} has {counts[absent[0]]} training clips, so it cannot be weighed; "
            "leave the class out, or train without class weights"
        )
    numbers = torch.tensor([float(count) for count in counts], dtype=torch.float64)
    weights = numbers**-power
    return (weights * numbers.sum() / (weights * numbers).sum()).float()


def target_entropy(targets: Float[Tensor, "batch classes"]) -> float:
    """The least that `soft_cross_entropy` can be for these targets: 0 for one-hot ones, more for smoothed or mixed."""
    return float(torch.special.entr(targets.double()).sum(dim=1).mean())


def _check_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing:g}; allowed: 0 to below 1")
