"""The video transformer beside outside truths: transformers' VideoMAE, an image transformer on a still clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tubelet.models.positions import resized_positions, sincos_positions
from tubelet.models.rollout import attention_rollout
from tubelet.models.vit import VideoViT
from tubelet.models.vit_layers import Attention, TubeletEmbedding
from tubelet.models.vit_weights import load_vit_weights

SIZES = {"num_frames": 4, "size_px": 32, "tubelet": (2, 8, 8), "channels": 48, "depth": 3, "num_heads": 4}


@pytest.fixture
def clips() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def peer() -> nn.Module:
    """A VideoMAE classifier of transformers with seeded weights, large enough for every bias to matter."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig(
        image_size=32,
        patch_size=8,
        num_frames=4,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        num_labels=7,
    )
    torch.manual_seed(0)
    model = VideoMAEForVideoClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def same_network() -> VideoViT:
    torch.manual_seed(1)
    return VideoViT(7, **SIZES, norm_eps=1e-12, head_norm_eps=1e-5).eval()


def test_it_equals_the_videomae_of_transformers_with_the_same_weights(peer: nn.Module, clips: Tensor) -> None:
    model = same_network()
    loaded = load_vit_weights(model, peer.state_dict())
    assert (loaded.layout, loaded.fresh, loaded.left_out) == ("transformers", (), ())
    theirs = peer(clips.transpose(1, 2)).logits
    torch.testing.assert_close(model(clips), theirs, rtol=1e-5, atol=1e-5)
    assert float(theirs.detach().std()) > 0.05


