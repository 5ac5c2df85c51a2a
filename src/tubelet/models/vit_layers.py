"""Parts of the video transformer: tubelet embedding, attention that opens only the rows asked for, the block."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.models.layers import DropPath, Mlp
from tubelet.models.token_reduction import Attended, AttentionRows, TokenReduction, Tokens

QkvBias = Literal["qv", "all", "none"]


class TubeletEmbedding(nn.Conv3d):
    """A convolution whose kernels do not overlap, computed as one matrix product over tubelets.

    Its parameters are those of a Conv3d. Not every convolution library has a good kernel for this case; all have one
    for a matrix product.

    Args:
        channels: Width of the tokens.
        tubelet: Frames, rows and columns of a tubelet.
    """

    def __init__(self, channels: int, tubelet: tuple[int, int, int]) -> None:
        super().__init__(3, channels, kernel_size=tubelet, stride=tubelet)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch tokens channels"]:
        """One token for each tubelet, counted along width, then height, then time."""
        batch, _, time, height, width = video.shape
        t, h, w = self.kernel_size
        cut = video.reshape(batch, 3, time // t, t, height // h, h, width // w, w).permute(0, 2, 4, 6, 1, 3, 5, 7)
        return nn.functional.linear(cut.reshape(batch, -1, 3 * t * h * w), self.weight.flatten(1), self.bias)


class QueryValueLinear(nn.Linear):
    """Queries, keys and values by one matrix product, with a bias of queries and values only.

    A bias of the keys shifts all logits of a query alike, so the softmax does not see it.

    Args:
        channels: Width of the tokens.

    Source: BEiT (arXiv:2106.08254) and VideoMAE (arXiv:2203.12602), their code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 3 * channels, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(channels))
        self.v_bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "rows tokens channels"]) -> Float[Tensor, "rows tokens three_channels"]:
        """Queries, keys and values side by side."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        return nn.functional.linear(x, self.weight, bias)


class Attention(nn.Module):
    """Multi-head self-attention by a fused kernel; only the rows that somebody wants to see are computed openly.

    Args:
        channels: Width of the tokens.
        num_heads: Heads; must divide the width.
        qkv_bias: Bias of queries and values ("qv"), of all three ("all"), or none.
        attention_dropout: Share of attention weights dropped in training.
        dropout: Share of output values dropped in training.
    """

    def __init__(
        self, channels: int, num_heads: int, *, qkv_bias: QkvBias, attention_dropout: float, dropout: float
    ) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"channels is {channels} and num_heads {num_heads}; the heads must divide the channels")
        self.num_heads = num_heads
        if qkv_bias == "qv":
            self.qkv: nn.Linear = QueryValueLinear(channels)
        else:
            self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias == "all")
        self.proj = nn.Linear(channels, channels)
        self.attention_dropout = attention_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "rows tokens channels"],
        block: int,
        tokens: Tokens,
        reduction: TokenReduction | None,
        wanted: AttentionRows | None,
    ) -> tuple[Float[Tensor, "rows tokens channels"], Attended]:
        """The branch's output, and what the attention leaves to look at.

        Args:
            x: Normalised hidden states.
            block: Number of the block.
            tokens: The tokens before it, for the reduction.
            reduction: Asked for a bias and for an attention of its own.
            wanted: Attention rows to compute openly.
        """
        rows, num_tokens, channels = x.shape
        qkv = self.qkv(x).view(rows, num_tokens, 3, self.num_heads, channels // self.num_heads)
        split = qkv.permute(2, 0, 3, 1, 4)
        if split.device.type == "cpu":
            # The kernel for processors trains quicker on whole rows than on strided ones, by more than the copy costs.
            split = split.contiguous()
        query, key, value = split.unbind(0)
        bias = None if reduction is None else reduction.attention_bias(block, tokens)
        mask = _mask(bias, tokens, query.dtype)
        weights = None
        if wanted is not None:
            asked = num_tokens if wanted == "all" else tokens.num_cls
            weights = _weights(query[:, :, :asked], key, None if mask is None else mask[:, :, :asked])
        rate = self.attention_dropout if self.training else 0.0
        out = None if reduction is None else reduction.attend(block, tokens, query, key, value)
        if out is None and weights is not None and wanted == "all":
            out = nn.functional.dropout(weights, rate) @ value
        elif out is None:
            out = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        mixed = self.dropout(self.proj(out.transpose(1, 2).reshape(rows, num_tokens, channels)))
        return mixed, Attended(keys=key, weights=weights)


def _mask(bias: Float[Tensor, "rows queries tokens"] | None, tokens: Tokens, dtype: torch.dtype) -> Tensor | None:
    """What is added to the logits, (rows, 1, queries, tokens), or which pairs may attend; None for nothing."""
    added = None if bias is None else bias[:, None].to(dtype)
    if tokens.segments is None:
        return added
    together = tokens.segments[:, None, :, None] == tokens.segments[:, None, None, :]
    return together if added is None else added.masked_fill(~together, float("-inf"))


def _weights(
    query: Float[Tensor, "rows heads queries channels"],
    key: Float[Tensor, "rows heads tokens channels"],
    mask: Tensor | None,
) -> Float[Tensor, "rows heads queries tokens"]:
    """Softmax of the scaled products."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else logits + mask
    weights: Tensor = logits.softmax(-1)
    return weights


