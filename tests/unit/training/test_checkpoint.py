"""Weights and training state come back bit by bit, and damage is an error that names the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from tubelet.errors import WeightsError
from tubelet.training import Ema, adamw, latest_checkpoint, load_checkpoint, load_weights, save_checkpoint, save_weights


def network(width: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))


def trained() -> tuple[nn.Sequential, torch.optim.AdamW, Ema]:
    model = network()
    optimizer, ema = adamw(model, lr=0.1, weight_decay=0.1), Ema(model, 0.9)
    model(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    ema.update(model, 0)
    return model, optimizer, ema


def test_weights_and_metadata_come_back(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    save_weights(tmp_path / "w.safetensors", {"b": shared.T, "a": shared[0]}, {"labels": '["walk"]'})
    tensors, metadata = load_weights(tmp_path / "w.safetensors")
    assert torch.equal(tensors["b"], shared.T)
    assert torch.equal(tensors["a"], shared[0])
    assert metadata == {"labels": '["walk"]'}


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    save_weights(tmp_path / "1", {"a": torch.ones(2), "b": torch.zeros(1)}, {"x": "1", "y": "2"})
    save_weights(tmp_path / "2", {"b": torch.zeros(1), "a": torch.ones(2)}, {"y": "2", "x": "1"})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert load_weights(tmp_path / "2")[1] == {"x": "1", "y": "2"}


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all", b"\xff" * 64])
def test_weights_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.safetensors: cannot be read as safetensors"):
        load_weights(path)


def test_a_checkpoint_holds_model_average_optimizer_and_random_state(tmp_path: Path) -> None:
    model, optimizer, ema = trained()
    path = save_checkpoint(tmp_path, step=12, model=model, optimizer=optimizer, ema=ema)
    expected = torch.rand(3)
    assert sorted(os.listdir(path)) == ["ema.safetensors", "model.safetensors", "state.json", "state.pt"]

    other = network()
    other_optimizer, other_ema = adamw(other, lr=0.5, weight_decay=0.0), Ema(other, 0.9)
    torch.rand(7)
    assert load_checkpoint(path, model=other, optimizer=other_optimizer, ema=other_ema) == 12
    assert torch.equal(torch.rand(3), expected)
    for one, two in ((model, other), (ema.model, other_ema.model)):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, two.state_dict()[name]), name
    assert json.dumps(optimizer.state_dict()["param_groups"]) == json.dumps(
        other_optimizer.state_dict()["param_groups"]
    )
    for key, state in optimizer.state_dict()["state"].items():
        assert torch.equal(state["exp_avg"], other_optimizer.state_dict()["state"][key]["exp_avg"])


def test_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    model, optimizer, _ = trained()
    assert latest_checkpoint(tmp_path / "none") is None
    for step in (5, 10, 100_000_000):
        save_checkpoint(tmp_path, step=step, model=model, optimizer=optimizer)
    assert sorted(os.listdir(tmp_path)) == ["step_00000010", "step_100000000"]
    assert latest_checkpoint(tmp_path) == tmp_path / "step_100000000"
    save_checkpoint(tmp_path, step=100_000_000, model=model, optimizer=optimizer)  # again, over itself
    assert sorted(os.listdir(tmp_path)) == ["step_00000010", "step_100000000"]


def test_what_a_kill_left_is_never_taken_and_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    torn = tmp_path / ".step_00000009.ab12cd34.tmp"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path) is None
    model, optimizer, _ = trained()
    save_checkpoint(tmp_path, step=1, model=model, optimizer=optimizer)
    assert os.listdir(tmp_path) == ["step_00000001"]


def test_a_checkpoint_that_does_not_fit_says_so(tmp_path: Path) -> None:
    model, optimizer, ema = trained()
    path = save_checkpoint(tmp_path, step=1, model=model, optimizer=optimizer)
    with pytest.raises(WeightsError, match=r"model\.safetensors: the weights do not fit the model"):
        load_checkpoint(path, model=network(width=5))
    with pytest.raises(WeightsError, match="was trained without a weight average"):
        load_checkpoint(path, model=model, ema=ema)
    one_group = torch.optim.AdamW(model.parameters())
    with pytest.raises(WeightsError, match=r"state\.pt: the optimiser cannot go on from it"):
        load_checkpoint(path, model=model, optimizer=one_group)


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "state.json"])
@pytest.mark.parametrize("size", [0, 40, None])
def test_a_damaged_file_is_an_error(tmp_path: Path, name: str, size: int | None) -> None:
    model, optimizer, _ = trained()
    path = save_checkpoint(tmp_path, step=1, model=model, optimizer=optimizer)
    if size is None:
        content = bytearray((path / name).read_bytes())
        content[len(content) // 2] ^= 0xFF
        (path / name).write_bytes(content)
    else:
        os.truncate(path / name, size)
    with pytest.raises(WeightsError, match=r"step_00000001"):
        load_checkpoint(path, model=model, optimizer=optimizer)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    model, optimizer, _ = trained()
    path = save_checkpoint(tmp_path, step=1, model=model, optimizer=optimizer)
    (path / "state.json").write_text('{"schema": "tubelet.checkpoint/7"}')
    with pytest.raises(WeightsError, match="schema is 'tubelet.checkpoint/7'; this version reads"):
        load_checkpoint(path, model=model)
