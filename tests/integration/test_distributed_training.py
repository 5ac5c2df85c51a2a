"""Several processes train as one does: same losses, same weights, and none is left waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import distributed_training
import pytest
import torch
from distributed_training import FAILING, NOISY, NUM_STEPS, RESUMED, SCENARIOS, train

from tubelet.errors import ConfigError
from tubelet.runs import RunDirectory
from tubelet.training import latest_checkpoint, load_checkpoint, load_weights


def torchrun(folder: Path, *scenarios: str, num_processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Starts the scenarios in processes that talk by gloo."""
    folder.mkdir(parents=True, exist_ok=True)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    return subprocess.run(
        [*launcher, distributed_training.__file__, str(folder), *scenarios],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made of every scenario, one after the other."""
    folder = tmp_path_factory.mktemp("two")
    child = torchrun(folder, *SCENARIOS, *NOISY, *RESUMED, *FAILING)
    assert child.returncode == 0, child.stderr
    assert sorted(path.name for path in folder.glob("done.*")) == ["done.0", "done.1"]
    return folder


def losses(path: Path) -> list[float]:
    return [record["loss"] for record in RunDirectory(path).read_log() if record["event"] == "step"]


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_two_processes_train_as_one_does_on_the_whole_batch(folder: Path, tmp_path: Path, name: str) -> None:
    settings = {key: value for key, value in SCENARIOS[name].items() if key not in ("is_sharded", "num_micro_batches")}
    alone = train(tmp_path / "alone", **settings)
    assert losses(folder / name) == pytest.approx(losses(tmp_path / "alone"), abs=1e-6)
    assert len(losses(folder / name)) == NUM_STEPS
    best = [RunDirectory(path).read_log()[-1]["best"]["step"] for path in (folder / name, tmp_path / "alone")]
    assert best == ([3, 3] if "is_validated" in settings else [None, None])
    found = [load_weights(folder / f"{name}.{rank}.safetensors")[0] for rank in (0, 1)]
    for key, tensor in alone.state_dict().items():
        torch.testing.assert_close(found[0][key], tensor, atol=1e-5, rtol=1e-5)
        assert torch.equal(found[0][key], found[1][key]), key


@pytest.mark.parametrize(("stopped", "whole"), RESUMED.items())
def test_a_stopped_run_of_two_processes_ends_in_the_same_bits(folder: Path, stopped: str, whole: str) -> None:
    starts = [each["step"] for each in RunDirectory(folder / stopped).read_log() if each["event"] == "start"]
    assert starts[0] == 0 and 0 < starts[1] < NUM_STEPS
    expected, found = (load_weights(folder / f"{name}.0.safetensors")[0] for name in (whole, stopped))
    assert all(torch.equal(tensor, found[key]) for key, tensor in expected.items())
    ends = [RunDirectory(folder / name).read_log()[-1] for name in (whole, stopped)]
    assert ends[0]["chains"] == ends[1]["chains"]
    assert len(set(ends[0]["chains"])) == 2  # each process saw its own part


def test_only_the_first_process_writes(folder: Path) -> None:
    log = RunDirectory(folder / "even").read_log()
    assert [record["step"] for record in log if record["event"] == "step"] == list(range(1, NUM_STEPS + 1))
    assert log[0]["num_processes"] == 2
    assert log[-1]["num_examples"] == 8 * NUM_STEPS


def test_going_on_needs_as_many_processes(folder: Path) -> None:
    checkpoint = latest_checkpoint(folder / "even" / "checkpoints")
    assert checkpoint is not None
    model = distributed_training.network()
    assert load_checkpoint(checkpoint, model=model) == NUM_STEPS  # to use the weights, no world is needed
    with pytest.raises(ConfigError, match=r"was written by 2 processes, and these are 1; .*--nproc-per-node 2"):
        train(folder / "even")


def test_a_nan_in_one_process_is_named_by_all(folder: Path) -> None:
    said = [(folder / f"poisoned.{rank}.error").read_text() for rank in (0, 1)]
    assert said[0] == said[1]
    assert said[0].startswith("training stopped at step 3: loss is nan, ")
    assert "(batch 3: 3/4, 3/5, 3/6, 3/7); the last good checkpoint is " in said[0]
    assert "step_00000002. Lower the learning rate" in said[0]
    assert RunDirectory(folder / "poisoned").read_log()[-1]["ids"] == ["3/4", "3/5", "3/6", "3/7"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sharded_averaged", "the model is sharded, which goes neither with a weight average"),
        ("sharded_fp16", "precision is 'fp16' and the model is sharded, which do not go together; use bf16"),
    ],
)
def test_what_sharding_cannot_do_is_refused(folder: Path, name: str, said: str) -> None:
    assert all((folder / f"{name}.{rank}.error").read_text().startswith(said) for rank in (0, 1))


def test_a_sharded_model_with_nothing_to_learn_from_on_one_process_does_not_wait(folder: Path) -> None:
    said = [(folder / f"sharded_empty.{rank}.error").read_text() for rank in (0, 1)]
    assert said[0] == said[1]
    assert said[0].startswith("no clip of a batch of process 0 could be read, and a sharded model needs one on each")


def test_a_process_that_fails_ends_the_others_and_its_error_is_shown(tmp_path: Path) -> None:
    child = torchrun(tmp_path, "broken")
    assert child.returncode != 0
    assert "the disk of process 1 caught fire" in child.stderr
    assert not list(tmp_path.glob("done.*"))
