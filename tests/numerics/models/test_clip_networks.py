"""MViT, R(2+1)D, R3D and X3D against what the reference implementations answered with the same seeded weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from recorded_networks import RECORD, made_up_clip, state_checksum
from seeded_weights import seeded_state
from torch import Tensor, nn

from tubelet.models.convolution import channels_innermost, convolved, normalised
from tubelet.models.mvit import mvit_b_16x4, mvit_v2_s
from tubelet.models.r2plus1d import r2plus1d_18, r3d_18
from tubelet.models.x3d import x3d_m, x3d_s, x3d_xs

MAKERS: dict[str, Callable[..., nn.Module]] = {
    maker.__name__: maker for maker in (mvit_b_16x4, mvit_v2_s, r2plus1d_18, r3d_18, x3d_xs, x3d_s, x3d_m)
}
RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))


def test_every_network_was_recorded_and_says_from_what() -> None:
    assert set(RECORDED["networks"]) == set(MAKERS)
    for facts in RECORDED["references"].values():
        assert set(facts) == {"version", "licence", "commit"}
        assert all(facts.values())


def seeded(name: str) -> nn.Module:
    network = MAKERS[name]()
    network.load_state_dict(seeded_state(network.state_dict()))
    return network.eval()


@pytest.mark.parametrize("name", MAKERS)
def test_names_shapes_and_logits_are_those_of_the_reference(name: str) -> None:
    recorded: dict[str, Any] = RECORDED["networks"][name]
    network = seeded(name)
    state = network.state_dict()
    assert len(state) == recorded["num_entries"]
    assert state_checksum(state) == recorded["state_checksum"]
    with torch.inference_mode():
        logits = network(made_up_clip(recorded["num_frames"], recorded["size_px"]))[0]
    wanted = torch.tensor(recorded["logits"])
    assert wanted.std() > 0.1  # else there would be nothing to compare
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4 * wanted.std().item())


def assert_close_in_size(found: Tensor, wanted: Tensor, share: float) -> None:
    assert (found - wanted).abs().max() <= share * wanted.abs().max()


@pytest.mark.parametrize(
    ("name", "num_frames", "size_px"),
    [("mvit_b_16x4", 4, 64), ("mvit_v2_s", 4, 64), ("r2plus1d_18", 4, 32), ("x3d_xs", 4, 64)],
)
def test_the_short_cuts_taken_without_gradients_change_nothing(name: str, num_frames: int, size_px: int) -> None:
    """Folded norms, values overwritten in place, and a last block for the class token only."""
    sizes = {"num_frames": num_frames, "size_px": size_px} if name.startswith("mvit") else {}
    network = MAKERS[name](7, **sizes)
    network.load_state_dict(seeded_state(network.state_dict()))
    clip = made_up_clip(num_frames, size_px)
    with_gradients = network.eval()(clip)
    with torch.no_grad():
        without = network(clip)
    assert with_gradients.requires_grad
    assert_close_in_size(without, with_gradients, 1e-5)


@pytest.mark.parametrize("version", ["mvit_b_16x4", "mvit_v2_s"])
def test_attention_is_the_plain_sum_over_keys(version: str) -> None:
    """Each attention of a small network against products, biases and a softmax written out."""
    network = MAKERS[version](7, num_frames=4, size_px=64)
    network.load_state_dict(seeded_state(network.state_dict()))
    grid = (2, 16, 16)
    num_compared = 0
    for block in network.eval().blocks:
        attention = block.attn
        x = torch.randn(
            2, 1 + grid[0] * grid[1] * grid[2], attention.qkv.in_features, generator=torch.Generator().manual_seed(1)
        )
        with torch.no_grad():
            found = attention(x, grid)
            wanted, grid = plain_attention(attention, x, grid)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        num_compared += 1
    assert num_compared == 16


def plain_attention(attention: Any, x: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, tuple[int, int, int]]:
    batch, heads = x.shape[0], attention.num_heads
    channels = attention.width // heads
    split = attention.qkv(x).reshape(batch, -1, 3, heads, channels).permute(2, 0, 3, 1, 4)

    def pooled(pool: Any, tokens: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
        if pool is None:
            return tokens, grid
        volume = tokens[:, :, 1:].reshape(batch * heads, *grid, channels).permute(0, 4, 1, 2, 3)
        out = pool.pool(volume)
        flat = out.flatten(2).transpose(1, 2).reshape(batch, heads, -1, channels)
        return pool.norm_act(torch.cat([tokens[:, :, :1], flat], dim=2)), tuple(out.shape[2:])

    (q, query_grid), (k, key_grid), (v, _) = (
        pooled(pool, tokens)
        for pool, tokens in zip((attention.pool_q, attention.pool_k, attention.pool_v), split, strict=True)
    )
    products = q @ k.transpose(2, 3) / channels**0.5
    if attention.rel_pos_h is not None:
        places = torch.cartesian_prod(*(torch.arange(size) for size in query_grid))
        key_places = torch.cartesian_prod(*(torch.arange(size) for size in key_grid))
        for axis, table in enumerate((attention.rel_pos_t, attention.rel_pos_h, attention.rel_pos_w)):
            step_q = max(key_grid[axis] // query_grid[axis], 1)
            step_k = max(query_grid[axis] // key_grid[axis], 1)
            row = places[:, None, axis] * step_q - key_places[None, :, axis] * step_k + (key_grid[axis] - 1) * step_k
            products[:, :, 1:, 1:] += torch.einsum("bhqc,qkc->bhqk", q[:, :, 1:], table[row])
    out = products.softmax(-1) @ v
    if attention.has_query_residual:
        out[:, :, 1:] += q[:, :, 1:]
    return attention.project(out.transpose(1, 2).flatten(2)), query_grid


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("time", [1, 2, 4])
@pytest.mark.parametrize(
    ("out", "kernel", "stride", "groups"),
    [
        (4, (1, 1, 1), 1, 1),
        (4, (1, 1, 1), (1, 2, 2), 1),
        (4, (3, 1, 1), 1, 1),
        (4, (5, 1, 1), 1, 1),
        (4, (3, 1, 1), (2, 1, 1), 1),
        (500, (3, 1, 1), 1, 1),
        (6, (5, 1, 1), 1, 6),
        (12, (5, 1, 1), 1, 6),
        (6, (3, 3, 3), (1, 2, 2), 6),
        (4, (1, 3, 3), 1, 1),
    ],
)
def test_a_convolution_is_that_of_torch(batch: int, time: int, out: int, kernel: Any, stride: Any, groups: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv3d(6, out, kernel, stride, tuple(size // 2 for size in kernel), groups=groups)
    clip = torch.randn(batch, 6, time, 5, 7)
    results = []
    for convolve in (conv, lambda video: convolved(video, conv)):
        for layout in (clip, channels_innermost(clip)):
            video = layout.detach().requires_grad_()
            conv.zero_grad()
            output = convolve(video)
            (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
            results.append((output, video.grad, conv.weight.grad, conv.bias.grad))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-4, atol=1e-4)


def test_a_folded_norm_is_the_norm_and_is_not_folded_where_that_would_hide_something() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv3d(3, 4, 3, padding=1, bias=False), nn.BatchNorm3d(4)
    norm.load_state_dict(seeded_state(norm.state_dict()))
    clip = torch.randn(2, 3, 4, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(normalised(clip, conv, norm.eval()), norm(conv(clip)), rtol=1e-5, atol=1e-5)
        before = norm.running_mean.clone()
        normalised(clip, conv, norm.train())
        assert not torch.equal(norm.running_mean, before)  # in training, statistics are those of the batch
        seen: list[Tensor] = []
        conv.register_forward_hook(lambda module, inputs, output: seen.append(output))
        normalised(clip, conv, norm.eval())
    assert len(seen) == 1
