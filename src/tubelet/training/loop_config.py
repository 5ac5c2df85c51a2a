"""The settings of the training loop."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.training.precision import Precision


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long to train, how a step is computed, and what to keep on the way.

    Attributes:
        num_steps: Optimiser steps.
        max_gradient_norm: Gradients are scaled down to this norm; None to leave them.
        ema_decay: Of the weight average; None for none.
        log_every: Steps between two lines in log.jsonl.
        checkpoint_every: Steps between two checkpoints; the last step always gets one.
        num_micro_batches: Batches per process whose gradients make up one step.
        precision: Of the forward pass; the weights are fp32.
        max_overflows_in_a_row: Steps that fp16 may lose one after the other before that is an error.
        keep_frozen: Whether checkpoints hold frozen parameters; else they hold the sha256 of those, and the model must
            be given the same ones before it goes on.
    """

    num_steps: int
    max_gradient_norm: float | None = 1.0
    ema_decay: float | None = None
    log_every: int = 50
    checkpoint_every: int = 500
    num_micro_batches: int = 1
    precision: Precision = "fp32"
    max_overflows_in_a_row: int = 25
    keep_frozen: bool = True

    def __post_init__(self) -> None:
        for name in ("num_steps", "log_every", "checkpoint_every", "num_micro_batches", "max_overflows_in_a_row"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
