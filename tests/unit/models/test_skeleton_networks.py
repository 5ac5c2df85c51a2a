"""Both networks over skeletons that label clips: what is not seen plays no part, and they learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from tubelet.models.graph import SkeletonGraph, spatial_graph
from tubelet.models.skeleton_clip import SkeletonClipTCN
from tubelet.skeletons import BODY_13

CHAIN = ((0, 1), (1, 2), (2, 3), (3, 4))


def _graph() -> nn.Module:
    torch.manual_seed(0)
    return SkeletonGraph(3, 4, num_joints=5, bones=CHAIN, channels=(8, 12), strides=(1, 2))


def _tcn() -> nn.Module:
    torch.manual_seed(0)
    return SkeletonClipTCN(15, 4, channels=8, dilations=(1, 2))


def _inputs(network: nn.Module, clips: int, frames: int, people: int) -> torch.Tensor:
    joints = torch.randn(clips, 3, frames, 5, people)
    return joints if isinstance(network, SkeletonGraph) else joints.transpose(2, 3).flatten(1, 2)


BOTH = pytest.mark.parametrize("build", [_graph, _tcn], ids=["graph", "tcn"])
Build = Callable[[], nn.Module]


@BOTH
def test_padding_in_time_and_absent_people_change_nothing(build: Build) -> None:
    network = build().eval()
    for norm in (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)):
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)
    clips = _inputs(network, 3, 20, 2)
    logits = network(clips)
    padded = torch.full_like(_inputs(network, 3, 33, 4), 7.0)
    if clips.ndim == 5:
        padded[:, :, :20, :, 1:3] = clips
    else:
        padded[:, :, :20, 1:3] = clips
    is_seen = torch.zeros(3, 33, 4, dtype=torch.bool)
    is_seen[:, :20, 1:3] = True
    torch.testing.assert_close(network(padded, is_seen), logits, atol=1e-5, rtol=1e-4)


@BOTH
def test_people_are_interchangeable_and_clips_independent(build: Build) -> None:
    network = build().eval()
    clips = _inputs(network, 2, 16, 3)
    torch.testing.assert_close(network(clips.flip(-1)), network(clips))
    torch.testing.assert_close(network(clips[1:]), network(clips)[1:], atol=1e-6, rtol=1e-5)


@BOTH
def test_a_clip_without_anybody_has_finite_logits(build: Build) -> None:
    network = build().train()
    clips = _inputs(network, 3, 16, 2)
    is_seen = torch.ones(3, 16, 2, dtype=torch.bool)
    is_seen[1] = False
    logits = network(clips, is_seen)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@BOTH
def test_somebody_seen_for_one_frame_counts(build: Build) -> None:
    network = build().eval()
    clips = _inputs(network, 1, 16, 1)
    is_seen = torch.zeros(1, 16, 1, dtype=torch.bool)
    is_seen[:, 3] = True
    assert torch.isfinite(network(clips, is_seen)).all()


@BOTH
def test_it_learns_which_way_a_joint_moves(build: Build) -> None:
    network = build().train()
    joints = torch.randn(48, 3, 12, 5, 1) * 0.1
    labels = torch.arange(48) % 2
    joints[:, 0, :, 4, 0] += torch.where(labels[:, None] == 0, 1.0, -1.0) * torch.linspace(-1, 1, 12)
    clips = joints if isinstance(network, SkeletonGraph) else joints.transpose(2, 3).flatten(1, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(clips), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (network.eval()(clips).argmax(dim=1) == labels).float().mean() > 0.95


@BOTH
def test_layers_run_from_the_entry_to_the_head(build: Build) -> None:
    network = build()
    depths = {name: network.layer_of(name) for name, _ in network.named_parameters()}
    assert set(depths.values()) == set(range(network.num_layers))
    assert [name for name, depth in depths.items() if depth == network.num_layers - 1] == ["head.weight", "head.bias"]


@BOTH
def test_another_number_of_classes(build: Build) -> None:
    network = build()
    network.replace_head(9)
    assert network(_inputs(network, 2, 8, 1)).shape == (2, 9)


def test_the_graph_says_who_hears_whom() -> None:
    itself, inward, outward = spatial_graph(5, CHAIN)
    torch.testing.assert_close(itself + inward + outward, _hop(5, CHAIN))
    assert (itself.nonzero()[:, 0] == itself.nonzero()[:, 1]).all()
    # The middle of the chain is its centre: joint 3 hears joint 2 as a neighbour nearer to it, and 4 as one farther.
    assert inward[2, 3] > 0 and outward[2, 3] == 0
    assert outward[4, 3] > 0 and inward[4, 3] == 0


def _hop(num_joints: int, bones: tuple[tuple[int, int], ...]) -> torch.Tensor:
    near = np.eye(num_joints)
    for a, b in bones:
        near[a, b] = near[b, a] = 1
    return torch.from_numpy(near / near.sum(axis=0)).float()


def test_joints_without_bones_hear_themselves_only() -> None:
    graph = spatial_graph(len(BODY_13), BODY_13.bones)
    nose = BODY_13.index("nose")
    assert graph[0, nose, nose] == 1 and graph.sum(dim=0)[:, nose].sum() == 1
    torch.testing.assert_close(graph.sum(dim=(0, 1)), torch.ones(13))
    hip, knee = BODY_13.index("left_hip"), BODY_13.index("left_knee")
    assert graph[1, hip, knee] > 0 and graph[2, knee, hip] > 0


def test_a_joint_hears_its_neighbours_and_no_others_before_training() -> None:
    network = SkeletonGraph(2, 3, num_joints=5, bones=CHAIN, channels=(4,), strides=(1,)).eval()
    joints = torch.randn(1, 2, 9, 5, 1, requires_grad=True)
    x, _ = network.blocks[0](network_input := joints[..., 0], torch.ones(1, 1, 9, 1))
    assert network_input.shape == (1, 2, 9, 5)
    x[:, :, 4, 0].sum().backward()
    assert joints.grad[0, :, :, :, 0].abs().sum(dim=(0, 1)).nonzero().flatten().tolist() == [0, 1]


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the input has 2 channels of 6 joints; this network reads 3 of 5"):
        _graph()(torch.zeros(1, 2, 8, 6, 1))
    with pytest.raises(ValueError, match=r"the input has 14 features; this network reads 15"):
        _tcn()(torch.zeros(1, 14, 8, 1))


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size is 4; must be odd"):
        SkeletonGraph(3, 4, num_joints=5, bones=CHAIN, kernel_size=4)
    with pytest.raises(ValueError, match=r"channels are \(8, 8\) and strides \(1,\); give one of each per block"):
        SkeletonGraph(3, 4, num_joints=5, bones=CHAIN, channels=(8, 8), strides=(1,))
    with pytest.raises(ValueError, match=r"bones are \[\(0, 5\)\]; their ends must be 0 to 4"):
        spatial_graph(5, [(0, 5)])
