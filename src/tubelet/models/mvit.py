"""MViT-B 16x4 and MViTv2-S 16x4: transformers whose attention pools its tokens, with torchvision's parameter names."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.models.convolution import channels_innermost
from tubelet.models.layers import DropPath
from tubelet.models.named_weights import classifier, load_named_weights

Grid = tuple[int, int, int]
"""Tokens along time, height and width."""

_STAGE_DEPTHS = (1, 2, 11, 2)
_WIDTH = 96  # of the first stage; each later one is twice as wide, with twice the heads of as many channels
_KEY_STRIDES = (8, 4, 2, 1)
_INIT_STD = 0.02


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6)


class _Pool(nn.Module):
    """A depthwise convolution over the tokens' grid, one filter per channel of a head, shared by all heads."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.Conv3d(channels, channels, 3, (1, stride, stride), 1, groups=channels, bias=False)
        self.norm_act = nn.Sequential(_norm(channels))


def _pooled(
    tokens: Float[Tensor, "batch tokens width"], pools: Sequence[_Pool], grid: Grid, num_heads: int
) -> tuple[list[Float[Tensor, "batch new_tokens heads channels"]], Grid]:
    """Pool tokens that lie side by side in the last axis, the first ones by the first pool, and so on.

    The class token, which comes first, is not pooled. Tokens lie in memory as a video with channels innermost does,
    so no copy brings them into the order that the convolution wants.
    """
    batch, _, width = tokens.shape
    filters = torch.cat([pool.pool.weight.repeat(num_heads, 1, 1, 1, 1) for pool in pools])
    volume = tokens[:, 1:].reshape(batch, *grid, width).permute(0, 4, 1, 2, 3)
    stride = pools[0].pool.stride
    out = nn.functional.conv3d(volume, filters, stride=stride, padding=1, groups=width)
    time, height, columns = out.shape[2:]
    flat = out.permute(0, 2, 3, 4, 1).reshape(batch, -1, width)
    joined = torch.cat([tokens[:, :1], flat], dim=1).reshape(batch, flat.shape[1] + 1, len(pools), num_heads, -1)
    return [pool.norm_act(joined[:, :, index]) for index, pool in enumerate(pools)], (time, height, columns)


