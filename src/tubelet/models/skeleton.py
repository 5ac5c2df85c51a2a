"""A temporal convolution over skeleton features that labels every frame from a bounded window round it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class _Block(nn.Module):
    """One dilated convolution with a residual path."""

    def __init__(self, channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        padding = dilation * (kernel_size - 1) // 2
        self.spread = nn.Conv1d(channels, channels, kernel_size, padding=padding, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch channels time"], is_seen: Float[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch channels time"]:
        normed = self.norm(x)
        if is_seen is not None:
            normed = normed * is_seen
        inner = nn.functional.gelu(self.spread(normed))
        out: Tensor = x + self.dropout(self.mix(inner))
        return out


class SkeletonTCN(nn.Module):
    """Labels every frame of a sequence of skeleton features.

    Args:
        num_features: Features per frame.
        num_classes: Classes.
        channels: Width.
        dilations: One block each; together they say how far a frame sees.
        kernel_size: Odd number of taps per block.
        dropout: Share of activations dropped in training.

    Source: the dilated residual stage of MS-TCN (Farha and Gall 2019, arXiv:1903.01945).
    Differs: batch normalisation before each block, one stage, and few layers: the window stays near one second, so that
        a stream can be labelled while it runs.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        channels: int = 80,
        dilations: Sequence[int] = (1, 2, 4, 4, 8),
        kernel_size: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; must be odd, so that a frame sees as far back as ahead")
        self.num_features = num_features
        self.num_classes = num_classes
        self.entry = nn.Conv1d(num_features, channels, 1)
        self.blocks = nn.Sequential(*(_Block(channels, kernel_size, dilation, dropout) for dilation in dilations))
        self.norm = nn.BatchNorm1d(channels)
        self.head = nn.Conv1d(channels, num_classes, 1)
        self.context = sum(dilations) * (kernel_size - 1) // 2
        """Frames on each side that a frame's logits depend on."""

    def trunk(
        self, features: Float[Tensor, "batch features time"], is_seen: Float[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch channels time"]:
        """What the last layer reads of every frame.

        Args:
            features: Of every frame.
            is_seen: 1 for frames that count, 0 for those that are to be to the others what frames beyond the ends are.
        """
        x = self.entry(features)
        for block in self.blocks:
            x = block(x, is_seen)
        return nn.functional.gelu(self.norm(x))

    def forward(self, features: Float[Tensor, "batch features time"]) -> Float[Tensor, "batch classes time"]:
        """Logits for every frame. Frames beyond the ends count as zeros at every layer."""
        out: Tensor = self.head(self.trunk(features))
        return out


def predict(model: SkeletonTCN, features: Float[Tensor, "features time"]) -> Float[Tensor, "classes time"]:
    """Logits of one sequence, without gradients."""
    with torch.inference_mode():
        logits: Tensor = model(features[None])[0]
    return logits
