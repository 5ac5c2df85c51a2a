"""Weights and training state come back bit by bit, and damage is an error that names the file."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from tubelet.errors import TrainingError, WeightsError
from tubelet.runs import Failure
from tubelet.training import (
    Ema,
    ValidationConfig,
    adamw,
    latest_checkpoint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
)
from tubelet.training.best_weights import save_best
from tubelet.training.checkpoint import LoopState
from tubelet.training.stopping import Best


@dataclass(frozen=True)
class Named:
    ids: tuple[str, ...]
    failures: tuple[Failure, ...]


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


def test_another_number_of_classes_is_named_with_both_counts(tmp_path: Path) -> None:
    def classifier(num_classes: int, width: int = 3) -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, width), nn.Linear(width, num_classes))

    model = classifier(5)
    path = save_checkpoint(tmp_path, step=1, model=model, optimizer=adamw(model, lr=0.1, weight_decay=0.1))
    with pytest.raises(
        WeightsError,
        match=r"model\.safetensors: its last layer \(1\) is for 5 classes, and the model has 7; give data with",
    ):
        load_checkpoint(path, model=classifier(7))
    with pytest.raises(
        WeightsError, match=r"do not fit the model: 0\.bias has shape \(3,\), needed \(4,\); .*another model"
    ):
        load_checkpoint(path, model=classifier(5, width=4))
    deeper = nn.Sequential(*classifier(5), nn.Linear(5, 5))
    with pytest.raises(WeightsError, match=r"do not fit the model: lacks 2\.bias, 2\.weight; it is of another model"):
        load_checkpoint(path, model=deeper)
    with pytest.raises(WeightsError, match=r"do not fit the model: has unknown 1\.bias, 1\.weight;"):
        load_checkpoint(path, model=classifier(5)[:1])


def test_the_place_in_training_comes_back(tmp_path: Path) -> None:
    model, optimizer, _ = trained()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    loop = LoopState(num_overflows=3, overflows_in_a_row=1)
    loop.ledger.record(Named(("a.mp4", "b.mp4"), (Failure(item="c.mp4", reason="cut off"),)))
    loop.best.judge({"loss": 0.1}, 4, ValidationConfig(every=1))
    save_best(tmp_path, model=model, best=loop.best, names=None)
    path = save_checkpoint(tmp_path, step=5, model=model, optimizer=optimizer, scaler=scaler, loop=loop)
    found, found_scaler = LoopState(), torch.amp.GradScaler("cpu")
    load_checkpoint(path, model=model, optimizer=optimizer, scaler=found_scaler, loop=found)
    assert found == loop
    assert found.ledger.failed == {"c.mp4": "cut off"}
    assert found_scaler.get_scale() == 8.0
    assert found.best.value == 0.1  # to the bit


def test_best_weights_stay_as_long_as_a_checkpoint_names_them(tmp_path: Path) -> None:
    model, optimizer, _ = trained()
    loop = LoopState()
    there = []
    for step, loss in enumerate((5.0, 4.0, 4.5, 3.0, 3.5), start=1):
        if loop.best.judge({"loss": loss}, step, ValidationConfig(every=1)):
            save_best(tmp_path, model=model, best=loop.best, names=None)
        save_checkpoint(tmp_path, step=step, model=model, optimizer=optimizer, loop=loop)
        there.append(sorted(int(path.stem[5:]) for path in tmp_path.glob("best_*")))
    assert there == [[1], [1, 2], [2], [2, 4], [4]]  # also of the older one of the two checkpoints


def test_best_weights_that_do_not_fit_on_the_disk_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"best_00000003\.safetensors: cannot be written \(No space.*no earlier"):
        save_best(tmp_path, model=network(), best=Best(step=3), names=None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace", "rename", "mkdir"])
def test_a_disk_that_refuses_leaves_the_last_checkpoint_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    model, optimizer, _ = trained()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(TrainingError, match=r"step_00000001: cannot be written \(No space.*no earlier checkpoint"):
            save_checkpoint(tmp_path, step=1, model=model, optimizer=optimizer)
    kept = save_checkpoint(tmp_path, step=1, model=model, optimizer=optimizer)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(
            TrainingError, match=r"step_00000002: cannot be written .*step_00000001, is whole\. Make room"
        ):
            save_checkpoint(tmp_path, step=2, model=model, optimizer=optimizer)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("step", ".step"))] == [kept.name]
    load_checkpoint(kept, model=model, optimizer=optimizer)


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
