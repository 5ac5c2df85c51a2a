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
_TEXT_IDS = {
    "image_start_token_id": 92,
    "image_end_token_id": 93,
    "low_res_image_start_token_id": 92,
    "frame_start_token_id": 94,
    "frame_end_token_id": 95,
}
QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
LLAVA = ("llava_onevision", "video_llava")
FAMILIES = (*QWEN, *LLAVA, "molmo2")
SIDE = {"llava_onevision": 5, "video_llava": 4, "molmo2": 5}
"""Rows and columns of patches of the families whose pictures have one size."""


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
    if family in SIDE:
        return _square_configuration(family)
    vision = {"depth": 5, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 4, "intermediate_size": 48}
    vision |= {"patch_size": 4, "num_position_embeddings": 36, "deepstack_visual_indexes": [0, 3]}
    text = _TEXT | {"head_dim": 8, "rope_parameters": _ROPE | {"mrope_section": [2, 1, 1], "mrope_interleaved": True}}
    if family == "qwen3_vl_moe":
        text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
        return transformers.Qwen3VLMoeConfig(text_config=text, vision_config=vision, **_SPECIAL)
    return transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **_SPECIAL)


def _square_configuration(family: str) -> Any:
    import transformers

    vision: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "patch_size": 4}
    vision |= {"num_hidden_layers": 5, "image_size": 4 * SIDE[family]}
    marks = {"image_token_id": IMAGE, "video_token_id": VIDEO}
    if family == "llava_onevision":
        text = {"model_type": "qwen2"} | _TEXT
        vision |= {"model_type": "siglip_vision_model", "vision_use_head": False}
        side = vision["image_size"]
        return transformers.LlavaOnevisionConfig(
            text_config=text, vision_config=vision, image_grid_pinpoints=[[side, side]], **marks
        )
    if family == "video_llava":
        text = {"model_type": "llama"} | _TEXT
        vision |= {"model_type": "clip_vision_model", "projection_dim": 16}
        size = (SIDE[family] ** 2 + 1) * 3
        return transformers.VideoLlavaConfig(
            text_config=text, vision_config=vision, image_seq_length=size, video_seq_length=size, **marks
        )
    vision |= {"num_key_value_heads": 4, "head_dim": 8, "image_size": [20, 20]}
    adapter = {"vision_feature_layer": [-1, -4], "hidden_size": 32, "num_attention_heads": 4, "head_dim": 8}
    adapter |= {"num_key_value_heads": 4, "intermediate_size": 48, "text_hidden_size": 32}
    text = _TEXT | {"head_dim": 8, "additional_vocab_size": 4}
    return transformers.Molmo2Config(
        text_config=text, vision_config=vision, adapter_config=adapter, image_patch_id=VIDEO, **_TEXT_IDS
    )


