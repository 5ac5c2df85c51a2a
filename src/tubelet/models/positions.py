"""Position tables of transformers over video, and bringing them to another grid."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

Grid = tuple[int, int, int]


def sincos_positions(num_places: int, channels: int) -> Float[Tensor, "1 places channels"]:
    """Sines and cosines of the place's number at falling frequencies; even channels sines, odd channels cosines.

    Args:
        num_places: Places of the grid, numbered along width, then height, then time.
        channels: Width of the network.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5, over the flattened grid as in VideoMAE.
    """
    places = torch.arange(num_places, dtype=torch.float64)[:, None]
    exponents = torch.arange(channels).div(2, rounding_mode="floor").to(torch.float64) * (2.0 / channels)
    angles = places / 10_000.0**exponents
    table = torch.where(torch.arange(channels) % 2 == 0, angles.sin(), angles.cos())
    return table.to(torch.float32)[None]


def resized_positions(
    positions: Float[Tensor, "1 places channels"], old: Grid, new: Grid
) -> Float[Tensor, "1 new_places channels"]:
    """A table for another grid: cubic over height and width, then linear over time.

    Args:
        positions: One vector for each place of the old grid.
        old: Time steps, rows and columns that the table was made for.
        new: Those that it is needed for.
    """
    if old == new:
        return positions
    channels = positions.shape[-1]
    table = positions.reshape(*old, channels).permute(0, 3, 1, 2)
    if old[1:] != new[1:]:
        table = nn.functional.interpolate(table, size=new[1:], mode="bicubic", align_corners=False)
    if old[0] != new[0]:
        flat = table.permute(2, 3, 1, 0).flatten(0, 1)
        flat = nn.functional.interpolate(flat, size=new[0], mode="linear", align_corners=False)
        table = flat.reshape(*new[1:], channels, new[0]).permute(3, 2, 0, 1)
    return table.permute(0, 2, 3, 1).reshape(1, -1, channels)
