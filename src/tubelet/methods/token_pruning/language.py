"""A video-language model with visual tokens removed in its transformer, its language model, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tubelet.methods.token_pruning.pruning import (
    GROUP_METHODS,
    GroupPruning,
    PruningConfig,
    RemembersPruning,
    scorer_for,
)
from tubelet.methods.token_pruning.stats import stats_of
from tubelet.models.language_decoder import PROMPT, VISUAL, DecoderState, LanguageDecoder, LayerReduction
from tubelet.models.prompt_layout import PositionIds
from tubelet.models.token_merging import TokenMerging
from tubelet.models.video_language import ReadOptions, VideoLanguageModel, VideoLanguageOutput


class AttentionDropping(LayerReduction):
    """After a layer of the language model the visual tokens that the last token of the prompt attends to least go.

    Args:
        remove: Share of each clip's visual tokens that goes.
        after_layer: Counted from 0.

    Source: FastV (Chen et al. 2024, arXiv:2403.06764), which drops after the second layer.
    """

    def __init__(self, remove: float, *, after_layer: int = 1) -> None:
        self.remove, self.after_layer = remove, after_layer

    def wants_attention(self, layer: int) -> bool:
        """Of the layer after which tokens go."""
        return layer == self.after_layer and self.remove > 0

    def kept(self, layer: int, state: DecoderState) -> Bool[Tensor, "batch tokens"] | None:
        """All but the visual tokens that are attended to least."""
        if layer != self.after_layer or state.weights is None:
            return None
        is_visual = state.kinds == VISUAL
        last = torch.where(state.kinds == PROMPT, state.positions, -1).argmax(1)
        received = state.weights.mean(1)[torch.arange(len(last), device=last.device), last]
        counts = (self.remove * is_visual.sum(1) + 1e-9).floor().to(torch.int64)
        order = received.masked_fill(~is_visual, float("inf")).argsort(dim=1, stable=True)
        rank = order.argsort(dim=1)
        return rank >= counts[:, None]


class Reading(TypedDict, total=False):
    """How frames are told apart: `timestamps_s` and `position`, as in `ReadOptions`."""

    timestamps_s: Sequence[float] | None
    position: PositionIds


class PrunedReading(Reading, total=False):
    """How clips are read and pruned; the same for training, scoring and generating.

    Attributes:
        remove: Instead of the share that the model was made with.
        draw: Number of the random draw, for methods that draw.
        prunable: Clips of which groups may go; all if None.
    """

    remove: float | None
    draw: int
    prunable: Bool[Tensor, " clips"] | None


class PrunedVideoLanguage(RemembersPruning):
    """A video-language model, with tokens removed on the way.

    Args:
        model: Used as it is; its weights are shared, not copied.
        config: What is removed and how.

    Attributes:
        scorer: For the method "stts"; its parameters are this module's own.

    Raises:
        ValueError: The transformer is too shallow, or groups are not the model's visual tokens.
    """

    def __init__(self, model: VideoLanguageModel, config: PruningConfig) -> None:
        super().__init__(config)
        if config.method in GROUP_METHODS and config.pool != model.pool:
            raise ValueError(
                f"pool is {config.pool}, but a visual token of this model stands for {model.pool}x{model.pool} "
                f"patches; give pool={model.pool}"
            )
        layers = len(model.decoder.layers) if isinstance(model.decoder, LanguageDecoder) else 0
        if config.method == "fastv" and layers < 2:
            raise ValueError("method 'fastv' drops tokens between layers; it needs a LanguageDecoder of two or more")
        self.model = model
        self.scorer = scorer_for(model.vit, config, model.taps)

    def forward(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        text_ids: Sequence[Sequence[int]],
        answer_ids: Sequence[Sequence[int]] | None = None,
        **reading: Unpack[PrunedReading],
    ) -> VideoLanguageOutput:
        """As `VideoLanguageModel.forward`; `notes` hold `keep`, `scores`, `stats`, with gradients on `aux_loss` too."""
        options = self.options(frames, clip_lengths, **reading)
        output: VideoLanguageOutput = self.model(frames, clip_lengths, text_ids, answer_ids, **options)
        reduction = options.get("reduction")
        if isinstance(reduction, GroupPruning):
            num_blocks = max(self.model.taps) + 1
            output.notes["stats"] = stats_of(output.notes, reduction, self.model.vit, num_blocks=num_blocks)
        if self.scorer is not None and "aux_loss" not in output.notes and torch.is_grad_enabled():
            # Nothing was scored. Processes that share a training must all have gradients of all parameters.
            output.notes["aux_loss"] = 0.0 * sum(parameter.sum() for parameter in self.scorer.parameters())
        return output

    def answer_scores(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        text_ids: Sequence[Sequence[int]],
        choice_ids: Sequence[Sequence[Sequence[int]]],
        **reading: Unpack[PrunedReading],
    ) -> list[Float[Tensor, " _"]]:
        """As `VideoLanguageModel.answer_scores`."""
        options = self.options(frames, clip_lengths, **reading)
        return self.model.answer_scores(frames, clip_lengths, text_ids, choice_ids, **options)

    def generate(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        text_ids: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        end_id: int,
        **reading: Unpack[PrunedReading],
    ) -> list[list[int]]:
        """As `VideoLanguageModel.generate`."""
        options = self.options(frames, clip_lengths, **reading)
        return self.model.generate(frames, clip_lengths, text_ids, max_tokens=max_tokens, end_id=end_id, **options)

    def options(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        *,
        remove: float | None = None,
        draw: int = 0,
        prunable: Bool[Tensor, " clips"] | None = None,
        **reading: Unpack[Reading],
    ) -> ReadOptions:
        """What makes the model remove tokens from these clips; see `PrunedReading`."""
        options = cast("ReadOptions", dict(reading))
        share, method = self.config.remove if remove is None else remove, self.config.method
        if method == "fastv":
            # After the second layer as published, but behind the last one nothing would be saved.
            depth = len(self.model.decoder.layers) if isinstance(self.model.decoder, LanguageDecoder) else 0
            options["layer_reduction"] = AttentionDropping(share, after_layer=min(1, depth - 2))
        elif method == "tome":
            options["reduction"] = TokenMerging(1 - share, len(self.model.vit.blocks))
        elif method in GROUP_METHODS and len(frames):
            grid = self.model.vit.grid_of(frames.transpose(0, 1)[None])
            options["reduction"] = GroupPruning(
                self.config, grid, clip_lengths, scorer=self.scorer, prunable=prunable, remove=share, draw=draw
            )
        return options
