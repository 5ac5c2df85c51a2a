"""What the loop does with batches that name their examples: micro-batches, ledger, errors that name files, speed."""

from __future__ import annotations

import errno
import json
import math
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import DatasetError, TrainingError
from tubelet.runs import Failure, RunDirectory
from tubelet.runs import progress as progress_module
from tubelet.training import LoopConfig, adamw, fit, latest_checkpoint, step_generator
from tubelet.training.batch_checks import check_labels


@dataclass(frozen=True)
class Batch:
    ids: Sequence[str]
    features: Tensor
    failures: tuple[Failure, ...] = ()


def whole_batch(step: int) -> Batch:
    features = torch.from_numpy(step_generator(3, step).normal(size=(7, 4)).astype("float32"))
    return Batch([f"{step}/{row}.mp4" for row in range(7)], features)


def rows_of(batch: Batch, start: int, end: int) -> Batch:
    return Batch(batch.ids[start:end], batch.features[start:end])


def compute_loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    error = model(batch.features) - batch.features[:, :2]
    return {"loss": error.square().mean(), "largest": error.abs().mean()}


def train(path: Path, batch_at: Callable[[int], Any] = whole_batch, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    keywords = {
        name: settings.pop(name) for name in ("check_batch", "logs", "num_examples_per_epoch") if name in settings
    }
    run = RunDirectory(path) if path.exists() else RunDirectory.create(path, {})
    return fit(
        model,
        adamw(model, lr=0.02, weight_decay=0.01),
        batch_at=batch_at,
        compute_loss=compute_loss,
        lr_factor=lambda step: 1.0,
        config=LoopConfig(**{"num_steps": 6, "log_every": 1, "checkpoint_every": 2, **settings}),
        run=run,
        **keywords,
    )


def steps_of(path: Path) -> list[dict[str, Any]]:
    return [record for record in RunDirectory(path).read_log() if record["event"] == "step"]


@pytest.mark.parametrize("edges", [(0, 3, 7), (0, 1, 7), (0, 7, 7), (0, 0, 7)])
def test_micro_batches_add_up_to_the_big_batch_however_it_is_cut(tmp_path: Path, edges: tuple[int, int, int]) -> None:
    whole = train(tmp_path / "whole")
    asked = []

    def part(index: int) -> Batch:
        asked.append(index)
        step, micro = divmod(index, 2)
        return rows_of(whole_batch(step), edges[micro], edges[micro + 1])

    parts = train(tmp_path / "parts", part, num_micro_batches=2)
    assert asked == list(range(12))  # each once, in order
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor, atol=1e-6, rtol=1e-5)
    for one, two in zip(steps_of(tmp_path / "whole"), steps_of(tmp_path / "parts"), strict=True):
        assert [two[name] for name in ("loss", "largest", "gradient_norm")] == pytest.approx(
            [one[name] for name in ("loss", "largest", "gradient_norm")], rel=1e-5
        )


def test_a_resumed_run_asks_for_batches_where_it_left_off(tmp_path: Path) -> None:
    asked: list[int] = []

    def part(index: int) -> Batch:
        if index == 9 and 9 not in asked:
            asked.append(index)
            raise KeyboardInterrupt
        asked.append(index)
        return whole_batch(index)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", part, num_micro_batches=2)
    train(tmp_path / "run", part, num_micro_batches=2)
    assert asked == [*range(10), *range(8, 12)]  # step 4 was the last checkpoint


def test_micro_batches_must_name_their_examples(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Tensor has no `ids`; batches name their examples"):
        train(tmp_path / "run", lambda index: whole_batch(index).features, num_micro_batches=2)


def test_the_ledger_says_what_was_seen_and_what_was_missing(tmp_path: Path) -> None:
    def batch_at(step: int) -> Batch:
        batch = rows_of(whole_batch(step), 0, 5)
        return Batch(
            batch.ids, batch.features, (Failure(item="b.mp4", reason=f"cut off {step}"),) if step % 3 == 0 else ()
        )

    train(tmp_path / "run", batch_at, num_examples_per_epoch=20)
    end = RunDirectory(tmp_path / "run").read_log()[-1]
    counts = {name: end[name] for name in ("num_batches", "num_examples", "num_epochs", "num_failures", "failed")}
    assert counts == {
        "num_batches": 6,
        "num_examples": 30,
        "num_epochs": 1.5,
        "num_failures": 2,
        "failed": {"b.mp4": "cut off 3"},
    }
    train(tmp_path / "same", batch_at)
    train(tmp_path / "other", lambda step: batch_at(step ^ 1))  # the same batches in another order
    chains = [RunDirectory(tmp_path / name).read_log()[-1]["chains"] for name in ("same", "other")]
    assert chains[0] == end["chains"] != chains[1]
    checkpoint = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    assert json.loads((checkpoint / "state.json").read_text())["ledgers"][0]["chain"] == end["chains"][0]


def test_a_nan_names_step_batch_files_checkpoint_and_what_to_do(tmp_path: Path) -> None:
    def batch_at(index: int) -> Batch:
        batch = whole_batch(index)
        return Batch(batch.ids, batch.features * (math.nan if index == 7 else 1.0))

    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "run", batch_at, num_micro_batches=2)
    said = str(caught.value)
    assert said.startswith(
        "training stopped at step 3: loss is nan, largest is nan, gradient_norm is nan (batches 6 to 7: "
    )
    assert "7/0.mp4, 7/1.mp4" in said and "6/0.mp4" not in said  # the micro-batch before it was sound
    assert f"the last good checkpoint is {tmp_path / 'run' / 'checkpoints' / 'step_00000002'}" in said
    assert "Lower the learning rate, or look at the clips of this step" in said
    record = RunDirectory(tmp_path / "run").read_log()[-1]
    assert (record["event"], record["step"], record["ids"]) == ("diverged", 3, [f"7/{row}.mp4" for row in range(7)])


