"""The network's window, measured: what a frame's logits depend on, and that a part of a sequence gives the same."""

from __future__ import annotations

import pytest
import torch

from tubelet.models.skeleton import SkeletonTCN


@pytest.fixture
def network() -> SkeletonTCN:
    torch.manual_seed(0)
    return SkeletonTCN(6, 3, channels=16, dilations=(1, 2, 4)).eval()


def test_a_frame_depends_on_its_context_and_on_nothing_else(network: SkeletonTCN) -> None:
    features = torch.randn(1, 6, 60, requires_grad=True)
    network(features)[0, :, 30].sum().backward()
    seen = features.grad[0].abs().sum(dim=0).nonzero().flatten()  # type: ignore[union-attr]
    assert network.context == 7
    assert (seen.min().item(), seen.max().item()) == (30 - 7, 30 + 7)


def test_a_part_with_its_context_gives_what_the_whole_gives(network: SkeletonTCN) -> None:
    features = torch.randn(1, 6, 80)
    whole = network(features)
    part = network(features[..., 20 - network.context : 40 + network.context])
    torch.testing.assert_close(part[..., network.context : -network.context], whole[..., 20:40])
    first = network(features[..., : 40 + network.context])
    torch.testing.assert_close(first[..., :40], whole[..., :40])


def test_every_parameter_learns(network: SkeletonTCN) -> None:
    network.train()(torch.randn(4, 6, 40)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.head.parameters())


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size is 4; must be odd"):
        SkeletonTCN(6, 3, kernel_size=4)
