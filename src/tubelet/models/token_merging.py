"""Merging tokens that resemble each other, block by block: needs no training, and no token is lost."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tubelet.models.token_reduction import Attended, TokenReduction, Tokens


class TokenMerging(TokenReduction):
    """In every block the most similar pairs of tokens become one, which then counts as often as it stands for places.

    Tokens of a row are dealt into two hands by turns; each of the first hand finds its most similar one in the second,
    by the keys of the attention, and the most similar of all pairs merge. CLS tokens never do. After the last block
    every place gets the token that it went into, so that means over places are what they would have been.

    Notes: `merged_into`, for each block where every token that came in is afterwards, (rows, tokens); `sizes`, for how
    many places each token stands that is left, (rows, kept), from the first block on that merged.

    Args:
        keep: Share of the tokens that is left after the last block, above 0; the same number goes in every block.
        depth: Blocks of the transformer.

    Raises:
        ValueError: The share is no share.

    Source: ToMe (Bolya et al. 2023, arXiv:2210.09461), written from the paper.
    Differs: places are given their tokens back at the end. At most half of a row can go in a block, so that very small
        shares over few blocks end above what was asked for.
    """

    def __init__(self, keep: float, depth: int) -> None:
        if not 0 < keep <= 1:
            raise ValueError(f"keep is {keep:g}; allowed: more than 0, at most 1")
        self.keep, self.depth = keep, depth

    def num_merged(self, block: int, num_tokens: int, num_cls: int, num_places: int) -> int:
        """How many tokens of a row go in a block.

        Args:
            block: Its number.
            num_tokens: Of a row as it comes in.
            num_cls: CLS tokens among them.
            num_places: Tokens that stood for places before the first block.
        """
        goal = math.ceil(num_places - (1 - self.keep) * num_places * (block + 1) / self.depth)
        free = num_tokens - num_cls
        return max(0, min(free - max(goal, 1), free // 2))

    def start(self, tokens: Tokens) -> Tokens:
        """Every token stands for one place."""
        tokens.notes["merged_into"] = {}
        tokens.notes["places"] = (tokens.ids, tokens.clips)
        return tokens

    def attention_bias(self, block: int, tokens: Tokens) -> Float[Tensor, "rows 1 tokens"] | None:
        """The logarithm of how many places each key stands for."""
        sizes = tokens.notes.get("sizes") if block else None
        return None if sizes is None else sizes.log()[:, None].to(tokens.values.dtype)

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        """Merges."""
        num_places = tokens.notes["places"][0].shape[1] - tokens.num_cls
        count = self.num_merged(block, tokens.ids.shape[1], tokens.num_cls, num_places)
        if count == 0:
            return tokens
        sizes = tokens.notes.get("sizes") if block else None
        if sizes is None:
            sizes = torch.ones_like(tokens.values[..., 0], dtype=torch.float32)
        into, stay = _matched(attended.keys.mean(1), count, tokens.num_cls)
        shorter = tokens.gathered(stay)
        weighted = tokens.values * sizes[..., None].to(tokens.values.dtype)
        width = tokens.values.shape[-1]
        sums = torch.zeros_like(shorter.values).scatter_add(1, into[..., None].expand(-1, -1, width), weighted)
        new_sizes = torch.zeros_like(sizes[:, : stay.shape[1]]).scatter_add(1, into, sizes)
        tokens.notes["sizes"] = new_sizes
        tokens.notes["merged_into"][block] = into
        return shorter.with_values(sums / new_sizes[..., None].to(sums.dtype))

    def after_block(self, block: int, tokens: Tokens) -> Tokens:
        """After the last block: gives every place its token."""
        return self.tapped(block, tokens) if block == self.depth - 1 else tokens

    def tapped(self, block: int, tokens: Tokens) -> Tokens:
        """The tokens after a block, at every place that they stand for."""
        ids, clips = tokens.notes["places"]
        if tokens.ids.shape == ids.shape:
            return tokens
        return replace(tokens.gathered(_holders(tokens, block)), ids=ids, clips=clips)


def place_sizes(tokens: Tokens) -> Float[Tensor, "rows tokens"]:
    """For how many places, itself among them, the token of each place stands after the last block.

    Args:
        tokens: As they leave a network under `TokenMerging`; CLS tokens, which stand for themselves, come first.
    """
    if "sizes" not in tokens.notes:
        return torch.ones_like(tokens.ids, dtype=torch.float32)
    sizes: Tensor = tokens.notes["sizes"]
    return sizes.gather(1, _holders(tokens, max(tokens.notes["merged_into"])))


def hand_likeness(keys: Float[Tensor, "rows tokens channels"], num_cls: int) -> Float[Tensor, "rows first second"]:
    """Cosines between the tokens of a row that are dealt by turns into two hands; CLS tokens are dealt to none."""
    metric = nn.functional.normalize(keys.float(), dim=-1)
    return metric[:, num_cls::2] @ metric[:, num_cls + 1 :: 2].transpose(-1, -2)


def _holders(tokens: Tokens, block: int) -> Int64[Tensor, "rows places"]:
    """The column, after a block, of the token that each place went into."""
    ids = tokens.notes["places"][0]
    columns = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    for at, into in sorted(tokens.notes["merged_into"].items()):
        if at <= block:
            columns = into.gather(1, columns)
    return columns


def _matched(
    keys: Float[Tensor, "rows tokens channels"], count: int, num_cls: int
) -> tuple[Int64[Tensor, "rows tokens"], Int64[Tensor, "rows kept"]]:
    """Which token each goes into, as its column among those that stay, and the columns of those that stay."""
    rows, num_tokens = keys.shape[:2]
    ours = torch.arange(num_cls, num_tokens, 2, device=keys.device)
    theirs = torch.arange(num_cls + 1, num_tokens, 2, device=keys.device)
    best, partner = hand_likeness(keys, num_cls).max(-1)
    gone = best.argsort(dim=1, descending=True, stable=True)[:, :count]
    columns = torch.arange(num_tokens, device=keys.device).expand(rows, -1).clone()
    target = columns.scatter(1, ours[gone], theirs[partner.gather(1, gone)])
    stays = torch.ones_like(columns, dtype=torch.bool).scatter(1, ours[gone], torch.zeros_like(gone, dtype=torch.bool))
    stay = stays.nonzero()[:, 1].reshape(rows, -1)
    rank = stays.to(torch.int64).cumsum(1) - 1
    return rank.gather(1, target), stay
