"""Small layers that several networks share."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DropPath(nn.Module):
    """Leaves a residual branch out for random rows of a batch, in training only.

    What is kept is scaled up by 1 / (1 - rate), so that the expected value stays.

    Args:
        rate: Share of rows left out, at least 0 and below 1.

    Source: stochastic depth (Huang et al. 2016, arXiv:1603.09382), drawn for each row of the batch.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate is {rate:g}; allowed: at least 0 and below 1")
        self.rate = rate

    def forward(self, branch: Float[Tensor, "rows *rest"]) -> Float[Tensor, "rows *rest"]:
        """The branch, with zeros in the rows that are left out."""
        if not self.training or self.rate == 0:
            return branch
        kept = torch.rand(branch.shape[0], *(1,) * (branch.dim() - 1), device=branch.device) >= self.rate
        return branch * (kept.to(branch.dtype) / (1 - self.rate))

    def extra_repr(self) -> str:
        """The rate, for `print(model)`."""
        return f"rate={self.rate:g}"


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them.

    Args:
        channels: Width of input and output.
        hidden: Width between the layers.
        dropout: Share of values dropped after each layer in training.
    """

    def __init__(self, channels: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows channels"]:
        """The transformed values."""
        out: Tensor = self.dropout(self.fc2(self.dropout(nn.functional.gelu(self.fc1(x)))))
        return out
