"""Ways to hide for comparison: masks by chance, place, motion, one token's attention or merging; coarser pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.methods.anonymization.pruning import ContrastPruning, PruningConfig, kept_places, removed, top
from tubelet.models.positions import Grid
from tubelet.models.token_merging import TokenMerging, hand_likeness, place_sizes
from tubelet.models.token_reduction import Attended, Tokens
from tubelet.models.vit import VideoViT

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
    if tube and rule == "random":
        # The mean of random numbers is one too, but the first step's are as good and spread wider.
        scores = scores[:, :1].expand(clips, *grid)
    return _highest(scores, keep, tube=tube)


def motion_energy(
    video: Float[Tensor, "clips 3 time height width"], tubelet: Grid
) -> Float[Tensor, "clips steps rows columns"]:
    """Mean absolute change from frame to frame in each tubelet."""
    change = (video[:, :, 1:] - video[:, :, :-1]).abs().mean(1, keepdim=True)
    change = torch.cat([change[:, :, :1], change], dim=2)  # the first frame has no other before it
    return nn.functional.avg_pool3d(change, tubelet, tubelet)[:, 0]


class PrivacyOnlyPruning(ContrastPruning):
    """Removes what the privacy token looks at most, wherever the action token looks: s_i = -p_i.

    Arguments as of `ContrastPruning`; `privacy_weight` is not used. What is removed goes on as its plain sum over the
    number of tokens, where `fuse` is set.
    """

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        """Ranks, removes, fuses."""
        if attended.weights is None:
            return super().after_attention(block, tokens, attended)
        # Where the action token looks everywhere alike, the other one alone decides, whatever its weight above 0.
        weights = attended.weights.clone()
        weights[:, :, 0] = 1 / weights.shape[-1]
        return super().after_attention(block, tokens, replace(attended, weights=weights))


class SingleTokenPruning(ContrastPruning):
    """Keeps what the only CLS token looks at: no other token is there to say what is private.

    Arguments as of `ContrastPruning`; `privacy_weight` is not used.

    Source: EViT (arXiv:2202.07800).
    Differs: the blocks that prune, how many tokens they keep and how masks hold together over time are those of
        `PruningConfig`.
    """

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        """Ranks, removes, fuses."""
        if block not in self.config.blocks:
            return tokens
        if attended.weights is None or tokens.num_cls != 1:
            raise ValueError(f"block {block}: one CLS token and its attention are needed, got {tokens.num_cls}")
        shares = attended.weights.float().mean(1)[:, 0, 1:]
        shares = shares / shares.sum(-1, keepdim=True)
        return removed(tokens, self._kept(tokens, shares.detach(), block), shares if self.config.fuse else None)


def pruned_mask(
    vit: VideoViT,
    video: Float[Tensor, "clips 3 time height width"],
    pruning: PruningConfig,
    *,
    by: Literal["privacy_only", "single_token"],
) -> Bool[Tensor, "clips steps rows columns"]:
    """Which tubelets stay where one token's attention decides.

    Args:
        vit: Trained; with two CLS tokens for "privacy_only" (the second is the privacy token), with one for
            "single_token".
        video: As the network takes it.
        pruning: Where and how much is removed.
        by: Which baseline.
    """
    grid = vit.grid_of(video)
    kind = PrivacyOnlyPruning if by == "privacy_only" else SingleTokenPruning
    # A weight of 0 would leave nothing to rank by, and a single CLS token has no other to be kept apart from.
    config = replace(pruning, privacy_weight=1.0, isolate_cls=pruning.isolate_cls and by == "privacy_only")
    encoded = vit.encode(video, reduction=kind(grid, config, depth=len(vit.blocks)))
    return kept_places(encoded.tokens, len(video), grid)


class _RememberedMerging(TokenMerging):
    """Also notes `likeness`, (rows, places): of each place to the nearest of the other hand, in the first block."""

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        """Remembers, and merges."""
        if block == 0:
            alike = hand_likeness(attended.keys.mean(1), tokens.num_cls)
            likeness = alike.new_zeros(len(alike), tokens.ids.shape[1] - tokens.num_cls)
            likeness[:, ::2], likeness[:, 1::2] = alike.amax(2), alike.amax(1)
            tokens.notes["likeness"] = likeness
        return super().after_attention(block, tokens, attended)


def merging_mask(
    vit: VideoViT, video: Float[Tensor, "clips 3 time height width"], *, keep: float, tube: bool = False
) -> Bool[Tensor, "clips steps rows columns"]:
    """The tubelets that merge least, under a merging that leaves about as many tokens as tubelets are to stay.

    What merges most is what is there many times over: background, and what stands still.

    Args:
        vit: Trained for the action.
        video: As the network takes it.
        keep: Share that stays.
        tube: Whether a place stays at all time steps or at none.
    """
    grid = vit.grid_of(video)
    depth, places = len(vit.blocks), math.prod(grid if vit.attention == "joint" else grid[1:])
    # The same number in every block, rounded up; one token is left at least.
    in_each = math.ceil((1 - keep) * places / depth - 1e-9)
    left = max(1, places - in_each * depth) / places - 1e-9
    tokens = vit.encode(video, reduction=_RememberedMerging(left, depth)).tokens
    # Of equal sizes, which are whole numbers, the one that is less like the others stays.
    scores = -place_sizes(tokens)[:, tokens.num_cls :] - tokens.notes["likeness"] / 4
    return _highest(scores.view(len(video), *grid), keep, tube=tube)


def _highest(
    scores: Float[Tensor, "clips steps rows columns"], keep: float, *, tube: bool
) -> Bool[Tensor, "clips steps rows columns"]:
    clips, *grid = scores.shape
    if tube:
        chosen = top(scores.mean(1).flatten(1), math.ceil(keep * grid[1] * grid[2] - 1e-9))
        return chosen.view(clips, 1, *grid[1:]).expand(clips, *grid)
    return top(scores.flatten(1), math.ceil(keep * math.prod(grid) - 1e-9)).view(clips, *grid)


def box_mask(
    boxes_px: Sequence[Sequence[Float[Tensor, "_ 4"]]], size: tuple[int, int]
) -> Bool[Tensor, "clips 1 time height width"]:
    """The pixels that boxes touch.

    Args:
        boxes_px: Of every frame of every clip: x0, y0, x1, y1 of people or faces, which may reach out of the picture.
        size: Rows and columns of the pictures.

    Raises:
        ValueError: Clips differ in their number of frames, or a box has an end before its beginning, or none.
    """
    lengths = {len(frames) for frames in boxes_px}
    if len(lengths) != 1:
        raise ValueError(f"clips have boxes for {sorted(lengths)} frames; needed: as many for each, some of them empty")
    mask = torch.zeros(len(boxes_px), 1, lengths.pop(), *size, dtype=torch.bool)
    for clip, frames in enumerate(boxes_px):
        for time, boxes in enumerate(frames):
            for x0, y0, x1, y1 in boxes.tolist():
                if not (x0 <= x1 and y0 <= y1):  # also where one is not a number
                    raise ValueError(
                        f"clip {clip}, frame {time}: box is {x0:g}, {y0:g}, {x1:g}, {y1:g}; needed: x0, y0, x1, y1 "
                        "with x0 <= x1 and y0 <= y1"
                    )
                rows = slice(max(0, math.floor(y0)), max(0, math.ceil(y1)))
                mask[clip, 0, time, rows, max(0, math.floor(x0)) : max(0, math.ceil(x1))] = True
    return mask


def boxes_hidden(
    video: Float[Tensor, "clips 3 time height width"],
    boxes_px: Sequence[Sequence[Float[Tensor, "_ 4"]]],
    *,
    fill: Literal["black", "blur"] = "black",
    sigma_px: float = 7.0,
) -> Float[Tensor, "clips 3 time height width"]:
    """Pictures with people or faces blackened or blurred, where boxes of them are given.

    Args:
        video: From 0 to 1.
        boxes_px: As `box_mask` takes them.
        fill: "blur" keeps something of what it hides.
        sigma_px: Of the blur.

    Raises:
        ValueError: Boxes are not for these clips and frames, or are none.
    """
    hidden = box_mask(boxes_px, (video.shape[3], video.shape[4])).to(video.device)
    if hidden.shape != (len(video), 1, *video.shape[2:]):
        raise ValueError(
            f"boxes are for {hidden.shape[0]} clips of {hidden.shape[2]} frames, and the clips are {len(video)} of "
            f"{video.shape[2]}; give a tensor of boxes for every frame, empty where there is nobody"
        )
    return torch.where(hidden, torch.zeros_like(video) if fill == "black" else blurred(video, sigma_px), video)


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
