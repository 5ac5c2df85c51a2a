"""LLaVA-OneVision, whose visual tokens are means of neighbouring patches, and Video-LLaVA, where each patch is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.methods.token_pruning.groups import group_of_patch
from tubelet.methods.token_pruning.hub_tower import ClipTokens, Found, FrameBatch, SeparateHeads
from tubelet.models.visual_connector import patch_groups


class Llava(SeparateHeads):
    """What both have in common: a tower for pictures, features of chosen depths, videos of one length and size.

    Attributes:
        features: Blocks whose outputs stand side by side in a feature, in this order.
    """

    video_inputs = ("pixel_values_videos", "image_sizes_videos")
    tower_name: str
    tower_type: str

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - as in `HubFamily`
        super().__init__(model)
        config = model.config.vision_config
        if config.model_type != self.tower_type:
            raise ValueError(
                f"a {self.title} with a vision tower of model_type {config.model_type!r} cannot be pruned; allowed: "
                f"{self.tower_type!r}"
            )
        if config.attention_dropout:
            raise ValueError(
                f"the vision tower has attention_dropout {config.attention_dropout:g}, which packed tokens would not "
                "get; allowed: 0 (set it in the model's vision_config)"
            )
        tower: Any = getattr(model.model, self.tower_name)
        self.tower: Any = getattr(tower, "vision_model", tower)  # one level deeper in some releases
        self.blocks = self.tower.encoder.layers
        self.width, self.num_heads = int(config.hidden_size), int(config.num_attention_heads)
        chosen = model.config.vision_feature_layer
        depths = [chosen] if isinstance(chosen, int) else list(chosen)
        self.features = [(depth if depth >= 0 else len(self.blocks) + 1 + depth) - 1 for depth in depths]
        self.taps = tuple(sorted(set(self.features)))
        side = int(config.image_size) // int(config.patch_size)
        self.grid = (side, side)

    def embedded(self, pixels: Tensor) -> Tensor:
        """Frames as they come into the first block."""
        found: Tensor = self.tower.embeddings(pixels)
        return found

    def projected(self, taps: Mapping[int, Found], frame: Tensor, place: Tensor) -> Tensor:
        """Tokens at these places, in the language model's width."""
        found: Tensor = self.model.model.multi_modal_projector(
            torch.cat([taps[block].at(frame, place) for block in self.features], dim=-1)
        )
        return found

    def handed_over(self, clips: Sequence[ClipTokens]) -> Any:  # noqa: ANN401 - as in `HubFamily`
        """As in `HubFamily`; all clips of a call are equally long, so that as many tokens stay in each."""
        found = super().handed_over(clips)
        found.pooler_output = torch.stack(found.pooler_output)
        return found

    def _clips(self, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Frames of all clips, embedded, and how many each clip has."""
        videos = inputs["pixel_values_videos"]
        if videos.ndim != 5:
            raise ValueError(
                f"pixel_values_videos has the shape {tuple(videos.shape)}; allowed: (videos, frames, channels, height, "
                "width), as the processor makes it"
            )
        lengths = torch.full((len(videos),), videos.shape[1], device=videos.device)
        return self.embedded(videos.flatten(0, 1)), lengths


class LlavaOnevision(Llava):
    """A group is what one visual token is made of: with an odd number of rows, tokens share some patches.

    Each patch counts for the token whose middle is nearest when groups are scored, and stays as long as any token that
    stays is partly made of it, so that tokens are never made of half of their patches.
    """

    title = "LLaVA-OneVision"
    tower_name, tower_type = "vision_tower", "siglip_vision_model"
    pool = 2

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - as in `HubFamily`
        super().__init__(model)
        if model.config.vision_feature_select_strategy != "full":
            raise ValueError(
                f"vision_feature_select_strategy is {model.config.vision_feature_select_strategy!r}, but videos of "
                "LLaVA-OneVision have no CLS token to leave out; allowed: 'full'"
            )
        side = self.grid[0]
        pooled = -(-side // 2)
        nearest = (2 * torch.arange(side) + 1) * pooled // (2 * side)
        group = (nearest[:, None] * pooled + nearest).flatten()
        members = [(group == number).nonzero()[:, 0] for number in range(pooled * pooled)]
        self.groups: Tensor = nn.utils.rnn.pad_sequence(members, batch_first=True, padding_value=-1)
        # The model's own pooling, seen as weights of patches: what it gives for pictures with a single bright patch.
        self.weights: Tensor = model.model.apply_pooling(torch.eye(side * side)[None])[0]

    def frames(self, inputs: Mapping[str, Any], pool: int) -> list[FrameBatch]:
        """As in `HubFamily`."""
        del pool
        values, lengths = self._clips(inputs)
        return [
            FrameBatch(
                values=values,
                grid=self.grid,
                lengths=lengths,
                clips=tuple(range(len(lengths))),
                groups=self.groups.to(values.device),
                group_columns=-(-self.grid[1] // 2),
                needs=self.weights.to(values.device) > 0,
            )
        ]

    def visual(self, frames: FrameBatch, taps: Mapping[int, Found], keep: Tensor) -> list[ClipTokens]:
        """As in `HubFamily`; the last token of a clip is the model's own mark of its end."""
        features = self._all_pooled(taps, keep) if bool(keep.all()) else self._pooled(taps, keep)
        kept = torch.split(keep, frames.lengths.tolist())
        parts = torch.split(features, [int(of_clip.sum()) for of_clip in kept])
        end = self.model.model.image_newline[None].to(features)
        return [
            ClipTokens(features=torch.cat([part, end]), kept=nn.functional.pad(of_clip.flatten(), (0, 1), value=True))
            for part, of_clip in zip(parts, kept, strict=True)
        ]

    def _all_pooled(self, taps: Mapping[int, Found], keep: Tensor) -> Float[Tensor, "tokens channels"]:
        """By the model's own pooling."""
        places = torch.arange(self.grid[0] * self.grid[1], device=keep.device).expand(len(keep), -1)
        frame = torch.arange(len(keep), device=keep.device)[:, None].expand_as(places)
        pooled: Tensor = self.model.model.apply_pooling(self.projected(taps, frame, places))
        return pooled.flatten(0, 1)

    def _pooled(
        self, taps: Mapping[int, Found], keep: Bool[Tensor, "frames groups"]
    ) -> Float[Tensor, "tokens channels"]:
        """The same means for the groups that stay alone."""
        weights = self.weights.to(keep.device)
        frame, place = (keep.float() @ (weights > 0).float() > 0).nonzero(as_tuple=True)
        projected = self.projected(taps, frame, place)
        rows = torch.zeros(len(keep), weights.shape[1], dtype=torch.int64, device=keep.device)
        rows[frame, place] = torch.arange(len(frame), device=keep.device)
        most = int((weights > 0).sum(1).max())
        share, patch = weights.topk(most, dim=1)
        at, group = keep.nonzero(as_tuple=True)
        # Patches without a share are those of other tokens, or gone: whatever stands in row 0 counts nothing.
        members = projected[rows[at[:, None], patch[group]]]
        return (members * share[group][..., None].to(members)).sum(1)


class VideoLlava(Llava):
    """Every patch is a visual token, and so is the CLS token of a frame, which stays as long as the frame does."""

    title = "Video-LLaVA"
    tower_name, tower_type = "video_tower", "clip_vision_model"
    pool = 2

    def require_pool(self, pool: int) -> None:
        """As in `HubFamily`; groups are equally large, so that as many tokens stay in each clip."""
        side = self.grid[0]
        if pool < 1 or side % pool:
            fitting = ", ".join(str(number) for number in range(1, side + 1) if side % number == 0)
            raise ValueError(f"pool is {pool}, but frames have {side}x{side} patches; allowed: {fitting}")

    def embedded(self, pixels: Tensor) -> Tensor:
        """As in `Llava`."""
        found: Tensor = self.tower.pre_layrnorm(super().embedded(pixels))
        return found

    def frames(self, inputs: Mapping[str, Any], pool: int) -> list[FrameBatch]:
        """As in `HubFamily`."""
        values, lengths = self._clips(inputs)
        return [
            FrameBatch(
                values=values,
                grid=self.grid,
                lengths=lengths,
                clips=tuple(range(len(lengths))),
                groups=patch_groups(*self.grid, pool).to(values.device),
                group_columns=self.grid[1] // pool,
                num_cls=1,
            )
        ]

    def visual(self, frames: FrameBatch, taps: Mapping[int, Found], keep: Tensor) -> list[ClipTokens]:
        """As in `HubFamily`."""
        has_frame = taps[self.taps[-1]].rows[:, :1] >= 0
        stays = torch.cat([has_frame, keep[:, group_of_patch(frames.groups)]], dim=1)
        features = self.projected(taps, *stays.nonzero(as_tuple=True))
        kept = torch.split(stays, frames.lengths.tolist())
        parts = torch.split(features, [int(of_clip.sum()) for of_clip in kept])
        return [ClipTokens(features=part, kept=of_clip.flatten()) for part, of_clip in zip(parts, kept, strict=True)]
