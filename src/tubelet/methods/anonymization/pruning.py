"""Which tubelets stay: by the contrast of two CLS tokens' attention, inside of a video transformer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tubelet.models.positions import Grid
from tubelet.models.token_reduction import FUSED, Attended, AttentionRows, TokenReduction, Tokens

Temporal = Literal["none", "ema", "tube"]
Mixing = Literal["all", "place"]

LEAST_PRIVACY_WEIGHT, GREATEST_PRIVACY_WEIGHT = 0.0, 4.0
_EMA_WEIGHT = 0.5


@dataclass(frozen=True, kw_only=True)
class PruningConfig:
    """Where and how much is removed.

    Attributes:
        blocks: Numbers of the blocks that prune, from 0.
        keep_rate: Share of the tokens that each of these keeps; used where `keep` is None.
        keep: Share of all tubelets that is left in the end; the blocks take even steps down to it.
        privacy_weight: Of the privacy token's attention; 0 looks at the action alone.
        temporal: "none" ranks every tubelet by itself; "ema" smooths scores along time; "tube" removes a place of the
            picture at all time steps or at none.
        fuse: Whether what is removed goes on as one token, weighted by the action's attention.
        isolate_cls: Whether the two CLS tokens may not attend to each other.
        mixing: "all" lets every token attend to every other, as published. "place" lets a tubelet attend only to those
            of the same place of the picture at other times, so that what it shows stays where it is: only the CLS
            tokens gather it, their attention says where it is, and no other token carries it when it is removed.

    Source: arXiv:2603.26336; the fused token is that of EViT (arXiv:2202.07800).
    Differs: `keep`, `temporal`, `isolate_cls` and `mixing` are this toolkit's; left alone they change nothing.
    """

    blocks: tuple[int, ...] = (2, 5, 8)
    keep_rate: float = 0.9
    keep: float | None = None
    privacy_weight: float = 0.5
    temporal: Temporal = "none"
    fuse: bool = True
    isolate_cls: bool = False
    mixing: Mixing = "all"

    def __post_init__(self) -> None:
        if list(self.blocks) != sorted(set(self.blocks)) or any(block < 0 for block in self.blocks):
            raise ValueError(f"blocks are {self.blocks}; allowed: numbers of blocks from 0, rising, each once")
        for name in ("keep_rate", "keep"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} is {value:g}; allowed: above 0, to 1")
        if not LEAST_PRIVACY_WEIGHT <= self.privacy_weight <= GREATEST_PRIVACY_WEIGHT:
            raise ValueError(
                f"privacy_weight is {self.privacy_weight:g}; allowed: {LEAST_PRIVACY_WEIGHT:g} to "
                f"{GREATEST_PRIVACY_WEIGHT:g}"
            )

    @property
    def final_keep(self) -> float:
        """Share of the tubelets that is left in the end, before rounding up."""
        return self.keep if self.keep is not None else self.keep_rate ** len(self.blocks)


def attention_shares(
    weights: Float[Tensor, "clips heads 2 tokens"], num_cls: int
) -> tuple[Float[Tensor, "clips places"], Float[Tensor, "clips places"]]:
    """How the action token and the privacy token spread their attention over what is not CLS, each summing to 1."""
    shares = weights.float().mean(1)[:, :, num_cls:]
    shares = shares / shares.sum(-1, keepdim=True)
    return shares[:, 0], shares[:, 1]


class ContrastPruning(TokenReduction):
    """Keeps the tubelets that the action token looks at more than the privacy token does.

    After the attention of each pruning block, before its MLP: s_i = a_i - privacy_weight * p_i, and the highest stay,
    in their old order; ties go to the lower place.

    Args:
        grid: Time steps, rows and columns of tubelets of the clips that will come.
        config: Where and how much.
        depth: Blocks of the network, to see that those that prune are there.

    Raises:
        ValueError: A block is not there, or the last of them would be left without a tubelet.

    Source: arXiv:2603.26336, its figure and code.
    Differs: attention before dropout, so that the ranking has no noise in training; kept tokens in their old order,
        which the network cannot tell; with `keep` or "tube" the fused token is fused again instead of being ranked, so
        that exactly the asked number of places is left.
    """

    def __init__(self, grid: Grid, config: PruningConfig, *, depth: int) -> None:
        missing = [block for block in config.blocks if block >= depth]
        if missing:
            raise ValueError(f"block {missing[0]} is to prune, and the network has blocks 0 to {depth - 1}")
        self.grid, self.config = grid, config
        self._num_places = math.prod(grid)

    def attention_rows(self, block: int) -> AttentionRows | None:
        """The rows of the CLS tokens, where a block prunes."""
        return "cls" if block in self.config.blocks else None

    def attention_bias(self, block: int, tokens: Tokens) -> Float[Tensor, "rows queries tokens"] | None:
        """What keeps tokens from each other, where asked for."""
        del block
        config = self.config
        if not config.isolate_cls and config.mixing == "all":
            return None
        rows, width = tokens.ids.shape
        may = torch.ones(rows, width, width, dtype=torch.bool, device=tokens.ids.device)
        if config.mixing == "place":
            # Tubelets by their place; a fused token is at none, and sees itself alone.
            places = (tokens.ids % (self.grid[1] * self.grid[2])).where(tokens.ids >= 0, tokens.ids)
            may = (places[:, :, None] == places[:, None, :]) & (tokens.ids >= 0)[:, :, None]
            may |= torch.eye(width, dtype=torch.bool, device=may.device)
            may[:, : tokens.num_cls] = True
        if config.isolate_cls:
            may[:, 0, 1] = may[:, 1, 0] = False
        return torch.zeros(may.shape, device=may.device).masked_fill(~may, -math.inf)

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        """Ranks, removes, fuses."""
        if block not in self.config.blocks:
            return tokens
        if attended.weights is None or tokens.num_cls != 2:
            raise ValueError(f"block {block}: two CLS tokens and their attention are needed, got {tokens.num_cls}")
        action, privacy = attention_shares(attended.weights, tokens.num_cls)
        scores = (action - self.config.privacy_weight * privacy).detach()
        # The last ranking is what a mask and a picture of the scores are made from.
        noted = replace(tokens, notes={**tokens.notes, "scores": scores, "scored_ids": tokens.ids[:, tokens.num_cls :]})
        kept = self._kept(noted, scores, block)
        return removed(noted, kept, action if self.config.fuse else None)

    def _kept(self, tokens: Tokens, scores: Float[Tensor, "rows places"], block: int) -> Bool[Tensor, "rows places"]:
        ids = tokens.ids[:, tokens.num_cls :]
        temporal, stage = self.config.temporal, self.config.blocks.index(block)
        if temporal == "ema":
            scores = smoothed(scores, ids, self.grid)
        if temporal == "tube":
            steps, cells = self.grid[0], self.grid[1] * self.grid[2]
            by_place = scattered(scores, ids, self._num_places).view(len(ids), steps, cells)
            count = self._count(cells, int((ids[0] >= 0).sum()) // steps, stage)
            chosen = top(by_place.nanmean(1).nan_to_num(-math.inf), count)
            return chosen.gather(1, (ids % cells).clamp(min=0)) & (ids >= 0)
        if self.config.keep is None:
            return top(scores, self._count(self._num_places, ids.shape[1], stage))
        ranked = scores.masked_fill(ids == FUSED, -math.inf)
        return top(ranked, self._count(self._num_places, int((ids[0] >= 0).sum()), stage))

    def _count(self, whole: int, present: int, stage: int) -> int:
        """How many stay of those present."""
        config = self.config
        if config.keep is None:
            return math.ceil(config.keep_rate * present - 1e-9)
        share = float(config.keep ** ((stage + 1) / len(config.blocks)))
        return min(present, math.ceil(share * whole - 1e-9))


def top(scores: Float[Tensor, "rows places"], count: int) -> Bool[Tensor, "rows places"]:
    """The highest of each row; of equal ones the first."""
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, order, value=True)


def scattered(
    scores: Float[Tensor, "rows tokens"], ids: Int64[Tensor, "rows tokens"], num_places: int
) -> Float[Tensor, "rows places"]:
    """Scores at the places that their tokens came from; NaN where a place has none."""
    grid = scores.new_full((len(scores), num_places + 1), math.nan)
    where = ids.where(ids >= 0, torch.full_like(ids, num_places))  # what is of no place goes to a column of its own
    return grid.scatter(1, where, scores)[:, :num_places]


def smoothed(
    scores: Float[Tensor, "rows tokens"], ids: Int64[Tensor, "rows tokens"], grid: Grid
) -> Float[Tensor, "rows tokens"]:
    """Scores averaged with those of the same place one step before, as far back as there are tokens."""
    steps, cells = grid[0], grid[1] * grid[2]
    by_place = scattered(scores, ids, steps * cells).view(len(ids), steps, cells).unbind(1)
    rows = [by_place[0]]
    for now in by_place[1:]:
        before = rows[-1].where(~rows[-1].isnan(), now)
        rows.append(_EMA_WEIGHT * now + (1 - _EMA_WEIGHT) * before)
    table = torch.stack(rows, dim=1).flatten(1)
    return torch.where(ids >= 0, table.gather(1, ids.clamp(min=0)), scores)


def removed(tokens: Tokens, kept: Bool[Tensor, "rows places"], weights: Float[Tensor, "rows places"] | None) -> Tokens:
    """The tokens without those that are not kept, which go on as one token sum_i weights_i z_i where weights are given.

    Args:
        tokens: CLS tokens first.
        kept: Of the others; equally many in every row.
        weights: Of the others.
    """
    num_cls, rows = tokens.num_cls, len(tokens.ids)
    count = int(kept[0].sum())
    if count == kept.shape[1]:
        return tokens
    order = torch.argsort((~kept).to(torch.uint8), dim=1, stable=True)
    leading = torch.arange(num_cls, device=order.device).expand(rows, -1)
    shorter = tokens.gathered(torch.cat([leading, order[:, :count] + num_cls], dim=1))
    if weights is None:
        return shorter
    lost = weights.masked_fill(kept, 0.0).to(tokens.values.dtype)
    fused = torch.einsum("rp,rpc->rc", lost, tokens.values[:, num_cls:])
    return shorter.appended(fused[:, None])


def kept_places(tokens: Tokens, num_clips: int, grid: Grid) -> Bool[Tensor, "clips steps rows columns"]:
    """Which tubelets are still there."""
    _, kept = tokens.on_grid(num_clips, math.prod(grid))
    return kept.view(num_clips, *grid)


def flops(
    config: PruningConfig, *, num_places: int, channels: int, depth: int, mlp_ratio: float, patch_values: int
) -> float:
    """Floating point operations of a forward pass on one clip (a multiplication and an addition are two).

    Args:
        config: Where and how much is removed.
        num_places: Tubelets.
        channels: Width of the tokens.
        depth: Blocks.
        mlp_ratio: Width of the MLPs' middle over that of the tokens.
        patch_values: Numbers in a tubelet.
    """
    total = 2.0 * num_places * patch_values * channels
    places, extra = num_places, 0
    for block in range(depth):
        tokens = places + extra + 2
        total += 2 * tokens * channels * 4 * channels + 4 * tokens**2 * channels
        if block in config.blocks:
            places, extra = _left(config, num_places, places, extra, config.blocks.index(block))
            tokens = places + extra + 2
        total += 2 * tokens * channels * 2 * mlp_ratio * channels
    return total


def _left(config: PruningConfig, whole: int, places: int, extra: int, stage: int) -> tuple[int, int]:
    """Tubelets and fused tokens after a pruning block, at most."""
    if config.keep is not None:
        left = min(places, math.ceil(config.keep ** ((stage + 1) / len(config.blocks)) * whole - 1e-9))
        return left, int(config.fuse and (left < places or extra > 0))
    before = places + extra
    left = math.ceil(config.keep_rate * before - 1e-9)
    return (places, extra) if left == before else (left, int(config.fuse))
