"""Mixup and cutmix of clips: each clip gets a share of another, the same share and place in all of its pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MixingConfig:
    """How clips are mixed.

    Attributes:
        mixup_alpha: Shape of the Beta distribution that mixup draws shares from; 0 for no mixup.
        cutmix_alpha: The same for cutmix.
        probability: Share of the batches that are mixed at all.
        cutmix_share: Share of the mixed batches that use cutmix, where both are on.
    """

    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    probability: float = 1.0
    cutmix_share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("mixup_alpha", "cutmix_alpha"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; allowed: 0 or more")
        for name in ("probability", "cutmix_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; allowed: 0 to 1")


def mix(
    video: Float[Tensor, "batch channels time height width"],
    targets: Float[Tensor, "batch classes"],
    *,
    config: MixingConfig,
    generator: np.random.Generator,
) -> tuple[Float[Tensor, "batch channels time height width"], Float[Tensor, "batch classes"]]:
    """Mix each clip of a batch with another one of it, and their targets by the same share.

    The shares are drawn on the CPU from `generator` alone (see `seed.step_generator`), so a step's are the same on any
    device and after a resume; the pictures are mixed where they are.

    Args:
        video: Clips, normalised or not.
        targets: Distributions over classes, or yes-or-no targets; see `losses.soft_targets`.
        config: How.
        generator: Of this step.

    Returns:
        New clips and targets; the given ones where nothing was mixed.

    Source: Zhang et al., mixup, 2018; Yun et al., CutMix, 2019.
    Differs: both draw one share per batch, this one per clip, for more variety. A box that sticks out of the picture is
        cut off, and the target's share is that of the area that was really replaced, as in the authors' code.
    """
    batch, height, width = video.shape[0], video.shape[3], video.shape[4]
    # All is drawn whatever is used, so that one setting does not shift the random numbers of another.
    is_mixed, is_cut = generator.random() < config.probability, generator.random() < config.cutmix_share
    partners = torch.from_numpy(generator.permutation(batch)).to(video.device)
    uses_cutmix = config.cutmix_alpha > 0 and (is_cut or config.mixup_alpha == 0)
    alpha = config.cutmix_alpha if uses_cutmix else config.mixup_alpha
    if not is_mixed or alpha == 0 or batch < 2:
        return video, targets
    kept = generator.beta(alpha, alpha, size=batch)
    if not uses_cutmix:
        share = _column(kept, video)
        pixels = share.to(video.dtype)[:, :, None, None, None]
        mixed = video * pixels + video[partners] * (1 - pixels)
        return mixed, targets * share + targets[partners] * (1 - share)
    edges = _boxes(1 - kept, height, width, generator)
    top, bottom, left, right = (torch.from_numpy(edge).to(video.device)[:, None, None] for edge in edges)
    rows = torch.arange(height, device=video.device)[None, :, None]
    columns = torch.arange(width, device=video.device)[None, None, :]
    is_inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    mixed = torch.where(is_inside[:, None, None], video[partners], video)
    replaced = (edges[1] - edges[0]) * (edges[3] - edges[2]) / (height * width)
    share = _column(1 - replaced, video)
    return mixed, targets * share + targets[partners] * (1 - share)


def _column(values: np.ndarray, video: Tensor) -> Tensor:
    """Values as a column on the device of the clips."""
    return torch.from_numpy(values.astype(np.float32)).to(video.device)[:, None]


def _boxes(shares: np.ndarray, height: int, width: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """First and last rows and columns of boxes with these shares of the area, around random middles, cut at edges."""
    sides = np.sqrt(shares)
    edges = []
    for length in (height, width):
        middle, half = generator.random(len(shares)) * length, sides * length / 2
        edges += [np.clip(np.rint(middle + sign * half), 0, length).astype(np.int64) for sign in (-1, 1)]
    return tuple(edges)
