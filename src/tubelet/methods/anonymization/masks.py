"""Masks over tubelets: to pixels and back, what they leave visible, and how restless they are."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.models.positions import Grid


def pixel_mask(
    kept: Bool[Tensor, "clips steps rows columns"], tubelet: Grid
) -> Bool[Tensor, "clips 1 time height width"]:
    """The mask at the size of the clip: each tubelet's pixels are as it is."""
    frames, height, width = tubelet
    grown = kept.repeat_interleave(frames, 1).repeat_interleave(height, 2).repeat_interleave(width, 3)
    return grown[:, None]


def tubelet_mask(
    pixels: Bool[Tensor, "clips 1 time height width"], tubelet: Grid
) -> Bool[Tensor, "clips steps rows columns"]:
    """The mask over tubelets that a mask over pixels came from.

    Raises:
        ValueError: A tubelet is kept in part.
    """
    frames, height, width = tubelet
    clips, _, time, rows, columns = pixels.shape
    cut = pixels.view(clips, time // frames, frames, rows // height, height, columns // width, width)
    cut = cut.permute(0, 1, 3, 5, 2, 4, 6).flatten(4)
    if bool((cut.any(-1) != cut.all(-1)).any()):
        raise ValueError("the mask keeps a part of a tubelet; it is none that `pixel_mask` made")
    return cut.all(-1)


def masked(
    video: Float[Tensor, "clips 3 time height width"],
    kept: Bool[Tensor, "clips steps rows columns"],
    tubelet: Grid,
    *,
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Float[Tensor, "clips 3 time height width"]:
    """The clips with what was removed replaced by a colour; a function of the kept pixels and the mask alone.

    Args:
        video: From 0 to 1, so that 0 is black.
        kept: Which tubelets stay.
        tubelet: Frames, rows and columns of one.
        fill: Red, green and blue.
    """
    colour = video.new_tensor(fill)[None, :, None, None, None]
    return torch.where(pixel_mask(kept, tubelet), video, colour)


def kept_fraction(kept: Bool[Tensor, "clips steps rows columns"]) -> Float[Tensor, " clips"]:
    """Share of each clip's tubelets that stay."""
    return kept.flatten(1).float().mean(1)


def union_visibility(kept: Bool[Tensor, "clips steps rows columns"]) -> Float[Tensor, " clips"]:
    """Share of the places of the picture that are visible in at least one time step.

    What stands still is hidden only where it is hidden at all time steps: this is how much of it an attacker sees.
    """
    return kept.any(1).flatten(1).float().mean(1)


def flicker(kept: Bool[Tensor, "clips steps rows columns"]) -> Float[Tensor, " clips"]:
    """Share of the places that appear or vanish from one time step to the next; 0 where there is one step."""
    if kept.shape[1] < 2:
        return kept.new_zeros(len(kept), dtype=torch.float32)
    return (kept[:, 1:] != kept[:, :-1]).flatten(1).float().mean(1)


def share_kept_of(
    kept: Bool[Tensor, "clips steps rows columns"], truth: Bool[Tensor, "clips time height width"], tubelet: Grid
) -> Float[Tensor, " clips"]:
    """Share of the pixels of something that stay visible.

    Args:
        kept: Which tubelets stay.
        truth: Where that something is.
        tubelet: Frames, rows and columns of one.
    """
    shown = (pixel_mask(kept, tubelet)[:, 0] & truth).flatten(1).sum(1)
    return shown / truth.flatten(1).sum(1).clamp(min=1)