def publish(folder: Path, family: str) -> nn.Module:
    """Save a model to a folder; returns it."""
    import transformers

    kinds = {
        "qwen2_vl": "Qwen2VLForConditionalGeneration",
        "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
        "qwen3_vl": "Qwen3VLForConditionalGeneration",
        "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration",
        "llava_onevision": "LlavaOnevisionForConditionalGeneration",
        "video_llava": "VideoLlavaForConditionalGeneration",
        "molmo2": "Molmo2ForConditionalGeneration",
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
    if family.startswith("qwen"):
        return _qwen_inputs(family, generator, images=images)
    if family == "molmo2":
        return _molmo_inputs(generator)
    return _llava_inputs(family, generator, images=images)


def alone(family: str, both: dict[str, Tensor], clip: int) -> dict[str, Tensor]:
    """Only one of the prompts, without what it is filled up with."""
    there = both["attention_mask"][clip].bool()
    found = {
        name: both[name][clip : clip + 1, there]
        for name in ("input_ids", "attention_mask", "mm_token_type_ids", "labels")
        if name in both
    }
    pixels = both["pixel_values_videos"]
    if family in LLAVA:
        return found | {"pixel_values_videos": pixels[clip : clip + 1]}
    if family == "molmo2":
        lengths = both["video_grids"][:, 0].tolist()
        pooling = both["video_token_pooling"].split([9 * length for length in lengths])[clip]
        offset = 25 * sum(lengths[:clip])
        found["video_token_pooling"] = torch.where(pooling >= 0, pooling - offset, pooling)
        found["video_grids"] = both["video_grids"][clip : clip + 1]
        return found | {"pixel_values_videos": pixels.split(lengths)[clip]}
    sizes = both["video_grid_thw"].prod(1).tolist()
    found["video_grid_thw"] = both["video_grid_thw"][clip : clip + 1]
    return found | {"pixel_values_videos": pixels.split(sizes)[clip]}


def group_counts(family: str, given: dict[str, Tensor]) -> list[tuple[int, int]]:
    """Time steps and groups of a time step of each video."""
    if family in LLAVA:
        videos, frames = given["pixel_values_videos"].shape[:2]
        return [(frames, {"llava_onevision": 9, "video_llava": 4}[family])] * videos
    if family == "molmo2":
        return [(time, rows * columns) for time, rows, columns in given["video_grids"].tolist()]
    return [(time, rows * columns // 4) for time, rows, columns in given["video_grid_thw"].tolist()]


def tokens_gone(family: str, keep: Sequence[Tensor], *, by_frame: bool = False) -> list[int]:
    """How many tokens of the prompt go with the groups that do not stay, or with the frames."""
    if family != "video_llava":
        return [int((~of_clip).sum()) for of_clip in keep]
    return [4 * int((~of_clip).sum()) + by_frame * int((~of_clip).all(1).sum()) for of_clip in keep]


def picture(family: str) -> dict[str, Tensor]:
    """A prompt with a picture and no video."""
    generator = torch.Generator().manual_seed(3)
    token = VIDEO if family == "molmo2" else IMAGE
    count = {"video_llava": 16, "llava_onevision": 25 + 25 + 5, "molmo2": 9}.get(family, 6)
    ids = [1, 92, *[token] * count, 93, 40, 41, 42, 43]
    found = padded([ids], [[int(number == token) for number in ids]])
    if family in QWEN:
        found["pixel_values"] = torch.randn(24, 3 * 2 * 4 * 4, generator=generator)
        return found | {"image_grid_thw": torch.tensor([[1, 4, 6]])}
    if family == "molmo2":
        found["pixel_values"] = torch.randn(1, 25, 48, generator=generator)
        found["image_token_pooling"] = _molmo_pooling(1)
        return found | {"image_grids": torch.tensor([[3, 3, 0, 0]]), "image_num_crops": torch.tensor([1])}
    found.pop("mm_token_type_ids")
    return found | _llava_picture(family, generator)


def _llava_picture(family: str, generator: torch.Generator) -> dict[str, Tensor]:
    side = 4 * SIDE[family]
    if family == "video_llava":
        return {"pixel_values": torch.randn(1, 3, side, side, generator=generator)}
    pixels = torch.randn(1, 2, 3, side, side, generator=generator)
    return {"pixel_values": pixels, "image_sizes": torch.tensor([[side, side]])}


def _llava_inputs(family: str, generator: torch.Generator, *, images: bool) -> dict[str, Tensor]:
    side, frames = 4 * SIDE[family], 4
    count = frames * 17 if family == "video_llava" else frames * 9 + 1
    rows = []
    for row in range(2):
        text = torch.randint(5, 80, (6 + row,), generator=generator).tolist()
        shown = [IMAGE] * (16 if family == "video_llava" else 55) if images and row == 1 else []
        rows.append([1, text[0], *shown, *[VIDEO] * count, *text[1:]])
    found = padded(rows, [[0] * len(row) for row in rows])
    found.pop("mm_token_type_ids")
    found["pixel_values_videos"] = torch.randn(2, frames, 3, side, side, generator=generator)
    return found | (_llava_picture(family, generator) if images else {})


def _molmo_pooling(frames: int) -> Tensor:
    """Groups of 2x2 patches of a 5x5 grid, fewer at the edges, numbered on from frame to frame."""
    numbers = torch.full((6, 6), -1)
    numbers[:5, :5] = torch.arange(25).reshape(5, 5)
    groups = numbers.reshape(3, 2, 3, 2).transpose(1, 2).reshape(9, 4)
    return torch.cat([torch.where(groups >= 0, groups + 25 * frame, groups) for frame in range(frames)])


def _molmo_inputs(generator: torch.Generator) -> dict[str, Tensor]:
    lengths = (3, 4)
    rows = []
    for row, length in enumerate(lengths):
        text = torch.randint(5, 80, (6 + row,), generator=generator).tolist()
        steps = [token for step in range(length) for token in (30 + step, 94, *[VIDEO] * 9, 95)]
        rows.append([1, text[0], *steps, *text[1:]])
    found = padded(rows, [[int(token in (VIDEO, 94, 95)) for token in row] for row in rows])
    found["pixel_values_videos"] = torch.randn(sum(lengths), 25, 48, generator=generator)
    found["video_token_pooling"] = _molmo_pooling(sum(lengths))
    return found | {"video_grids": torch.tensor([[length, 3, 3] for length in lengths])}


def _qwen_inputs(family: str, generator: torch.Generator, *, images: bool) -> dict[str, Tensor]:
    grids = torch.tensor([[3, 6, 10], [4, 8, 6]])
    rows, kinds = [], []
    for row, (time, high, wide) in enumerate(grids.tolist()):
        text = torch.randint(5, 80, (6 + row,), generator=generator).tolist()
        ids = [1, text[0]]
        if images and row == 1:
            ids += [92, *[IMAGE] * 6, 93]
        per_step = high * wide // 4
        if family.startswith("qwen3_vl"):  # each time step stands by itself, after its time in words
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
