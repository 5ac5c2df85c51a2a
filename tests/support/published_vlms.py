"""Tiny video-language models with random weights, published as transformers saves them, and inputs for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

IMAGE, VIDEO, END = 90, 91, 3
_TEXT = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "bos_token_id": 1,
    "eos_token_id": END,
    "pad_token_id": 0,
}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_SPECIAL = {"image_token_id": IMAGE, "video_token_id": VIDEO, "vision_start_token_id": 92, "vision_end_token_id": 93}
QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
FAMILIES = QWEN


def configuration(family: str) -> Any:
    """A small configuration."""
    import transformers

    if family == "qwen2_vl":
        vision = {"depth": 5, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": 4}
        text = _TEXT | {"rope_parameters": _ROPE | {"mrope_section": [1, 1, 2]}}
        return transformers.Qwen2VLConfig(text_config=text, vision_config=vision, **_SPECIAL)
    if family == "qwen2_5_vl":
        vision = {"depth": 6, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 4, "intermediate_size": 48}
        vision |= {"patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1, 4], "tokens_per_second": 2}
        text = _TEXT | {"rope_parameters": _ROPE | {"mrope_section": [1, 1, 2]}}
        return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **_SPECIAL)
    vision = {"depth": 5, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 4, "intermediate_size": 48}
    vision |= {"patch_size": 4, "num_position_embeddings": 36, "deepstack_visual_indexes": [0, 3]}
    text = _TEXT | {"head_dim": 8, "rope_parameters": _ROPE | {"mrope_section": [2, 1, 1], "mrope_interleaved": True}}
    return transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **_SPECIAL)


def publish(folder: Path, family: str) -> nn.Module:
    """Save a model to a folder; returns it."""
    import transformers

    kinds = {
        "qwen2_vl": "Qwen2VLForConditionalGeneration",
        "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
        "qwen3_vl": "Qwen3VLForConditionalGeneration",
    }
    torch.manual_seed(7)
    model: Any = getattr(transformers, kinds[family])(configuration(family)).eval()
    with torch.no_grad():
        # Weights as drawn say nearly the same whatever they see.
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    network: nn.Module = model
    return network


def inputs(family: str, *, images: bool = False, seed: int = 0) -> dict[str, Tensor]:
    """Two prompts, each with a video; the first is shorter and filled up in front. With `images`, one in the second."""
    generator = torch.Generator().manual_seed(seed)
    return _qwen_inputs(family, generator, images=images)


def alone(family: str, both: dict[str, Tensor], clip: int) -> dict[str, Tensor]:
    """Only one of the prompts, without what it is filled up with."""
    there = both["attention_mask"][clip].bool()
    found = {
        name: both[name][clip : clip + 1, there]
        for name in ("input_ids", "attention_mask", "mm_token_type_ids", "labels")
        if name in both
    }
    sizes = both["video_grid_thw"].prod(1).tolist()
    found["pixel_values_videos"] = both["pixel_values_videos"].split(sizes)[clip]
    found["video_grid_thw"] = both["video_grid_thw"][clip : clip + 1]
    return found


def group_counts(family: str, given: dict[str, Tensor]) -> list[tuple[int, int]]:
    """Time steps and groups of a time step of each video."""
    return [(time, rows * columns // 4) for time, rows, columns in given["video_grid_thw"].tolist()]


def tokens_gone(family: str, keep: Sequence[Tensor]) -> list[int]:
    """How many tokens of the prompt go with the groups that do not stay."""
    del family
    return [int((~of_clip).sum()) for of_clip in keep]


def picture(family: str) -> dict[str, Tensor]:
    """A prompt with a picture and no video."""
    del family
    ids = [1, 92, *[IMAGE] * 6, 93, 40, 41, 42, 43]
    found = padded([ids], [[1 if token == IMAGE else 0 for token in ids]])
    found["pixel_values"] = torch.randn(24, 3 * 2 * 4 * 4, generator=torch.Generator().manual_seed(3))
    found["image_grid_thw"] = torch.tensor([[1, 4, 6]])
    return found


def _qwen_inputs(family: str, generator: torch.Generator, *, images: bool) -> dict[str, Tensor]:
    grids = torch.tensor([[3, 6, 10], [4, 8, 6]])
    rows, kinds = [], []
    for row, (time, high, wide) in enumerate(grids.tolist()):
        text = torch.randint(5, 80, (6 + row,), generator=generator).tolist()
        ids = [1, text[0]]
        if images and row == 1:
            ids += [92, *[IMAGE] * 6, 93]
        per_step = high * wide // 4
        if family == "qwen3_vl":  # each time step stands by itself, after its time in words
            for step in range(time):
                ids += [30 + step, 31, 92, *[VIDEO] * per_step, 93]
        else:
            ids += [92, *[VIDEO] * (time * per_step), 93]
        ids += text[1:]
        rows.append(ids)
        kinds.append([{IMAGE: 1, VIDEO: 2}.get(token, 0) for token in ids])
    found = padded(rows, kinds)
    found["pixel_values_videos"] = torch.randn(int(grids.prod(1).sum()), 3 * 2 * 4 * 4, generator=generator)
    found["video_grid_thw"] = grids
    if images:
        found["pixel_values"] = torch.randn(24, 3 * 2 * 4 * 4, generator=generator)
        found["image_grid_thw"] = torch.tensor([[1, 4, 6]])
    return found


def padded(rows: list[list[int]], kinds: list[list[int]]) -> dict[str, Tensor]:
    """Prompts filled up in front to one length, and labels of their last tokens."""
    width = max(map(len, rows))
    front = [[0] * (width - len(row)) for row in rows]
    ids = torch.tensor([fill + row for fill, row in zip(front, rows, strict=True)])
    mask = torch.tensor([fill + [1] * len(row) for fill, row in zip(front, rows, strict=True)])
    labels = torch.where(torch.arange(width) >= width - 4, ids, -100)
    types = torch.tensor([fill + kind for fill, kind in zip(front, kinds, strict=True)])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "mm_token_type_ids": types}
