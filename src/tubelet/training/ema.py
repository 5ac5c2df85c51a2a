"""A running average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Holds the exponential moving average of a model's parameters; buffers are copied as they are.

    Args:
        model: What to average, on the device where it will be trained.
        decay: Share of the average kept at each step, below 1.

    Source: Polyak and Juditsky, 1992, in the exponential form of Tarvainen and Valpola, Mean Teacher, 2017.
    Differs: the decay rises as (1 + step) / (10 + step) up to `decay`, so that the random start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay is {decay}; allowed: 0 <= decay < 1")
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards `model` after optimiser step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, current in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(current.detach(), 1.0 - decay)
        for kept, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
