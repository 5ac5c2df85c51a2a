"""Every published layout of weights is recognised, mapped name by name, and accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.vit import VideoViT
from tubelet.models.vit_weights import load_vit_weights

SIZES = {"num_frames": 4, "size_px": 32, "tubelet": (2, 8, 8), "channels": 16, "depth": 2, "num_heads": 2}


def network(num_classes: int = 5, *, seed: int = 0, **options: object) -> VideoViT:
    torch.manual_seed(seed)
    return VideoViT(num_classes, **(SIZES | options)).eval()


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(9)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def official(*, num_classes: int | None = 5, width: int = 16, depth: int = 2) -> dict[str, Tensor]:
    """Names and shapes of a fine-tuned VideoMAE or VideoMAEv2 checkpoint; without classes, of a pretrained one."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (width, 3, 2, 8, 8),
        "patch_embed.proj.bias": (width,),
    }
    for index in range(depth):
        block = {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.q_bias": (width,),
            "attn.v_bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (4 * width, width),
            "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width),
            "mlp.fc2.bias": (width,),
        }
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    if num_classes is None:
        shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
    else:
        shapes |= {"fc_norm.weight": (width,), "fc_norm.bias": (width,)}
        shapes |= {"head.weight": (num_classes, width), "head.bias": (num_classes,)}
    return drawn(shapes)


def test_a_fine_tuned_videomae_fills_every_parameter_by_its_name() -> None:
    model, state = network(), official()
    loaded = load_vit_weights(model, state)
    assert (loaded.layout, loaded.fresh, loaded.left_out, loaded.changes) == ("videomae", (), (), ())
    own = model.state_dict()
    assert len(own) == len(state)
    pairs = {
        "patch_embed.weight": "patch_embed.proj.weight",
        "blocks.1.attention.qkv.q_bias": "blocks.1.attn.q_bias",
        "blocks.1.attention.qkv.v_bias": "blocks.1.attn.v_bias",
        "blocks.0.attention.qkv.weight": "blocks.0.attn.qkv.weight",
        "blocks.1.mlp.fc2.bias": "blocks.1.mlp.fc2.bias",
        "norm.weight": "fc_norm.weight",
        "head.bias": "head.bias",
    }
    for ours, theirs in pairs.items():
        assert torch.equal(own[ours], state[theirs]), ours
    sums = sorted(round(float(value.double().sum()), 6) for value in own.values())
    assert sums == sorted(round(float(value.double().sum()), 6) for value in state.values())


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone."])
def test_what_training_put_before_the_names_does_not_matter(prefix: str, tmp_path: Path) -> None:
    state = {prefix + name: value for name, value in official().items()}
    torch.save({"module": state, "epoch": 800}, tmp_path / "checkpoint.pth")
    model = network()
    assert load_vit_weights(model, tmp_path / "checkpoint.pth").layout == "videomae"
    assert torch.equal(model.norm.bias, official()["fc_norm.bias"])


def test_a_pretrained_videomae_gives_the_encoder_and_says_what_is_fresh() -> None:
    state = {f"encoder.{name}": value for name, value in official(num_classes=None).items()}
    state |= drawn(
        {"mask_token": (1, 1, 8), "encoder_to_decoder.weight": (8, 16), "decoder.blocks.0.norm1.weight": (8,)}
    )
    model = network()
    before = model.head.weight.clone()
    with pytest.raises(WeightsError, match=r'has no last layer \(a pretrained checkpoint\?\); load with head="keep"'):
        load_vit_weights(model, state)
    loaded = load_vit_weights(model, state, head="keep")
    assert loaded.fresh == ("head.bias", "head.weight", "norm.bias", "norm.weight")
    assert "decoder.blocks.0.norm1.weight" in loaded.left_out and "norm.weight" in loaded.left_out
    assert torch.equal(model.head.weight, before)
    assert torch.equal(model.blocks[1].mlp.fc1.weight, state["encoder.blocks.1.mlp.fc1.weight"])


def test_another_number_of_classes_is_said_and_nothing_changed() -> None:
    model = network(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match='has 5 classes and the model 3; load with head="keep"'):
        load_vit_weights(model, official())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    loaded = load_vit_weights(model, official(), head="keep")
    assert loaded.left_out == ("head.bias", "head.weight") and loaded.fresh == ("head.bias", "head.weight")
    assert torch.equal(model.head.weight, before["head.weight"])
    assert torch.equal(model.norm.weight, official()["fc_norm.weight"])


def test_missing_and_unknown_names_are_named() -> None:
    state = official()
    del state["blocks.1.attn.proj.bias"]
    state["blocks.0.gamma_1"] = torch.ones(16)
    with pytest.raises(WeightsError, match="lacks blocks.1.attention.proj.bias and also has blocks.0.gamma_1"):
        load_vit_weights(network(), state)
    with pytest.raises(WeightsError, match="also has blocks.2.attention.proj.bias, .* and 10 more"):
        load_vit_weights(network(), official(depth=3))
    with pytest.raises(WeightsError, match="have another shape than the model's, first patch_embed.weight"):
        load_vit_weights(network(channels=32), official())
    with pytest.raises(WeightsError, match="not the weights of a video or image transformer that is known"):
        load_vit_weights(network(), {"conv1.weight": torch.zeros(3)})


