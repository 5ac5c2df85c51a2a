"""EfficientNet-lite as a part: what it accepts, what loading says, and the copy for inference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tubelet.errors import WeightsError
from tubelet.models.efficientnet_lite import (
    EfficientNetLite,
    efficientnet_lite0,
    efficientnet_lite2,
    load_efficientnet_lite_weights,
    published_name,
)


@pytest.fixture
def network() -> EfficientNetLite:
    torch.manual_seed(0)
    return efficientnet_lite0(7)


def _published(network: EfficientNetLite) -> dict[str, torch.Tensor]:
    return {published_name(name): value.clone() for name, value in network.state_dict().items()}


def _give_statistics(network: EfficientNetLite) -> None:
    """Running statistics that are not those of a fresh network."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 64, 64) * 2 + 1)


@pytest.mark.parametrize(
    ("build", "parameters"), [(efficientnet_lite0, 4_652_008), (efficientnet_lite2, 6_092_072)], ids=["lite0", "lite2"]
)
def test_the_networks_have_as_many_parameters_as_published(build: object, parameters: int) -> None:
    assert sum(parameter.numel() for parameter in build().parameters()) == parameters  # type: ignore[operator]


def test_the_fused_copy_says_the_same_and_leaves_the_original_alone(network: EfficientNetLite) -> None:
    _give_statistics(network)
    images = torch.randn(2, 3, 96, 65)
    fused = network.fused()
    assert fused.is_fused and not network.is_fused
    assert not any(parameter.requires_grad for parameter in fused.parameters()) and not fused.training
    assert all(parameter.requires_grad for parameter in network.parameters()) and network.training
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), network.eval()(images), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(fused.fused()(images), fused(images))


def test_odd_sizes_keep_every_place(network: EfficientNetLite) -> None:
    with torch.inference_mode():
        assert network.eval().maps(torch.zeros(1, 3, 65, 96)).shape == (1, 320, 3, 3)
        assert network.maps(torch.zeros(1, 3, 64, 33)).shape == (1, 320, 2, 2)


def test_without_a_last_layer_it_returns_features() -> None:
    network = efficientnet_lite0(None).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network.features(images))
    assert network(images).shape == (2, network.num_features)


def test_skipping_blocks_is_for_training_only() -> None:
    network = efficientnet_lite0(3, drop_path_rate=0.5)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(network(images), network(images))
        network.eval()
        assert torch.equal(network(images), network(images))


def test_loading_and_naming_go_there_and_back(network: EfficientNetLite, tmp_path: Path) -> None:
    _give_statistics(network)
    torch.save(_published(network), tmp_path / "weights.pth")
    other = efficientnet_lite0(7)
    load_efficientnet_lite_weights(other, tmp_path / "weights.pth")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value)


def test_the_last_layer_can_be_kept(network: EfficientNetLite) -> None:
    other = efficientnet_lite0(5)
    head = other.head.weight.clone()  # type: ignore[union-attr,operator]
    with pytest.raises(WeightsError, match="has 7 classes and this EfficientNetLite has 5; .* new_head=True"):
        load_efficientnet_lite_weights(other, _published(network))
    load_efficientnet_lite_weights(other, _published(network), new_head=True)
    assert torch.equal(other.head.weight, head)  # type: ignore[arg-type]
    assert torch.equal(other.stem.conv.weight, network.stem.conv.weight)
    bare = efficientnet_lite0(None)
    load_efficientnet_lite_weights(bare, _published(network))
    assert torch.equal(bare.tail.conv.weight, network.tail.conv.weight)


def test_weights_of_another_network_are_refused(network: EfficientNetLite) -> None:
    state = _published(efficientnet_lite2(7))
    with pytest.raises(WeightsError, match=r"no weights of this EfficientNetLite: missing none; unknown _blocks\.16\."):
        load_efficientnet_lite_weights(network, state)
    state = _published(network)
    del state["_fc.bias"], state["_bn0.weight"]
    with pytest.raises(WeightsError, match=r"missing stem\.norm\.weight, head\.bias; unknown none"):
        load_efficientnet_lite_weights(network, state)
    before = network.stem.conv.weight.clone()
    state = _published(efficientnet_lite0(7)) | {"_conv_head.weight": torch.zeros(3, 3)}
    with pytest.raises(WeightsError, match=r"another size .* tail\.conv\.weight is \(3, 3\) and should be \(1280, 320"):
        load_efficientnet_lite_weights(network, state)
    assert torch.equal(network.stem.conv.weight, before)


def test_a_file_that_holds_no_weights_is_refused(network: EfficientNetLite, tmp_path: Path) -> None:
    path = tmp_path / "text.pth"
    path.write_text("not weights at all")
    with pytest.raises(WeightsError, match=r"text\.pth"):
        load_efficientnet_lite_weights(network, path)


def test_misuse_is_refused(network: EfficientNetLite) -> None:
    with pytest.raises(ValueError, match="num_classes is 0; allowed: 1 or more"):
        efficientnet_lite0(0)
    with pytest.raises(ValueError, match="the model is fused; load the weights first"):
        load_efficientnet_lite_weights(network.fused(), _published(network))
