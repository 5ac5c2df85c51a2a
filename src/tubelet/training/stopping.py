"""When to look at held-out data, which weights were the best there, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from tubelet.errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """How often the validation function is called and what is made of its numbers.

    Attributes:
        every: Optimiser steps between two calls; the last step always has one.
        metric: The number that decides, by its name.
        goal: Whether more or less of it is better.
        patience: Calls in a row without a better number after which training stops; None to never stop early.
        min_gain: By how much a number must be better to count as better.
    """

    every: int
    metric: str = "loss"
    goal: Literal["min", "max"] = "min"
    patience: int | None = None
    min_gain: float = 0.0

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}; allowed: 1 or more steps")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is {self.patience}; allowed: 1 or more validations, or none")
        if not self.min_gain >= 0:
            raise ValueError(f"min_gain is {self.min_gain:g}; allowed: 0 or more")


@dataclass(kw_only=True)
class Best:
    """The best validation so far, and how long ago it was.

    Attributes:
        step: Optimiser steps done when it was found; None before the first validation.
        value: The number that decided.
        file: Name of the file with its weights, in the folder of checkpoints.
        sha256: Of that file.
        num_without_gain: Validations since.
        is_over: Whether patience ran out.
    """

    step: int | None = None
    value: float | None = None
    file: str | None = None
    sha256: str | None = None
    num_without_gain: int = 0
    is_over: bool = False

    def judge(self, numbers: Mapping[str, float], step: int, config: ValidationConfig) -> bool:
        """Whether these numbers are the best; counts those that are not, until patience is over.

        Raises:
            TrainingError: The metric that decides is missing or not finite.
        """
        if config.metric not in numbers:
            raise TrainingError(
                f"the validation at step {step} gave {', '.join(sorted(numbers)) or 'nothing'}, "
                f"and {config.metric!r} is to decide; name one of these as the metric"
            )
        value = float(numbers[config.metric])
        if not math.isfinite(value):
            raise TrainingError(
                f"the validation at step {step} gave {config.metric} = {value}; the weights are no use from here on. "
                "Lower the learning rate, and look at the validation data"
            )
        sign = 1.0 if config.goal == "max" else -1.0
        if self.value is None or sign * (value - self.value) > config.min_gain:
            self.step, self.value, self.num_without_gain = step, value, 0
            return True
        self.num_without_gain += 1
        self.is_over = config.patience is not None and self.num_without_gain >= config.patience
        return False

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Best:
        """What `to_json` made."""
        return cls(**{each.name: content[each.name] for each in fields(cls)})
