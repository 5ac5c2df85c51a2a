"""Rates by depth, decay only where it helps, and frozen parts that stay as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.runs import RunDirectory
from tubelet.training import LoopConfig, adamw, fit
from tubelet.training.parameter_groups import (
    count_parameters,
    freeze_all_but,
    layerwise_adamw,
    train_mode,
    undecayed_names,
)


class Layers(nn.Module):
    """Two blocks between a stem and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_tokens = nn.Parameter(torch.zeros(1, 2, 4))
        self.positions = nn.Parameter(torch.zeros(1, 5, 4))
        self.stem = nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.blocks = nn.ModuleList([nn.Sequential(nn.LayerNorm((5, 4)), nn.Linear(4, 4)) for _ in range(2)])
        self.head = nn.Linear(4, 3)
        self.num_layers = 4

    def layer_of(self, parameter_name: str) -> int:
        found = re.match(r"blocks\.(\d)", parameter_name)
        return int(found[1]) + 1 if found else 3 if parameter_name.startswith("head") else 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).transpose(1, 2) + self.positions + self.cls_tokens[:, :1]
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.head(x.mean(1))
        return found


def test_each_layer_is_slower_than_the_one_above_it() -> None:
    model = Layers()
    optimizer = layerwise_adamw(model, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(each)]: group["lr"] for group in optimizer.param_groups for each in group["params"]}
    assert rates["head.weight"] == rates["head.bias"] == 1.0
    assert rates["blocks.1.1.weight"] == 0.5
    assert rates["blocks.0.1.weight"] == 0.25
    assert rates["stem.0.weight"] == rates["positions"] == 0.125
    assert set(rates) == set(names.values())


def test_norms_biases_positions_and_tokens_do_not_decay() -> None:
    model = Layers()
    decayed = {name for name, _ in model.named_parameters()} - undecayed_names(model)
    assert decayed == {"stem.0.weight", "blocks.0.1.weight", "blocks.1.1.weight", "head.weight"}
    optimizer = layerwise_adamw(model, lr=1.0, weight_decay=0.1)
    found = {id(each) for group in optimizer.param_groups if group["weight_decay"] for each in group["params"]}
    assert found == {id(model.get_parameter(name)) for name in decayed}
    assert {group["lr"] for group in optimizer.param_groups} == {1.0}


def test_what_cannot_be_done_is_named() -> None:
    with pytest.raises(ConfigError, match="layer_decay is 0.5, and Linear does not say how deep its parameters lie"):
        layerwise_adamw(nn.Linear(2, 2), lr=1.0, weight_decay=0.0, layer_decay=0.5)
    with pytest.raises(ConfigError, match="layer_decay is 1.5; allowed: above 0, to 1"):
        layerwise_adamw(Layers(), lr=1.0, weight_decay=0.0, layer_decay=1.5)
    with pytest.raises(ConfigError, match="no parameter of Linear is trainable; leave at least the head unfrozen"):
        layerwise_adamw(nn.Linear(2, 2).requires_grad_(False), lr=1.0, weight_decay=0.0)
    with pytest.raises(ConfigError, match="the part of Layers that was to be trained has no parameters"):
        freeze_all_but(Layers(), [nn.Identity()])
    deep = Layers()
    deep.num_layers = 3
    with pytest.raises(ValueError, match=r"layer_of\('head.weight'\) is 3; needed: 0 to 2"):
        layerwise_adamw(deep, lr=1.0, weight_decay=0.0, layer_decay=0.5)


def test_a_linear_probe_trains_the_head_alone_and_leaves_batch_norms_as_they_came(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Layers()
    model(torch.randn(4, 3, 5))  # statistics of their own
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    freeze_all_but(model, [model.head])
    assert count_parameters(model) == (15, sum(parameter.numel() for parameter in model.parameters()))
    seen: list[Tensor] = []

    def compute_loss(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        assert isinstance(model, Layers)
        seen.append(model.stem(batch))
        return {"loss": model(batch).square().mean()}

    batch = 5 + torch.randn(4, 3, 5)
    fit(
        model,
        adamw(model, lr=0.1, weight_decay=0.0),
        batch_at=lambda step: batch,
        compute_loss=compute_loss,
        lr_factor=lambda step: 1.0,
        config=LoopConfig(num_steps=3),
        run=RunDirectory.create(tmp_path / "run", {}),
    )
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert torch.equal(seen[0], seen[-1])  # no dropout in what is frozen


def test_what_is_trained_is_in_training_mode() -> None:
    model = Layers()
    train_mode(model)
    assert all(module.training for module in model.modules())
    freeze_all_but(model, [model.head, model.blocks[1]])
    train_mode(model)
    assert model.training and model.head.training and model.blocks[1][0].training
    assert not any(module.training for part in (model.stem, model.blocks[0]) for module in part.modules())
