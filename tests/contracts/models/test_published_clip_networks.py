"""What networks with a published layout promise: their parts, gradients and head, and how weights are loaded."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from recorded_networks import made_up_clip
from safetensors.torch import save_file
from seeded_weights import seeded_state
from torch import nn

from tubelet.errors import WeightsError
from tubelet.models.mvit import MViT, load_mvit_weights, mvit_b_16x4, mvit_v2_s
from tubelet.models.r2plus1d import VideoResNet, load_r2plus1d_weights, r2plus1d_18
from tubelet.models.x3d import load_x3d_weights, x3d_m, x3d_s, x3d_xs


@dataclass(frozen=True)
class Case:
    make: Callable[..., Any]
    load: Callable[..., None]
    head: str
    num_features: int
    num_layers: int
    clip: tuple[int, int]


small = {"num_frames": 4, "size_px": 64, "drop_path": 0.0}
CASES = {
    "mvit_b_16x4": Case(partial(mvit_b_16x4, **small), load_mvit_weights, "head.1", 768, 18, (4, 64)),
    "mvit_v2_s": Case(partial(mvit_v2_s, **small), load_mvit_weights, "head.1", 768, 18, (4, 64)),
    "r2plus1d_18": Case(r2plus1d_18, load_r2plus1d_weights, "fc", 512, 10, (4, 32)),
    "x3d_xs": Case(x3d_xs, load_x3d_weights, "blocks.5.proj", 2048, 28, (4, 64)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def network(case: Case) -> Any:
    model = case.make(5)
    model.load_state_dict(seeded_state(model.state_dict()))
    return model.eval()


@pytest.fixture(scope="module")
def clips(case: Case) -> torch.Tensor:
    return torch.cat([made_up_clip(*case.clip, seed=seed) for seed in range(2)])


def test_a_clip_does_not_depend_on_its_neighbours(network: Any, clips: torch.Tensor) -> None:
    with torch.inference_mode():
        together, alone = network(clips), network(clips[1:])
    assert together.shape == (2, 5)
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-4 * alone.abs().max().item())


def test_the_head_reads_the_features(case: Case, network: Any, clips: torch.Tensor) -> None:
    with torch.inference_mode():
        features = network.features(clips)
        assert features.shape == (2, case.num_features) == (2, network.num_features)
        torch.testing.assert_close(network.head(features), network(clips))


def test_half_precision_stays_close(network: Any, clips: torch.Tensor) -> None:
    with torch.inference_mode():
        wanted = network(clips)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(clips)
    assert (found.float() - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_every_parameter_gets_a_gradient_in_training(network: Any, clips: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = copy.deepcopy(network)
    nn.functional.cross_entropy(model.train()(clips), torch.tensor([0, 3])).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    still = {name for name, parameter in model.named_parameters() if not parameter.grad.any()}
    # Only the class token of the last block is read, and it is neither pooled nor has it a position.
    last = "blocks.15.attn."
    assert still <= {last + name for name in ("pool_q.pool.weight", "rel_pos_h", "rel_pos_w", "rel_pos_t")}


def test_every_parameter_is_in_one_layer_and_every_layer_has_some(case: Case, network: Any) -> None:
    layers = Counter(network.layer_of(name) for name, _ in network.named_parameters())
    assert network.num_layers == case.num_layers
    assert set(layers) == set(range(case.num_layers))
    assert network.layer_of(case.head + ".weight") == case.num_layers - 1
    assert network.layer_of(next(iter(dict(network.named_parameters())))) == 0
    depths = [network.layer_of(name) for name, _ in network.named_parameters()]
    assert depths == sorted(depths)


@pytest.mark.parametrize("name", ["", "nothing.weight", "blocks", "blocks.99.norm1.weight", "layer9.0.conv1.0.weight"])
def test_a_name_of_another_network_is_refused(network: Any, name: str) -> None:
    with pytest.raises(ValueError, match="is no parameter of"):
        network.layer_of(name)


def test_a_replaced_head_has_its_classes_and_leaves_the_rest(network: Any, clips: torch.Tensor) -> None:
    model = copy.deepcopy(network).double()
    before = model.features(clips.double()).detach()
    model.replace_head(3)
    assert model(clips.double()).shape == (2, 3)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    torch.testing.assert_close(model.features(clips.double()).detach(), before)
    with pytest.raises(ValueError, match="num_classes is 0; must be at least 1"):
        model.replace_head(0)


def test_weights_come_from_files_of_both_kinds(case: Case, network: Any, tmp_path: Path) -> None:
    state = network.state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save({"model_state": state, "epoch": 3}, tmp_path / "weights.pyth")
    for source in (tmp_path / "weights.safetensors", str(tmp_path / "weights.pyth"), state):
        model = copy.deepcopy(network)
        nn.init.zeros_(model.head[-1].weight if case.head == "head.1" else model.head.weight)
        case.load(model, source)
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_another_number_of_classes_is_an_error_or_a_new_head(case: Case, network: Any) -> None:
    model = copy.deepcopy(network)
    model.replace_head(9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"the checkpoint has 5 classes and this \w+ has 9; .* new_head=True"):
        case.load(model, network.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    case.load(model, network.state_dict(), new_head=True)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if name.startswith(case.head + ".") else network.state_dict()[name])


def test_weights_that_do_not_fit_are_named(case: Case, network: Any) -> None:
    state, model = dict(network.state_dict()), copy.deepcopy(network)
    first = next(iter(state))
    value = state.pop(first)
    with pytest.raises(WeightsError, match=f"missing {first}; unknown none"):
        case.load(model, state)
    with pytest.raises(WeightsError, match="missing .*; unknown something.else"):
        case.load(model, state | {"something.else": value})
    wrong = state | {first: torch.zeros(*value.shape, 2)}
    with pytest.raises(WeightsError, match=rf"belong to another size of \w+ .*{first} is \("):
        case.load(model, wrong)


def test_the_sizes_that_were_published() -> None:
    assert [(network.num_frames, network.size_px) for network in (x3d_xs(2), x3d_s(2), x3d_m(2))] == [
        (4, 160),
        (13, 160),
        (16, 224),
    ]
    with torch.device("meta"):
        assert [(n.num_frames, n.size_px) for n in (mvit_b_16x4(2), mvit_v2_s(2))] == [(16, 224), (16, 224)]


def test_what_there_is_not_is_refused(case: Case) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match="num_classes is 0; must be at least 1"):
        case.make(0)
    with pytest.raises(ValueError, match="kind is 'mc3'; allowed: r2plus1d, r3d"):
        VideoResNet(2, kind="mc3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"version is 3; there are 1 \(MViT\) and 2 \(MViTv2\)"):
        MViT(2, version=3)


@pytest.mark.parametrize(("num_frames", "size_px"), [(3, 64), (0, 64), (16, 100), (16, 0)])
def test_a_size_that_a_pooling_transformer_cannot_have(num_frames: int, size_px: int) -> None:
    with pytest.raises(
        ValueError, match=rf"clips of {num_frames} frames of {size_px} pixels do not fit; .*multiple of 32"
    ):
        mvit_v2_s(2, num_frames=num_frames, size_px=size_px)


def test_clips_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="clips have 4 x 32 x 32 .* made for 4 x 64 x 64"):
        mvit_v2_s(2, **small)(torch.zeros(1, 3, 4, 32, 32))
