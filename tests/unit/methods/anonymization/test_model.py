"""The anonymiser that a user holds: calls, files, errors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tubelet.errors import WeightsError
from tubelet.methods.anonymization.model import MODEL_FILE, Anonymizer, DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import PruningConfig
from tubelet.models.vit_weights import load_vit_weights

SHAPE = VitShape(
    num_frames=4, size_px=32, tubelet=(2, 8, 8), channels=12, depth=3, num_heads=2, dropout=0.0,
    attention_dropout=0.0, drop_path=0.0,
)  # fmt: skip
PRUNING = PruningConfig(blocks=(1, 2), keep_rate=0.8)


@pytest.fixture
def anonymizer() -> Anonymizer:
    torch.manual_seed(0)
    return Anonymizer(DualTokenViT(3, 2, SHAPE), PRUNING, {"actions": ["a", "b", "c"]})


def clips(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_a_call_gives_masked_clips_and_the_mask(anonymizer: Anonymizer) -> None:
    video, mask = anonymizer(clips(), keep=0.5)
    assert mask.shape == (2, 1, 4, 32, 32)
    assert mask.flatten(1).float().mean(1).tolist() == [0.5, 0.5]
    assert torch.equal(video, clips() * mask)
    assert torch.equal(anonymizer(clips(), keep=0.5)[1], mask)


def test_keep_one_gives_the_clip_back_bit_for_bit(anonymizer: Anonymizer) -> None:
    video, mask = anonymizer(clips(), keep=1.0)
    assert bool(mask.all())
    assert torch.equal(video, clips())


def test_tokens_are_published_without_the_fused_one(anonymizer: Anonymizer) -> None:
    assert int(anonymizer.tokens(clips()).ids[:, 2:].min()) >= 0


def test_it_comes_back_from_its_file_as_it_was(anonymizer: Anonymizer, tmp_path: Path) -> None:
    anonymizer.save(tmp_path / MODEL_FILE)
    again = Anonymizer.load(tmp_path)
    assert again.pruning == anonymizer.pruning
    assert again.facts == anonymizer.facts
    assert torch.equal(again(clips())[0], anonymizer(clips())[0])


def test_pixels_that_are_not_finite_are_told_by_clip(anonymizer: Anonymizer) -> None:
    video = clips()
    video[1, 0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="clip 1 of the batch"):
        anonymizer(video)


def test_normalised_clips_are_warned_of(anonymizer: Anonymizer) -> None:
    with pytest.warns(UserWarning, match="from 0 to 1 is expected"):
        anonymizer(clips() * 4 - 2)


def test_clips_that_cannot_be_cut(anonymizer: Anonymizer) -> None:
    with pytest.raises(ValueError, match="the nearest size that can: 4 frames of 32x32"):
        anonymizer(torch.rand(1, 3, 4, 30, 32))


def test_files_that_are_no_anonymiser(anonymizer: Anonymizer, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="schema is None"):
        Anonymizer.load(tmp_path / "other.safetensors")
    anonymizer.save(tmp_path / MODEL_FILE)
    tensors = load_file(tmp_path / MODEL_FILE)
    from safetensors import safe_open

    with safe_open(tmp_path / MODEL_FILE, framework="pt") as file:
        metadata = file.metadata()
    tensors["privacy_head.weight"] = torch.zeros(7, 12)
    save_file(tensors, tmp_path / MODEL_FILE, metadata=metadata)
    with pytest.raises(WeightsError, match=r"privacy_head.weight has \(7, 12\), \(2, 12\) is needed"):
        Anonymizer.load(tmp_path)
    with pytest.raises(WeightsError, match="cannot be read"):
        Anonymizer.load(tmp_path / "nothing.safetensors")


def test_both_tokens_start_as_the_token_of_an_image_transformer() -> None:
    """The kernel is copied along time and divided, positions are repeated, the CLS token is given to both."""
    torch.manual_seed(1)
    image = {
        "patch_embed.proj.weight": torch.randn(12, 3, 8, 8),
        "patch_embed.proj.bias": torch.randn(12),
        "cls_token": torch.randn(1, 1, 12),
        "pos_embed": torch.randn(1, 17, 12),
        "norm.weight": torch.ones(12),
        "norm.bias": torch.zeros(12),
    }
    model = DualTokenViT(3, 2, SHAPE)
    for name, value in model.vit.blocks.state_dict().items():
        image[f"blocks.{name.replace('attention.', 'attn.')}"] = torch.randn_like(value)
    load_vit_weights(model.vit, image, head="keep")
    assert model.vit.cls_tokens is not None
    expected = image["cls_token"] + image["pos_embed"][:, :1]
    torch.testing.assert_close(model.vit.cls_tokens, expected.expand(-1, 2, -1))
    torch.testing.assert_close(model.vit.patch_embed.weight[:, :, 1], image["patch_embed.proj.weight"] / 2)
    torch.testing.assert_close(model.vit.positions[:, 16:], image["pos_embed"][:, 1:])


def test_the_published_defaults() -> None:
    assert VitShape() == VitShape(num_frames=16, size_px=224, tubelet=(2, 16, 16), channels=768, depth=12, num_heads=12)
    assert PruningConfig() == PruningConfig(blocks=(2, 5, 8), keep_rate=0.9, keep=None, privacy_weight=0.5, fuse=True)
    assert PruningConfig().final_keep == pytest.approx(0.729)
    assert replace(PruningConfig(), keep=0.5).final_keep == 0.5