def _steps_apart(num_queries: int, num_keys: int, device: torch.device) -> Tensor:
    """Row of the table of relative positions for each query and key along one axis."""
    queries = torch.arange(num_queries, device=device)[:, None] * max(num_keys // num_queries, 1)
    keys = torch.arange(num_keys, device=device)[None, :] * max(num_queries // num_keys, 1)
    return queries - keys + keys.max()


class _Attention(nn.Module):
    """Attention between pooled queries and pooled keys and values."""

    rel_pos_h: nn.Parameter | None
    rel_pos_w: nn.Parameter | None
    rel_pos_t: nn.Parameter | None

    def __init__(self, shape: _BlockShape, in_width: int, width: int, grid: Grid, *, is_second: bool) -> None:
        super().__init__()
        self.num_heads = shape.num_heads
        self.width = width
        channels = width // shape.num_heads
        self.qkv = nn.Linear(in_width, 3 * width)
        self.project = nn.Sequential(nn.Linear(width, width))
        # The first version pools queries only where their number shrinks.
        self.pool_q = _Pool(channels, shape.query_stride) if is_second or shape.query_stride > 1 else None
        self.pool_k = _Pool(channels, shape.key_stride)
        self.pool_v = _Pool(channels, shape.key_stride)
        self.has_query_residual = is_second
        if is_second:
            space = 2 * (grid[1] // min(shape.query_stride, shape.key_stride)) - 1
            self.rel_pos_h = nn.Parameter(torch.zeros(space, channels))
            self.rel_pos_w = nn.Parameter(torch.zeros(space, channels))
            self.rel_pos_t = nn.Parameter(torch.zeros(2 * grid[0] - 1, channels))
        else:
            self.rel_pos_h = self.rel_pos_w = self.rel_pos_t = None

    def forward(
        self, x: Float[Tensor, "batch tokens in_width"], grid: Grid, *, class_token_only: bool = False
    ) -> Float[Tensor, "batch new_tokens width"]:
        """Attend; with `class_token_only` the class token alone asks, and is all that comes back."""
        qkv = self.qkv(x)
        (k, v), key_grid = _pooled(qkv[..., self.width :], (self.pool_k, self.pool_v), grid, self.num_heads)
        queries = qkv[..., : self.width]
        if class_token_only or self.pool_q is None:
            queries = queries[:, :1] if class_token_only else queries
            q = queries.view(*queries.shape[:2], self.num_heads, -1)
            if self.pool_q is not None:
                q = self.pool_q.norm_act(q)
        else:
            (q,), grid = _pooled(queries, (self.pool_q,), grid, self.num_heads)
        if self.rel_pos_h is None or class_token_only:
            out = nn.functional.scaled_dot_product_attention(
                q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
            ).transpose(1, 2)
        else:
            out = self._with_positions(q, k, v, grid, key_grid)
        if self.has_query_residual and not class_token_only:
            pooled_plus_query = out + q
            pooled_plus_query[:, :1] = out[:, :1]  # the class token goes without
            out = pooled_plus_query
        projected: Tensor = self.project(out.flatten(2))
        return projected

    def _with_positions(
        self,
        q: Float[Tensor, "batch queries heads channels"],
        k: Float[Tensor, "batch keys heads channels"],
        v: Float[Tensor, "batch keys heads channels"],
        query_grid: Grid,
        key_grid: Grid,
    ) -> Float[Tensor, "batch queries heads channels"]:
        """Attention with q·r added for the position r of each key relative to its query.

        r is a sum over the three axes, so the bias of a query is a sum of three numbers that only the key's time, row
        and column choose. They are put behind the query's channels, and behind the key's channels stands a 1 for its
        time, row and column: the product of the longer vectors is product plus bias. So the bias is never written out
        (it would be a number for each query and key), and the fused kernel can be used.
        """
        channels = q.shape[-1]
        biases = self._biases(q[:, 1:], query_grid, key_grid)
        marks = _key_marks(key_grid, biases.dtype, q.device)
        extra = -(-biases.shape[-1] // 8) * 8  # a multiple of 8: what fused kernels on GPUs take without a copy
        spare = extra - biases.shape[-1]
        # The class token has no position: its row of biases, and its marks, are 0.
        biases = nn.functional.pad(biases * math.sqrt(channels), (0, spare, 0, 0, 1, 0))
        marks = nn.functional.pad(marks, (0, spare, 1, 0))[:, None].expand(*k.shape[:3], extra)
        out = nn.functional.scaled_dot_product_attention(
            torch.cat([q, biases], dim=-1).transpose(1, 2),
            torch.cat([k, marks], dim=-1).transpose(1, 2),
            nn.functional.pad(v, (0, extra)).transpose(1, 2),
            scale=1 / math.sqrt(channels),
        )
        return out.transpose(1, 2)[..., :channels]

    def _biases(
        self, q: Float[Tensor, "batch queries heads channels"], query_grid: Grid, key_grid: Grid
    ) -> Float[Tensor, "batch queries heads places"]:
        """q·r for each time, row and column that a key can have."""
        batch, num_queries, heads, channels = q.shape
        time, height, width = query_grid
        tables = []
        for table, queries, keys in zip(
            (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w), query_grid, key_grid, strict=True
        ):
            if table is None:
                raise TypeError("this attention has no relative positions")
            tables.append(table[_steps_apart(queries, keys, q.device)].transpose(1, 2))
        by_time = q.reshape(batch, time, -1, channels) @ tables[0]
        by_row = q.reshape(batch, time, height, -1, channels) @ tables[1]
        columns = q.reshape(batch, time, height, width, heads, channels).transpose(2, 3)
        by_column = columns.reshape(batch, time, width, -1, channels) @ tables[2]
        by_column = by_column.reshape(batch, time, width, height, heads, -1).transpose(2, 3)
        parts = [part.reshape(batch, num_queries, heads, -1) for part in (by_time, by_row, by_column)]
        return torch.cat(parts, dim=-1)


def _key_marks(grid: Grid, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "keys places"]:
    """For each key a 1 at its time, at its row and at its column."""
    axes = []
    for axis, size in enumerate(grid):
        shape = [1, 1, 1, size]
        shape[axis] = size
        axes.append(torch.eye(size, dtype=dtype, device=device).view(shape).expand(*grid, size))
    return torch.cat(axes, dim=-1).flatten(0, 2)


@dataclass(frozen=True, kw_only=True)
class _BlockShape:
    num_heads: int
    in_width: int
    out_width: int
    query_stride: int
    key_stride: int


def _shapes(*, is_second: bool) -> list[_BlockShape]:
    """The blocks of a network. The first version widens at the end of a stage, the second at the start of the next."""
    stages = [stage for stage, depth in enumerate(_STAGE_DEPTHS) for _ in range(depth)]
    shapes = []
    for index, stage in enumerate(stages):
        before, after = stages[max(index - 1, 0)], stages[min(index + 1, len(stages) - 1)]
        shapes.append(
            _BlockShape(
                num_heads=2**stage,
                in_width=_WIDTH * 2 ** (before if is_second else stage),
                out_width=_WIDTH * 2 ** (stage if is_second else after),
                query_stride=2 if stage > before else 1,
                key_stride=_KEY_STRIDES[stage],
            )
        )
    return shapes


class _Block(nn.Module):
    def __init__(self, shape: _BlockShape, grid: Grid, drop_path: float, *, is_second: bool) -> None:
        super().__init__()
        width = shape.out_width if is_second else shape.in_width
        self.norm1 = _norm(shape.in_width)
        self.norm2 = _norm(width)
        self.attn = _Attention(shape, shape.in_width, width, grid, is_second=is_second)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Identity(), nn.Linear(4 * width, shape.out_width)
        )
        self.project = nn.Linear(shape.in_width, shape.out_width) if shape.in_width != shape.out_width else None
        self.widens_first = is_second
        self.query_stride = shape.query_stride
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], grid: Grid, *, class_token_only: bool = False
    ) -> tuple[Float[Tensor, "batch new_tokens new_width"], Grid]:
        normed = self.norm1(x)
        attended = self.attn(normed, grid, class_token_only=class_token_only)
        if self.project is not None and self.widens_first:
            x = self.project(normed)
        if class_token_only:
            x = x[:, :1]
        elif self.query_stride > 1:
            x, grid = self._shrunk(x, grid)
        x = x + self.drop_path(attended)
        normed = self.norm2(x)
        if self.project is not None and not self.widens_first:
            x = self.project(normed)
        out: Tensor = x + self.drop_path(self.mlp(normed))
        return out, grid

    def _shrunk(self, x: Float[Tensor, "batch tokens width"], grid: Grid) -> tuple[Tensor, Grid]:
        """The shortcut with as many tokens as the pooled queries: the largest value among the neighbours of each."""
        stride = self.query_stride
        frames = x[:, 1:].reshape(x.shape[0] * grid[0], *grid[1:], -1).permute(0, 3, 1, 2)
        pooled = nn.functional.max_pool2d(frames, stride + 1, stride, (stride + 1) // 2)
        height, width = pooled.shape[2:]
        tokens = pooled.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[-1])
        return torch.cat([x[:, :1], tokens], dim=1), (grid[0], height, width)


class _Positions(nn.Module):
    """Puts the class token in front and, in the first version, adds learned positions."""

    def __init__(self, width: int, grid: Grid, *, is_second: bool) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(width))
        self.spatial_pos = None if is_second else nn.Parameter(torch.zeros(grid[1] * grid[2], width))
        self.temporal_pos = None if is_second else nn.Parameter(torch.zeros(grid[0], width))
        self.class_pos = None if is_second else nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens_and_class width"]:
        token: Tensor = self.class_token
        if self.spatial_pos is not None and self.temporal_pos is not None and self.class_pos is not None:
            x = x + (self.temporal_pos[:, None] + self.spatial_pos[None]).flatten(0, 1)
            token = token + self.class_pos
        return torch.cat([token.expand(x.shape[0], 1, -1).to(x.dtype), x], dim=1)


