"""Validation keeps the best weights, stops a training that no longer gains, and leaves no trace in it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import TrainingError, WeightsError
from tubelet.runs import RunDirectory
from tubelet.training import LoopConfig, ValidationConfig, adamw, fit, load_weights
from tubelet.training.stopping import Best

Validate = Callable[[nn.Module, int], Mapping[str, float]]


def train(path: Path, validate: Validate | None, validation: ValidationConfig | None, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1))
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    return fit(
        model,
        adamw(model, lr=0.02, weight_decay=0.0),
        batch_at=lambda step: inputs,
        compute_loss=lambda model, batch: {"loss": (model(batch) - batch.sum(1, keepdim=True)).square().mean()},
        lr_factor=lambda step: 1.0,
        config=LoopConfig(**{"num_steps": 20, "checkpoint_every": 4, "log_every": 5, **settings}),
        run=RunDirectory(path) if path.exists() else RunDirectory.create(path, {}),
        validate=validate,
        validation=validation,
    )


def scores(*values: float) -> Validate:
    """A validation that gives these numbers, one for each two steps, and draws random numbers meanwhile."""

    def validate(model: nn.Module, step: int) -> Mapping[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.rand(3)
        return {"top1": values[step // 2 - 1], "other": math.nan}

    return validate


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(tensor, two[name]) for name, tensor in one.items())


CONFIG = ValidationConfig(every=2, metric="top1", goal="max", patience=3)
VALUES = (0.1, 0.4, 0.3, 0.4, 0.2, 0.9)


def test_it_stops_when_patience_is_over_and_returns_the_best(tmp_path: Path) -> None:
    seen: dict[int, dict[str, Tensor]] = {}
    validate = scores(*VALUES)

    def remember(model: nn.Module, step: int) -> Mapping[str, float]:
        seen[step] = weights(model)
        return validate(model, step)

    found = train(tmp_path / "run", remember, CONFIG)
    assert list(seen) == [2, 4, 6, 8, 10]
    assert same(weights(found), seen[4])
    assert not found.training
    log = RunDirectory(tmp_path / "run").read_log()
    validations = [record for record in log if record["event"] == "validation"]
    assert [(each["step"], each["top1"], each["is_best"]) for each in validations] == [
        (2, 0.1, True),
        (4, 0.4, True),
        (6, 0.3, False),
        (8, 0.4, False),  # as good is not better
        (10, 0.2, False),
    ]
    assert validations[0]["other"] is None  # JSON has no word for NaN
    assert log[-1]["event"] == "end"
    assert log[-1]["step"] == 10
    best = log[-1]["best"]
    file = tmp_path / "run" / "checkpoints" / best["file"]
    assert (best["step"], best["value"], best["is_over"]) == (4, 0.4, True)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == best["sha256"]
    assert load_weights(file)[1] == {"step": "4", "value": "0.4"}
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, "step_00000008", "step_00000010"]


def test_a_run_that_was_over_stays_over(tmp_path: Path) -> None:
    first = weights(train(tmp_path / "run", scores(*VALUES), CONFIG))
    again = train(tmp_path / "run", scores(), CONFIG)  # would fail if it were asked
    assert same(weights(again), first)


def test_validation_leaves_no_trace_in_training(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", None, None)
    watched = train(tmp_path / "watched", scores(*range(1, 11)), CONFIG)
    assert same(weights(plain), weights(watched))


@pytest.mark.parametrize("stop", [5, 9])
def test_counters_and_best_go_on_after_a_stop(tmp_path: Path, stop: int) -> None:
    whole = train(tmp_path / "whole", scores(*VALUES), CONFIG, ema_decay=0.5)
    validate = scores(*VALUES)

    def stopped(model: nn.Module, step: int) -> Mapping[str, float]:
        if step > stop:
            raise KeyboardInterrupt
        return validate(model, step)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", stopped, CONFIG, ema_decay=0.5)
    resumed = train(tmp_path / "run", validate, CONFIG, ema_decay=0.5)
    assert same(weights(whole), weights(resumed))
    ends = [RunDirectory(tmp_path / name).read_log()[-1] for name in ("whole", "run")]
    assert ends[0]["best"] == ends[1]["best"]


def test_the_last_step_is_validated_and_less_can_be_better(tmp_path: Path) -> None:
    steps = []

    def validate(model: nn.Module, step: int) -> Mapping[str, float]:
        steps.append(step)
        return {"loss": 1.0 / step}

    train(tmp_path / "run", validate, ValidationConfig(every=8))
    assert steps == [8, 16, 20]
    assert RunDirectory(tmp_path / "run").read_log()[-1]["best"]["step"] == 20


def test_a_small_gain_is_none() -> None:
    best, config = Best(), ValidationConfig(every=1, min_gain=0.1, patience=2)
    assert [best.judge({"loss": value}, step, config) for step, value in enumerate((1.0, 0.95, 0.85, 0.80, 0.76))] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert best.is_over


def test_numbers_that_decide_nothing_are_errors() -> None:
    with pytest.raises(TrainingError, match="validation at step 3 gave loss, top5, and 'top1' is to decide; name one"):
        Best().judge({"top5": 1.0, "loss": 1.0}, 3, CONFIG)
    with pytest.raises(
        TrainingError, match="validation at step 3 gave top1 = nan; the weights are no use from here on"
    ):
        Best().judge({"top1": math.nan}, 3, CONFIG)


def test_best_weights_that_were_lost_are_named(tmp_path: Path) -> None:
    train(tmp_path / "run", scores(*VALUES), CONFIG)
    file = tmp_path / "run" / "checkpoints" / "best_00000004.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        WeightsError, match=r"best_00000004\.safetensors: the best weights, of step 4, are missing or not"
    ):
        train(tmp_path / "run", scores(*VALUES), CONFIG)


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    for settings, said in (
        ({"every": 0}, "every is 0; allowed: 1 or more steps"),
        ({"every": 1, "patience": 0}, "patience is 0; allowed: 1 or more validations, or none"),
        ({"every": 1, "min_gain": -1.0}, "min_gain is -1; allowed: 0 or more"),
    ):
        with pytest.raises(ValueError, match=said):
            ValidationConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="validate and validation go together"):
        train(tmp_path / "run", None, CONFIG)
