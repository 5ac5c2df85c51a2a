"""The loop trains, logs, stops before a NaN spreads, and goes on where it was stopped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import TrainingError
from tubelet.runs import RunDirectory
from tubelet.training import Ema, LoopConfig, OptimizerConfig, adamw, cosine, fit, step_generator


def batch_at(step: int) -> Tensor:
    return torch.from_numpy(step_generator(3, step).normal(size=(16, 4)).astype("float32"))


def compute_loss(model: nn.Module, batch: Tensor) -> Mapping[str, Tensor]:
    error = model(batch) - batch[:, :2]
    return {"loss": error.square().mean(), "largest": error.abs().max()}


def train(
    path: Path, config: LoopConfig, *, lr: float = 0.02, stop: int | None = None, poison: int | None = None
) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    run = RunDirectory(path) if path.exists() else RunDirectory.create(path, {})

    def batches(step: int) -> Tensor:
        if step == stop:
            raise KeyboardInterrupt
        return batch_at(step) * (math.nan if step == poison else 1.0)

    return fit(
        model,
        adamw(model, lr=lr, weight_decay=0.01),
        batch_at=batches,
        compute_loss=compute_loss,
        lr_factor=lambda step: cosine(step, num_steps=config.num_steps, num_warmup_steps=3),
        config=config,
        run=run,
    )


def test_the_default_path_computes_what_a_loop_without_any_kit_computes(tmp_path: Path) -> None:
    found = train(tmp_path / "run", LoopConfig(num_steps=12))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = adamw(model, lr=0.02, weight_decay=0.01)
    model.train()
    for step in range(12):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * cosine(step, num_steps=12, num_warmup_steps=3)
        optimizer.zero_grad(set_to_none=True)
        compute_loss(model, batch_at(step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_it_learns_and_logs(tmp_path: Path) -> None:
    model = train(tmp_path / "run", LoopConfig(num_steps=120, log_every=50))
    assert not model.training
    log = RunDirectory(tmp_path / "run").read_log()
    assert [(record["event"], record["step"]) for record in log] == [
        ("start", 0),
        ("step", 50),
        ("step", 100),
        ("step", 120),
        ("end", 120),
    ]
    assert log[-2]["loss"] < 0.5 * log[1]["loss"]
    assert {"largest", "gradient_norm", "lr_factor", "elapsed_s"} <= log[-2].keys()
    assert log[0]["num_threads"] == torch.get_num_threads()


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_stopped_run_ends_in_the_same_bits(tmp_path: Path, ema_decay: float | None) -> None:
    config = LoopConfig(num_steps=30, checkpoint_every=8, log_every=10, ema_decay=ema_decay)
    whole = train(tmp_path / "whole", config)
    for stop in (5, 21):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", config, stop=stop)
    resumed = train(tmp_path / "stopped", config)
    starts = [each["step"] for each in RunDirectory(tmp_path / "stopped").read_log() if each["event"] == "start"]
    assert starts == [0, 0, 16]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_finished_run_returns_its_weights_at_once(tmp_path: Path) -> None:
    config = LoopConfig(num_steps=5)
    first = train(tmp_path / "run", config)
    second = train(tmp_path / "run", config, stop=0)
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_a_nan_stops_it_before_the_weights_know(tmp_path: Path) -> None:
    config = LoopConfig(num_steps=20, checkpoint_every=5)
    with pytest.raises(TrainingError, match=r"training stopped at step 12: loss is nan.*Lower the learning rate"):
        train(tmp_path / "run", config, poison=12)
    assert RunDirectory(tmp_path / "run").read_log()[-1]["event"] == "diverged"
    assert train(tmp_path / "run", config).training is False  # goes on from the sound checkpoint


def test_gradients_are_clipped_where_asked(tmp_path: Path) -> None:
    before = torch.nn.Linear(1, 1)
    for limit, moves in ((1e-3, 1e-3), (None, None)):
        model = nn.Linear(1, 1)
        model.load_state_dict(before.state_dict())
        fit(
            model,
            torch.optim.SGD(model.parameters(), lr=1.0),
            batch_at=lambda step: torch.full((4, 1), 100.0),
            compute_loss=lambda model, batch: {"loss": model(batch).mean()},
            lr_factor=lambda step: 1.0,
            config=LoopConfig(num_steps=1, max_gradient_norm=limit),
            run=RunDirectory.create(tmp_path / str(limit), {}),
        )
        step = math.hypot(
            *(float((a - b).detach()) for a, b in zip(model.parameters(), before.parameters(), strict=True))
        )
        assert step == pytest.approx(moves or math.hypot(100.0, 1.0), rel=1e-4)


@pytest.mark.parametrize("name", ["num_steps", "log_every", "checkpoint_every"])
def test_counts_of_zero_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0; allowed: 1 or more"):
        LoopConfig(**{"num_steps": 1, name: 0})  # type: ignore[arg-type]


def test_vectors_are_not_decayed() -> None:
    groups = adamw(nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3)), lr=0.1, weight_decay=0.5).param_groups
    assert [(group["weight_decay"], [parameter.ndim for parameter in group["params"]]) for group in groups] == [
        (0.5, [3]),
        (0.0, [1, 1, 1]),
    ]
    assert OptimizerConfig().lr == 1e-3


def test_the_average_follows_and_copies_buffers() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(model[0].weight, 0.0)
    ema = Ema(model, 0.5)
    nn.init.constant_(model[0].weight, 1.0)
    model[1].running_mean.fill_(7.0)
    ema.update(model, 0)  # young: decay is 1 / 10
    assert float(ema.model[0].weight) == pytest.approx(0.9)
    ema.update(model, 1000)
    assert float(ema.model[0].weight) == pytest.approx(0.95)
    assert float(ema.model[1].running_mean) == 7.0
    with pytest.raises(ValueError, match="decay is 1.0; allowed"):
        Ema(model, 1.0)
