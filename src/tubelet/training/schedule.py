"""Learning-rate schedules: pure functions from a step to a factor of the base rate."""

from __future__ import annotations

import math
from collections.abc import Sequence


def warmup_factor(step: int, num_warmup_steps: int) -> float:
    """Rise in a line to 1 at step `num_warmup_steps`; the first step is not wasted on a rate of zero."""
    return 1.0 if step >= num_warmup_steps else (step + 1) / (num_warmup_steps + 1)


def cosine(step: int, *, num_steps: int, num_warmup_steps: int = 0, final_factor: float = 0.0) -> float:
    """Warm up, then fall along half a cosine from 1 to `final_factor` at step `num_steps`.

    Args:
        step: From 0; steps beyond `num_steps` keep the final factor.
        num_steps: Length of the whole training, warm-up included.
        num_warmup_steps: Steps of the linear rise.
        final_factor: Share of the base rate left at the end.

    Raises:
        ValueError: The warm-up is longer than the training, or a number is negative.

    Source: Loshchilov and Hutter, SGDR, 2017, eq. 5, one cycle.
    """
    if not 0 <= num_warmup_steps <= num_steps:
        raise ValueError(f"num_warmup_steps is {num_warmup_steps}; allowed: 0 to num_steps ({num_steps})")
    if step < num_warmup_steps:
        return warmup_factor(step, num_warmup_steps)
    share = min(1.0, (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps))
    return final_factor + (1.0 - final_factor) * 0.5 * (1.0 + math.cos(math.pi * share))


def step_decay(step: int, *, milestones: Sequence[int], factor: float = 0.1, num_warmup_steps: int = 0) -> float:
    """Warm up, then multiply by `factor` at each milestone that has been reached.

    Args:
        step: From 0.
        milestones: Steps at which the rate drops, rising.
        factor: What it is multiplied by.
        num_warmup_steps: Steps of the linear rise.

    Raises:
        ValueError: The milestones do not rise.
    """
    if list(milestones) != sorted(set(milestones)):
        raise ValueError(f"milestones are {list(milestones)}; allowed: rising steps")
    reached = sum(step >= milestone for milestone in milestones)
    return warmup_factor(step, num_warmup_steps) * float(factor**reached)
