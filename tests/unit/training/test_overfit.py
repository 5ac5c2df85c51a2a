"""The self-test passes where a network learns, and says with numbers what is in the way where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.training import adamw
from tubelet.training.losses import soft_cross_entropy, soft_targets, target_entropy
from tubelet.training.overfit import OverfitVerdict, overfit_one_batch

LABELS = [0, 1, 2, 0, 1, 2, 0, 1]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 3))


def loss_with(smoothing: float = 0.0) -> Callable[[nn.Module, Tensor], Mapping[str, Tensor]]:
    def compute_loss(model: nn.Module, batch: Tensor) -> Mapping[str, Tensor]:
        targets = soft_targets(torch.tensor(LABELS), 3, label_smoothing=smoothing)
        return {"loss": soft_cross_entropy(model(batch), targets)}

    return compute_loss


def verdict(
    model: nn.Module | None = None,
    *,
    lr: float = 0.05,
    batch: Tensor | None = None,
    smoothing: float = 0.0,
    labels: list[int] | None = None,
    compute_loss: Callable[[nn.Module, Tensor], Mapping[str, Tensor]] | None = None,
    **keywords: Any,
) -> OverfitVerdict:
    model = model or network()
    # An optimiser takes no empty list; of a frozen model it gets what it would have had.
    optimizer = torch.optim.SGD(model.parameters(), lr=lr) if keywords.pop("sgd", False) else None
    return overfit_one_batch(
        model,
        optimizer or torch.optim.AdamW(model.parameters(), lr=lr),
        torch.randn(8, 6, generator=torch.Generator().manual_seed(2)) if batch is None else batch,
        compute_loss or loss_with(smoothing),
        labels=LABELS if labels is None else labels,
        **keywords,
    )


def test_a_network_that_can_learn_passes() -> None:
    found = verdict()
    assert found.has_passed
    assert found.losses[-1] < 0.1 * found.losses[0]
    assert len(found.losses) < 60  # it stops when it knows
    assert found.weight_change > 0.01
    assert found.reason.startswith(f"the loss went from {found.losses[0]:.4g} to {found.losses[-1]:.4g} (floor 0) in ")


def test_smoothed_targets_have_a_floor_that_is_no_failure() -> None:
    floor = target_entropy(soft_targets(torch.tensor(LABELS), 3, label_smoothing=0.3))
    assert verdict(smoothing=0.3, floor=floor).has_passed
    assert not verdict(smoothing=0.3).has_passed


def test_frozen_networks() -> None:
    found = verdict(network().requires_grad_(False))
    assert not found.has_passed
    assert found.reason == "nothing can be learned: all 163 parameters are frozen. Unfreeze at least the head"


def test_labels_that_are_all_alike() -> None:
    found = verdict(labels=[2] * 8)
    assert not found.has_passed
    assert found.reason.startswith(
        "nothing is to be told apart: all 8 clips of the batch have the label 2. Draw a batch"
    )


def test_a_rate_that_is_too_small() -> None:
    found = verdict(lr=1e-7)
    assert not found.has_passed
    assert f"the weights moved by {found.weight_change:.1e} of their size in 100 steps" in found.reason
    assert "at a learning rate of 1e-07, which is too little. Raise it tenfold" in found.reason


def test_a_rate_that_is_too_large() -> None:
    found = verdict(lr=30.0, sgd=True, num_steps=30)
    assert not found.has_passed
    assert "the loss jumps" in found.reason and "at a learning rate of 30, which is too much" in found.reason


def test_a_loss_that_does_not_depend_on_the_weights() -> None:
    found = verdict(compute_loss=lambda model, batch: {"loss": 1 + 0 * model(batch).sum()})
    assert not found.has_passed
    assert "no gradient reaches the trained parameters (its norm is 0)" in found.reason
    assert found.gradient_norm == 0


def test_a_loss_at_its_floor_from_the_start() -> None:
    found = verdict(floor=2.0)
    assert not found.has_passed
    assert found.reason.startswith(
        f"the loss is {found.losses[0]:.4g} before the first step, and 2 was to be the least"
    )


def test_not_enough_steps() -> None:
    found = verdict(lr=0.003, num_steps=20)
    assert not found.has_passed
    assert "of the way and was still on it. Give it more steps or a higher learning rate than 0.003" in found.reason


def test_numbers_that_are_none() -> None:
    found = verdict(batch=torch.full((8, 6), math.nan))
    assert not found.has_passed
    assert found.reason.startswith("the loss is nan at step 0. Look for NaN or huge numbers in the inputs")
    assert found.losses and math.isnan(found.losses[0])

    def steep(model: nn.Module, batch: Tensor) -> Mapping[str, Tensor]:
        return {"loss": 1 + torch.sqrt(model(batch).square() * 0).mean()}

    assert verdict(compute_loss=steep).reason.startswith("the gradient is nan at step 0.")


def test_the_usual_optimiser_will_do() -> None:
    model = network()
    found = overfit_one_batch(
        model, adamw(model, lr=0.05, weight_decay=0.01), torch.randn(8, 6), loss_with(), labels=LABELS
    )
    assert found.has_passed