class MViT(nn.Module):
    """A multiscale transformer over clips of one length and size.

    Args:
        num_classes: Classes.
        version: 1 (MViT) or 2 (MViTv2).
        num_frames: Frames of a clip: a multiple of 2.
        size_px: Their height and width: a multiple of 32.
        dropout: Share of features dropped before the classifier in training.
        drop_path: Share of clips whose last block is left out in training; earlier blocks in proportion.

    Attributes:
        num_features: Width before the classifier.
        num_layers: Groups of `layer_of`: stem, 16 blocks, and the last norm with the classifier.
        mean: Mean of each colour, of values in 0 to 1, that the published weights expect to be taken off.
        std: What they expect to be divided by.

    Raises:
        ValueError: A version or a size that the network cannot have, or fewer than one class.

    Source: Fan et al. 2021, arXiv:2104.11227 (version 1); Li et al. 2022, arXiv:2112.01526 (version 2); parameter
        names and shapes of torchvision's `mvit_v1_b` and `mvit_v2_s`.
    Differs: attention is fused, relative positions included (see `_Attention._with_positions`); tokens keep their
        channels innermost through the pooling; without gradients the last block computes the class token only, which is
        all that is read of it. Equal up to rounding. Filters of the pools are read and not called as modules, so hooks
        on them see nothing.
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def __init__(
        self,
        num_classes: int = 400,
        *,
        version: int = 2,
        num_frames: int = 16,
        size_px: int = 224,
        dropout: float = 0.5,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        if version not in {1, 2}:
            raise ValueError(f"version is {version}; there are 1 (MViT) and 2 (MViTv2)")
        if num_frames < 2 or num_frames % 2 or size_px < 32 or size_px % 32:
            raise ValueError(
                f"clips of {num_frames} frames of {size_px} pixels do not fit; the number of frames must be a multiple "
                "of 2 and the size a multiple of 32"
            )
        is_second = version == 2
        self.num_frames = num_frames
        self.size_px = size_px
        self.conv_proj = nn.Conv3d(3, _WIDTH, (3, 7, 7), (2, 4, 4), (1, 3, 3))
        self._grid = grid = (num_frames // 2, size_px // 4, size_px // 4)
        self.pos_encoding = _Positions(_WIDTH, grid, is_second=is_second)
        self.blocks = nn.ModuleList()
        shapes = _shapes(is_second=is_second)
        for index, shape in enumerate(shapes):
            self.blocks.append(_Block(shape, grid, drop_path * index / (len(shapes) - 1), is_second=is_second))
            grid = (grid[0], grid[1] // shape.query_stride, grid[2] // shape.query_stride)
        self.num_features = shapes[-1].out_width
        self.norm = _norm(self.num_features)
        self.head = nn.Sequential(nn.Dropout(dropout), classifier(self.num_features, num_classes, _INIT_STD))
        self.num_layers = 2 + len(shapes)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if "pos_encoding." in name or ".rel_pos_" in name:
                nn.init.trunc_normal_(parameter, std=_INIT_STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=_INIT_STD)
                nn.init.zeros_(module.bias)

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch features"]:
        """What the classifier sees: the class token after the last norm.

        Raises:
            ValueError: Clips of another length or size than the network was made for.
        """
        wanted = (self.num_frames, self.size_px, self.size_px)
        if tuple(video.shape[2:]) != wanted:
            raise ValueError(
                f"clips have {' x '.join(map(str, video.shape[2:]))} frames, rows and columns; this network was made "
                f"for {' x '.join(map(str, wanted))}: sample them so, or make it with num_frames and size_px"
            )
        x = self.conv_proj(channels_innermost(video)).flatten(2).transpose(1, 2)
        x = self.pos_encoding(x)
        grid = self._grid
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            # With gradients every parameter takes part: processes that train together wait for all of them.
            x, grid = block(x, grid, class_token_only=index == last and not torch.is_grad_enabled())
        token: Tensor = self.norm(x[:, 0])
        return token

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of normalised clips."""
        logits: Tensor = self.head(self.features(video))
        return logits

    def replace_head(self, num_classes: int) -> None:
        """Put a fresh classifier of `num_classes` classes in place of the present one."""
        old: nn.Linear = self.head[1]  # type: ignore[assignment]
        self.head[1] = classifier(self.num_features, num_classes, _INIT_STD).to(old.weight)

    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter: 0 in the stem, `num_layers - 1` in the last norm and the classifier.

        Args:
            parameter_name: As in `named_parameters`.

        Raises:
            ValueError: The network has no such part.
        """
        part, *rest = parameter_name.split(".")
        if part in {"conv_proj", "pos_encoding"}:
            return 0
        if part in {"norm", "head"}:
            return self.num_layers - 1
        if part == "blocks" and rest and rest[0].isdigit() and int(rest[0]) < len(self.blocks):
            return 1 + int(rest[0])
        raise ValueError(f"{parameter_name!r} is no parameter of {type(self).__name__}")


def mvit_b_16x4(
    num_classes: int = 400, *, num_frames: int = 16, size_px: int = 224, dropout: float = 0.5, drop_path: float = 0.2
) -> MViT:
    """MViT-B 16x4: 16 frames of 224 x 224 pixels, published for every 4th frame at 30 frames/s."""
    return MViT(num_classes, version=1, num_frames=num_frames, size_px=size_px, dropout=dropout, drop_path=drop_path)


def mvit_v2_s(
    num_classes: int = 400, *, num_frames: int = 16, size_px: int = 224, dropout: float = 0.5, drop_path: float = 0.2
) -> MViT:
    """MViTv2-S 16x4: 16 frames of 224 x 224 pixels, published for every 4th frame at 30 frames/s."""
    return MViT(num_classes, version=2, num_frames=num_frames, size_px=size_px, dropout=dropout, drop_path=drop_path)


def load_mvit_weights(
    model: MViT, path_or_state: str | os.PathLike[str] | Mapping[str, torch.Tensor], *, new_head: bool = False
) -> None:
    """Load torchvision's `mvit_v1_b` or `mvit_v2_s` weights, or our own.

    Args:
        model: The network of the same version, length and size.
        path_or_state: A `.pth` or `.safetensors` file, or its tensors.
        new_head: Keep the model's own classifier, whatever the checkpoint's classes.

    Raises:
        WeightsError: They do not fit; the message names what.
    """
    load_named_weights(model, path_or_state, head=("head.1.weight", "head.1.bias"), new_head=new_head)
