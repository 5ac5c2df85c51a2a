"""How much a group of patches is worth, from what it shows now and what it showed a frame earlier."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.methods.token_pruning.groups import sums_over_groups


class GroupScorer(nn.Module):
    """Pools each group by attention, puts it beside the same group of the frame before, and gives a number from 0 to 1.

    Args:
        channels: Width of the patches.
        num_heads: Of the pooling attention; must divide the width.
        hidden: Width of the middle layers; twice the patches' if None.

    Source: STTS (arXiv:2603.18004), sections on the scorer, and its code.
    Differs: places outside the grid take no part in the pooling, where the code counts them as zeros; the frame before
        is one of the same clip, where the code takes the last frame of the clip before in the batch.
    """

    def __init__(self, channels: int, *, num_heads: int, hidden: int | None = None) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"channels is {channels} and num_heads {num_heads}; the heads must divide the channels")
        hidden = 2 * channels if hidden is None else hidden
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        self.mlp = nn.Sequential(
            nn.Linear(2 * channels, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 1),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        patches: Float[Tensor, "frames grid channels"],
        groups: Int64[Tensor, "groups patches"],
        starts: Bool[Tensor, " frames"],
    ) -> Float[Tensor, "frames groups"]:
        """Scores; higher is worth more.

        Args:
            patches: Of all frames of all clips, one clip after the other.
            groups: See `patch_groups`.
            starts: Which frames are the first of their clip: nothing comes before them.
        """
        pooled = self._pooled(patches, groups)
        before = pooled.roll(1, dims=0).masked_fill(starts[:, None, None], 0.0)
        scores: Tensor = self.mlp(torch.cat([before, pooled], dim=-1))[..., 0].sigmoid()
        return scores

    def _pooled(
        self, patches: Float[Tensor, "frames grid channels"], groups: Int64[Tensor, "groups patches"]
    ) -> Float[Tensor, "frames groups channels"]:
        """One vector for each group: attention of its mean to its patches."""
        frames, channels = len(patches), patches.shape[-1]
        size = channels // self.num_heads
        there = groups >= 0
        count = there.sum(1).to(patches.dtype)
        members = patches[:, groups.clamp(min=0).flatten()].reshape(frames, *groups.shape, channels)
        mean = (members * there[..., None]).sum(2) / count[:, None]
        query = self.query(mean).reshape(-1, 1, self.num_heads, size).transpose(1, 2)
        # Keys and values of every patch once, then brought into groups: the products are the same.
        key, value = (
            layer(patches)[:, groups.clamp(min=0).flatten()]
            .reshape(-1, groups.shape[1], self.num_heads, size)
            .transpose(1, 2)
            for layer in (self.key, self.value)
        )
        mask = None if bool(there.all()) else there[None].expand(frames, -1, -1).reshape(-1, 1, 1, groups.shape[1])
        pooled = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(pooled.reshape(frames, len(groups), channels))
        return out


def novelty(
    patches: Float[Tensor, "frames grid channels"],
    groups: Int64[Tensor, "groups patches"],
    starts: Bool[Tensor, " frames"],
    earlier: Int64[Tensor, " frames"] | None = None,
) -> Float[Tensor, "frames groups"]:
    """How little a group resembles the same group of an earlier frame: 1 less the cosine, 0 to 1.

    Work and memory grow with the frames, not with their square: only the pairs that are needed are compared.

    Args:
        patches: Of all frames of all clips, one clip after the other.
        groups: See `patch_groups`.
        starts: Which frames are the first of their clip; theirs is 1.
        earlier: The frame that each is compared with; the one before if None.

    Source: STTS (arXiv:2603.18004), the target of the temporal loss.
    Differs: cut off at 0 and 1, which is all that a score can reach.
    """
    squares = sums_over_groups(torch.einsum("fnd,fnd->fn", patches, patches), groups)
    if earlier is None:
        # Neighbours need no second copy of the patches.
        products = torch.einsum("fnd,fnd->fn", patches[1:], patches[:-1])
        products = torch.cat([products.new_zeros(1, products.shape[1]), products])
        squares_before = squares.roll(1, dims=0)
    else:
        products = torch.einsum("fnd,fnd->fn", patches, patches[earlier])
        squares_before = squares[earlier]
    lengths = (squares * squares_before).sqrt().clamp(min=1e-8)
    cosine = sums_over_groups(products, groups) / lengths
    return (1 - cosine).clamp(0, 1).masked_fill(starts[:, None], 1.0)


def temporal_loss(
    scores: Float[Tensor, "frames groups"],
    target: Float[Tensor, "frames groups"],
    counted: Bool[Tensor, " frames"],
) -> Float[Tensor, ""]:
    """Mean squared distance of scores from novelty, over the frames that count; 0 where none does.

    Args:
        scores: From 0 to 1.
        target: See `novelty`; detach it where the loss must not move the transformer.
        counted: Frames that have one before them, of clips that are pruned.

    Source: STTS (arXiv:2603.18004), the auxiliary loss.
    """
    squared = (scores - target).square().mean(1)
    return (squared * counted).sum() / counted.sum().clamp(min=1)
