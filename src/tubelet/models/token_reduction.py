"""What passes through a video transformer, and the one argument by which a method removes, merges or re-weights it.

A `VideoViT` hands its `Tokens` to a `TokenReduction` at fixed places of every block:

    start                  before the first block: drop whole frames, attach notes
    attention_bias         added to the attention logits of the block: key biases, masks, sizes of merged tokens
    attention_rows         which attention maps the block must compute openly; a fused kernel computes the rest
    attend                 the block's attention itself, for kernels of one's own
    after_attention        between the attention's residual sum and the MLP: prune by attention, append a fused token
    after_block            after the MLP: score, prune, pack
    tapped                 what a caller gets who asked for the tokens after the block

Every token carries the number of the place in the grid that it came from and the clip that it belongs to, so that
whatever happened on the way, the readout finds its clip and a mask finds its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

FUSED = -1
"""Id of a token that stands for several places."""
PADDING = -2
"""Id of a token that stands for nothing: nothing attends to it and no readout counts it."""
FIRST_CLS = -3
"""Id of the first CLS token; the k-th one has the id FIRST_CLS - k."""

AttentionRows = Literal["cls", "all"]


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The tokens of a batch at some depth of the network.

    A row is what attends to itself: a clip under joint attention, a time step of a clip under attention within frames,
    or what a reduction packed together.

    Attributes:
        values: The hidden states.
        ids: Place in the clip's grid, counted along width, then height, then time; or FUSED, PADDING, FIRST_CLS - k.
        clips: Number of the clip in the batch.
        num_cls: CLS tokens at the beginning of every row. After packing they may lie anywhere and this is 0.
        segments: Tokens of a row attend to each other where these numbers are equal; None where all of a row do.
            Padding has a number of its own.
        notes: What a reduction wants to know again in a later block of the same forward pass; never read here.
    """

    values: Float[Tensor, "rows tokens channels"]
    ids: Int64[Tensor, "rows tokens"]
    clips: Int64[Tensor, "rows tokens"]
    num_cls: int = 0
    segments: Int64[Tensor, "rows tokens"] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def with_values(self, values: Float[Tensor, "rows tokens channels"]) -> Tokens:
        """The same tokens with other hidden states."""
        return replace(self, values=values)

    def gathered(self, columns: Int64[Tensor, "rows kept"]) -> Tokens:
        """Of each row the tokens in these columns, in this order. The first `num_cls` columns must stay in place."""
        width = self.values.shape[-1]
        return replace(
            self,
            values=self.values.gather(1, columns[..., None].expand(-1, -1, width)),
            ids=self.ids.gather(1, columns),
            clips=self.clips.gather(1, columns),
            segments=None if self.segments is None else self.segments.gather(1, columns),
        )

    def appended(self, values: Float[Tensor, "rows more channels"], *, token_id: int = FUSED) -> Tokens:
        """With further tokens at the end of each row; they belong to the clip (and segment) of its first token."""
        rows, more = values.shape[:2]
        new_ids = self.ids.new_full((rows, more), token_id)
        clips = torch.cat([self.clips, self.clips[:, :1].expand(rows, more)], dim=1)
        segments = self.segments
        if segments is not None:
            segments = torch.cat([segments, segments[:, :1].expand(rows, more)], dim=1)
        values = torch.cat([self.values, values], dim=1)
        return replace(self, values=values, ids=torch.cat([self.ids, new_ids], dim=1), clips=clips, segments=segments)

    def compacted(self, keep: Bool[Tensor, "rows tokens"]) -> Tokens:
        """Only the tokens to keep, another number in every row: shorter rows are filled up with padding.

        Order is kept. CLS tokens must be among those kept.
        """
        most = max(1, int(keep.sum(1).max()))
        columns = torch.argsort((~keep).to(torch.uint8), dim=1, stable=True)[:, :most]
        kept = keep.gather(1, columns)
        shorter = self.gathered(columns)
        segments = torch.zeros_like(shorter.ids) if shorter.segments is None else shorter.segments
        return replace(
            shorter,
            values=shorter.values * kept[..., None],
            ids=shorter.ids.where(kept, torch.full_like(shorter.ids, PADDING)),
            segments=segments.where(kept, torch.full_like(segments, PADDING)),
        )

    def on_grid(
        self, num_clips: int, num_places: int
    ) -> tuple[Float[Tensor, "clips places channels"], Bool[Tensor, "clips places"]]:
        """Hidden states at the places they came from, zeros at removed ones, and which places are still there."""
        there = self.ids >= 0
        values = self.values.new_zeros(num_clips, num_places, self.values.shape[-1])
        places = (self.clips[there], self.ids[there])
        kept = torch.zeros(num_clips, num_places, dtype=torch.bool, device=self.values.device)
        kept[places] = True
        return values.index_put(places, self.values[there]), kept


@dataclass(frozen=True, kw_only=True)
class Attended:
    """What the attention of a block leaves for a reduction to look at.

    Attributes:
        keys: Of every token and head.
        weights: Attention before dropout, from the query rows asked for to all tokens; None where none was asked for.
    """

    keys: Float[Tensor, "rows heads tokens channels"]
    weights: Float[Tensor, "rows heads queries tokens"] | None


class TokenReduction:
    """A method that changes tokens on their way; this one changes nothing. Override the places that matter.

    It keeps nothing of one forward pass for the next: what later blocks need goes into `Tokens.notes`. A reduction with
    parameters is also an `nn.Module`.
    """

    def start(self, tokens: Tokens) -> Tokens:
        """Called before the first block."""
        return tokens

    def attention_rows(self, block: int) -> AttentionRows | None:
        """Which attention `after_attention` wants to see of a block.

        Returns:
            "cls" for the rows of the CLS tokens (cheap: the rest stays fused), "all" for the whole map, None for none.
        """
        del block
        return None

    def attention_bias(self, block: int, tokens: Tokens) -> Float[Tensor, "rows queries tokens"] | None:
        """Added to the attention logits of a block, the same for all heads.

        Returns:
            One query row for a bias of keys alone, a row for every token for one of pairs, None for none. Minus
            infinity masks; every query must be left a key.
        """
        del block, tokens
        return None

    def attend(
        self,
        block: int,
        tokens: Tokens,
        query: Float[Tensor, "rows heads tokens channels"],
        key: Float[Tensor, "rows heads tokens channels"],
        value: Float[Tensor, "rows heads tokens channels"],
    ) -> Float[Tensor, "rows heads tokens channels"] | None:
        """The attention of a block by a kernel of one's own (ragged, block-sparse); None for the network's.

        Bias, segments and dropout are then its own business too.
        """
        del block, tokens, query, key, value
        return None

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        """Called between the attention's residual sum and the MLP."""
        del block, attended
        return tokens

    def after_block(self, block: int, tokens: Tokens) -> Tokens:
        """Called after the MLP's residual sum."""
        del block
        return tokens

    def tapped(self, block: int, tokens: Tokens) -> Tokens:
        """The tokens after a block as a caller gets them who taps it; what goes on to the next block stays as it is."""
        del block
        return tokens