def test_biases_of_keys_come_and_go_without_changing_the_network() -> None:
    video = torch.randn(2, 3, 4, 32, 32)
    model = network()
    load_vit_weights(model, official())
    wide = network(qkv_bias="all")
    assert load_vit_weights(wide, model.state_dict()).changes == ("the bias of the keys was set to 0",)
    torch.testing.assert_close(wide(video), model(video), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        wide.blocks[0].attention.qkv.bias[16:32] = torch.randn(16)
    back = network()
    said = ("the bias of the keys was left out, which the softmax does not see",)
    assert load_vit_weights(back, wide.state_dict()).changes == said
    torch.testing.assert_close(back(video), wide(video), rtol=1e-4, atol=1e-4)


def test_its_own_state_is_taken_whole() -> None:
    model, again = (
        network(num_cls_tokens=2, positions="learned"),
        network(seed=1, num_cls_tokens=2, positions="learned"),
    )
    loaded = load_vit_weights(again, model.state_dict())
    assert (loaded.layout, loaded.fresh) == ("tubelet", ())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_learned_positions_of_another_grid_are_interpolated() -> None:
    small = network(positions="learned")
    for options, said in (
        ({"num_frames": 8}, "positions of 2x4x4 tubelets were interpolated to 4x4x4"),
        ({"size_px": 48}, "positions of 2x4x4 tubelets were interpolated to 2x6x6"),
    ):
        model = network(positions="learned", **options)
        assert load_vit_weights(model, small.state_dict()).changes == (said,)
        video = torch.randn(1, 3, model.num_frames, model.size_px, model.size_px)
        torch.testing.assert_close(model(video), small(video), rtol=1e-5, atol=1e-5)
    with pytest.raises(WeightsError, match="has 32 positions and the model 3 x 5 x 5; they can be interpolated where"):
        load_vit_weights(network(positions="learned", num_frames=6, size_px=40), small.state_dict())
    with pytest.raises(WeightsError, match="also has positions"):
        load_vit_weights(network(), small.state_dict())


def picture_state(**extra: tuple[int, ...]) -> dict[str, Tensor]:
    state = {name: value for name, value in official().items() if "_bias" not in name and "fc_norm" not in name}
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, 0]
    shapes = {f"blocks.{index}.attn.qkv.bias": (48,) for index in range(2)}
    shapes |= {"norm.weight": (16,), "norm.bias": (16,), "cls_token": (1, 1, 16), "pos_embed": (1, 17, 16)}
    return state | drawn(shapes | extra)


def test_a_picture_transformer_is_inflated() -> None:
    state = picture_state()
    model = network(num_cls_tokens=2, positions="learned", qkv_bias="all")
    loaded = load_vit_weights(model, state)
    assert (loaded.layout, loaded.fresh, loaded.left_out) == ("image", (), ())
    assert loaded.changes == ("the kernel was inflated over 2 frames", "positions were repeated over 2 time steps")
    kernel = model.patch_embed.weight
    torch.testing.assert_close(kernel.sum(2), state["patch_embed.proj.weight"])
    assert torch.equal(kernel[:, :, 0], kernel[:, :, 1])
    positions = model.positions.reshape(2, 16, 16)
    assert torch.equal(positions[0], state["pos_embed"][0, 1:]) and torch.equal(positions[1], positions[0])
    both = state["cls_token"][0, 0] + state["pos_embed"][0, 0]
    assert torch.equal(model.cls_tokens[0], torch.stack([both, both]))


def test_positions_of_a_larger_picture_are_interpolated() -> None:
    model = network(num_cls_tokens=1, positions="learned", qkv_bias="all")
    loaded = load_vit_weights(model, picture_state(pos_embed=(1, 37, 16)))
    assert "positions of 6x6 patches were interpolated to 4x4" in loaded.changes
    without = load_vit_weights(network(positions="learned", qkv_bias="all"), picture_state(pos_embed=(1, 16, 16)))
    assert without.left_out == ("cls_token",)


def test_what_cannot_be_inflated_is_said() -> None:
    with pytest.raises(WeightsError, match="has learned positions and the model fixed ones; build the model with pos"):
        load_vit_weights(network(num_cls_tokens=1, qkv_bias="all"), picture_state())
    with pytest.raises(WeightsError, match="its 18 positions are not those of a square picture"):
        load_vit_weights(
            network(num_cls_tokens=1, positions="learned", qkv_bias="all"), picture_state(pos_embed=(1, 19, 16))
        )
    with pytest.raises(WeightsError, match="also has dist_token"):
        load_vit_weights(
            network(num_cls_tokens=1, positions="learned", qkv_bias="all"), picture_state(dist_token=(1, 1, 16))
        )


@pytest.mark.parametrize("saved", [True, False], ids=["as saved", "in memory"])
def test_a_classifier_of_transformers_is_read_as_it_is_saved(saved: bool, tmp_path: Path) -> None:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    torch.manual_seed(4)
    config = VideoMAEConfig(
        image_size=32,
        patch_size=8,
        num_frames=4,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=5,
    )
    peer = VideoMAEForVideoClassification(config)
    peer.save_pretrained(tmp_path)
    model = network()
    loaded = load_vit_weights(model, tmp_path / "model.safetensors" if saved else peer.state_dict())
    assert (loaded.layout, loaded.fresh, loaded.left_out) == ("transformers", (), ())
    attention = peer.videomae.encoder.layer[1].attention.attention
    parts = torch.cat([attention.query.weight, attention.key.weight, attention.value.weight])
    assert torch.equal(model.blocks[1].attention.qkv.weight, parts)
    assert torch.equal(model.blocks[1].attention.qkv.v_bias, attention.value.bias)


def test_the_bare_encoder_of_transformers_needs_a_head_of_ones_own() -> None:
    from transformers import VideoMAEConfig, VideoMAEModel

    config = VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    encoder = VideoMAEModel(config)
    loaded = load_vit_weights(network(), encoder.state_dict(), head="keep")
    assert loaded.layout == "transformers"
    assert loaded.fresh == ("head.bias", "head.weight", "norm.bias", "norm.weight")
