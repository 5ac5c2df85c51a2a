"""LoRA trains little, changes nothing before it is trained, and leaves a plain model when it is merged."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from tubelet.errors import ConfigError, MissingExtraError, WeightsError
from tubelet.models.vit import VideoViT
from tubelet.runs import RunDirectory
from tubelet.training import LoopConfig, ValidationConfig, adamw, fit, latest_checkpoint
from tubelet.training.lora import TRANSFORMERS_TARGETS, LoraConfig, add_lora, merge_lora
from tubelet.training.parameter_groups import count_parameters, layerwise_adamw

VIDEO = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def network(num_classes: int = 3, seed: int = 0) -> VideoViT:
    torch.manual_seed(seed)
    return VideoViT(
        num_classes, num_frames=4, size_px=16, tubelet=(2, 8, 8), channels=32, depth=2, num_heads=2, positions="learned"
    )


def compute_loss(model: nn.Module, batch: Tensor) -> Mapping[str, Tensor]:
    return {"loss": (model(batch) - torch.eye(3)[:2]).square().mean()}


def train(model: nn.Module, path: Path, *, num_steps: int = 4, stop: int | None = None) -> nn.Module:
    def batch_at(step: int) -> Tensor:
        if step == stop:
            raise KeyboardInterrupt
        return VIDEO

    return fit(
        model,
        adamw(model, lr=0.01, weight_decay=0.0),
        batch_at=batch_at,
        compute_loss=compute_loss,
        lr_factor=lambda step: 1.0,
        config=LoopConfig(num_steps=num_steps, checkpoint_every=2, ema_decay=0.5, keep_frozen=False),
        run=RunDirectory(path) if path.exists() else RunDirectory.create(path, {}),
        validate=lambda model, step: {"loss": compute_loss(model, VIDEO)["loss"].item()},
        validation=ValidationConfig(every=2),
    )


def with_lora(model: VideoViT) -> VideoViT:
    add_lora(model, LoraConfig(rank=2), trained=[model.head])
    return model


def test_adapters_and_head_are_trained_and_the_rest_stays(tmp_path: Path) -> None:
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = model.eval()(VIDEO)
    with_lora(model)
    assert torch.equal(model(VIDEO), expected)  # nothing learned, nothing changed
    trained, total = count_parameters(model)
    assert trained < 0.1 * total
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name in names if "lora" not in name} == {"head.weight", "head.bias"}
    assert {name.split(".")[-4] for name in names if "lora" in name} == {"qkv", "proj", "fc1", "fc2"}
    found = train(model, tmp_path / "run")
    for name, tensor in found.state_dict().items():
        plain = name.replace(".base_layer", "")
        if "lora" not in name and not name.startswith("head."):
            assert torch.equal(tensor, before[plain]), name
    assert not torch.allclose(found(VIDEO), expected)
    assert isinstance(found, VideoViT)
    assert found.layer_of("blocks.0.attention.qkv.lora_A.default.weight") == 1
    layerwise_adamw(found.requires_grad_(True), lr=0.1, weight_decay=0.1, layer_decay=0.8)


def test_a_merged_model_is_plain_and_computes_the_same(tmp_path: Path) -> None:
    found = train(with_lora(network()), tmp_path / "run")
    expected = found(VIDEO)
    assert merge_lora(found) == 4 * len(found.get_submodule("blocks"))  # type: ignore[arg-type]
    torch.testing.assert_close(found(VIDEO), expected, atol=1e-5, rtol=1e-4)
    assert found.state_dict().keys() == network().state_dict().keys()
    network().load_state_dict(found.state_dict())
    with pytest.raises(ConfigError, match="VideoViT has no LoRA layers to merge"):
        merge_lora(found)


def test_checkpoints_hold_what_is_trained_and_go_on_upon_the_same_weights(tmp_path: Path) -> None:
    whole = train(with_lora(network()), tmp_path / "whole", num_steps=6)
    with pytest.raises(KeyboardInterrupt):
        train(with_lora(network()), tmp_path / "run", num_steps=6, stop=5)
    checkpoint = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    for file in (checkpoint / "model.safetensors", checkpoint / "ema.safetensors", *checkpoint.parent.glob("best_*")):
        with safe_open(file, framework="pt") as content:
            names = set(content.keys())
        assert {name for name in names if "lora" not in name} == {"head.weight", "head.bias"}
        assert len(names) == 2 + 2 * 4 * 2
    with pytest.raises(WeightsError, match="the frozen weights of this model are not those it was trained upon"):
        train(with_lora(network(seed=1)), tmp_path / "run", num_steps=6)
    resumed = train(with_lora(network()), tmp_path / "run", num_steps=6)
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_another_number_of_classes_is_named_with_both_counts(tmp_path: Path) -> None:
    train(with_lora(network()), tmp_path / "run")
    with pytest.raises(
        WeightsError, match=r"its last layer \(head\) is for 3 classes, and the model has 5; give data with"
    ):
        train(with_lora(network(num_classes=5)), tmp_path / "run")


def test_a_model_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(
        image_size=16,
        patch_size=8,
        num_frames=4,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
    )
    model = transformers.VideoMAEForVideoClassification(config).eval()
    video = VIDEO.transpose(1, 2)
    expected = model(video).logits
    add_lora(model, LoraConfig(rank=2, targets=TRANSFORMERS_TARGETS), trained=[model.classifier])
    torch.testing.assert_close(model(video).logits, expected)
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in names} == {"videomae", "classifier"}
    assert {name.split(".")[-4] for name in names if "lora" in name} <= set(TRANSFORMERS_TARGETS)
    model(video).logits.square().sum().backward()
    torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.1).step()
    changed = model(video).logits
    assert not torch.allclose(changed, expected)
    merge_lora(model)
    torch.testing.assert_close(model(video).logits, changed, atol=1e-5, rtol=1e-4)


def test_names_that_are_not_there_and_settings_that_are_not_allowed() -> None:
    model = network()
    with pytest.raises(
        ConfigError, match="no linear layer of VideoViT is named query; name some .* fc1, fc2, proj, qkv"
    ):
        add_lora(model, LoraConfig(targets=("query",)), trained=[model.head])
    head = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="no linear layer of Linear is named qkv, proj, fc1, fc2; .*: none"):
        add_lora(head, LoraConfig(), trained=[head])
    for settings, said in (
        ({"rank": 0}, "rank is 0; allowed: 1 or more"),
        ({"alpha": 0}, "alpha is 0; allowed: 1 or more"),
        ({"dropout": 1.0}, "dropout is 1; allowed: 0 to below 1"),
        ({"targets": ()}, "targets are empty"),
    ):
        with pytest.raises(ValueError, match=said):
            LoraConfig(**settings)  # type: ignore[arg-type]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    model = network()
    with pytest.raises(MissingExtraError, match=r"LoRA needs the package peft .*pip install 'tubelet\[lora\]'"):
        add_lora(model, LoraConfig(), trained=[model.head])
