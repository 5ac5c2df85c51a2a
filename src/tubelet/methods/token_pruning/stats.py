"""How much of a pass was removed, and what that saves by operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from tubelet.methods.token_pruning.flops import VitSize, vit_block_flops
from tubelet.methods.token_pruning.packing import Backend, Packing
from tubelet.methods.token_pruning.pruning import FRAME_METHODS, GroupPruning
from tubelet.models.vit import VideoViT


@dataclass(frozen=True, kw_only=True)
class PruningStats:
    """What was removed from a batch.

    Attributes:
        kept_per_frame: Groups that stay, of each frame; empty where nothing is removed by groups.
        num_groups: Of a frame.
        kept_share: Groups that stay, as a share of all, over clips that may be pruned; 1 where none may.
        backend: The attention over what stays; None where nothing was packed.
        num_rows: Rows of the packed layout; None where tokens are not packed in bins.
        bin_efficiency: Fewest rows that could do, over `num_rows`.
        num_refilled: Tokens that were put back into rows that had room.
        flops: Operations of the transformer's blocks, by formula; 0 where nothing is removed by groups.
        dense_flops: Of the same blocks with all tokens.
        token_bytes: Size of the tokens that go on after the removal.
    """

    kept_per_frame: tuple[int, ...] = ()
    num_groups: int = 0
    kept_share: float = 1.0
    backend: Backend | None = None
    num_rows: int | None = None
    bin_efficiency: float | None = None
    num_refilled: int = 0
    flops: float = 0.0
    dense_flops: float = 0.0
    token_bytes: int = 0


def stats_of(
    notes: Mapping[str, Any], reduction: GroupPruning, vit: VideoViT, *, num_blocks: int | None = None
) -> PruningStats:
    """What the notes of a pass say.

    Args:
        notes: Of the tokens.
        reduction: What removed them.
        vit: What they passed through.
        num_blocks: How many of its blocks run; all if None.
    """
    keep = notes.get("keep")
    num_groups = len(reduction.groups)
    if keep is None:
        return PruningStats(num_groups=num_groups)
    counted = keep[reduction.in_prunable]
    kept = keep[:, reduction.of_patch].sum(1)
    packing: Packing | None = notes.get("packing")
    num_rows = efficiency = None
    num_refilled = 0
    if packing is not None and packing.mask is not None:
        num_rows, capacity = packing.mask.shape[0], packing.mask.shape[-1]
        num_refilled = sum(packing.counts) - int(kept.sum())
        efficiency = -(-int(kept.sum()) // capacity) / num_rows
    all_patches = torch.full_like(kept, reduction.num_patches)
    is_whole = reduction.config.where == "llm"  # the transformer keeps all
    through = all_patches if is_whole else kept
    depth = len(vit.blocks) if num_blocks is None else num_blocks
    num_dense = 0 if reduction.config.method in FRAME_METHODS else min(depth, reduction.config.after_block + 2)
    weight = next(vit.parameters())
    return PruningStats(
        kept_per_frame=tuple(keep.sum(1).tolist()),
        num_groups=num_groups,
        kept_share=float(counted.float().mean()) if len(counted) else 1.0,
        backend=None if packing is None else packing.backend,
        num_rows=num_rows,
        bin_efficiency=efficiency,
        num_refilled=num_refilled,
        flops=num_dense * _block(all_patches, reduction, vit) + (depth - num_dense) * _block(through, reduction, vit),
        dense_flops=depth * _block(all_patches, reduction, vit),
        token_bytes=int(through.sum()) * vit.num_features * weight.element_size(),
    )


def _block(counts: Int64[Tensor, " frames"], reduction: GroupPruning, vit: VideoViT) -> float:
    """Operations of one block, where each frame has so many tokens; CLS tokens are left out of account."""
    if vit.attention != "frame":  # all frames of a clip attend to each other
        counts = torch.stack([part.sum() for part in torch.split(counts, reduction.lengths.tolist())])
    mlp: Any = vit.blocks[0].mlp
    size = VitSize(
        num_patches=reduction.num_patches, channels=vit.num_features, mlp_channels=mlp.fc1.out_features, depth=1
    )
    return float(sum(vit_block_flops(count, count, size) for count in counts.tolist()))
