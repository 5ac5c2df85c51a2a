"""Ways to hide without a trained network, for comparison: masks by chance, place or motion, and coarser pictures."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.methods.anonymization.pruning import top
from tubelet.models.positions import Grid

MaskRule = Literal["random", "centre", "motion"]


def rule_mask(
    rule: MaskRule,
    video: Float[Tensor, "clips 3 time height width"],
    tubelet: Grid,
    *,
    keep: float,
    tube: bool = False,
    seed: int = 0,
) -> Bool[Tensor, "clips steps rows columns"]:
    """Which tubelets stay by a rule; as many as `PruningConfig.keep` leaves.

    Args:
        rule: "random", "centre" for those nearest to the middle of the picture, or "motion" for those whose pixels
            change most within the tubelet and from one to the next.
        video: From 0 to 1.
        tubelet: Frames, rows and columns of one.
        keep: Share that stays.
        tube: Whether a place stays at all time steps or at none.
        seed: Of "random"; with the same seed the same number of clips gets the same masks.
    """
    clips, _, time, height, width = video.shape
    grid = (time // tubelet[0], height // tubelet[1], width // tubelet[2])
    if rule == "random":
        generator = torch.Generator().manual_seed(seed)
        scores = torch.rand(clips, *grid, generator=generator).to(video.device)
    elif rule == "centre":
        rows, columns = (torch.arange(side, device=video.device) - (side - 1) / 2 for side in grid[1:])
        scores = -(rows[:, None] ** 2 + columns[None, :] ** 2).expand(clips, *grid)
    else:
        scores = motion_energy(video, tubelet)
    if tube:
        # The mean of random numbers is one too, but the first step's are as good and spread wider.
        pooled = scores[:, 0] if rule == "random" else scores.mean(1)
        chosen = top(pooled.flatten(1), math.ceil(keep * grid[1] * grid[2] - 1e-9))
        return chosen.view(clips, 1, *grid[1:]).expand(clips, *grid)
    return top(scores.flatten(1), math.ceil(keep * math.prod(grid) - 1e-9)).view(clips, *grid)


def motion_energy(
    video: Float[Tensor, "clips 3 time height width"], tubelet: Grid
) -> Float[Tensor, "clips steps rows columns"]:
    """Mean absolute change from frame to frame in each tubelet."""
    change = (video[:, :, 1:] - video[:, :, :-1]).abs().mean(1, keepdim=True)
    change = torch.cat([change[:, :, :1], change], dim=2)  # the first frame has no other before it
    return nn.functional.avg_pool3d(change, tubelet, tubelet)[:, 0]


def downsampled(
    video: Float[Tensor, "clips 3 time height width"], factor: int
) -> Float[Tensor, "clips 3 time height width"]:
    """Pictures made smaller by averaging and larger again."""
    small = nn.functional.avg_pool3d(video, (1, factor, factor))
    return nn.functional.interpolate(small, size=video.shape[2:], mode="nearest")


def blurred(
    video: Float[Tensor, "clips 3 time height width"], sigma_px: float
) -> Float[Tensor, "clips 3 time height width"]:
    """Pictures blurred by a Gaussian that is cut off at three sigma."""
    reach = max(1, math.ceil(3 * sigma_px))
    places = torch.arange(-reach, reach + 1, device=video.device, dtype=video.dtype)
    kernel = torch.exp(-0.5 * (places / sigma_px) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    clips, channels, time, height, width = video.shape
    flat = video.transpose(1, 2).reshape(-1, 1, height, width)
    flat = nn.functional.conv2d(nn.functional.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel)
    flat = nn.functional.conv2d(nn.functional.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel.transpose(2, 3))
    return flat.view(clips, time, channels, height, width).transpose(1, 2)
