"""Half precision: where it is used, what happens to steps that overflow, and devices that are not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError, TrainingError, WeightsError
from tubelet.runs import RunDirectory
from tubelet.training import LoopConfig, adamw, fit
from tubelet.training.precision import Precision, autocast, find_device, gradient_scaler

HAS_GPU = torch.cuda.is_available()


def train(path: Path, *, device: str = "cpu", overflows: frozenset[int] = frozenset(), **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)).to(device)
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(1)).to(device)

    def compute_loss(model: nn.Module, batch: tuple[int, Tensor]) -> Mapping[str, Tensor]:
        step, features = batch
        half = model(features)
        assert half.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.precision]
        loss = (half.float() - features[:, :2]).square().mean()
        # Finite itself, with a gradient that no fp16 holds.
        return {"loss": loss + half.float().sum() * 1e30 if step in overflows else loss}

    config = LoopConfig(**{"num_steps": 40, "checkpoint_every": 10, "log_every": 1, **settings})
    return fit(
        model,
        adamw(model, lr=0.02, weight_decay=0.0),
        batch_at=lambda step: (step, inputs),
        compute_loss=compute_loss,
        lr_factor=lambda step: 1.0,
        config=config,
        run=RunDirectory(path) if path.exists() else RunDirectory.create(path, {}),
    )


def log_of(path: Path, event: str) -> list[dict[str, Any]]:
    return [record for record in RunDirectory(path).read_log() if record["event"] == event]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_as_fp32_does(tmp_path: Path, precision: Precision) -> None:
    train(tmp_path / "fp32")
    half = train(tmp_path / precision, precision=precision)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    expected, found = (log_of(tmp_path / name, "step")[-1]["loss"] for name in ("fp32", precision))
    assert found == pytest.approx(expected, rel=0.15)
    assert found < 0.5 * log_of(tmp_path / precision, "step")[0]["loss"]
    assert log_of(tmp_path / precision, "start")[0]["precision"] == precision


def test_a_step_that_overflows_is_left_out_counted_and_no_error(tmp_path: Path) -> None:
    train(tmp_path / "run", precision="fp16", overflows=frozenset({3, 4, 20}))
    assert log_of(tmp_path / "run", "end")[0]["num_overflows"] == 3
    steps = log_of(tmp_path / "run", "step")
    assert [record["step"] for record in steps if "gradient_norm" not in record] == [4, 5, 21]
    assert math.isfinite(steps[-1]["loss"])


def test_too_many_in_a_row_are_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError,
        match=r"at step 14: fp16 overflowed 4 times in a row, at last .* scale of .*step_00000010\. Use bf16 or fp32",
    ):
        train(tmp_path / "run", precision="fp16", overflows=frozenset({2, 11, 12, 13, 14}), max_overflows_in_a_row=4)


def test_the_scale_goes_on_where_it_was(tmp_path: Path) -> None:
    overflows = frozenset({3, 4, 20})
    whole = train(tmp_path / "whole", precision="fp16", overflows=overflows)
    with pytest.raises(TrainingError):
        train(tmp_path / "run", precision="fp16", overflows=overflows | {22, 23}, max_overflows_in_a_row=2)
    resumed = train(tmp_path / "run", precision="fp16", overflows=overflows)
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())
    assert log_of(tmp_path / "run", "end")[0]["num_overflows"] == 3


def test_a_checkpoint_of_another_precision_says_so(tmp_path: Path) -> None:
    train(tmp_path / "run", num_steps=5)
    with pytest.raises(WeightsError, match=r"step_00000005: was trained without fp16"):
        train(tmp_path / "run", num_steps=9, precision="fp16")


def test_a_nan_loss_is_no_overflow(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    with pytest.raises(TrainingError, match="training stopped at step 0: loss is nan"):
        fit(
            model,
            adamw(model, lr=0.1, weight_decay=0.0),
            batch_at=lambda step: torch.full((3, 2), math.nan),
            compute_loss=lambda model, batch: {"loss": model(batch).float().mean()},
            lr_factor=lambda step: 1.0,
            config=LoopConfig(num_steps=3, precision="fp16"),
            run=RunDirectory.create(tmp_path / "run", {}),
        )


def test_fp32_changes_nothing_and_needs_no_scale() -> None:
    with autocast(torch.device("cpu"), "fp32"):
        assert not torch.is_autocast_enabled("cpu")
    with autocast(torch.device("cpu"), "bf16"):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
    assert gradient_scaler(torch.device("cpu"), "fp32") is None
    assert gradient_scaler(torch.device("cpu"), "bf16") is None


def test_devices_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device("cpu") == torch.device("cpu")
    for name in ("tpu", "meta", "cpu:x"):
        with pytest.raises(ConfigError, match=f"device is '{name}'; allowed: cpu, cuda, cuda:N"):
            find_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(
        ConfigError, match=r"device is 'cuda', but PyTorch .* is built for the CPU only; use --device cpu"
    ):
        find_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(ConfigError, match=r"device is 'cuda:1', but PyTorch .* finds no GPU; use --device cpu"):
        find_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="device is 'cuda:2', but this machine has 2 GPUs, cuda:0 to cuda:1"):
        find_device("cuda:2")


def test_a_gpu_without_bf16_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    with pytest.raises(ConfigError, match="precision is 'bf16', which Old GPU has not; use fp16 or fp32"):
        autocast(torch.device("cuda"), "bf16")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_learns_on_a_gpu(tmp_path: Path, precision: Precision) -> None:
    assert HAS_GPU
    train(
        tmp_path / "run",
        precision=precision,
        device="cuda",
        overflows=frozenset({3}) if precision == "fp16" else frozenset(),
    )
    steps = log_of(tmp_path / "run", "step")
    assert steps[-1]["loss"] < 0.5 * steps[0]["loss"]
    assert steps[-1]["peak_memory_mb"] > 0