def test_gradients_equal_those_of_transformers(peer: nn.Module, clips: Tensor) -> None:
    model = same_network()
    load_vit_weights(model, peer.state_dict())
    peer.zero_grad()
    labels = torch.tensor([1, 5])
    nn.functional.cross_entropy(peer(clips.transpose(1, 2)).logits, labels).backward()
    nn.functional.cross_entropy(model(clips), labels).backward()
    theirs = {name: parameter.grad for name, parameter in peer.named_parameters()}
    names = {"query": "query.weight", "key": "key.weight", "value": "value.weight"}
    start = "videomae.encoder.layer.1.attention.attention."
    joined = torch.cat([theirs[start + name] for name in names.values()])
    block = model.blocks[1]
    torch.testing.assert_close(block.attention.qkv.weight.grad, joined, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(block.attention.qkv.v_bias.grad, theirs[start + "value.bias"], rtol=1e-3, atol=1e-6)
    kernel = theirs["videomae.embeddings.patch_embeddings.projection.weight"]
    torch.testing.assert_close(model.patch_embed.weight.grad, kernel, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("attention", ["joint", "frame"])
def test_gradients_are_those_of_finite_differences(attention: str) -> None:
    torch.manual_seed(0)
    model = VideoViT(
        3,
        num_frames=2,
        size_px=8,
        tubelet=(1, 4, 4),
        channels=8,
        depth=2,
        num_heads=2,
        num_cls_tokens=1,
        positions="learned",
        attention=attention,
    ).double()
    clip = torch.randn(1, 3, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, clip)
    logits = model(clip)
    for name in ("cls_tokens", "positions", "blocks.1.attention.qkv.q_bias", "patch_embed.weight"):
        parameter = model.get_parameter(name)
        gradient = torch.autograd.grad(logits[0, 0], parameter, retain_graph=True)[0]
        place = int(gradient.abs().flatten().argmax())
        with torch.no_grad():
            parameter.view(-1)[place] += 1e-6
            above = model(clip)[0, 0]
            parameter.view(-1)[place] -= 2e-6
            below = model(clip)[0, 0]
            parameter.view(-1)[place] += 1e-6
        torch.testing.assert_close(gradient.flatten()[place], (above - below) / 2e-6, rtol=1e-5, atol=1e-8)


def test_the_embedding_is_the_convolution_that_it_stands_for(clips: Tensor) -> None:
    torch.manual_seed(0)
    embedding = TubeletEmbedding(16, (2, 8, 8))
    expected = nn.Conv3d.forward(embedding, clips).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embedding(clips), expected, rtol=1e-5, atol=1e-5)


def test_positions_are_those_of_the_formula() -> None:
    table = sincos_positions(50, 10)[0]
    for place, channel in ((0, 0), (7, 0), (7, 1), (49, 6), (49, 9)):
        angle = place / 10_000 ** (2 * (channel // 2) / 10)
        expected = np.sin(angle) if channel % 2 == 0 else np.cos(angle)
        assert float(table[place, channel]) == pytest.approx(expected, abs=1e-6)


def test_resized_positions_are_linear_over_time_and_keep_what_is_even() -> None:
    step = torch.arange(4.0)[:, None, None].expand(4, 6, 6)
    table = torch.stack([step, torch.full((4, 6, 6), 3.0)], dim=-1).reshape(1, -1, 2)
    larger = resized_positions(table, (4, 6, 6), (8, 9, 12)).reshape(8, 9, 12, 2)
    expected = ((torch.arange(8.0) + 0.5) / 2 - 0.5).clamp(0, 3)
    torch.testing.assert_close(larger[..., 0], expected[:, None, None].expand(8, 9, 12), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(larger[..., 1], torch.full((8, 9, 12), 3.0))
    assert resized_positions(table, (4, 6, 6), (4, 6, 6)) is table


def test_resized_positions_follow_a_smooth_table_over_the_picture() -> None:
    def wave(rows: int, columns: int) -> Tensor:
        row, column = torch.meshgrid(
            (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij"
        )
        return torch.stack([(4 * row).sin(), (5 * column).cos()], dim=-1)

    larger = resized_positions(wave(14, 14).reshape(1, -1, 2), (1, 14, 14), (1, 20, 24)).reshape(20, 24, 2)
    assert float((larger - wave(20, 24))[2:-2, 2:-2].abs().max()) < 0.02


def test_open_and_fused_attention_are_the_textbook_sum() -> None:
    torch.manual_seed(0)
    layer = Attention(12, 3, qkv_bias="qv", attention_dropout=0.0, dropout=0.0)
    nn.init.normal_(layer.qkv.q_bias)
    x = torch.randn(2, 5, 12)
    query, key, value = (part.reshape(2, 5, 3, 4) for part in layer.qkv(x).chunk(3, dim=-1))
    out = torch.zeros(2, 5, 3, 4)
    for row in range(2):
        for head in range(3):
            for asking in range(5):
                shares = torch.stack([query[row, asking, head] @ key[row, other, head] / 2 for other in range(5)])
                shares = shares.exp() / shares.exp().sum()
                out[row, asking, head] = sum(shares[other] * value[row, other, head] for other in range(5))
    expected = layer.proj(out.reshape(2, 5, 12))
    from tubelet.models.token_reduction import Tokens

    tokens = Tokens(values=x, ids=torch.zeros(2, 5, dtype=torch.int64), clips=torch.zeros(2, 5, dtype=torch.int64))
    for wanted in (None, "all"):
        torch.testing.assert_close(layer(x, 0, tokens, None, wanted)[0], expected, rtol=1e-5, atol=1e-5)


def test_frame_attention_is_an_image_transformer_on_every_frame(clips: Tensor) -> None:
    torch.manual_seed(0)
    frames = VideoViT(7, **SIZES, attention="frame").eval()
    picture = VideoViT(7, **(SIZES | {"num_frames": 2})).eval()
    picture.load_state_dict(frames.state_dict())
    apart = [picture.encode(clips[:, :, start : start + 2]).tokens.values for start in (0, 2)]
    together = frames.encode(clips).tokens.values.reshape(2, 2, 16, 48)
    torch.testing.assert_close(together, torch.stack(apart, dim=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_cls_tokens", [0, 1])
def test_rollout_is_the_product_of_all_maps(clips: Tensor, num_cls_tokens: int) -> None:
    torch.manual_seed(0)
    model = VideoViT(7, **SIZES, num_cls_tokens=num_cls_tokens).eval()
    maps = model.encode(clips, return_attention=range(3)).attention
    product = torch.eye(32 + num_cls_tokens).expand(2, -1, -1)
    for block in range(3):
        product = (0.5 * maps[block].mean(1) + 0.5 * torch.eye(32 + num_cls_tokens)) @ product
    row = product[:, 0, 1:] if num_cls_tokens else product.mean(1)
    expected = (row / row.sum(1, keepdim=True)).reshape(2, 2, 4, 4)
    torch.testing.assert_close(attention_rollout(model, clips), expected, rtol=1e-4, atol=1e-6)


def test_rollout_finds_the_tubelet_that_a_head_looks_at(clips: Tensor) -> None:
    """One block whose queries look for one direction, which one tubelet's key has."""
    torch.manual_seed(0)
    model = VideoViT(7, **(SIZES | {"depth": 1}), num_cls_tokens=1, positions="learned").eval()
    with torch.no_grad():
        model.patch_embed.weight.zero_()
        model.positions.zero_()
        model.positions[0, 21, ::2], model.positions[0, 21, 1::2] = 1.0, -1.0
        qkv = model.blocks[0].attention.qkv
        qkv.weight.zero_()
        qkv.weight[48:96] = torch.eye(48)
        qkv.q_bias[::2], qkv.q_bias[1::2] = 20.0, -20.0
    found = attention_rollout(model, clips, residual_share=0.0)
    assert found.flatten(1).argmax(1).tolist() == [21, 21]
    assert float(found.flatten(1)[:, 21].min()) > 0.99


def image_state(width: int, layers: list[nn.TransformerEncoderLayer], side: int) -> dict[str, Tensor]:
    """What an image transformer of timm would be saved as, with the weights of torch's own encoder layers."""
    state = {"cls_token": torch.randn(1, 1, width), "pos_embed": torch.randn(1, 1 + side * side, width)}
    state |= {"patch_embed.proj.weight": torch.randn(width, 3, 8, 8) * 0.1, "patch_embed.proj.bias": torch.randn(width)}
    for index, layer in enumerate(layers):
        parts = {
            "attn.proj": layer.self_attn.out_proj,
            "norm1": layer.norm1,
            "norm2": layer.norm2,
            "mlp.fc1": layer.linear1,
            "mlp.fc2": layer.linear2,
        }
        state |= {
            f"blocks.{index}.{name}.{kind}": getattr(part, kind)
            for name, part in parts.items()
            for kind in ("weight", "bias")
        }
        state[f"blocks.{index}.attn.qkv.weight"] = layer.self_attn.in_proj_weight
        state[f"blocks.{index}.attn.qkv.bias"] = nn.init.normal_(layer.self_attn.in_proj_bias)
    state |= {"norm.weight": torch.rand(width) + 0.5, "norm.bias": torch.randn(width)}
    state |= {"head.weight": torch.randn(7, width), "head.bias": torch.randn(7)}
    return {name: value.detach() for name, value in state.items()}


@pytest.mark.parametrize("qkv_bias", ["all", "qv"])
@pytest.mark.parametrize(("attention", "num_cls_tokens"), [("frame", 1), ("frame", 2), ("frame", 0), ("joint", 0)])
def test_an_inflated_image_transformer_sees_in_a_still_clip_what_it_sees_in_the_picture(
    attention: str, num_cls_tokens: int, qkv_bias: str
) -> None:
    """Under joint attention a CLS token would weigh less beside twice as many tubelets, so it is left out there."""
    torch.manual_seed(0)
    layers = [
        nn.TransformerEncoderLayer(48, 4, 192, 0.0, "gelu", batch_first=True, norm_first=True).eval() for _ in range(3)
    ]
    state = image_state(48, layers, 4)
    picture = torch.randn(2, 3, 32, 32)
    patches = nn.functional.conv2d(picture, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=8)
    x = (
        torch.cat([state["cls_token"].expand(2, -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        + state["pos_embed"]
    )
    x = x if num_cls_tokens else x[:, 1:]
    for layer in layers:
        x = layer(x)
    read = x[:, 0] if num_cls_tokens else x.mean(1)
    normed = nn.functional.layer_norm(read, (48,), state["norm.weight"], state["norm.bias"], 1e-5)
    expected = normed @ state["head.weight"].T + state["head.bias"]

    options = {"attention": attention, "num_cls_tokens": num_cls_tokens, "qkv_bias": qkv_bias, "positions": "learned"}
    model = VideoViT(7, **SIZES, **options, norm_eps=1e-5).eval()
    loaded = load_vit_weights(model, state)
    assert (loaded.layout, loaded.fresh) == ("image", ())
    assert loaded.left_out == (() if num_cls_tokens else ("cls_token",))
    assert "the kernel was inflated over 2 frames" in loaded.changes
    still = picture[:, :, None].expand(-1, -1, 4, -1, -1)
    if num_cls_tokens == 2:  # two equal CLS tokens see one another, which one alone does not
        first, second = model.encode(still).cls.unbind(1)
        torch.testing.assert_close(first, second)
    else:
        torch.testing.assert_close(model(still), expected, rtol=1e-4, atol=1e-4)
