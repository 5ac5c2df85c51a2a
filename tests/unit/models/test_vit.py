"""What a video transformer promises to those who train and use it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tubelet.models.rollout import attention_rollout
from tubelet.models.vit import VideoViT, vit_base, vit_large, vit_small, vit_tiny

SIZES = {"num_frames": 4, "size_px": 32, "tubelet": (2, 8, 8), "channels": 32, "depth": 3, "num_heads": 4}


def network(**options: object) -> VideoViT:
    torch.manual_seed(0)
    return VideoViT(5, **(SIZES | options)).eval()


@pytest.fixture
def video() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("attention", ["joint", "frame"])
@pytest.mark.parametrize("num_cls_tokens", [0, 1, 3])
@pytest.mark.parametrize("positions", ["sincos", "learned"])
@pytest.mark.parametrize("qkv_bias", ["qv", "all", "none"])
def test_every_form_gives_logits_and_learns(
    video: Tensor, attention: str, num_cls_tokens: int, positions: str, qkv_bias: str
) -> None:
    model = network(attention=attention, num_cls_tokens=num_cls_tokens, positions=positions, qkv_bias=qkv_bias).train()
    encoded = model.encode(video)
    assert encoded.cls.shape == (2, num_cls_tokens, 32)
    logits = model(video)
    assert logits.shape == (2, 5)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert silent == []
    still = [name for name, parameter in model.named_parameters() if not bool(parameter.grad.any())]
    assert [name for name in still if not name.endswith("qkv.bias")] == []


@pytest.mark.parametrize(
    ("builder", "width", "depth", "num_heads", "millions"),
    [
        (vit_tiny, 192, 12, 3, 5.7),
        (vit_small, 384, 12, 6, 21.9),
        (vit_base, 768, 12, 12, 86.5),
        (vit_large, 1024, 24, 16, 304.2),
    ],
)
def test_builders_have_the_published_sizes(
    builder: object, width: int, depth: int, num_heads: int, millions: float
) -> None:
    with torch.device("meta"):
        model = builder(400)
    assert (model.num_features, len(model.blocks), model.blocks[0].attention.num_heads) == (width, depth, num_heads)
    assert model.grid == (8, 14, 14) and model.num_layers == depth + 2
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_builders_hand_options_on() -> None:
    with torch.device("meta"):
        model = vit_tiny(7, num_frames=8, size_px=(112, 160), num_cls_tokens=2, attention="frame")
    assert model.grid == (4, 7, 10) and model.position_grid == (1, 7, 10)
    assert model.head.out_features == 7 and model.cls_tokens.shape == (1, 2, 192)


def test_features_are_what_the_head_reads(video: Tensor) -> None:
    model = network(num_cls_tokens=1)
    features = model.features(video)
    assert features.shape == (2, model.num_features)
    torch.testing.assert_close(model.head(features), model(video))


def test_a_new_head_changes_the_classes_and_nothing_else(video: Tensor) -> None:
    model = network()
    before = model.features(video)
    model.replace_head(9)
    assert model(video).shape == (2, 9)
    assert torch.equal(model.features(video), before)
    with pytest.raises(ValueError, match="num_classes is 0; must be at least 1"):
        model.replace_head(0)


def test_layers_count_from_the_stem_to_the_head() -> None:
    model = network(num_cls_tokens=1, positions="learned")
    layers = {name: model.layer_of(name) for name, _ in model.named_parameters()}
    assert {name for name, layer in layers.items() if layer == 0} == {
        "patch_embed.weight", "patch_embed.bias", "cls_tokens", "positions",
    }  # fmt: skip
    assert set(layers.values()) == set(range(model.num_layers))
    assert layers["blocks.2.mlp.fc1.weight"] == 3 and layers["head.bias"] == layers["norm.bias"] == 4
    with pytest.raises(ValueError, match="'neck.weight' is no parameter of this network"):
        model.layer_of("neck.weight")


def test_other_sizes_are_allowed_where_tubelets_fit(video: Tensor) -> None:
    for options in ({"positions": "learned"}, {"attention": "frame"}, {"num_cls_tokens": 1}):
        model = network(**options)
        assert model(torch.randn(1, 3, 6, 48, 24)).shape == (1, 5)
        assert model.grid_of(torch.zeros(1, 3, 6, 48, 24)) == (3, 6, 3)


@pytest.mark.parametrize(
    ("shape", "nearest"),
    [((3, 32, 32), "4 frames of 32x32"), ((4, 30, 32), "4 frames of 32x32"), ((4, 32, 3), "4 frames of 8x32")],
)
def test_clips_that_cannot_be_cut_are_named_with_the_nearest_size(shape: tuple[int, ...], nearest: str) -> None:
    message = f"clips of {shape[0]} frames of {shape[2]}x{shape[1]} pixels cannot be cut into tubelets of 2 frames of "
    with pytest.raises(ValueError, match=f"{message}8x8 pixels; the nearest size that can: {nearest} pixels"):
        network()(torch.randn(1, 3, *shape))


def test_a_network_of_impossible_sizes_is_refused() -> None:
    for options, message in (
        ({"size_px": 30}, "cannot be cut into tubelets"),
        ({"num_heads": 5}, "channels is 32 and num_heads 5; the heads must divide the channels"),
        ({"num_cls_tokens": -1}, "num_cls_tokens is -1; allowed: 0 or more"),
        ({"depth": 0}, "depth is 0; allowed: 1 or more"),
        ({"drop_path": 1.0}, "rate is 1; allowed: at least 0 and below 1"),
    ):
        with pytest.raises(ValueError, match=message):
            network(**options)


def test_a_block_that_is_not_there_is_refused(video: Tensor) -> None:
    with pytest.raises(ValueError, match="there is no block 3; allowed: 0 to 2"):
        network().encode(video, return_attention=(3,))
    with pytest.raises(ValueError, match="there is no block -1; allowed: 0 to 2"):
        network().encode(video, taps=(-1,))


def test_attention_is_read_out_of_the_blocks_asked_for(video: Tensor) -> None:
    model = network(num_cls_tokens=2)
    everything = model.encode(video, return_attention=(0, 2))
    assert sorted(everything.attention) == [0, 2]
    assert everything.attention[2].shape == (2, 4, 34, 34)
    torch.testing.assert_close(everything.attention[2].sum(-1), torch.ones(2, 4, 34))
    rows = model.encode(video, return_attention=(0, 2), attention_rows="cls")
    torch.testing.assert_close(rows.attention[2], everything.attention[2][:, :, :2])
    torch.testing.assert_close(everything.pooled, model.features(video))
    frames = network(attention="frame").encode(video, return_attention=(1,)).attention[1]
    assert frames.shape == (4, 4, 16, 16)


def test_taps_are_the_tokens_after_a_block(video: Tensor) -> None:
    encoded = network().encode(video, taps=(0, 2))
    assert torch.equal(encoded.taps[2].values, encoded.tokens.values)
    assert encoded.taps[0].ids[0].tolist() == list(range(32))
    values, kept = encoded.taps[0].on_grid(2, 32)
    assert torch.equal(values, encoded.taps[0].values) and bool(kept.all())


def test_rollout_covers_the_grid_of_the_clip(video: Tensor) -> None:
    for options in ({}, {"num_cls_tokens": 1}, {"attention": "frame"}, {"attention": "frame", "num_cls_tokens": 1}):
        found = attention_rollout(network(**options), video)
        assert found.shape == (2, 2, 4, 4) and float(found.min()) >= 0
        torch.testing.assert_close(found.sum((1, 2, 3)), torch.ones(2))
    with pytest.raises(ValueError, match="residual_share is 1.5; allowed: 0 to 1"):
        attention_rollout(network(), video, residual_share=1.5)


def test_state_survives_a_file(video: Tensor, tmp_path: Path) -> None:
    model = network(num_cls_tokens=1, positions="learned")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again = VideoViT(5, **SIZES, num_cls_tokens=1, positions="learned").eval()
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(again(video), model(video))


def test_dropout_and_drop_path_act_in_training_alone(video: Tensor) -> None:
    model = network(dropout=0.2, attention_dropout=0.2, drop_path=0.5)
    assert [block.drop_path.rate for block in model.blocks] == [0.0, 0.25, 0.5]
    assert torch.equal(model(video), model(video))
    torch.testing.assert_close(model(video), network()(video))
    model.train()
    assert not torch.equal(model(video), model(video))


def test_autocast_keeps_to_the_result(video: Tensor) -> None:
    model = network(num_cls_tokens=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model.encode(video, return_attention=(1,))
    torch.testing.assert_close(low.pooled.float(), model.features(video), rtol=0.05, atol=0.05)
    assert low.attention[1].shape == (2, 4, 33, 33)


def test_low_rank_adapters_of_peft_fit(video: Tensor) -> None:
    from peft import LoraConfig, get_peft_model

    model = network()
    plain = model(video)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["qkv", "proj"], init_lora_weights=False))
    changed = adapted(video)
    assert not torch.allclose(changed, plain, atol=1e-5)
    torch.testing.assert_close(adapted.merge_and_unload()(video), changed, rtol=1e-4, atol=1e-5)
