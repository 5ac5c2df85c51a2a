"""Kills a small training at moments at which it touches the disk, resumes it, and compares the weights.

Run as a program with a folder: each training is a forked child, so that all share one slow import. Prints one JSON
object: the digest of the uninterrupted run, and for each kill what it was and the digest after resuming.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.runs import Failure, RunDirectory
from tubelet.training import (
    LoopConfig,
    ValidationConfig,
    adamw,
    cosine,
    fit,
    seed_everything,
    step_generator,
)

KILLS_PER_CALL = 4  # to kill at every moment takes a minute
CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir")


@dataclass(frozen=True)
class Batch:
    """Examples with names, one of them missing."""

    ids: tuple[str, ...]
    features: Tensor
    failures: tuple[Failure, ...]


def batch_at(index: int) -> Batch:
    """Batches of 2 to 4 examples."""
    rng = step_generator(1, index)
    size = int(rng.integers(2, 5))
    features = torch.from_numpy(rng.normal(size=(size, 3)).astype("float32"))
    failures = (Failure(item=f"{index}/broken", reason="cut off"),) if index % 5 == 0 else ()
    return Batch(tuple(f"{index}/{row}" for row in range(size)), features, failures)


def compute_loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Learns sums."""
    return {"loss": (model(batch.features) - batch.features.sum(1, keepdim=True)).square().mean()}


def validate(model: nn.Module, step: int) -> Mapping[str, float]:
    """Best in the middle, so that the best weights are not the last; draws random numbers, which must not be missed."""
    with torch.no_grad():
        model(torch.rand(4, 3))
    return {"distance": abs(step - 4) + 0.001 * float(torch.rand(()))}


def train(path: Path) -> str:
    """Trains from where the run is and returns a digest of its weights, its ledger and its best validation."""
    seed_everything(1, num_threads=1)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.BatchNorm1d(4), nn.Linear(4, 1))
    run = RunDirectory.open(path)
    trained = fit(
        model,
        adamw(model, lr=0.05, weight_decay=0.1),
        batch_at=batch_at,
        compute_loss=compute_loss,
        lr_factor=lambda step: cosine(step, num_steps=7),
        config=LoopConfig(num_steps=7, checkpoint_every=2, log_every=3, ema_decay=0.9, num_micro_batches=2),
        run=run,
        validate=validate,
        validation=ValidationConfig(every=1, metric="distance"),
    )
    end = run.read_log()[-1]
    digest = hashlib.sha256(json.dumps([end["chains"], end["num_examples"], end["failed"], end["best"]]).encode())
    for state in (trained.state_dict(), model.state_dict()):  # the best average, and the last weights
        for name, tensor in sorted(state.items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def by_name(name: str, arguments: tuple[Any, ...]) -> str:
    """What is said of a call: which it is."""
    return name


def die_at(
    moment: int,
    *,
    also: Sequence[tuple[ModuleType, str]] = (),
    said: Callable[[str, tuple[Any, ...]], str] = by_name,
) -> list[str]:
    """Makes the call number `moment` (from 1) that touches the disk the last one; returns the growing list of calls.

    Args:
        moment: 0 for none.
        also: Functions, each by its module and name, that count like those that touch the disk.
        said: From the name and the arguments of a call to its entry in the list.
    """
    calls: list[str] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            calls.append(said(name, arguments))
            if len(calls) == moment:
                if name == "fsync" and os.lseek(arguments[0], 0, os.SEEK_CUR):
                    os.truncate(arguments[0], os.lseek(arguments[0], 0, os.SEEK_END) // 2)  # torn in the middle
                os.write(2, f"{calls[-1]}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **keywords)

        return call

    for module, name in (*((os, name) for name in CALLS), *also):
        setattr(module, name, wrap(name, getattr(module, name)))
    return calls


def chosen(calls: list[str]) -> list[int]:
    """Moments spread over the training, the same number for each kind of call."""
    moments = []
    for name in CALLS:
        of_kind = [moment for moment, call in enumerate(calls, start=1) if call == name]
        moments += of_kind[:: max(1, len(of_kind) // KILLS_PER_CALL)][:KILLS_PER_CALL]
    return sorted(moments)


def in_child(task: Callable[[], str]) -> tuple[int, str, str]:
    """Runs a task in a fork: wait status, what it returned, and what it wrote to stderr."""
    (read, write), (read_error, write_error) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write_error, 2)
        os.write(write, task().encode())
        os._exit(0)
    os.close(write)
    os.close(write_error)
    with os.fdopen(read) as answer, os.fdopen(read_error) as error:
        said = answer.read(), error.read()
    return os.waitpid(child, 0)[1], *said


def main(folder: Path) -> None:
    """Trains once in peace, then once per kill."""

    def new(name: str) -> Path:
        return RunDirectory.create(folder / name, {}).path

    def counted() -> str:
        path = new("whole")
        calls = die_at(0)
        return json.dumps([train(path), calls])

    train(new("warm"))  # imports that the children would each repeat
    status, answer, error = in_child(counted)
    if status:
        raise SystemExit(f"the uninterrupted run failed: {error}")
    expected, calls = json.loads(answer)
    kills = []
    for moment in chosen(calls):
        path = folder / "killed"
        shutil.rmtree(path, ignore_errors=True)
        new("killed")

        def killed(moment: int = moment, path: Path = path) -> str:
            die_at(moment)
            return train(path)

        status, _, call = in_child(killed)
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        status, digest, error = in_child(lambda path=path: train(path))
        kills.append({"call": call.strip(), "was_killed": was_killed, "digest": digest, "error": error})
    sys.stdout.write(json.dumps({"expected": expected, "kills": kills}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