def _narrowed(attended: Attended, asked: AttentionRows | None, num_cls: int) -> Attended:
    """Only the rows that were asked for: what a caller wants to see besides must not change what a reduction does."""
    if asked == "all" or attended.weights is None:
        return attended
    return Attended(keys=attended.keys, weights=None if asked is None else attended.weights[:, :, :num_cls])


class Block(nn.Module):
    """Attention and MLP, each on normalised input and added to what came in.

    Args:
        channels: Width of the tokens.
        num_heads: Heads of the attention.
        mlp_ratio: Width of the MLP's middle over the width of the tokens.
        qkv_bias: See `Attention`.
        dropout: Share of values dropped after the attention and in the MLP, in training.
        attention_dropout: Share of attention weights dropped in training.
        drop_path: Share of rows for which a branch is left out in training.
        norm_eps: Added to the variance in layer normalisation.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        *,
        mlp_ratio: float,
        qkv_bias: QkvBias,
        dropout: float,
        attention_dropout: float,
        drop_path: float,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=norm_eps)
        self.attention = Attention(
            channels, num_heads, qkv_bias=qkv_bias, attention_dropout=attention_dropout, dropout=dropout
        )
        self.norm2 = nn.LayerNorm(channels, eps=norm_eps)
        self.mlp = Mlp(channels, round(channels * mlp_ratio), dropout=dropout)
        self.drop_path = DropPath(drop_path)

    def forward(
        self, tokens: Tokens, block: int, reduction: TokenReduction | None, shown: AttentionRows | None
    ) -> tuple[Tokens, Float[Tensor, "rows heads queries tokens"] | None]:
        """The tokens after the block, and attention if any was computed openly.

        Args:
            tokens: The tokens before it.
            block: Its number.
            reduction: May change the tokens on the way.
            shown: Attention rows that the caller wants to see; the reduction may want others.

        Raises:
            ValueError: Rows of CLS tokens are wanted where rows do not begin with any.
        """
        asked = None if reduction is None else reduction.attention_rows(block)
        wanted: AttentionRows | None = "all" if "all" in (asked, shown) else asked or shown
        if wanted == "cls" and tokens.num_cls == 0:
            raise ValueError(
                f"block {block}: the attention of CLS tokens was asked for, but rows of tokens begin with none here; "
                'build the network with num_cls_tokens, ask for "all" rows, or ask before tokens are packed'
            )
        branch, attended = self.attention(self.norm1(tokens.values), block, tokens, reduction, wanted)
        tokens = tokens.with_values(tokens.values + self.drop_path(branch))
        if reduction is not None:
            tokens = reduction.after_attention(block, tokens, _narrowed(attended, asked, tokens.num_cls))
        tokens = tokens.with_values(tokens.values + self.drop_path(self.mlp(self.norm2(tokens.values))))
        if reduction is not None:
            tokens = reduction.after_block(block, tokens)
        return tokens, attended.weights
