"""What is written for TensorBoard can be read back; W&B gets numbers, and sends none unless it is told to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tubelet.errors import ConfigError, MissingExtraError
from tubelet.runs import RunDirectory
from tubelet.training import LoopConfig, ValidationConfig, adamw, fit
from tubelet.training.loggers import Log, tensorboard_log, wandb_log


def train(path: Path, logs: list[Log]) -> None:
    model = nn.Linear(2, 1)
    fit(
        model,
        adamw(model, lr=0.1, weight_decay=0.0),
        batch_at=lambda step: torch.ones(3, 2),
        compute_loss=lambda model, batch: {"loss": model(batch).square().mean()},
        lr_factor=lambda step: 1.0,
        config=LoopConfig(num_steps=4, log_every=2),
        run=RunDirectory.create(path, {}),
        validate=lambda model, step: {"top1": step / 4},
        validation=ValidationConfig(every=4, metric="top1", goal="max"),
        logs=logs,
    )


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_reads_the_numbers_of_the_log(tmp_path: Path) -> None:
    with tensorboard_log(tmp_path / "events") as log:
        train(tmp_path / "run", [log])
    found = scalars(tmp_path / "events")
    steps = [record for record in RunDirectory(tmp_path / "run").read_log() if record["event"] == "step"]
    assert found["loss"] == [(record["step"], pytest.approx(record["loss"])) for record in steps]
    assert {"loss", "gradient_norm", "lr_factor", "data_wait_share", "validation/top1"} <= found.keys()
    assert found["validation/top1"] == [(4, 1.0)]


def test_numbers_are_on_the_disk_at_once_and_those_that_are_done_again_are_hidden(tmp_path: Path) -> None:
    with tensorboard_log(tmp_path) as log:
        for step in (1, 2, 3):
            log(step, {"loss": float(step)})
        assert scalars(tmp_path)["loss"] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    with tensorboard_log(tmp_path, first_step=1) as log:
        log(2, {"loss": 20.0})
    assert scalars(tmp_path)["loss"] == [(1, 1.0), (2, 20.0)]


class StandInRun:
    """Notes what W&B's run is told."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.is_finished = False

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self.logged.append((step, dict(numbers)))

    def finish(self) -> None:
        self.is_finished = True


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], StandInRun]]:
    """The runs that a stand-in of the client was asked to start."""
    runs: list[tuple[dict[str, Any], StandInRun]] = []

    def init(**keywords: Any) -> StandInRun:
        runs.append((keywords, StandInRun()))
        return runs[-1][1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=lambda **keywords: keywords))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return runs


def test_wandb_gets_numbers_and_config_and_is_offline_unless_told(
    tmp_path: Path, started: list[tuple[dict[str, Any], StandInRun]]
) -> None:
    with wandb_log(tmp_path, project="clips", config={"lr": 0.1}) as log:
        train(tmp_path / "run", [log])
        assert not started[0][1].is_finished
    asked, run = started[0]
    assert (asked["mode"], asked["project"], asked["config"]) == ("offline", "clips", {"lr": 0.1})
    assert (asked["dir"], asked["name"], asked["save_code"]) == (str(tmp_path), tmp_path.name, False)
    assert [step for step, _ in run.logged] == [2, 4, 4]
    assert run.logged[-1][1] == {"validation/top1": 1.0}
    assert run.is_finished
    with wandb_log(tmp_path, project="clips", config={}):
        pass
    assert started[1][0]["id"] == asked["id"]  # the same run when it is gone on with
    with wandb_log(tmp_path, project="clips", config={}, mode="online"):
        pass
    assert started[2][0]["mode"] == "online"


@pytest.mark.parametrize("said", ["offline", "disabled", "dryrun"])
def test_the_environment_can_forbid_sending(
    tmp_path: Path,
    started: list[tuple[dict[str, Any], StandInRun]],
    monkeypatch: pytest.MonkeyPatch,
    said: str,
) -> None:
    monkeypatch.setenv("WANDB_MODE", said)
    with (
        pytest.raises(ConfigError, match=rf"the environment says WANDB_MODE={said}; unset it, or use mode 'offline'"),
        wandb_log(tmp_path, project="clips", config={}, mode="online"),
    ):
        pass
    assert started == []


def test_wandb_is_finished_when_training_fails(
    tmp_path: Path, started: list[tuple[dict[str, Any], StandInRun]]
) -> None:
    def use() -> None:
        with wandb_log(tmp_path, project="clips", config={}) as log:
            log(1, {"loss": 1.0, "bad": float("nan")})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert started[0][1].logged == [(1, {"loss": 1.0})]
    assert started[0][1].is_finished


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(MissingExtraError, match=r"W&B need the package wandb .*pip install 'tubelet\[wandb\]'"),
        wandb_log(tmp_path, project="clips", config={}),
    ):
        pass
    with (
        pytest.raises(MissingExtraError, match=r"need the package tensorboard .*pip install 'tubelet\[tensorboard\]'"),
        tensorboard_log(tmp_path),
    ):
        pass