def test_many_names_are_counted_and_a_first_step_has_no_checkpoint(tmp_path: Path) -> None:
    batch = Batch([f"{row}.mp4" for row in range(11)], torch.full((11, 4), math.inf))
    with pytest.raises(TrainingError, match=r"7\.mp4 and 3 more\); there is no checkpoint yet\. Lower"):
        train(tmp_path / "run", lambda step: batch)


def test_a_step_without_any_example_changes_nothing(tmp_path: Path) -> None:
    def batch_at(step: int) -> Batch:
        return rows_of(whole_batch(step), 0, 0 if step in (2, 5) else 7)

    found = train(tmp_path / "run", batch_at, ema_decay=0.5)
    assert [each["step"] for each in RunDirectory(tmp_path / "run").read_log() if each["event"] == "empty_step"] == [
        2,
        5,
    ]
    assert "loss" not in steps_of(tmp_path / "run")[2]
    assert all(bool(tensor.isfinite().all()) for tensor in found.state_dict().values())


def test_batches_are_checked_before_they_are_used(tmp_path: Path) -> None:
    def check(batch: Batch) -> None:
        check_labels(torch.full((len(batch.ids),), 2), num_classes=2, ids=batch.ids)

    with pytest.raises(DatasetError, match=r"0/0\.mp4 has 2.*allowed: 0 to 1 \(do the ids count from 1\?\)"):
        train(tmp_path / "run", check_batch=check)
    assert steps_of(tmp_path / "run") == []


def test_log_and_bar_say_how_fast_it_goes_and_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def slow(step: int) -> Batch:
        torch.linalg.svd(torch.rand(150, 150))  # slow to draw
        return whole_batch(step)

    real = progress_module.Task.update

    def update(self: object, *, description: str | None = None, **keywords: Any) -> None:
        said.append(description or "")
        real(self, description=description, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(progress_module.Task, "update", update)
    numbers: list[tuple[int, Mapping[str, float]]] = []
    train(tmp_path / "run", slow, log_every=3, logs=[lambda step, found: numbers.append((step, found))])
    first, second = steps_of(tmp_path / "run")
    assert first["data_wait_share"] > 0.5
    assert first["clips_per_s"] == pytest.approx(7 * first["steps_per_s"], rel=1e-3)
    assert first["eta_s"] == pytest.approx(3 / first["steps_per_s"], rel=1e-2, abs=2e-3)
    assert second["eta_s"] == 0
    assert second["peak_memory_mb"] > 50
    assert said[-1].startswith(f"training, loss {second['loss']:.3f}, {second['clips_per_s']:.1f} clips/s, data wait ")
    assert said[-1].endswith(" MB")
    assert [step for step, _ in numbers] == [3, 6]
    assert numbers[1][1]["loss"] == second["loss"]


@pytest.fixture
def small_files_only() -> Iterator[Callable[[int], None]]:
    """The kernel refuses to let a file of this process grow beyond a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_leaves_the_last_checkpoint_and_says_so(
    tmp_path: Path, small_files_only: Callable[[int], None]
) -> None:
    def batch_at(step: int) -> Batch:
        if step == 3:
            small_files_only(1000)
        return whole_batch(step)

    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "run", batch_at, log_every=100)
    small_files_only(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    said, checkpoints = str(caught.value), tmp_path / "run" / "checkpoints"
    assert "step_00000004: cannot be written (File too large)" in said
    assert f"the last good checkpoint, {checkpoints / 'step_00000002'}, is whole" in said
    assert "go on with --resume" in said
    assert [path.name for path in checkpoints.iterdir()] == ["step_00000002"]  # no half checkpoint fills the disk
    resumed = train(tmp_path / "run")
    whole = train(tmp_path / "whole")
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_a_log_that_cannot_be_written_names_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RunDirectory.log

    def log(self: RunDirectory, **record: Any) -> None:
        if record.get("step") == 5 and record["event"] == "step":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, **record)

    monkeypatch.setattr(RunDirectory, "log", log)
    with pytest.raises(
        TrainingError, match=r"log\.jsonl: cannot be written \(No space left on device\).*step_00000004"
    ):
        train(tmp_path / "run")
