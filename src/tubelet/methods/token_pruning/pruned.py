"""A model with a way of removing tokens: composed of the two, so that the model itself stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.pruning import (
    GROUP_METHODS,
    METHODS,
    GroupPruning,
    Method,
    PruningConfig,
    RemembersPruning,
    scorer_for,
)
from tubelet.methods.token_pruning.stats import PruningStats, stats_of
from tubelet.models.token_merging import TokenMerging
from tubelet.models.video_language import VideoLanguageModel
from tubelet.models.vit import VideoViT


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What a pruned classifier gives.

    Attributes:
        logits: Of the classes.
        aux_loss: The temporal loss, before its weight; None without a scorer.
        keep: Which groups stay; None where none was removed by groups.
        scores: Of the groups; None where there are none.
        stats: How many.
    """

    logits: Float[Tensor, "batch classes"]
    aux_loss: Tensor | None
    keep: Bool[Tensor, "frames groups"] | None
    scores: Tensor | None
    stats: PruningStats


class PrunedClassifier(RemembersPruning):
    """A video transformer that classifies, with tokens removed on the way.

    Args:
        model: Used as it is; its weights are shared, not copied.
        config: What is removed and how.

    Attributes:
        scorer: For the method "stts"; its parameters are this module's own.
    """

    def __init__(self, model: VideoViT, config: PruningConfig) -> None:
        super().__init__(config)
        if config.method == "fastv":
            raise ValueError("method 'fastv' drops tokens in a language model, which this model has none of")
        self.model = model
        self.scorer = scorer_for(model, config)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch classes"]:
        """Class logits."""
        return self.run(video).logits

    def run(
        self,
        video: Float[Tensor, "batch 3 time height width"],
        *,
        remove: float | None = None,
        draw: int = 0,
        prunable: Bool[Tensor, " batch"] | None = None,
    ) -> Pruned:
        """Logits and what was removed.

        Args:
            video: Clips, as the model takes them.
            remove: Instead of the share that this was made with.
            draw: Number of the random draw, for methods that draw.
            prunable: Clips of which groups may go; all if None.

        Raises:
            FloatingPointError: A picture or a score is no finite number.
        """
        check_finite(video)
        share = self.config.remove if remove is None else remove
        if self.config.method not in GROUP_METHODS:
            merging = TokenMerging(1 - share, len(self.model.blocks)) if self.config.method == "tome" else None
            return Pruned(
                logits=self.model(video, reduction=merging), aux_loss=None, keep=None, scores=None, stats=PruningStats()
            )
        grid = self.model.grid_of(video)
        lengths = torch.full((len(video),), grid[0], device=video.device)
        reduction = GroupPruning(
            self.config, grid, lengths, scorer=self.scorer, prunable=prunable, remove=share, draw=draw
        )
        encoded = self.model.encode(video, reduction=reduction)
        notes = encoded.tokens.notes
        return Pruned(
            logits=self.model.head(self.model.head_dropout(encoded.pooled)),
            aux_loss=notes.get("aux_loss"),
            keep=notes.get("keep"),
            scores=notes.get("scores"),
            stats=stats_of(notes, reduction, self.model),
        )


def check_finite(video: Float[Tensor, "clips 3 time height width"]) -> None:
    """See that pictures are numbers: a score that is none would sort anywhere.

    Raises:
        FloatingPointError: One is not; the message names the clip.
    """
    finite = video.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        raise FloatingPointError(f"clip {int((~finite).nonzero()[0])} has pixels that are no finite numbers")


def config_for(method: str, remove: float, **options: Any) -> PruningConfig:  # noqa: ANN401
    """The config of a method's name.

    Raises:
        ValueError: There is no such method, it takes no such options, or see `PruningConfig`.
    """
    if method in METHODS and method not in GROUP_METHODS and options:
        raise ValueError(f"method {method!r} takes no {', '.join(options)}")
    return PruningConfig(method=cast("Method", method), remove=remove, **options)


def wrap(model: nn.Module, method: str = "stts", remove: float = 0.5, **options: Any) -> nn.Module:  # noqa: ANN401
    """A new module: the model with tokens removed on their way. The model itself is unchanged; weights are shared.

    Args:
        model: A `VideoViT`, a `VideoLanguageModel`, or a video-language model of transformers (see `hub.FAMILIES`). The
            groups of those with a language model are their visual tokens.
        method: One of `METHODS`; "dense" removes nothing.
        remove: Share of the tokens that goes, from 0 to below 1.
        **options: Further fields of `PruningConfig`, such as `after_block`, `pool`, `backend`.

    Raises:
        ValueError: Method, share or options are not possible with this model.
        TypeError: Nothing is known of such a model.
    """
    if isinstance(model, VideoLanguageModel):
        if method in GROUP_METHODS:
            options = {"pool": model.pool} | options
        return PrunedVideoLanguage(model, config_for(method, remove, **options))
    if isinstance(model, VideoViT):
        return PrunedClassifier(model, config_for(method, remove, **options))
    if isinstance(getattr(getattr(model, "config", None), "model_type", None), str):  # of transformers, maybe not there
        from tubelet.methods.token_pruning.hub import wrap_hub

        return wrap_hub(model, config_for(method, remove, **options), has_pool="pool" in options)
    raise TypeError(
        f"a {type(model).__name__} cannot be pruned; allowed: VideoViT (networks of the ViT recipes), "
        "VideoLanguageModel, and video-language models of transformers"
    )
