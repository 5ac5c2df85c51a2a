"""How many operations a pruned model takes, and so how much faster it could be; a multiply-add counts as two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class VitSize:
    """A vision transformer whose tokens attend within frames.

    Attributes:
        num_patches: Of a frame.
        channels: Width.
        mlp_channels: Width of the MLPs' middle.
        depth: Blocks that run; those behind the last tap do not.
    """

    num_patches: int
    channels: int
    mlp_channels: int
    depth: int


@dataclass(frozen=True, kw_only=True)
class DecoderSize:
    """A language model.

    Attributes:
        channels: Width.
        num_heads, num_kv_heads, head_channels: Of the attention.
        mlp_channels: Width of the gated MLPs' middle.
        depth: Layers.
    """

    channels: int
    num_heads: int
    num_kv_heads: int
    head_channels: int
    mlp_channels: int
    depth: int


SO400M = VitSize(num_patches=729, channels=1152, mlp_channels=4304, depth=27)
"""SigLIP-2 so400m/14 at 378 px, the published model's transformer."""

QWEN3_4B = DecoderSize(channels=2560, num_heads=32, num_kv_heads=8, head_channels=128, mlp_channels=9728, depth=36)
"""The published model's language model."""


def vit_block_flops(num_tokens: float, num_attended: float, size: VitSize) -> float:
    """Of one block.

    Args:
        num_tokens: That pass through it.
        num_attended: That each of them attends to.
        size: Of the transformer.
    """
    channels = size.channels
    linear = 2 * num_tokens * (4 * channels**2 + 2 * channels * size.mlp_channels)
    return linear + 4 * num_tokens * num_attended * channels


def vit_flops(
    size: VitSize,
    *,
    num_frames: int,
    remove: float = 0.0,
    after_block: int = 3,
    attention: Literal["ragged", "masked"] = "ragged",
) -> float:
    """Of a transformer from which groups leave after the block behind `after_block`; frames keep equal shares.

    Args:
        size: Of the transformer.
        num_frames: Frames.
        remove: Share of the groups that goes.
        after_block: Counted from 0.
        attention: "ragged" where tokens attend to those kept of their frame alone, "masked" where packed rows are
            attended to whole and what is of another frame is masked.
    """
    keep, num_patches = 1 - remove, size.num_patches
    num_dense = size.depth if remove == 0 else min(size.depth, after_block + 2)
    dense = num_dense * vit_block_flops(num_patches, num_patches, size)
    attended = num_patches * (keep if attention == "ragged" else 1)
    pruned = (size.depth - num_dense) * vit_block_flops(keep * num_patches, attended, size)
    return num_frames * (dense + pruned)


def scorer_flops(channels: int, hidden: int, *, num_patches: int, num_groups: int, num_frames: int) -> float:
    """Of scoring: pooling attention and MLP."""
    keys_and_values = 2 * 2 * num_patches * channels**2
    query_and_out = 2 * 2 * num_groups * channels**2
    pooling = 4 * num_patches * channels
    mlp = 2 * num_groups * (2 * channels * hidden + hidden**2 + hidden)
    return num_frames * float(keys_and_values + query_and_out + pooling + mlp)


def decoder_flops(size: DecoderSize, *, num_tokens: float, causal: bool = True) -> float:
    """Of a language model that reads a prompt.

    Args:
        size: Of the model.
        num_tokens: Of the prompt.
        causal: Whether tokens attend only to earlier ones, which is half of all pairs.
    """
    heads, kv_heads = size.num_heads * size.head_channels, size.num_kv_heads * size.head_channels
    linear = 2 * num_tokens * (2 * size.channels * (heads + kv_heads) + 3 * size.channels * size.mlp_channels)
    attention = 4 * num_tokens**2 * heads * (0.5 if causal else 1)
    return size.depth * (linear + attention)


def published_limit(num_frames: int, remove: float, part: Literal["vit", "decoder", "whole"], *, causal: bool) -> float:
    """How many times as fast the published model could be at best: 81 visual and 2 text tokens for each frame."""

    def total(share: float) -> float:
        vit = vit_flops(SO400M, num_frames=num_frames, remove=share, attention="masked")
        decoder = decoder_flops(QWEN3_4B, num_tokens=num_frames * (81 * (1 - share) + 2), causal=causal)
        return {"vit": vit, "decoder": decoder, "whole": vit + decoder}[part]

    return total(0.0) / total(remove)
