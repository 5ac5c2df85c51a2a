"""Published video-language models for `tubelet token_pruning bench`: they look at a video of noise with a short prompt.

Their processors, which turn videos and words into inputs, are not needed: what a pass costs depends on sizes alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.methods.token_pruning.bench_models import Sizes, Subject
from tubelet.methods.token_pruning.hub import FAMILIES
from tubelet.methods.token_pruning.pruned import wrap
from tubelet.methods.token_pruning.pruning import GROUP_METHODS, PruningConfig
from tubelet.models.hub_video_language import load_hub_video_language

_WORDS = 24  # of the question
_QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


class HubSubject(Subject):
    """A video-language model of transformers.

    Args:
        folder: As `save_pretrained` writes it.
        sizes: Of the video, where the model leaves them open.

    Raises:
        ConfigError: Such a video cannot be looked at.
        WeightsError: The model cannot be read.
    """

    methods = ("dense", *GROUP_METHODS)
    suggested = ("stts", "random", "prev_sim")

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.model: Any = load_hub_video_language(folder)
        kind = self.model.config.model_type
        if sizes.clips not in (None, 1):
            raise ConfigError(f"--clips is {sizes.clips}; allowed with a published model: 1")
        self.title, self.weights = f"{kind} of {folder.name}", "published"
        self.inputs = inputs_of(self.model.config, sizes)
        num_tokens = int((self.inputs["input_ids"] == self._video_token).sum())
        self.about = (
            f"time and memory only, of reading one prompt with a video of {sizes.num_frames} frames of noise "
            f"({num_tokens} visual tokens). The scorer of stts has random weights."
        )
        self.facts = {"model_type": kind, "num_frames": sizes.num_frames, "num_visual_tokens": num_tokens}
        self.seed = sizes.seed

    @property
    def _video_token(self) -> int:
        config = self.model.config
        found = getattr(config, "video_token_id", None)
        return int(config.image_patch_id if found is None else found)

    def wrapped(self, method: str) -> nn.Module:
        """The model with groups that are its visual tokens; methods that need a scorer get a random one."""
        torch.manual_seed(self.seed)
        family = FAMILIES[type(self.model).__name__](self.model)
        # As deep as published, or as deep as a smaller tower allows.
        after_block = max(0, min(PruningConfig().after_block, family.taps[-1] - 2))
        options = {"after_block": after_block} if method in GROUP_METHODS else {}
        return wrap(self.model, method, 0.0, **options).eval()

    def look(self, module: nn.Module, remove: float) -> Any:  # noqa: ANN401
        """Prompt and video in, logits out."""
        return module(remove=remove, **self.inputs)

    def kept_share(self, method: str, output: Any, remove: float) -> float:  # noqa: ANN401
        """Groups that stay."""
        del method, remove
        return float(output.keep[0].float().mean()) if output.keep else 1.0

    def moved(self, device: torch.device) -> None:
        """Brings model and inputs to a device."""
        self.model.to(device)
        self.inputs = {name: value.to(device) for name, value in self.inputs.items()}


def inputs_of(config: Any, sizes: Sizes) -> dict[str, Tensor]:  # noqa: ANN401 - each family has its own
    """What a processor would make of a video of noise and a question.

    Args:
        config: Of the model.
        sizes: Frames and, where the model leaves it open, their side.

    Raises:
        ConfigError: Such a video cannot be looked at.
    """
    generator = torch.Generator().manual_seed(sizes.seed)
    kind = config.model_type
    if kind in _QWEN:
        return _qwen_inputs(config, sizes, generator)
    if kind == "molmo2":
        return _molmo_inputs(config, sizes, generator)
    side_px, patch_px = config.vision_config.image_size, config.vision_config.patch_size
    side = side_px // patch_px
    count = sizes.num_frames * (side**2 + 1) if kind == "video_llava" else sizes.num_frames * (-(-side // 2)) ** 2 + 1
    ids = [1, *[config.video_token_id] * count, *_question(config, generator)]
    found = _prompt(ids)
    shape = (1, sizes.num_frames, 3, side_px, side_px)
    return found | {"pixel_values_videos": torch.randn(shape, generator=generator)}


def _qwen_inputs(config: Any, sizes: Sizes, generator: torch.Generator) -> dict[str, Tensor]:  # noqa: ANN401
    vision = config.vision_config
    merge, patch_px, steps_of = vision.spatial_merge_size, vision.patch_size, vision.temporal_patch_size
    side = sizes.size_px // (patch_px * merge) * merge
    steps = -(-sizes.num_frames // steps_of)
    if side < merge:
        raise ConfigError(f"--size is {sizes.size_px}; allowed with this model: {patch_px * merge} or more")
    per_step = (side // merge) ** 2
    ids: list[int] = [1]
    if config.model_type == "qwen3_vl":  # each time step stands by itself
        for _ in range(steps):
            ids += [config.vision_start_token_id, *[config.video_token_id] * per_step, config.vision_end_token_id]
    else:
        visual = [config.video_token_id] * (steps * per_step)
        ids += [config.vision_start_token_id, *visual, config.vision_end_token_id]
    ids += _question(config, generator)
    shape = (steps * side * side, vision.in_channels * steps_of * patch_px**2)
    return _prompt(ids) | {
        "mm_token_type_ids": torch.tensor([[2 * int(token == config.video_token_id) for token in ids]]),
        "pixel_values_videos": torch.randn(shape, generator=generator),
        "video_grid_thw": torch.tensor([[steps, side, side]]),
    }


def _molmo_inputs(config: Any, sizes: Sizes, generator: torch.Generator) -> dict[str, Tensor]:  # noqa: ANN401
    vision, pool = config.vision_config, 3
    height_px, width_px = vision.image_size
    rows, columns = height_px // vision.patch_size, width_px // vision.patch_size
    high, wide = -(-rows // pool), -(-columns // pool)
    numbers = torch.full((high * pool, wide * pool), -1)
    numbers[:rows, :columns] = torch.arange(rows * columns).reshape(rows, columns)
    groups = numbers.reshape(high, pool, wide, pool).transpose(1, 2).reshape(high * wide, pool**2)
    pooling = [torch.where(groups >= 0, groups + rows * columns * frame, groups) for frame in range(sizes.num_frames)]
    ids: list[int] = [1]
    for _ in range(sizes.num_frames):
        frame = [config.image_patch_id] * len(groups)
        ids += [config.frame_start_token_id, *frame, config.frame_end_token_id]
    ids += _question(config, generator)
    marks = (config.image_patch_id, config.frame_start_token_id, config.frame_end_token_id)
    shape = (sizes.num_frames, rows * columns, 3 * vision.patch_size**2)
    return _prompt(ids) | {
        "mm_token_type_ids": torch.tensor([[int(token in marks) for token in ids]]),
        "pixel_values_videos": torch.randn(shape, generator=generator),
        "video_token_pooling": torch.cat(pooling),
        "video_grids": torch.tensor([[sizes.num_frames, high, wide]]),
    }


def _question(config: Any, generator: torch.Generator) -> list[int]:  # noqa: ANN401
    """Some words: special tokens have numbers at the end of the vocabulary, or among the first few."""
    last = min(80, config.get_text_config().vocab_size - 1)
    words: list[int] = torch.randint(5, max(6, last), (_WORDS,), generator=generator).tolist()
    return words


def _prompt(ids: list[int]) -> dict[str, Tensor]:
    found = torch.tensor([ids])
    return {"input_ids": found, "attention_mask": torch.ones_like(found)}
