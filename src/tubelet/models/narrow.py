"""Starting values for narrow transformers."""

from __future__ import annotations

import torch
from torch import nn

from tubelet.models.vit import VideoViT

WIDE = 384
"""From this width on, the usual standard deviation of 0.02 is about what a layer of that width needs."""


def narrow_std(width: int) -> float:
    """Standard deviation of the starting weights of a linear layer: 0.02, but 1/sqrt(width) in narrow networks.

    Args:
        width: Of the tokens.
    """
    return 0.02 if width >= WIDE else width**-0.5


@torch.no_grad()
def spread_weights(vit: VideoViT, *, grey: float | None = None) -> None:
    """Start a narrow network with weights of 1/sqrt(width) instead of 0.02; a wide one stays as it is.

    The usual 0.02 is for widths of image transformers; with 64 channels it leaves attention flat, and a few thousand
    steps do not get out of there.

    Args:
        vit: With its starting values.
        grey: Brightness from which the first layer is to count, for clips that are not normalised: their mean would
            drown what differs between tubelets. None where clips are normalised.
    """
    channels = vit.num_features
    if channels >= WIDE:
        return
    factor = channels**-0.5 / 0.02
    for module in vit.blocks.modules():
        if isinstance(module, nn.Linear):
            module.weight.mul_(factor)
    vit.patch_embed.weight.mul_(factor)
    if grey is not None and vit.patch_embed.bias is not None:
        vit.patch_embed.bias.copy_(-grey * vit.patch_embed.weight.flatten(1).sum(1))
    for table in (vit.cls_tokens, vit.positions):
        if isinstance(table, nn.Parameter):
            table.mul_(factor)
