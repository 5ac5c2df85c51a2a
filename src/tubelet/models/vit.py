"""A vision transformer over video: clips in, class logits out; tokens and attention maps on request."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.models.named_weights import classifier
from tubelet.models.positions import Grid, resized_positions, sincos_positions
from tubelet.models.token_reduction import FIRST_CLS, PADDING, AttentionRows, TokenReduction, Tokens
from tubelet.models.vit_layers import Block, QkvBias, TubeletEmbedding
from tubelet.video.transform import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What a `VideoViT` makes of a batch.

    Attributes:
        tokens: After the last block, not normalised.
        pooled: What the head reads of each clip, normalised: the first CLS token, or without one the mean over all
            tokens that are not padding.
        cls: The CLS tokens of each clip, normalised; under attention within frames, their mean over the frames.
        taps: Tokens after the blocks asked for.
        attention: Attention of the blocks asked for, before dropout. Rows are clips, or the time steps of all clips.
    """

    tokens: Tokens
    pooled: Float[Tensor, "batch channels"]
    cls: Float[Tensor, "batch cls channels"]
    taps: dict[int, Tokens]
    attention: dict[int, Float[Tensor, "rows heads queries tokens"]]


class VideoViT(nn.Module):
    """Cuts clips into tubelets and lets them attend to each other.

    Args:
        num_classes: Classes.
        num_frames: Frames of a clip.
        size_px: Side of the square pictures, or (height, width).
        tubelet: Frames, rows and columns of a tubelet.
        channels: Width of the tokens.
        depth: Blocks.
        num_heads: Heads of each attention.
        mlp_ratio: Width of the MLPs' middle over the width of the tokens.
        attention: "joint" over space and time, or "frame": only tokens of one time step attend to each other, as in a
            transformer over pictures, and positions do not tell the time steps apart.
        num_cls_tokens: Extra tokens. The head reads the first one, or without any the mean over all tokens; the others
            are for whoever calls `encode`. A token's position is part of it.
        positions: "sincos" for a fixed table, "learned" for a trained one.
        qkv_bias: Bias of queries and values as in VideoMAE ("qv"), of all three as in image transformers ("all"), or
            none.
        dropout: Share of values dropped after positions, attention, in MLPs, and before the head, in training.
        attention_dropout: Share of attention weights dropped in training.
        drop_path: Share of rows for which the last block is left out in training; it rises evenly from 0.
        norm_eps: Added to the variance in layer normalisation.
        head_norm_eps: Likewise before the head; `norm_eps` if None.
        mean: Of red, green and blue on the scale 0..1 that inputs were normalised with.
        std: Likewise.

    Attributes:
        grid: Time steps, rows and columns of tokens for clips of the size built for.
        position_grid: Those that have a position each: one time step under attention within frames.
        num_features: Width of what the head reads.
        num_layers: Steps of a learning rate that decays by depth: stem, blocks, head.

    Source: VideoMAE (Tong et al. 2022, arXiv:2203.12602) and ViViT model 1 (Arnab et al. 2021, arXiv:2103.15691).
    Differs: any number of CLS tokens, attention within frames, and a `TokenReduction` as an argument of each call.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_frames: int = 16,
        size_px: int | tuple[int, int] = 224,
        tubelet: Grid = (2, 16, 16),
        channels: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        attention: Literal["joint", "frame"] = "joint",
        num_cls_tokens: int = 0,
        positions: Literal["sincos", "learned"] = "sincos",
        qkv_bias: QkvBias = "qv",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-6,
        head_norm_eps: float | None = None,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        _require_counts(num_classes=num_classes, num_frames=num_frames, channels=channels, depth=depth)
        if num_cls_tokens < 0:
            raise ValueError(f"num_cls_tokens is {num_cls_tokens}; allowed: 0 or more")
        height, width = (size_px, size_px) if isinstance(size_px, int) else size_px
        self.num_frames, self.size_px, self.tubelet = num_frames, size_px, tubelet
        self.grid = _grid(tubelet, num_frames, height, width)
        self.attention = attention
        self.num_features, self.num_cls_tokens = channels, num_cls_tokens
        self.num_layers = depth + 2
        self.mean, self.std = mean, std
        self.patch_embed = TubeletEmbedding(channels, tubelet)
        self.cls_tokens = nn.Parameter(torch.zeros(1, num_cls_tokens, channels)) if num_cls_tokens else None
        self.position_grid = self._position_grid(self.grid)
        num_places = math.prod(self.position_grid)
        if positions == "learned":
            self.positions: Tensor = nn.Parameter(torch.zeros(1, num_places, channels))
        else:
            self.register_buffer("positions", sincos_positions(num_places, channels), persistent=False)
        self.position_dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(
                channels,
                num_heads,
                mlp_ratio=mlp_ratio,
                qkv_bias=qkv_bias,
                dropout=dropout,
                attention_dropout=attention_dropout,
                drop_path=drop_path * index / max(1, depth - 1),
                norm_eps=norm_eps,
            )
            for index in range(depth)
        )
        self.norm = nn.LayerNorm(channels, eps=norm_eps if head_norm_eps is None else head_norm_eps)
        self.head_dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)
        self.apply(_initialise)
        for parameter in (self.cls_tokens, self.positions):
            if isinstance(parameter, nn.Parameter):
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(
        self, video: Float[Tensor, "batch 3 time height width"], *, reduction: TokenReduction | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Class logits.

        Args:
            video: Clips normalised with `mean` and `std`. Other sizes than the network was built for are allowed where
                they are multiples of the tubelet; positions are interpolated.
            reduction: Removes, merges or re-weights tokens on their way.

        Raises:
            ValueError: The clips cannot be cut into tubelets.
        """
        logits: Tensor = self.head(self.head_dropout(self.features(video, reduction=reduction)))
        return logits

    def features(
        self, video: Float[Tensor, "batch 3 time height width"], *, reduction: TokenReduction | None = None
    ) -> Float[Tensor, "batch features"]:
        """What the head reads; arguments as in `forward`."""
        return self.encode(video, reduction=reduction).pooled

    def encode(
        self,
        video: Float[Tensor, "batch values time height width"],
        *,
        reduction: TokenReduction | None = None,
        taps: Collection[int] = (),
        stop_after: int | None = None,
        return_attention: Collection[int] = (),
        attention_rows: AttentionRows = "all",
    ) -> Encoded:
        """Tokens, CLS tokens and on request what happened inside.

        Args:
            video: As in `forward`; where `patch_embed` was replaced, what that takes.
            reduction: As in `forward`.
            taps: Blocks after which the tokens are wanted, counted from 0.
            stop_after: Blocks behind this one are not run, for callers who want taps alone.
            return_attention: Blocks whose attention is wanted. It is computed openly in these blocks alone.
            attention_rows: Which rows of it: "all", or "cls" for those of the CLS tokens.

        Raises:
            ValueError: The clips cannot be cut into tubelets, or there is no such block.
        """
        last = len(self.blocks) - 1 if stop_after is None else stop_after
        for asked in (*taps, *return_attention, last):
            if not 0 <= asked < len(self.blocks):
                raise ValueError(f"there is no block {asked}; allowed: 0 to {len(self.blocks) - 1}")
        tokens = self.embed(video)
        if reduction is not None:
            tokens = reduction.start(tokens)
        tapped: dict[int, Tokens] = {}
        attention: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks[: last + 1]):
            shown: AttentionRows | None = attention_rows if index in return_attention else None
            num_cls = tokens.num_cls
            tokens, weights = block(tokens, index, reduction, shown)
            if index in taps:
                tapped[index] = tokens if reduction is None else reduction.tapped(index, tokens)
            if weights is not None and index in return_attention:
                attention[index] = weights[:, :, :num_cls] if attention_rows == "cls" else weights
        pooled, cls = self._readout(tokens, len(video))
        return Encoded(tokens=tokens, pooled=pooled, cls=cls, taps=tapped, attention=attention)

    def embed(self, video: Float[Tensor, "batch values time height width"]) -> Tokens:
        """Tubelets with their positions, and CLS tokens: what enters the first block.

        Raises:
            ValueError: The clips cannot be cut into tubelets.
        """
        grid = self.grid_of(video)
        values = self.patch_embed(video)
        batch, num_places, channels = values.shape
        device = values.device
        ids = torch.arange(num_places, device=device).expand(batch, -1)
        clips = torch.arange(batch, device=device)[:, None].expand(-1, num_places)
        if self.attention == "frame":
            steps = grid[0]
            values = values.reshape(batch * steps, num_places // steps, channels)
            ids, clips = ids.reshape(batch * steps, -1), clips.reshape(batch * steps, -1)
        table = resized_positions(self.positions, self.position_grid, self._position_grid(grid))
        values = values + table.to(values.dtype)
        if self.cls_tokens is not None:
            rows, count = len(values), self.num_cls_tokens
            values = torch.cat([self.cls_tokens.to(values.dtype).expand(rows, -1, -1), values], dim=1)
            cls_ids = FIRST_CLS - torch.arange(count, device=device)
            ids = torch.cat([cls_ids.expand(rows, -1), ids], dim=1)
            clips = torch.cat([clips[:, :1].expand(-1, count), clips], dim=1)
        return Tokens(values=self.position_dropout(values), ids=ids, clips=clips, num_cls=self.num_cls_tokens)

    def grid_of(self, video: Float[Tensor, "batch values time height width"]) -> Grid:
        """Time steps, rows and columns of tokens for clips of this size.

        Raises:
            ValueError: They are not multiples of the tubelet.
        """
        time, height, width = video.shape[2:]
        return _grid(self.tubelet, time, height, width)

    def layer_of(self, parameter_name: str) -> int:
        """The depth of a parameter: 0 in the stem, 1 in the first block, `num_layers` - 1 in the head.

        Raises:
            ValueError: There is no such parameter.
        """
        found = re.match(r"blocks\.(\d+)\.", parameter_name)
        if found:
            return int(found[1]) + 1
        if parameter_name.split(".")[0] in ("patch_embed", "cls_tokens", "positions"):
            return 0
        if parameter_name.split(".")[0] in ("norm", "head"):
            return self.num_layers - 1
        raise ValueError(f"{parameter_name!r} is no parameter of this network; named_parameters() lists them")

    def replace_head(self, num_classes: int) -> None:
        """A fresh last layer for another number of classes.

        Raises:
            ValueError: There are no classes.
        """
        self.head = classifier(self.num_features, num_classes, std=0.02).to(self.head.weight)

    def _position_grid(self, grid: Grid) -> Grid:
        return grid if self.attention == "joint" else (1, *grid[1:])

    def _readout(
        self, tokens: Tokens, batch: int
    ) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, "batch cls channels"]]:
        """What the head reads and the CLS tokens, for each clip."""
        # Under joint attention a row is a clip, unless a reduction has packed rows or filled them up.
        is_plain = self.attention == "joint" and tokens.segments is None
        if self.num_cls_tokens == 0:
            mean = tokens.values.mean(1) if is_plain else _clip_mean(tokens, tokens.ids != PADDING, batch)
            pooled: Tensor = self.norm(mean)
            return pooled, pooled[:, None, :][:, :0]
        if is_plain:
            cls: Tensor = self.norm(tokens.values[:, : self.num_cls_tokens])
        else:
            wanted = [tokens.ids == FIRST_CLS - index for index in range(self.num_cls_tokens)]
            normed = tokens.with_values(self.norm(tokens.values))
            cls = torch.stack([_clip_mean(normed, chosen, batch) for chosen in wanted], dim=1)
        return cls[:, 0], cls


