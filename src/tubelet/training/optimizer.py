"""The optimiser that trainings here use."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with a warmed-up cosine.

    Attributes:
        lr: Highest learning rate.
        weight_decay: Of matrices and kernels; biases, norms and other vectors have none.
        num_warmup_steps: Steps of the linear rise.
        final_lr_factor: Share of `lr` left at the last step.
    """

    lr: float = 1e-3
    weight_decay: float = 0.01
    num_warmup_steps: int = 0
    final_lr_factor: float = 0.01

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"lr is {self.lr:g}; allowed: above 0")
        for name in ("weight_decay", "num_warmup_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; allowed: 0 or more")
        if not 0 <= self.final_lr_factor <= 1:
            raise ValueError(f"final_lr_factor is {self.final_lr_factor:g}; allowed: 0 to 1")


def adamw(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the trainable parameters of `model`, decaying only those with two or more dimensions.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
    Differs: vectors (biases, norm gains) are not decayed, as is usual since ViT; pulling them to zero only hurts.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trainable if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr)
