"""Published video-language models of transformers, with visual tokens removed in their tower and language model.

model = wrap(load_hub_video_language("Qwen/Qwen2.5-VL-3B-Instruct"), remove=0.5)
ids = model.generate(**inputs, max_new_tokens=64)  # inputs as the model's processor makes them
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.methods.token_pruning.hub_llava import LlavaOnevision, VideoLlava
from tubelet.methods.token_pruning.hub_molmo import Molmo2
from tubelet.methods.token_pruning.hub_prompt import IGNORED, ShortPrompt, harmless_token, shortened
from tubelet.methods.token_pruning.hub_qwen import QwenVL
from tubelet.methods.token_pruning.hub_tower import ClipTokens, FrameBatch, HubFamily, HubPruning, run_tower
from tubelet.methods.token_pruning.pruning import GROUP_METHODS, PruningConfig, RemembersPruning, check_depth
from tubelet.methods.token_pruning.scorer import GroupScorer

FAMILIES: dict[str, type[HubFamily]] = {
    "Qwen2VLForConditionalGeneration": QwenVL,
    "Qwen2_5_VLForConditionalGeneration": QwenVL,
    "Qwen3VLForConditionalGeneration": QwenVL,
    "Qwen3VLMoeForConditionalGeneration": QwenVL,
    "LlavaOnevisionForConditionalGeneration": LlavaOnevision,
    "VideoLlavaForConditionalGeneration": VideoLlava,
    "Molmo2ForConditionalGeneration": Molmo2,
}
_TEXT_INPUTS = ("input_ids", "attention_mask", "mm_token_type_ids", "labels")
_REFUSED = (
    "inputs_embeds",
    "position_ids",
    "past_key_values",
    "mm_encoder_outputs",
    "vision_feature_layer",
    "vision_feature_select_strategy",
)


@dataclass(frozen=True, kw_only=True)
class PrunedHubOutput:
    """What a pruned model gives.

    Attributes:
        logits: After each token of the shortened prompts.
        loss: Of the language model; None without labels. Add `PruningConfig.aux_weight` times `aux_loss` to train.
        aux_loss: The temporal loss, before its weight; None without a scorer.
        keep: Which groups of each clip stay; empty where no video was read or no groups were looked for.
        scores: Of each clip's groups, None for clips of which nothing may go and nothing was scored.
        input_ids: The shortened prompts; those given where nothing was left out.
        there: Which of their tokens are no padding; None where nothing was left out.
        output: All that the model of transformers gave.
    """

    logits: Float[Tensor, "batch tokens vocabulary"]
    loss: Float[Tensor, ""] | None
    aux_loss: Float[Tensor, ""] | None = None
    keep: tuple[Bool[Tensor, "_ _"], ...] = ()
    scores: tuple[Float[Tensor, "_ _"] | None, ...] = ()
    input_ids: Int64[Tensor, "batch _"] | None = None
    there: Bool[Tensor, "batch _"] | None = None
    output: Any = None


@dataclass(kw_only=True)
class _Seen:
    """What the tower saw, clip by clip."""

    clips: dict[int, ClipTokens] = field(default_factory=dict)
    keep: dict[int, Tensor] = field(default_factory=dict)
    scores: dict[int, Tensor] = field(default_factory=dict)
    losses: list[tuple[Tensor, int]] = field(default_factory=list)

    def aux_loss(self) -> Tensor | None:
        """Mean over all frames that count, of videos of whatever grid."""
        if not self.losses:
            return None
        count = sum(number for _, number in self.losses)
        return torch.stack([loss * number for loss, number in self.losses]).sum() / max(1, count)


def family_of(model: nn.Module) -> HubFamily:
    """The adapter of a model of transformers.

    Raises:
        ValueError: It cannot be pruned; the message names what can.
    """
    names = [kind.__name__ for kind in type(model).__mro__]
    family = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    if family is None:
        kind = getattr(getattr(model, "config", None), "model_type", None)
        raise ValueError(
            f"a {names[0]} (model_type {kind!r}) cannot be pruned; of transformers' models these can: "
            f"{', '.join(FAMILIES)}"
        )
    if "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
        import transformers

        raise ValueError(
            f"{names[0]} of transformers {transformers.__version__} takes no mm_encoder_outputs, by which visual "
            "tokens are handed over; install a newer one (5.23 is known to work)"
        )
    return family(model)


class PrunedHubVideoLanguage(RemembersPruning):
    """A published video-language model with visual tokens removed on the way.

    Args:
        model: Used as it is; its weights are shared, not copied.
        config: What is removed and how.
        family: Its adapter, see `family_of`.

    Attributes:
        scorer: For the method "stts"; its parameters are this module's own.

    Raises:
        ValueError: The method or the groups are not possible with this model, or its tower is too shallow.
    """

    def __init__(self, model: nn.Module, config: PruningConfig, family: HubFamily) -> None:
        super().__init__(config)
        if config.method not in ("dense", *GROUP_METHODS):
            raise ValueError(
                f"method {config.method!r} is not possible with {family.title} of transformers; allowed: dense, "
                f"{', '.join(GROUP_METHODS)}"
            )
        if config.method != "dense" and family.pool is not None:
            family.require_pool(config.pool)
        check_depth(config, family.taps[-1] + 1, family.taps)
        self.model, self.family = model, family
        self.scorer: GroupScorer | None = None
        if config.method == "stts":
            scorer = GroupScorer(family.width, num_heads=family.num_heads, hidden=config.hidden)
            self.scorer = scorer.to(next(model.parameters()))

    def forward(
        self,
        *,
        remove: float | None = None,
        draw: int = 0,
        position: Literal["contiguous", "original"] | None = None,
        **inputs: Any,  # noqa: ANN401 - each model has its own
    ) -> PrunedHubOutput:
        """Logits and, with labels, the loss. Without a video the model is called as it is.

        Args:
            remove: Instead of the share that this was made with.
            draw: Number of the random draw, for methods that draw.
            position: "original" leaves what stays at the positions that it has without pruning; "contiguous" counts
                what is there, which models whose positions say where in a video a token is cannot do. The default is
                "original" for those and "contiguous" for the others.
            **inputs: As the model's processor makes them, and other arguments of the model. `labels` are as long as
                `input_ids`.

        Raises:
            ValueError: Inputs do not belong together, or arguments are not possible with videos.
            FloatingPointError: A clip or a score is no finite number.
        """
        if self.config.method == "dense" or inputs.get("pixel_values_videos") is None:
            output: Any = self.model(**inputs)
            return PrunedHubOutput(
                logits=output.logits, loss=output.loss, input_ids=inputs.get("input_ids"), output=output
            )
        seen, prompt, arguments = self._prepared(inputs, remove, draw, position)
        output = self.model(**arguments)
        return PrunedHubOutput(
            logits=output.logits,
            loss=output.loss,
            aux_loss=seen.aux_loss(),
            keep=tuple(seen.keep[clip] for clip in range(len(seen.keep))),
            scores=tuple(seen.scores.get(clip) for clip in range(len(seen.keep))),
            input_ids=arguments["input_ids"],
            there=prompt.there,
            output=output,
        )

    @torch.no_grad()
    def generate(
        self,
        *,
        remove: float | None = None,
        draw: int = 0,
        position: Literal["contiguous", "original"] | None = None,
        **inputs: Any,  # noqa: ANN401 - each model has its own
    ) -> Any:  # noqa: ANN401 - what transformers gives
        """What the model's own `generate` gives, after the prompts as they were given.

        Args:
            remove: As in `forward`.
            draw: Likewise.
            position: Likewise.
            **inputs: As the processor makes them, prompts filled up in front, and options of `generate`. Give
                `max_new_tokens` rather than `max_length`, which would count what is left of the prompt.

        Raises:
            ValueError: As in `forward`.
            FloatingPointError: Likewise.
        """
        model: Any = self.model
        if self.config.method == "dense" or inputs.get("pixel_values_videos") is None:
            return model.generate(**inputs)
        _, prompt, arguments = self._prepared(inputs, remove, draw, position, in_front=True)
        found: Any = model.generate(**arguments)
        # Who reads an answer cuts off the prompt that they gave.
        ids = found if isinstance(found, Tensor) else found.sequences
        whole = inputs["input_ids"].repeat_interleave(len(ids) // len(inputs["input_ids"]), dim=0)
        ids = torch.cat([whole, ids[:, prompt.columns.shape[1] :]], dim=1)
        if isinstance(found, Tensor):
            return ids
        found.sequences = ids
        return found

    def _prepared(
        self,
        inputs: Mapping[str, Any],
        remove: float | None,
        draw: int,
        position: str | None,
        *,
        in_front: bool = False,
    ) -> tuple[_Seen, ShortPrompt, dict[str, Any]]:
        """The tower's part, and the arguments for the language model's."""
        family = self.family
        position = position or ("original" if family.has_grid_positions else "contiguous")
        allowed = ("original",) if family.has_grid_positions else ("contiguous", "original")
        if position not in allowed:
            raise ValueError(f"position is {position!r}; allowed with {family.title}: {', '.join(map(repr, allowed))}")
        refused = [name for name in _REFUSED if inputs.get(name) is not None]
        if refused or inputs.get("input_ids") is None:
            what = f"{', '.join(refused)} cannot be given" if refused else "input_ids are needed"
            raise ValueError(
                f"{what} with pixel_values_videos, whose tokens are left out; give what the processor gives"
            )
        share = self.config.remove if remove is None else remove
        seen = self._see(inputs, share, draw)
        clips = [seen.clips[clip] for clip in range(len(seen.clips))]
        mask = _mask_of(inputs)
        prompt = shortened(
            inputs["input_ids"],
            mask,
            family.video_token_id,
            torch.cat([clip.kept for clip in clips]),
            left=in_front or not bool(mask[:, 0].all()),
        )
        arguments = self._arguments(inputs, prompt, mask, position)
        arguments["mm_encoder_outputs"] = self._encoded(inputs, clips)
        return seen, prompt, arguments

    def _see(self, inputs: Mapping[str, Any], share: float, draw: int) -> _Seen:
        """The videos, through the tower."""
        seen = _Seen()
        for frames in self.family.frames(inputs, self.config.pool):
            _check_finite(frames)
            reduction = HubPruning(self.config, frames, scorer=self.scorer, remove=share, draw=draw)
            taps, notes = run_tower(self.family, frames, reduction)
            keep = notes.get("keep", torch.ones_like(reduction.in_prunable)[:, None].expand(-1, len(frames.groups)))
            read = torch.ones_like(keep) if notes.get("keep_all", False) else keep
            lengths = frames.lengths.tolist()
            seen.clips.update(zip(frames.clips, self.family.visual(frames, taps, read), strict=True))
            seen.keep.update(zip(frames.clips, torch.split(keep, lengths), strict=True))
            if "scores" in notes:
                seen.scores.update(zip(frames.clips, torch.split(notes["scores"], lengths), strict=True))
            if "aux_loss" in notes:
                counted = reduction.in_prunable & ~reduction.starts
                seen.losses.append((notes["aux_loss"], int(counted.sum())))
        return seen

    def _arguments(self, inputs: Mapping[str, Any], prompt: ShortPrompt, mask: Tensor, position: str) -> dict[str, Any]:
        """What the model is called with: the shortened prompts and all that has nothing to do with pictures."""
        family, config = self.family, self.model.config
        used_up = {*family.video_inputs, *_image_inputs(self.model), *_TEXT_INPUTS}
        found = {name: value for name, value in inputs.items() if name not in used_up}
        special = [getattr(config, name, None) for name in ("image_token_id", "video_token_id")]
        found["input_ids"] = prompt.taken(inputs["input_ids"], harmless_token(special))
        found["attention_mask"] = prompt.there.to(torch.int64)
        if position == "original":
            whole = family.positions(inputs, mask)
            found["position_ids"] = prompt.taken(_counted(mask) if whole is None else whole, 0)
        elif int(prompt.there.sum()) < int(mask.sum()):  # a whole prompt is counted as the model does it
            found["position_ids"] = _counted(prompt.there)
        if inputs.get("labels") is not None:
            found["labels"] = prompt.taken(inputs["labels"], IGNORED)
        if family.reads_kinds and inputs.get("mm_token_type_ids") is not None:
            found["mm_token_type_ids"] = prompt.taken(inputs["mm_token_type_ids"], 0)
        return found

    def _encoded(self, inputs: Mapping[str, Any], clips: list[ClipTokens]) -> dict[str, Any]:
        """Visual tokens of videos and, as they are, of images, the way the model wants them handed over."""
        found = {"video": self.family.handed_over(clips)}
        if inputs.get("pixel_values") is not None:
            model: Any = self.model
            given = {name: inputs[name] for name in _image_inputs(model) if inputs.get(name) is not None}
            found["image"] = model.model.get_image_features(**given, return_dict=True)
        return found


def wrap_hub(model: nn.Module, config: PruningConfig, *, has_pool: bool) -> PrunedHubVideoLanguage:
    """A published model with a way of removing tokens.

    Args:
        model: Of transformers.
        config: What is removed and how.
        has_pool: Whether the side of the groups was asked for; the model's own is taken if not.

    Raises:
        ValueError: The model, or the config with this model, is not possible.
    """
    family = family_of(model)
    if has_pool and family.pool is None:
        raise ValueError(f"pool is {config.pool}, but groups of {family.title} come with the inputs; leave pool out")
    if not has_pool and family.pool is not None:
        config = replace(config, pool=family.pool)
    return PrunedHubVideoLanguage(model, config, family)


def _image_inputs(model: Any) -> list[str]:  # noqa: ANN401 - as above
    """Names of the arguments about images."""
    names = inspect.signature(model.model.get_image_features).parameters
    return [name for name in names if name not in ("kwargs", "self")]


def _mask_of(inputs: Mapping[str, Any]) -> Bool[Tensor, "batch tokens"]:
    """Which tokens of the prompts are no padding."""
    mask, ids = inputs.get("attention_mask"), inputs["input_ids"]
    return torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()


def _counted(there: Bool[Tensor, "batch tokens"]) -> Int64[Tensor, "batch tokens"]:
    """Positions of tokens that follow each other."""
    return (there.to(torch.int64).cumsum(1) - 1).clamp(min=0)


def _check_finite(frames: FrameBatch) -> None:
    """See that pictures are numbers: a score that is none would sort anywhere."""
    finite = frames.values.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        ends = frames.lengths.cumsum(0)
        clip = frames.clips[int((ends <= int((~finite).nonzero()[0])).sum())]
        raise FloatingPointError(f"clip {clip} has pixels that are no finite numbers")