def _clip_mean(tokens: Tokens, chosen: Tensor, batch: int) -> Float[Tensor, "batch channels"]:
    """Mean over the chosen tokens of each clip, wherever they lie."""
    values, clips = tokens.values[chosen], tokens.clips[chosen]
    counts = torch.bincount(clips, minlength=batch)
    if bool((counts == 0).any()):
        empty = int((counts == 0).nonzero()[0])
        raise ValueError(f"no token of clip {empty} is left to read out; a reduction must keep one of every clip")
    sums = values.new_zeros(batch, values.shape[-1]).index_add(0, clips, values)
    return sums / counts[:, None].to(sums.dtype)


def _grid(tubelet: Grid, time: int, height: int, width: int) -> Grid:
    """How often a tubelet fits into a clip."""
    sizes = (time, height, width)
    if any(size < 1 or size % part for size, part in zip(sizes, tubelet, strict=True)):
        nearest = tuple(max(part, round(size / part) * part) for size, part in zip(sizes, tubelet, strict=True))
        raise ValueError(
            f"clips of {time} frames of {width}x{height} pixels cannot be cut into tubelets of {tubelet[0]} frames of "
            f"{tubelet[2]}x{tubelet[1]} pixels; the nearest size that can: {nearest[0]} frames of "
            f"{nearest[2]}x{nearest[1]} pixels"
        )
    return time // tubelet[0], height // tubelet[1], width // tubelet[2]


