"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: one visual token is made of a square of patches, which is the group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tubelet.methods.token_pruning.hub_tower import ClipTokens, Found, FrameBatch, HubFamily
from tubelet.models.visual_connector import patch_groups


class QwenVL(HubFamily):
    """The family's tower: rotary positions, blocks with windows in Qwen2.5, features of several depths in Qwen3.

    A "frame" is a time step of the tower, which stands for two frames of the video.
    """

    title = "Qwen-VL"
    video_inputs = ("pixel_values_videos", "video_grid_thw", "second_per_grid_ts")
    has_grid_positions = True

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - as in `HubFamily`
        super().__init__(model)
        tower = model.model.visual
        self.tower, self.blocks = tower, tower.blocks
        self.width, self.num_heads = int(tower.patch_embed.embed_dim), int(tower.blocks[0].attn.num_heads)
        self.pool = int(tower.spatial_merge_size)
        self.deepstack = tuple(getattr(tower, "deepstack_visual_indexes", ()))
        self.taps = tuple(sorted({*self.deepstack, len(tower.blocks) - 1}))
        self.windowless = tuple(getattr(tower, "fullatt_block_indexes", range(len(tower.blocks))))

    def frames(self, inputs: Mapping[str, Any], pool: int) -> list[FrameBatch]:
        """As in `HubFamily`.

        Raises:
            ValueError: There is no grid, or patches are not as many as it says.
        """
        grids, pixels = inputs.get("video_grid_thw"), inputs["pixel_values_videos"]
        if grids is None:
            raise ValueError("pixel_values_videos were given without video_grid_thw; give both, as the processor does")
        sizes = grids.prod(1)
        if int(sizes.sum()) != len(pixels):
            raise ValueError(
                f"video_grid_thw is {grids.tolist()}, together {int(sizes.sum())} patches, but pixel_values_videos has "
                f"{len(pixels)}; give both as the processor made them"
            )
        parts = pixels.split(sizes.tolist())
        batches: list[FrameBatch] = []
        for rows, columns in dict.fromkeys((rows, columns) for _, rows, columns in grids.tolist()):
            clips = [clip for clip, grid in enumerate(grids.tolist()) if (grid[1], grid[2]) == (rows, columns)]
            mine = pixels if len(clips) == len(parts) else torch.cat([parts[clip] for clip in clips])
            batches.append(self._batch(mine, grids[clips, 0], (rows, columns), tuple(clips), pool))
        return batches

    def _batch(
        self, pixels: Tensor, lengths: Tensor, grid: tuple[int, int], clips: tuple[int, ...], pool: int
    ) -> FrameBatch:
        """Embeds clips of one grid, and says which patches lie where."""
        rows, columns = grid
        device, unit = pixels.device, pool * pool
        order, windows = self._windows(rows // pool, columns // pool)
        order, windows = order.to(device), None if windows is None else windows.to(device)
        # Patches come square after square; the place of a patch in the picture, row by row.
        raster = patch_groups(rows, columns, pool).to(device)
        values = self.tower.patch_embed(pixels.type(self.tower.dtype)).reshape(-1, rows * columns, self.width)
        if hasattr(self.tower, "pos_embed"):
            values = values + self._learned(raster.flatten(), rows, columns).to(values.dtype)
        values = values.unflatten(1, (-1, unit))[:, order].flatten(1, 2)
        place = raster[order].flatten()
        corners = torch.stack([place // columns, place % columns], dim=-1)
        cos, sin = self.tower.rotary_pos_emb(values, corners)
        groups = torch.empty_like(raster)
        groups[order] = torch.arange(rows * columns, device=device).reshape(-1, unit)
        return FrameBatch(
            values=values,
            grid=grid,
            lengths=lengths.to(device, torch.int64),
            clips=clips,
            groups=groups,
            group_columns=columns // pool,
            rotary=(cos, sin),
            windows=windows,
        )

    def _learned(self, place: Int64[Tensor, " grid"], rows: int, columns: int) -> Float[Tensor, "grid channels"]:
        """Learned positions, brought from their own square grid to the frame's by the mean of the four around."""
        side, table = int(self.tower.num_grid_per_side), self.tower.pos_embed
        ends: list[tuple[Tensor, Tensor, Tensor]] = []
        for number, count in ((place // columns, rows), (place % columns, columns)):
            at = number.float() * (side - 1) / max(count - 1, 1)
            low = at.floor()
            ends.append((low.long(), (low.long() + 1).clamp(max=side - 1), at - low))
        (top, bottom, down), (left, right, across) = ends
        corners = torch.stack([row * side + column for row in (top, bottom) for column in (left, right)], dim=1)
        weights = torch.stack([row * column for row in (1 - down, down) for column in (1 - across, across)], dim=1)
        positions: Tensor = (table(corners) * weights[..., None]).sum(1)
        return positions

    def _windows(self, rows: int, columns: int) -> tuple[Tensor, Tensor | None]:
        """The order of a frame's squares, and the places of each window in it; None without windows."""
        raster = torch.arange(rows * columns)
        if not hasattr(self.tower, "fullatt_block_indexes"):
            return raster, None
        side = int(self.tower.window_size // self.tower.spatial_merge_size // self.tower.patch_size)
        window = raster // columns // side * (-(-columns // side)) + raster % columns // side
        unit = int(self.tower.spatial_merge_unit)
        counts = (window.bincount() * unit).tolist()
        places = list(torch.split(torch.arange(rows * columns * unit), counts))
        return window.argsort(stable=True), nn.utils.rnn.pad_sequence(places, batch_first=True, padding_value=-1)

    def has_windows(self, block: int) -> bool:
        """As in `HubFamily`."""
        return block not in self.windowless

    def dense(self, block: int, frames: FrameBatch, values: Tensor) -> Tensor:
        """As in `HubFamily`."""
        num_frames, places = values.shape[:2]
        counts = torch.tensor([places])
        if frames.windows is not None and self.has_windows(block):
            counts = (frames.windows >= 0).sum(1).cpu()
        edges = nn.functional.pad(counts.repeat(num_frames).cumsum(0), (1, 0)).to(values.device, torch.int32)
        if frames.rotary is None:
            raise ValueError("frames of this family come with rotary positions")
        turns = tuple(table.repeat(num_frames, 1) for table in frames.rotary)
        out: Tensor = self.blocks[block](values.flatten(0, 1), cu_seqlens=edges, position_embeddings=turns)
        return out.reshape(values.shape)

    def parts(self, block: int) -> tuple[nn.Module, nn.Module, nn.Module]:
        """As in `HubFamily`."""
        layer = self.blocks[block]
        return layer.norm1, layer.norm2, layer.mlp

    def heads(self, block: int, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As in `HubFamily`."""
        three = self.blocks[block].attn.qkv(normed).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = (part.transpose(1, 2) for part in three.unbind(2))
        return query, key, value

    def joined(self, block: int, attended: Tensor) -> Tensor:
        """As in `HubFamily`."""
        out: Tensor = self.blocks[block].attn.proj(attended.transpose(1, 2).flatten(2))
        return out

    def visual(self, frames: FrameBatch, taps: Mapping[int, Found], keep: Tensor) -> list[ClipTokens]:
        """As in `HubFamily`."""
        frame, group = keep.nonzero(as_tuple=True)
        squares = frames.groups[group]
        at = frame[:, None].expand_as(squares)

        def merged(merger: nn.Module, block: int) -> Tensor:
            out: Tensor = merger(taps[block].at(at, squares).flatten(0, 1))
            return out

        features = merged(self.tower.merger, len(self.blocks) - 1)
        deep = [
            merged(merger, block)
            for merger, block in zip(getattr(self.tower, "deepstack_merger_list", ()), self.deepstack, strict=True)
        ]
        kept = torch.split(keep, frames.lengths.tolist())
        counts = [int(part.sum()) for part in kept]
        deep_parts = [torch.split(part, counts) for part in deep]
        return [
            ClipTokens(features=of_clip, kept=kept[clip].flatten(), deepstack=tuple(part[clip] for part in deep_parts))
            for clip, of_clip in enumerate(torch.split(features, counts))
        ]

    def positions(self, inputs: Mapping[str, Any], mask: Tensor) -> Tensor | None:
        """As in `HubFamily`; by the model's own rule."""
        ids, config = inputs["input_ids"], self.model.config
        kinds = inputs.get("mm_token_type_ids")
        if kinds is None:
            kinds = (ids == config.image_token_id).int() + 2 * (ids == config.video_token_id).int()
        given = {name: inputs.get(name) for name in ("image_grid_thw", "video_grid_thw")}
        if inputs.get("second_per_grid_ts") is not None:
            given["second_per_grid_ts"] = inputs["second_per_grid_ts"]
        found: Tensor = self.model.model.get_rope_index(ids, mm_token_type_ids=kinds, attention_mask=mask, **given)[0]
        return found
