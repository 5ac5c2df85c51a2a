"""The vision transformers of published video-language models, block by block, with groups of patches removed between.

A block is run by its own `forward` as long as nothing weighs its keys and nothing is gone. From then on its parts are
called one by one, so that keys can be weighed and packed tokens attend within their frame, or within what is left of
their window. No part of the model is replaced or patched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.methods.token_pruning.groups import group_of_patch
from tubelet.methods.token_pruning.packing import Packing, attend_packed, flat_packing, pack, packing_of
from tubelet.methods.token_pruning.pruning import FRAME_METHODS, GroupPruning, PruningConfig
from tubelet.methods.token_pruning.scorer import GroupScorer
from tubelet.models.token_reduction import FIRST_CLS, PADDING, Attended, Tokens

_WINDOWS = "window_packing"
_FRAMES_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class FrameBatch:
    """Frames of clips that have the same grid, as they come into the first block.

    Attributes:
        values: CLS tokens, if any, then the patches in the tower's own order, the same in every frame.
        grid: Rows and columns of patches.
        lengths: Frames of each clip, one clip after the other.
        clips: Number of each clip among all of the call.
        groups: The patches of each group, groups row by row; -1 where a group has fewer. Every patch is in one group.
        group_columns: Groups of a row.
        needs: Which patches the visual token of a group is made of, where those are more than the group's own.
        num_cls: CLS tokens of each frame.
        rotary: Cosines and sines that turn queries and keys at each place of a frame; None where positions are added.
        windows: Places that attend to each other in blocks with windows; -1 where a window has fewer.
    """

    values: Float[Tensor, "frames places channels"]
    grid: tuple[int, int]
    lengths: Int64[Tensor, " clips"]
    clips: tuple[int, ...]
    groups: Int64[Tensor, "groups patches"]
    group_columns: int
    needs: Bool[Tensor, "groups grid"] | None = None
    num_cls: int = 0
    rotary: tuple[Float[Tensor, "grid size"], Float[Tensor, "grid size"]] | None = None
    windows: Int64[Tensor, "windows widest"] | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """Tokens after a block, to be found by frame and place.

    Attributes:
        values: Of all tokens.
        rows: Number in `values` of each place of each frame, CLS tokens first; -1 where the token is gone.
    """

    values: Float[Tensor, "tokens channels"]
    rows: Int64[Tensor, "frames places"]

    def at(self, frame: Int64[Tensor, "*shape"], place: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape channels"]:
        """Hidden states at places, zeros where nothing is."""
        rows = self.rows[frame, place]
        if not len(self.values):
            return self.values.new_zeros(*rows.shape, self.values.shape[-1])
        found = self.values[rows.clamp(min=0)]
        return found if bool((rows >= 0).all()) else found * (rows >= 0)[..., None]


@dataclass(frozen=True, kw_only=True)
class ClipTokens:
    """What the language model reads of a clip.

    Attributes:
        features: Its visual tokens.
        kept: Which of its placeholders in the prompt stay, one for each visual token.
        deepstack: Further features of each visual token, for the first layers of the language model.
    """

    features: Float[Tensor, "tokens channels"]
    kept: Bool[Tensor, " placeholders"]
    deepstack: tuple[Float[Tensor, "tokens channels"], ...] = ()


class HubFamily(ABC):
    """What differs between families of published models.

    Args:
        model: Of transformers, with its language model's head.

    Attributes:
        title: What people call the family.
        video_inputs: Names of the arguments about videos, which are used up before the language model.
        pool: Side of a group in patches, unless another was asked for; None where groups come with the inputs.
        has_grid_positions: Whether positions in the language model say where in the video a token is.
        reads_kinds: Whether the language model reads `mm_token_type_ids`.
        width: Channels of the tower.
        num_heads: Of the tower.
        blocks: Of the tower.
        taps: Blocks whose output is read, rising; -1 for what comes into the first.

    Raises:
        ValueError: The model is put together in a way that cannot be pruned.
    """

    title: str
    video_inputs: tuple[str, ...]
    pool: int | None = None
    has_grid_positions = False
    reads_kinds = False

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers has no types for what is called here
        self.model = model
        self.width: int
        self.num_heads: int
        self.blocks: Sequence[Any]
        self.taps: tuple[int, ...]

    @property
    def video_token_id(self) -> int:
        """The token that stands for a visual token of a video in the prompt."""
        return int(self.model.config.video_token_id)

    def require_pool(self, pool: int) -> None:
        """See that groups may have this side.

        Raises:
            ValueError: They may not.
        """
        if pool != self.pool:
            raise ValueError(
                f"pool is {pool}, but a visual token of this model stands for {self.pool}x{self.pool} patches; give "
                f"pool={self.pool}"
            )

    @abstractmethod
    def frames(self, inputs: Mapping[str, Any], pool: int) -> list[FrameBatch]:
        """The videos of a call, embedded, those with the same grid together.

        Args:
            inputs: As the model's processor makes them.
            pool: Side of a group in patches.
        """

    @abstractmethod
    def dense(self, block: int, frames: FrameBatch, values: Tensor) -> Tensor:
        """A block's own forward pass over whole frames, (frames, places, channels)."""

    @abstractmethod
    def parts(self, block: int) -> tuple[nn.Module, nn.Module, nn.Module]:
        """The norm before a block's attention, the norm before its MLP, and the MLP."""

    @abstractmethod
    def heads(self, block: int, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (rows, heads, tokens, channels), not yet turned by their position."""

    @abstractmethod
    def joined(self, block: int, attended: Tensor) -> Tensor:
        """The output of the attention from what heads attended to; shape as `heads`."""

    @abstractmethod
    def visual(self, frames: FrameBatch, taps: Mapping[int, Found], keep: Tensor) -> list[ClipTokens]:
        """Visual tokens of the groups to keep, (frames, groups), of each clip."""

    def handed_over(self, clips: Sequence[ClipTokens]) -> Any:  # noqa: ANN401 - transformers has no types
        """Visual tokens in the shape that the model's own tower would give them."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        found: Any = BaseModelOutputWithPooling()
        found.pooler_output = [clip.features for clip in clips]
        if clips[0].deepstack:
            found.deepstack_features = [list(of_depth) for of_depth in zip(*(c.deepstack for c in clips), strict=True)]
        return found

    def has_windows(self, block: int) -> bool:
        """Whether attention of a block is confined to windows."""
        del block
        return False

    def positions(self, inputs: Mapping[str, Any], mask: Tensor) -> Tensor | None:
        """Positions of the whole prompt, (3, batch, tokens), where they say where in the video a token is."""
        del inputs, mask
        return None


class SeparateHeads(HubFamily):
    """Towers whose blocks have one layer each for queries, keys and values, and learned positions added before."""

    out_name = "out_proj"

    def dense(self, block: int, frames: FrameBatch, values: Tensor) -> Tensor:
        """As in `HubFamily`."""
        del frames
        out: Any = self.blocks[block](values, None)
        whole: Tensor = out if isinstance(out, Tensor) else out[0]  # older ones gave a tuple
        return whole

    def parts(self, block: int) -> tuple[nn.Module, nn.Module, nn.Module]:
        """As in `HubFamily`."""
        layer = self.blocks[block]
        return layer.layer_norm1, layer.layer_norm2, layer.mlp

    def heads(self, block: int, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As in `HubFamily`."""
        attention = self.blocks[block].self_attn
        query, key, value = (
            layer(normed).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        return query, key, value

    def joined(self, block: int, attended: Tensor) -> Tensor:
        """As in `HubFamily`."""
        out: Tensor = getattr(self.blocks[block].self_attn, self.out_name)(attended.transpose(1, 2).flatten(2))
        return out


class HubPruning(GroupPruning):
    """One pass of pruning over frames whose groups are those of a published model.

    Args:
        config: As in `GroupPruning`.
        frames: What is pruned.
        scorer: As in `GroupPruning`.
        remove: Likewise.
        draw: Likewise.
    """

    def __init__(
        self,
        config: PruningConfig,
        frames: FrameBatch,
        *,
        scorer: GroupScorer | None,
        remove: float,
        draw: int,
    ) -> None:
        # Groups are made below; those of single patches fit any grid.
        grid = (len(frames.values), *frames.grid)
        super().__init__(replace(config, pool=1), grid, frames.lengths, scorer=scorer, remove=remove, draw=draw)
        self.config = config
        self.groups, self.group_columns, self.needs = frames.groups, frames.group_columns, frames.needs
        self.of_patch = group_of_patch(frames.groups)

    def _without(self, tokens: Tokens, keep: Bool[Tensor, "frames groups"]) -> Tokens:
        """As in `GroupPruning`; a patch also stays where a group that stays needs it."""
        if self.config.method in FRAME_METHODS:
            return super()._without(tokens, keep)
        patches = keep[:, self.of_patch] if self.needs is None else keep.float() @ self.needs.float() > 0
        wanted = nn.functional.pad(patches, (tokens.num_cls, 0), value=True)
        return pack(tokens, wanted, backend=self.config.backend, refill=self.config.refill)


def run_tower(family: HubFamily, frames: FrameBatch, reduction: HubPruning) -> tuple[dict[int, Found], dict[str, Any]]:
    """The blocks up to the last whose output is read.

    Args:
        family: Of the model.
        frames: What goes into the first block.
        reduction: Of these frames.

    Returns:
        What is there after each block of `family.taps`, and the notes of `GroupPruning`.
    """
    num_frames, places = frames.values.shape[:2]
    device = frames.values.device
    ids = torch.arange(-frames.num_cls, places - frames.num_cls, device=device)
    ids = torch.where(ids < 0, FIRST_CLS - ids - frames.num_cls, ids)
    clips = torch.arange(num_frames, device=device)[:, None].expand(-1, places)
    tokens = Tokens(values=frames.values, ids=ids.expand(num_frames, -1), clips=clips, num_cls=frames.num_cls)
    found: dict[int, Found] = {}
    if -1 in family.taps:
        found[-1] = _found(tokens, num_frames, places, frames.num_cls)
    tokens = reduction.start(tokens)
    for block in range(family.taps[-1] + 1):
        bias, rows = reduction.attention_bias(block, tokens), reduction.attention_rows(block)
        if packing_of(tokens) is None and bias is None and rows is None:
            tokens = tokens.with_values(family.dense(block, frames, tokens.values))
        else:
            tokens = _opened(family, block, frames, reduction, tokens, bias, wants_weights=rows is not None)
        tokens = reduction.after_block(block, tokens)
        if block in family.taps:
            found[block] = _found(tokens, num_frames, places, frames.num_cls)
    return found, tokens.notes


def _found(tokens: Tokens, num_frames: int, places: int, num_cls: int) -> Found:
    there = tokens.ids != PADDING
    ids = tokens.ids[there]
    place = torch.where(ids >= 0, ids + num_cls, FIRST_CLS - ids)
    rows = torch.full((num_frames, places), -1, device=ids.device)
    rows[tokens.clips[there], place] = torch.arange(len(ids), device=ids.device)
    return Found(values=tokens.values[there], rows=rows)


def _opened(
    family: HubFamily,
    block: int,
    frames: FrameBatch,
    reduction: HubPruning,
    tokens: Tokens,
    bias: Tensor | None,
    *,
    wants_weights: bool,
) -> Tokens:
    """A block part by part, where its own forward pass would not do."""
    before_attention, before_mlp, mlp = family.parts(block)
    query, key, value = family.heads(block, before_attention(tokens.values))
    if frames.rotary is not None:
        cos, sin = (table[tokens.ids.clamp(min=0)][:, None] for table in frames.rotary)
        query, key = _turned(query, cos, sin), _turned(key, cos, sin)
    windows = frames.windows if family.has_windows(block) else None
    packing = packing_of(tokens)
    received = None
    if packing is not None:
        within = packing if windows is None else _window_packing(tokens, windows, packing)
        attended = attend_packed(within, query, key, value)
    else:
        attended = _attend_in_frames(query, key, value, bias, windows)
        if wants_weights:
            received = _received(query, key, windows)
    tokens = tokens.with_values(tokens.values + family.joined(block, attended))
    tokens = reduction.after_attention(block, tokens, Attended(keys=key, weights=received))
    return tokens.with_values(tokens.values + mlp(before_mlp(tokens.values)))


def _turned(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, in float32 as these towers do it; the second half of the channels pairs with the first."""
    whole = values.float()
    first, second = whole.chunk(2, dim=-1)
    return (whole * cos.float() + torch.cat([-second, first], dim=-1) * sin.float()).to(values.dtype)


def _attend_in_frames(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, windows: Tensor | None) -> Tensor:
    """Attention over whole frames or windows, with weights of the keys (frames, 1, places)."""
    if windows is None:
        mask = None if bias is None else bias[:, None]
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    num_frames, heads, places, size = query.shape
    there, at = windows >= 0, windows.clamp(min=0)
    queries, keys, values = (part[:, :, at].transpose(1, 2).flatten(0, 1) for part in (query, key, value))
    weighed = query.new_zeros(num_frames, *windows.shape) if bias is None else bias[:, 0, at]
    mask = weighed.masked_fill(~there, -torch.inf).reshape(-1, 1, 1, windows.shape[1])
    out = nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    out = out.reshape(num_frames, len(windows), heads, -1, size).transpose(1, 2).flatten(2, 3)
    slots = torch.empty(places, dtype=torch.int64, device=query.device)
    slots[windows[there]] = there.flatten().nonzero()[:, 0]
    return out[:, :, slots]


def _received(query: Tensor, key: Tensor, windows: Tensor | None) -> Float[Tensor, "frames heads 1 places"]:
    """How much attention each place gets from all of its frame, a few frames at a time: maps of all would be large."""
    apart = None
    if windows is not None:
        of_place = group_of_patch(windows)
        apart = of_place[:, None] != of_place
    sums = []
    for start in range(0, len(query), _FRAMES_AT_ONCE):
        some = slice(start, start + _FRAMES_AT_ONCE)
        logits = query[some] @ key[some].transpose(-1, -2) * query.shape[-1] ** -0.5
        if apart is not None:
            logits = logits.masked_fill(apart, -torch.inf)
        sums.append(logits.softmax(-1).sum(2, keepdim=True))
    return torch.cat(sums)


def _window_packing(tokens: Tokens, windows: Tensor, packing: Packing) -> Packing:
    """The packing by windows of tokens that are packed by frames; the windows of a frame lie one after the other."""
    found: Packing | None = tokens.notes.get(_WINDOWS)
    if found is not None:
        return found
    of_place = group_of_patch(windows)[tokens.ids.clamp(min=0)]
    segments = (tokens.clips * len(windows) + of_place).masked_fill(tokens.ids == PADDING, -1)
    if packing.mask is not None:
        mask = segments[:, None, :, None] == segments[:, None, None, :]
        found = replace(packing, mask=mask)
    else:
        counts = segments[0].bincount().tolist()
        found = flat_packing(counts, packing.backend, segments.device)
    tokens.notes[_WINDOWS] = found
    return found