def _require_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}; allowed: 1 or more")


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | TubeletEmbedding):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class VitOptions(TypedDict, total=False):
    """What the builders of one size hand on to `VideoViT`."""

    num_frames: int
    size_px: int | tuple[int, int]
    tubelet: Grid
    mlp_ratio: float
    attention: Literal["joint", "frame"]
    num_cls_tokens: int
    positions: Literal["sincos", "learned"]
    qkv_bias: QkvBias
    dropout: float
    attention_dropout: float
    drop_path: float
    norm_eps: float
    head_norm_eps: float | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def vit_tiny(num_classes: int, **options: Unpack[VitOptions]) -> VideoViT:
    """12 blocks of width 192 with 3 heads; options as in `VideoViT`."""
    return VideoViT(num_classes, channels=192, num_heads=3, **options)


def vit_small(num_classes: int, **options: Unpack[VitOptions]) -> VideoViT:
    """12 blocks of width 384 with 6 heads; options as in `VideoViT`."""
    return VideoViT(num_classes, channels=384, num_heads=6, **options)


def vit_base(num_classes: int, **options: Unpack[VitOptions]) -> VideoViT:
    """12 blocks of width 768 with 12 heads; options as in `VideoViT`."""
    return VideoViT(num_classes, channels=768, num_heads=12, **options)


def vit_large(num_classes: int, **options: Unpack[VitOptions]) -> VideoViT:
    """24 blocks of width 1024 with 16 heads; options as in `VideoViT`."""
    return VideoViT(num_classes, channels=1024, num_heads=16, depth=24, **options)
