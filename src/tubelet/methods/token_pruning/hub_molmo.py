"""Molmo2, the model that STTS was made for: a group is what the connector pools into one visual token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tubelet.methods.token_pruning.hub_tower import ClipTokens, Found, FrameBatch, SeparateHeads


class Molmo2(SeparateHeads):
    """Groups come with the inputs, which say what each visual token is made of.

    Visual tokens attend to each other in both directions, as the model does it without pruning.
    """

    title = "Molmo2"
    video_inputs = ("pixel_values_videos", "video_token_pooling", "video_grids")
    out_name = "o_proj"
    reads_kinds = True

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - as in `HubFamily`
        super().__init__(model)
        config, self.tower = model.config.vision_config, model.model.vision_tower
        if config.num_key_value_heads != config.num_attention_heads or config.attention_dropout:
            raise ValueError(
                f"the vision tower has {config.num_key_value_heads} heads of keys for {config.num_attention_heads} of "
                f"queries and attention_dropout {config.attention_dropout:g}; allowed: as many and 0"
            )
        self.blocks = self.tower.layers
        self.width, self.num_heads = int(config.hidden_size), int(config.num_attention_heads)
        depth = len(self.blocks)
        self.features = [
            layer if layer >= 0 else depth + layer for layer in model.config.adapter_config.vision_feature_layer
        ]
        self.taps = tuple(sorted(set(self.features)))
        high, wide = config.image_size
        self.grid = (int(high) // int(config.patch_size), int(wide) // int(config.patch_size))

    def frames(self, inputs: Mapping[str, Any], pool: int) -> list[FrameBatch]:
        """As in `HubFamily`.

        Raises:
            ValueError: The three inputs of videos do not belong together, or pictures are given besides.
        """
        del pool
        if inputs.get("pixel_values") is not None:
            raise ValueError("pixel_values and pixel_values_videos were both given; Molmo2 reads one or the other")
        missing = [name for name in self.video_inputs if inputs.get(name) is None]
        if missing:
            raise ValueError(
                f"pixel_values_videos were given without {' and '.join(missing)}; give all three, as the processor does"
            )
        pixels, pooling, grids = (inputs[name] for name in self.video_inputs)
        lengths, per_frame = grids[:, 0].tolist(), (grids[:, 1] * grids[:, 2]).tolist()
        num_tokens = sum(length * tokens for length, tokens in zip(lengths, per_frame, strict=True))
        if sum(lengths) != len(pixels) or num_tokens != len(pooling):
            raise ValueError(
                f"video_grids is {grids.tolist()}, together {sum(lengths)} frames and {num_tokens} tokens, but "
                f"pixel_values_videos has {len(pixels)} frames and video_token_pooling {len(pooling)} tokens"
            )
        values = self.tower.patch_embedding(pixels.to(self.tower.dtype)) + self.tower.positional_embedding
        batches: dict[tuple[int, int], list[int]] = {}
        for clip, (_, rows, columns) in enumerate(grids.tolist()):
            batches.setdefault((rows, columns), []).append(clip)
        whole, tokens = torch.split(values, lengths), torch.split(pooling, _products(lengths, per_frame))
        first = [sum(lengths[:clip]) for clip in range(len(lengths))]
        return [
            FrameBatch(
                values=torch.cat([whole[clip] for clip in clips]),
                grid=self.grid,
                lengths=grids[clips, 0].to(values.device, torch.int64),
                clips=tuple(clips),
                groups=self._groups(tokens[clips[0]][: size[0] * size[1]], first[clips[0]]),
                group_columns=size[1],
            )
            for size, clips in batches.items()
        ]

    def _groups(self, pooling: Tensor, first_frame: int) -> Tensor:
        """The patches of each group of a frame."""
        num_patches = self.grid[0] * self.grid[1]
        groups = torch.where(pooling >= 0, pooling - first_frame * num_patches, pooling)
        if not torch.equal(groups[groups >= 0].sort()[0], torch.arange(num_patches, device=groups.device)):
            raise ValueError(
                f"video_token_pooling does not put each of the {num_patches} patches of a frame into one group; such "
                "videos cannot be pruned"
            )
        return groups

    def visual(self, frames: FrameBatch, taps: Mapping[int, Found], keep: Tensor) -> list[ClipTokens]:
        """As in `HubFamily`."""
        frame, group = keep.nonzero(as_tuple=True)
        squares = frames.groups[group]
        at = frame[:, None].expand_as(squares)
        features = torch.cat([taps[block].at(at, squares.clamp(min=0)) for block in self.features], dim=-1)
        rows = torch.arange(squares.numel(), device=squares.device).reshape(squares.shape)
        pooled: Tensor = self.model.model.multi_modal_projector(
            features, rows.masked_fill(squares < 0, -1)
        ).last_hidden_state
        kept = torch.split(keep, frames.lengths.tolist())
        parts = torch.split(pooled, [int(of_clip.sum()) for of_clip in kept])
        return [ClipTokens(features=part, kept=of_clip.flatten()) for part, of_clip in zip(parts, kept, strict=True)]


def _products(first: list[int], second: list[int]) -> list[int]:
    return [one * other for one, other in zip(first, second, strict=True)]
