"""Removing groups of patches on their way through a video transformer: score, bias, select, pack."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.methods.token_pruning.groups import group_of_patch, sums_over_groups
from tubelet.methods.token_pruning.packing import Backend, attend, pack
from tubelet.methods.token_pruning.scorer import GroupScorer, novelty, temporal_loss
from tubelet.methods.token_pruning.selection import clip_starts, score_bias, select
from tubelet.methods.token_pruning.untrained import changed_from_reference, window_novelty
from tubelet.models.positions import Grid
from tubelet.models.token_reduction import Attended, AttentionRows, TokenReduction, Tokens
from tubelet.models.visual_connector import patch_groups
from tubelet.models.vit import VideoViT

Method = Literal[
    "dense",
    "stts",
    "random",
    "prev_sim",
    "ref_sim",
    "attention",
    "window",
    "uniform_frames",
    "random_frames",
    "tome",
    "fastv",
]
METHODS: tuple[Method, ...] = get_args(Method)
FRAME_METHODS = ("uniform_frames", "random_frames")
GROUP_METHODS = tuple(method for method in METHODS if method not in ("dense", "tome", "fastv"))
"""Those that keep or remove groups of patches."""


@dataclass(frozen=True, kw_only=True)
class PruningConfig:
    """What is removed, where and how.

    Attributes:
        method: "dense" removes nothing. Groups are scored by a trained network ("stts"), at random ("random"), by how
            much they differ from the frame before ("prev_sim"), from a running reference frame ("ref_sim") or within
            windows of four frames ("window"), or by how much attention they get in the block before they may go
            ("attention"). "uniform_frames" and "random_frames" drop whole frames before the first block. "tome" merges
            tokens in every block of the transformer, "fastv" drops visual tokens in the language model: the fields
            below `remove` do not matter to these two.
        remove: Share of the groups that goes, from 0 to below 1.
        after_block: Groups are scored after this block, counted from 0, and leave after the next.
        pool: Side of a group in patches.
        bias: Whether scores weigh the keys of the block in between: "on", "detached" (without teaching the scorer by
            it), or "off".
        bias_norm: Whether scores are spread over the whole frame or, as in the released code, over each row.
        aux_weight: Of the temporal loss.
        detach_target: Whether the temporal loss leaves the transformer alone; the released code lets it move it.
        prune_from_frame: Frames before this one stay whole, and clips that are no longer than it.
        where: "both", or the vision transformer ("vit") or the language model ("llm") alone.
        backend: Attention over frames of different lengths; see `packing`.
        refill: See `packing.pack`.
        hidden: Width of the scorer's middle; None for twice the patches'.
        seed: Of random choices.

    Source: STTS (arXiv:2603.18004) and its code, for the defaults.
    """

    method: Method = "stts"
    remove: float = 0.5
    after_block: int = 3
    pool: int = 3
    bias: Literal["on", "detached", "off"] = "on"
    bias_norm: Literal["frame", "row"] = "frame"
    aux_weight: float = 0.5
    detach_target: bool = True
    prune_from_frame: int = 0
    where: Literal["both", "vit", "llm"] = "both"
    backend: Backend = "auto"
    refill: bool = False
    hidden: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; allowed: {', '.join(METHODS)}")
        if not 0 <= self.remove < 1:
            raise ValueError(f"remove is {self.remove:g}; allowed: at least 0 and less than 1")
        if self.after_block < 0:
            raise ValueError(f"after_block is {self.after_block}; allowed: 0 or more")
        if self.prune_from_frame < 0:
            raise ValueError(f"prune_from_frame is {self.prune_from_frame}; allowed: 0 or more")
        if self.where != "both" and self.method in FRAME_METHODS:
            raise ValueError(f"where is {self.where!r} with method {self.method!r}, which drops frames everywhere")


def check_depth(config: PruningConfig, depth: int, taps: tuple[int, ...] = ()) -> None:
    """See that there are blocks to prune between and after.

    Args:
        config: Of the pruning.
        depth: Blocks of the transformer.
        taps: Blocks whose output is read besides; the last should lie behind the pruning.

    Raises:
        ValueError: There is no such block, or every tap lies before the pruning.
    """
    if config.method in FRAME_METHODS or config.method not in GROUP_METHODS:
        return
    if config.after_block + 1 >= depth:
        raise ValueError(
            f"after_block is {config.after_block}: groups would leave after block {config.after_block + 1} of {depth}, "
            f"counted from 0; allowed: 0 to {depth - 2}"
        )
    if taps and max(taps) <= config.after_block + 1 and config.where != "llm":
        raise ValueError(
            f"the taps {list(taps)} are all read before groups leave after block {config.after_block + 1}, so pruning "
            "would save nothing in the transformer; tap a later block or lower after_block"
        )


def scorer_for(vit: VideoViT, config: PruningConfig, taps: tuple[int, ...] = ()) -> GroupScorer | None:
    """A scorer of the transformer's width and heads; None for methods that need none.

    Args:
        vit: The transformer.
        config: Of the pruning.
        taps: See `check_depth`.

    Raises:
        ValueError: See `check_depth`.
    """
    check_depth(config, len(vit.blocks), taps)
    if config.method != "stts":
        return None
    attention: Any = vit.blocks[0].attention
    return GroupScorer(vit.num_features, num_heads=attention.num_heads, hidden=config.hidden)


class RemembersPruning(nn.Module):
    """A module whose weights say how they were pruned: loading them elsewhere works, and warns.

    Args:
        config: Of the pruning.
    """

    def __init__(self, config: PruningConfig) -> None:
        super().__init__()
        self.config = config

    def get_extra_state(self) -> Float[Tensor, " 2"]:
        """Share that goes, and the block after which groups are scored."""
        return torch.tensor([self.config.remove, float(self.config.after_block)], dtype=torch.float64)

    def set_extra_state(self, state: Float[Tensor, " 2"]) -> None:
        """Compares."""
        remove, after_block = float(state[0]), int(state[1])
        if (remove, after_block) != (self.config.remove, self.config.after_block):
            warnings.warn(
                f"these weights were trained with remove={remove:g} and after_block={after_block}; this model has "
                f"remove={self.config.remove:g} and after_block={self.config.after_block}",
                stacklevel=2,
            )


class GroupPruning(TokenReduction):
    """One forward pass of pruning; what it found is in the tokens' notes.

    Notes: `keep`, which groups stay (frames, groups); `scores`, where groups were scored (frames, groups); `aux_loss`,
    where a scorer is there and gradients are on; `keep_all`, where the language model gets all groups all the same.

    Args:
        config: What is removed and how.
        grid: Time steps, rows and columns of patches of the clips as the transformer gets them.
        lengths: Time steps of each clip.
        scorer: For the method "stts".
        prunable: Clips of which groups may go; all if None.
        remove: Instead of the config's share.
        draw: Number of the random draw.

    Raises:
        ValueError: The groups do not fit the grid, or a scorer is missing.
    """

    def __init__(
        self,
        config: PruningConfig,
        grid: Grid,
        lengths: Int64[Tensor, " clips"],
        *,
        scorer: GroupScorer | None = None,
        prunable: Bool[Tensor, " clips"] | None = None,
        remove: float | None = None,
        draw: int = 0,
    ) -> None:
        if (scorer is None) == (config.method == "stts"):
            raise ValueError(f"method {config.method!r} {'needs a' if scorer is None else 'takes no'} scorer")
        self.config, self.scorer, self.lengths = config, scorer, lengths
        self.remove = config.remove if remove is None else remove
        self.draw = draw
        self.num_patches = grid[1] * grid[2]
        self.groups = patch_groups(grid[1], grid[2], config.pool).to(lengths.device)
        self.group_columns = -(-grid[2] // config.pool)
        self.of_patch = group_of_patch(self.groups)
        num_frames = int(lengths.sum())
        self.starts = clip_starts(lengths, num_frames)
        short = lengths <= max(1, config.prune_from_frame)
        self.prunable = ~short if prunable is None else prunable & ~short
        self.is_idle = self.remove == 0 or not bool(self.prunable.any())
        self.in_prunable = self.prunable.repeat_interleave(lengths)

    def start(self, tokens: Tokens) -> Tokens:
        """Drops frames, where that is the method."""
        if self.config.method not in FRAME_METHODS or self.is_idle:
            return tokens
        keep = self._frames()[:, None].expand(-1, len(self.groups))
        tokens.notes["keep"] = keep
        return self._without(tokens, keep)

    def attention_rows(self, block: int) -> AttentionRows | None:
        """All rows of the block whose attention is the score."""
        is_asked = self.config.method == "attention" and block == self.config.after_block + 1 and not self.is_idle
        return "all" if is_asked else None

    def attention_bias(self, block: int, tokens: Tokens) -> Float[Tensor, "rows 1 tokens"] | None:
        """The scores as weights of the keys, in the block between scoring and leaving."""
        config = self.config
        if block != config.after_block + 1 or self.scorer is None or config.bias == "off" or self.is_idle:
            return None
        scores: Tensor = tokens.notes["scores"]
        if config.bias == "detached":
            scores = scores.detach()
        row_width = self.group_columns if config.bias_norm == "row" else None
        bias = score_bias(scores, self.starts | ~self.in_prunable, row_width=row_width)[:, self.of_patch]
        bias = bias.reshape(len(tokens.values), -1)
        return nn.functional.pad(bias, (tokens.num_cls, 0))[:, None].to(tokens.values.dtype)

    def attend(self, block: int, tokens: Tokens, query: Tensor, key: Tensor, value: Tensor) -> Tensor | None:
        """Attention within frames, once they are packed."""
        del block
        return attend(tokens, query, key, value)

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        """Scores by attention, where that is the method."""
        if block == self.config.after_block + 1 and attended.weights is not None and not self.is_idle:
            received = attended.weights.mean(1).sum(1)[:, tokens.num_cls :]
            per_group = sums_over_groups(received.reshape(-1, self.num_patches), self.groups)
            tokens.notes["scores"] = per_group / (self.groups >= 0).sum(1)
        return tokens

    def after_block(self, block: int, tokens: Tokens) -> Tokens:
        """Scores after one block, removes after the next."""
        config = self.config
        if config.method in FRAME_METHODS:
            return tokens
        if block == config.after_block and config.method != "attention":
            self._score(tokens)
        if block != config.after_block + 1 or self.is_idle:
            return tokens
        keep = select(
            tokens.notes["scores"],
            self.lengths,
            self.remove,
            prunable=self.prunable,
            prune_from_frame=config.prune_from_frame,
        )
        tokens.notes["keep"] = keep
        if config.where == "llm":
            return tokens
        if config.where == "vit":
            tokens.notes["keep_all"] = True
        return self._without(tokens, keep)

    def _patches(self, tokens: Tokens) -> Float[Tensor, "frames grid channels"]:
        return tokens.values[:, tokens.num_cls :].reshape(-1, self.num_patches, tokens.values.shape[-1])

    def _score(self, tokens: Tokens) -> None:
        """Leaves scores, and the temporal loss where a scorer is there, in the notes."""
        if self.scorer is None and self.is_idle:
            return
        patches = self._patches(tokens)
        if self.scorer is not None:
            scores = self.scorer(patches, self.groups, self.starts)
            if torch.is_grad_enabled():  # nobody learns from it otherwise, and comparing frames costs time
                target = novelty(patches.detach() if self.config.detach_target else patches, self.groups, self.starts)
                tokens.notes["aux_loss"] = temporal_loss(scores, target, self.in_prunable & ~self.starts)
        else:
            with torch.no_grad():
                scores = self._untrained_scores(patches)
        tokens.notes["scores"] = scores

    def _untrained_scores(self, patches: Float[Tensor, "frames grid channels"]) -> Float[Tensor, "frames groups"]:
        if self.config.method == "prev_sim":
            return novelty(patches, self.groups, self.starts)
        if self.config.method == "ref_sim":
            return changed_from_reference(patches, self.groups, self.lengths, self.remove)
        if self.config.method == "window":
            return window_novelty(patches, self.groups, self.lengths)
        return self._drawn((len(patches), len(self.groups)), patches.device)

    def _drawn(self, shape: tuple[int, int], device: torch.device) -> Float[Tensor, "frames groups"]:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.draw)
        return torch.rand(shape, generator=generator).to(device)

    def _frames(self) -> Bool[Tensor, " frames"]:
        """Which frames stay: never fewer than the budget, so a clip may keep up to a frame more than other methods."""
        keep = torch.ones(len(self.starts), dtype=torch.bool, device=self.starts.device)
        drawn = self._drawn((len(keep), 1), keep.device)[:, 0]
        at = 0
        for length, may in zip(self.lengths.tolist(), self.prunable.tolist(), strict=True):
            if may:
                count = max(1, math.ceil((1 - self.remove) * length - 1e-9))
                if self.config.method == "uniform_frames":
                    stay = torch.linspace(0, length - 1, count).round().long() if count > 1 else torch.zeros(1).long()
                else:
                    stay = drawn[at : at + length].argsort(stable=True)[:count]
                keep[at : at + length] = False
                keep[at + stay] = True
            at += length
        return keep

    def _without(self, tokens: Tokens, keep: Bool[Tensor, "frames groups"]) -> Tokens:
        """The tokens of the groups that stay."""
        rows = len(tokens.values)
        patches = keep[:, self.of_patch].reshape(rows, -1)
        wanted = torch.cat([patches.new_ones(rows, tokens.num_cls), patches], dim=1)
        if rows == len(keep):  # attention within frames
            if self.config.method in FRAME_METHODS:
                stay = keep[:, 0]
                return replace(tokens, values=tokens.values[stay], ids=tokens.ids[stay], clips=tokens.clips[stay])
            return pack(tokens, wanted, backend=self.config.backend, refill=self.config.refill)
        counts = wanted.sum(1)
        if bool((counts == counts[0]).all()):  # as it is where all clips are pruned alike: nothing to fill up
            columns = wanted.nonzero()[:, 1].reshape(rows, -1)
            return tokens.gathered(columns)
        return tokens.compacted(wanted)
