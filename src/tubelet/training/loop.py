"""One plain training loop.

Batches come from a function of the step number, so the loop has no data state: a run that was killed goes on from its
last checkpoint and ends, on the CPU and with the same number of threads, in the same bits as if nothing had happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tubelet.errors import TrainingError
from tubelet.runs import Progress, RunDirectory
from tubelet.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from tubelet.training.ema import Ema

Batch = TypeVar("Batch")


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long to train, and what to keep on the way.

    Attributes:
        num_steps: Optimiser steps.
        max_gradient_norm: Gradients are scaled down to this norm; None to leave them.
        ema_decay: Of the weight average; None for none.
        log_every: Steps between two lines in log.jsonl.
        checkpoint_every: Steps between two checkpoints; the last step always gets one.
    """

    num_steps: int
    max_gradient_norm: float | None = 1.0
    ema_decay: float | None = None
    log_every: int = 50
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        for name in ("num_steps", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    batch_at: Callable[[int], Batch],
    compute_loss: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
    lr_factor: Callable[[int], float],
    config: LoopConfig,
    run: RunDirectory,
) -> nn.Module:
    """Train `model`, from the run's latest checkpoint where it has one.

    Args:
        model: On its device; trained in place.
        optimizer: Over the parameters of `model`, with its base learning rate.
        batch_at: The batch of a step, a function of the step number alone (see `seed.step_generator`).
        compute_loss: From the model in training mode and a batch to named scalars; `loss` is minimised, all are logged.
        lr_factor: From the step to the factor of the base learning rate.
        config: Length, clipping, averaging, logging.
        run: Where log and checkpoints go.

    Returns:
        The trained model, or its running average where `config.ema_decay` is set, in evaluation mode.

    Raises:
        TrainingError: The loss or the gradient is not finite.
        WeightsError: The checkpoint to go on from is damaged or does not fit.
    """
    base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
    ema = None if config.ema_decay is None else Ema(model, config.ema_decay)
    first_step = 0
    checkpoint = latest_checkpoint(run.checkpoints_path)
    if checkpoint is not None:
        first_step = load_checkpoint(checkpoint, model=model, optimizer=optimizer, ema=ema)
    run.log(event="start", step=first_step, num_steps=config.num_steps, num_threads=torch.get_num_threads())

    model.train()
    window: list[dict[str, float]] = []
    started_s = time.perf_counter()
    with Progress() as progress:
        line = progress.add("training", config.num_steps, "steps")
        line.advance(first_step)
        for step in range(first_step, config.num_steps):
            factor = lr_factor(step)
            for group, base_lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = base_lr * factor

            optimizer.zero_grad(set_to_none=True)
            losses = compute_loss(model, batch_at(step))
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm or math.inf)
            numbers = {name: value.item() for name, value in losses.items()} | {"gradient_norm": norm.item()}
            _require_finite(numbers, step, run)
            optimizer.step()
            if ema is not None:
                ema.update(model, step)

            done = step + 1
            window.append(numbers)
            line.advance()
            if done % config.log_every == 0 or done == config.num_steps:
                elapsed_s = round(time.perf_counter() - started_s, 3)
                run.log(event="step", step=done, lr_factor=factor, elapsed_s=elapsed_s, **_means(window))
                line.update(description=f"training, loss {_means(window)['loss']:.3f}")
                window.clear()
            if done % config.checkpoint_every == 0 or done == config.num_steps:
                save_checkpoint(run.checkpoints_path, step=done, model=model, optimizer=optimizer, ema=ema)
    return (model if ema is None else ema.model).eval()


def _means(window: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(numbers[name] for numbers in window) / len(window) for name in window[0]}


def _require_finite(numbers: Mapping[str, float], step: int, run: RunDirectory) -> None:
    """Stop before the optimiser spreads a NaN through the weights."""
    bad = {name: repr(value) for name, value in numbers.items() if not math.isfinite(value)}
    if not bad:
        return
    record: dict[str, Any] = {"event": "diverged", "step": step, **bad}
    run.log(**record)
    said = ", ".join(f"{name} is {value}" for name, value in bad.items())
    raise TrainingError(
        f"training stopped at step {step}: {said}; the last checkpoint in {run.checkpoints_path} is sound. "
        "Lower the learning rate, or look at the batch of this step"
    )
