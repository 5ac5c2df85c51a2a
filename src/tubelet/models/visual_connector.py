"""Between a video transformer and a language model: groups of patches, each pooled into one visual token."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.models.language_decoder import GatedMlp
from tubelet.models.narrow import narrow_std


def patch_groups(rows: int, columns: int, pool: int) -> Int64[Tensor, "groups patches"]:
    """Which patches of a grid form each group, row by row; -1 where a group reaches over the edge of the grid.

    Args:
        rows: Of patches.
        columns: Likewise.
        pool: Side of a group in patches.

    Raises:
        ValueError: A group is larger than the grid.
    """
    if not 1 <= pool <= min(rows, columns):
        raise ValueError(
            f"pool is {pool} and the grid has {rows}x{columns} patches; allowed: 1 to {min(rows, columns)}"
        )
    high, wide = -(-rows // pool), -(-columns // pool)
    numbers = torch.full((high * pool, wide * pool), -1, dtype=torch.int64)
    numbers[:rows, :columns] = torch.arange(rows * columns).reshape(rows, columns)
    return numbers.reshape(high, pool, wide, pool).transpose(1, 2).reshape(high * wide, pool * pool)


class VisualConnector(nn.Module):
    """Makes one visual token of a group of patches: attention of the group's mean to its patches, then a gated MLP.

    Args:
        channels: Width of the patches' features.
        out_channels: Width of the language model's embeddings.
        num_heads: Of the attention; must divide the width of the features.
        hidden: Width of the MLP's middle; four times `out_channels` if None.

    Source: Molmo2 (arXiv:2601.10611), its connector.
    Differs: features are normalised first, since those of blocks before the last have any scale; patches that are not
        there take no part, where the code lets them take part as zeros.
    """

    def __init__(self, channels: int, out_channels: int, *, num_heads: int, hidden: int | None = None) -> None:
        super().__init__()
        if num_heads < 1 or channels % num_heads:
            raise ValueError(f"channels is {channels} and num_heads {num_heads}; the heads must divide the channels")
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(channels)
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        self.mlp = GatedMlp(channels, 4 * out_channels if hidden is None else hidden, out_channels)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=narrow_std(module.in_features))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, patches: Float[Tensor, "groups patches channels"], there: Bool[Tensor, "groups patches"]
    ) -> Float[Tensor, "groups out_channels"]:
        """One token for each group.

        Args:
            patches: Features of each group's patches, anything where none is there.
            there: Which patches there are; at least one of each group.
        """
        normed = self.norm(patches) * there[..., None]
        mean = normed.sum(1, keepdim=True) / there.sum(1).to(normed.dtype)[:, None, None]
        query, key, value = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, mean), (self.key, normed), (self.value, normed))
        )
        pooled = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None])
        out: Tensor = self.mlp(self.out(pooled.transpose(1, 2).flatten(1)))
        return out
