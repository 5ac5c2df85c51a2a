"""Weights and pictures that are the same on every machine, for comparisons with outputs recorded elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor


def seeded_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with the names and shapes of another, each entry drawn from a seed that is the CRC-32 of its name.

    Kernels and matrices keep the size of signals, and what looks like a batch normalisation's statistics is that of
    ordinary ones.
    """
    return {name: _entry(name, value) for name, value in state.items()}


def _entry(name: str, like: Tensor) -> Tensor:
    if not like.is_floating_point():
        return torch.zeros_like(like)
    drawn = torch.randn(like.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if like.ndim > 1:
        return drawn * (2 / like[0].numel()) ** 0.5
    if name.endswith("running_var"):
        return 0.5 + drawn.abs()
    return drawn * 0.1 + (1.0 if name.endswith("weight") else 0.0)


def made_up_picture(side_px: int) -> Tensor:
    """A batch of one picture by integer arithmetic, normalised as EfficientNet-lite wants it."""
    y, x = torch.meshgrid(torch.arange(side_px), torch.arange(side_px), indexing="ij")
    grey = torch.stack([(x * y // side_px) % 256, (x + 2 * y) % 256, (3 * x + y * y // 64) % 256])
    grey[:, side_px // 5 : side_px // 2, side_px // 3 : side_px // 2] = torch.tensor([40, 60, 200])[:, None, None]
    return ((grey - 127) / 128)[None]
