"""The self-test before a long training: can this network learn one batch by heart?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from tubelet.training.parameter_groups import count_parameters, train_mode

Batch = TypeVar("Batch")

_NEAR = 0.1  # of the way from the first loss to the floor may be left
_STILL = 0.01  # less of the way than this is standing still
_TINY_CHANGE = 1e-4  # of the weights' norm over the whole test


@dataclass(frozen=True, kw_only=True)
class OverfitVerdict:
    """What came of the self-test.

    Attributes:
        has_passed: Whether the batch was learned.
        reason: Why, with the numbers, and what to do.
        losses: The loss before each step, and after the last.
        floor: The least loss that the targets allow.
        weight_change: Norm of the change of the trained weights over their norm.
        gradient_norm: Of the first step.
    """

    has_passed: bool
    reason: str
    losses: tuple[float, ...]
    floor: float
    weight_change: float
    gradient_norm: float


def overfit_one_batch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    compute_loss: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
    *,
    labels: Sequence[object],
    floor: float = 0.0,
    num_steps: int = 100,
) -> OverfitVerdict:
    """Train on one fixed batch until the loss is near its floor; where it does not get there, say what is in the way.

    Args:
        model: Trained in place; throw it away afterwards.
        optimizer: Over its parameters, with the learning rate that is to be tested.
        batch: Given to `compute_loss` again and again; without random augmentation or mixing.
        compute_loss: As for `fit`.
        labels: The labels of the batch's clips, to see that there is something to tell apart.
        floor: The least loss that the targets allow; `losses.target_entropy` of smoothed ones.
        num_steps: Steps at most; the test stops when the loss is near the floor.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in trained]
    losses: list[float] = []
    first_norm = math.nan

    def verdict(has_passed: bool, reason: str) -> OverfitVerdict:
        moved = math.sqrt(
            sum(float((now.detach() - old).square().sum()) for now, old in zip(trained, before, strict=True))
        )
        size = math.sqrt(sum(float(old.square().sum()) for old in before))
        return OverfitVerdict(
            has_passed=has_passed,
            reason=reason,
            losses=tuple(losses),
            floor=floor,
            weight_change=moved / size if size else math.inf if moved else 0.0,
            gradient_norm=first_norm,
        )

    count, total = count_parameters(model)
    if count == 0:
        return verdict(
            False, f"nothing can be learned: all {total:,} parameters are frozen. Unfreeze at least the head"
        )
    kinds = {str(label) for label in labels}
    if len(kinds) < 2:
        return verdict(
            False,
            f"nothing is to be told apart: all {len(labels)} clips of the batch have the label "
            f"{next(iter(kinds), 'none')}. Draw a batch with several classes; "
            "if every batch is like this one, look at the labels",
        )
    train_mode(model)
    for step in range(num_steps + 1):
        optimizer.zero_grad(set_to_none=True)
        loss = compute_loss(model, batch)["loss"]
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            return verdict(False, _not_finite("the loss", losses[-1], step))
        if losses[0] <= floor:
            return verdict(
                False,
                f"the loss is {losses[0]:.4g} before the first step, and {floor:.4g} was to be the least. See whether "
                "the loss depends on what the network says and on the labels",
            )
        if losses[-1] - floor <= _NEAR * (losses[0] - floor):
            return verdict(True, _path(losses, floor) + ": the batch was learned")
        if step == num_steps:
            break
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(trained, math.inf))
        first_norm = norm if step == 0 else first_norm
        if not math.isfinite(norm):
            return verdict(False, _not_finite("the gradient", norm, step))
        optimizer.step()
    so_far = verdict(False, "")
    rates = sorted({float(group["lr"]) for group in optimizer.param_groups})
    return verdict(False, f"{_path(losses, floor)}: {_obstacle(so_far, rates)}")


def _obstacle(found: OverfitVerdict, rates: list[float]) -> str:
    """The likeliest reason why a loss that stayed finite did not come near its floor."""
    losses, lr = found.losses, rates[-1]
    covered = (losses[0] - min(losses)) / max(losses[0] - found.floor, 1e-12)
    if found.gradient_norm == 0:
        return (
            "no gradient reaches the trained parameters (its norm is 0). "
            "See whether the loss depends on them, and whether something on the way is detached or saturated"
        )
    if found.weight_change < _TINY_CHANGE or (covered < _STILL and losses[-1] <= losses[0]):
        return (
            f"the weights moved by {found.weight_change:.1e} of their size in {len(losses) - 1} steps at a "
            f"learning rate of {lr:g}, which is too little. Raise it tenfold, or look for a schedule that holds it at 0"
        )
    rises = sum(later > earlier for earlier, later in itertools.pairwise(losses))
    if losses[-1] > losses[0] or rises > len(losses) // 3:
        return (
            f"the loss jumps (it rose in {rises} of {len(losses) - 1} steps) at a learning rate of {lr:g}, "
            "which is too much. Lower it tenfold"
        )
    return (
        f"it covered {covered:.0%} of the way and was still on it. Give it more steps or a higher learning rate than "
        f"{lr:g}; if that changes nothing, the network is too small or its inputs do not tell the classes apart"
    )


def _path(losses: Sequence[float], floor: float) -> str:
    return f"the loss went from {losses[0]:.4g} to {losses[-1]:.4g} (floor {floor:.4g}) in {len(losses) - 1} steps"


def _not_finite(what: str, value: float, step: int) -> str:
    return (
        f"{what} is {value} at step {step}. Look for NaN or huge numbers in the inputs, and lower the learning rate "
        "(or use bf16 or fp32 in place of fp16)"
    )
