"""Tiny models with random weights, saved to disk as models are published: config, safetensors, preprocessing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

CLASSES = ("archery", "bowling", "clapping")
_SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_PICTURES = {"image_size": 32, "patch_size": 8, "num_frames": 4}
FAMILIES = ("videomae", "timesformer", "vivit", "vjepa2")


def configuration(family: str) -> Any:
    """A small configuration with a label map."""
    import transformers

    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: index for index, name in enumerate(CLASSES)}}
    if family == "videomae":
        return transformers.VideoMAEConfig(**_SHAPE, **_PICTURES, **labels)
    if family == "timesformer":
        return transformers.TimesformerConfig(**_SHAPE, **_PICTURES, **labels)
    if family == "vivit":
        return transformers.VivitConfig(**_SHAPE, image_size=32, num_frames=4, tubelet_size=[2, 8, 8], **labels)
    return transformers.VJEPA2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        mlp_ratio=2.0,
        patch_size=8,
        crop_size=32,
        frames_per_clip=4,
        num_pooler_layers=1,
        pred_hidden_size=24,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
        **labels,
    )


def preprocessing(family: str) -> dict[str, Any]:
    """What preprocessor_config.json says, in the wording of each family's own."""
    settings: dict[str, Any] = {
        "do_resize": True,
        "size": {"shortest_edge": 32},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    if family == "vivit":
        half = [0.5, 0.5, 0.5]
        settings |= {"offset": True, "rescale_factor": 1 / 127.5, "image_mean": half, "image_std": half}
        settings |= {"size": {"shortest_edge": 40}}
    if family == "vjepa2":
        settings |= {"size": {"shortest_edge": 36}, "crop_size": 32}
    return settings


def network(family: str) -> nn.Module:
    """A classifier with seeded weights that differ from their initial values."""
    import transformers

    names = {
        "videomae": transformers.VideoMAEForVideoClassification,
        "timesformer": transformers.TimesformerForVideoClassification,
        "vivit": transformers.VivitForVideoClassification,
        "vjepa2": transformers.VJEPA2ForVideoClassification,
    }
    torch.manual_seed(7)
    model = names[family](configuration(family)).eval()
    _disturb(model)
    return model


def publish(folder: Path, family: str) -> nn.Module:
    """Save a classifier to a folder; returns it."""
    model = network(family)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing(family)), encoding="utf-8")
    return model


def publish_xclip(folder: Path) -> nn.Module:
    """Save a zero-shot model with its tokeniser, which knows the letters and a few pairs of them; returns it."""
    import transformers

    text = {"vocab_size": 600, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    text |= {"intermediate_size": 64, "max_position_embeddings": 24, "eos_token_id": 1, "bos_token_id": 0}
    vision = _SHAPE | {"image_size": 32, "patch_size": 8, "num_frames": 4, "mit_hidden_size": 16}
    vision |= {"mit_intermediate_size": 32, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 4}
    config = transformers.XCLIPConfig(
        text_config=text, vision_config=vision, projection_dim=16, prompt_num_attention_heads=4, prompt_layers=1
    )
    torch.manual_seed(7)
    model = transformers.XCLIPModel(config).eval()
    _disturb(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing("xclip")), encoding="utf-8")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters), "th", "the</w>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\n", encoding="utf-8")
    return model


def _disturb(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
