"""The frame network: one path for pictures and kept features, time seen or not, and what is frozen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tubelet.models.efficientnet_lite import efficientnet_lite0
from tubelet.models.frames import (
    FrameNetwork,
    SingleFrame,
    TemporalAttention,
    frame_lite0,
    frame_lite2,
    frame_width,
)


@pytest.fixture(scope="module")
def network() -> FrameNetwork:
    torch.manual_seed(0)
    return frame_lite0(4).eval()


def test_logits_come_from_frame_features(network: FrameNetwork) -> None:
    video = torch.randn(2, 3, 5, 64, 96)
    with torch.inference_mode():
        frames = network.frame_features(video)
        logits = network(video)
        assert frames.shape == (2, 5, 1280 + 4 * 320) == (2, 5, network.num_frame_features)
        torch.testing.assert_close(network.head_forward(frames), logits)
        assert network.features(video).shape == (2, network.num_features)
        torch.testing.assert_close(network.head(network.features(video)), logits)


def test_frames_do_not_depend_on_their_neighbours_or_on_how_many_are_done_at_once(network: FrameNetwork) -> None:
    video = torch.randn(1, 3, 7, 224, 224)
    with torch.inference_mode():
        whole = network.frame_features(video)
        torch.testing.assert_close(network.frame_features(video[:, :, 5:6]), whole[:, 5:6], atol=1e-5, rtol=1e-4)


def test_the_grid_holds_averages_over_parts_of_the_picture(network: FrameNetwork) -> None:
    video = torch.randn(1, 3, 1, 128, 128)
    with torch.inference_mode():
        parts = network.frame_features(video)[0, 0, 1280:].view(320, 2, 2)
        maps = network.backbone.maps(video[:, :, 0])[0]
    assert maps.shape == (320, 4, 4)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part = maps[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        torch.testing.assert_close(parts[:, row, column], part.mean(dim=(1, 2)))


def test_attention_sees_the_order_of_frames_and_the_baseline_does_not() -> None:
    torch.manual_seed(0)
    frames = torch.randn(1, 6, 8)
    attention = TemporalAttention(8, width=16, num_heads=2).eval()
    nn.init.normal_(attention.query)
    assert (attention(frames) - attention(frames.flip(1))).abs().max() > 1e-3
    single = SingleFrame(8)
    assert torch.equal(single(frames[:, 1:]), single(frames[:, 1:].flip(1)))
    assert torch.equal(single(frames), single(frames[:, 3:4]))


def test_changes_make_a_difference_only_where_there_are_any() -> None:
    torch.manual_seed(0)
    attention = TemporalAttention(8, width=16, num_heads=2).eval()
    still = torch.randn(1, 1, 8).expand(1, 5, 8)
    moving = torch.randn(1, 5, 8)
    before = attention(still), attention(moving)
    with torch.no_grad():
        attention.entry.weight[:, 8:].zero_()
    torch.testing.assert_close(attention(still), before[0])
    assert (attention(moving) - before[1]).abs().max() > 1e-3


def test_a_direction_is_learned_from_frame_features() -> None:
    """Rows whose values rise or fall over time: every single frame is as likely in one class as in the other."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    start = torch.randn(64, 1, 4)
    course = torch.linspace(-1, 1, 6)[:, None] * torch.tensor([1.0, -1.0, 1.0, -1.0])
    frames = start + torch.where(labels[:, None, None] == 0, course, -course)
    attention = TemporalAttention(4, width=16, num_layers=1, num_heads=2, dropout=0.0)
    head = nn.Linear(16, 2)
    optimizer = torch.optim.Adam([*attention.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(attention(frames)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (head(attention(frames)).argmax(dim=1) == labels).float().mean() > 0.95


def test_a_frozen_backbone_keeps_weights_and_statistics() -> None:
    torch.manual_seed(0)
    network = frame_lite0(3)
    network.freeze_backbone()
    assert network.train().training and not network.backbone.training and network.temporal.training
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    network(torch.randn(2, 3, 2, 64, 64)).sum().backward()
    assert all(torch.equal(before[name], value) for name, value in network.backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in network.backbone.parameters())
    assert network.head.weight.grad is not None and network.temporal.entry.weight.grad is not None  # type: ignore[union-attr]


def test_all_of_it_can_be_trained() -> None:
    torch.manual_seed(0)
    network = frame_lite0(3).train()
    assert network.backbone.training
    network(torch.randn(2, 3, 2, 64, 64)).square().sum().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


def test_the_fused_copy_says_the_same(network: FrameNetwork) -> None:
    video = torch.randn(1, 3, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.fused()(video), network(video), atol=1e-4, rtol=1e-4)
    assert not network.backbone.is_fused


def test_layers_run_from_the_stem_to_the_head(network: FrameNetwork) -> None:
    depths = [network.layer_of(name) for name, _ in network.named_parameters()]
    assert depths == sorted(depths)
    assert set(depths) == set(range(network.num_layers))
    with pytest.raises(ValueError, match="there is no parameter 'nowhere.weight'"):
        network.layer_of("nowhere.weight")


def test_another_number_of_classes() -> None:
    network = frame_lite2(3, temporal="single_frame", grid=0)
    network.replace_head(9)
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 3, 2, 64, 64)).shape == (1, 9)


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="width is 10 and num_heads 4; the heads must divide the width"):
        TemporalAttention(8, width=10)
    with pytest.raises(ValueError, match="temporal is 'lstm'; allowed: attention, single_frame"):
        frame_lite0(2, temporal="lstm")  # type: ignore[arg-type]
    assert frame_width(efficientnet_lite0(None), 3) == 1280 + 9 * 320
