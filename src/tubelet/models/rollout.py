"""Where a video transformer looked: attention followed back from the readout to the grid of tubelets."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.models.token_reduction import Attended, AttentionRows, TokenReduction, Tokens
from tubelet.models.vit import VideoViT


class _HeadMeans(TokenReduction):
    """Keeps the mean over heads of every block's attention: the whole maps of all heads would not fit."""

    def attention_rows(self, block: int) -> AttentionRows:
        """All of them, in every block."""
        del block
        return "all"

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        """Notes the mean."""
        if attended.weights is not None:
            tokens.notes[f"attention {block}"] = attended.weights.mean(1)
        return tokens


@torch.no_grad()
def attention_rollout(
    model: VideoViT, video: Float[Tensor, "batch 3 time height width"], *, residual_share: float = 0.5
) -> Float[Tensor, "batch steps rows columns"]:
    """How much of what the head reads comes from each tubelet, if attention were all that moved information.

    Args:
        model: In eval mode, so that nothing is dropped.
        video: Normalised clips.
        residual_share: How much of a token passes a block by the residual path, 0 to 1.

    Returns:
        Non-negative, sums to 1 over the grid of each clip; the share of the CLS tokens themselves is left out.

    Raises:
        ValueError: The clips cannot be cut into tubelets, or the share lies outside 0 to 1.

    Source: Abnar and Zuidema 2020 (arXiv:2005.00928), attention rollout, with the mean over heads.
    Differs: only the row of the readout is followed, from the last block back to the first, which gives the same row
        for far less work.
    """
    if not 0 <= residual_share <= 1:
        raise ValueError(f"residual_share is {residual_share:g}; allowed: 0 to 1")
    steps, rows, columns = model.grid_of(video)
    tokens = model.encode(video, reduction=_HeadMeans()).tokens
    num_rows, num_tokens = tokens.ids.shape
    relevance = tokens.values.new_zeros(num_rows, 1, num_tokens)
    if tokens.num_cls:
        relevance[:, :, 0] = 1
    else:
        relevance[:] = 1 / num_tokens
    for block in reversed(range(len(model.blocks))):
        attention = tokens.notes[f"attention {block}"].to(relevance.dtype)
        relevance = (1 - residual_share) * relevance @ attention + residual_share * relevance
    places = relevance[:, 0, tokens.num_cls :].reshape(len(video), -1)
    return (places / places.sum(1, keepdim=True)).reshape(-1, steps, rows, columns)
