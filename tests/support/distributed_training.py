"""Trains small models in several processes and writes what came out; run by `torchrun` with a folder and scenarios.

The same functions train in the test's own process, as the truth that several processes must agree with.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.errors import TubeletError
from tubelet.runs import RunDirectory
from tubelet.training import (
    LoopConfig,
    ValidationConfig,
    World,
    adamw,
    fit,
    joined,
    seed_everything,
    shard,
    step_generator,
)
from tubelet.training.distributed import ALONE
from tubelet.training.weights_files import save_weights

NUM_STEPS = 6


@dataclass(frozen=True)
class Batch:
    """Examples with names; `failures` is what the ledger counts."""

    ids: list[str]
    features: Tensor
    failures: tuple[Any, ...] = ()


def global_batch(index: int, size: int) -> Batch:
    features = torch.from_numpy(step_generator(3, index).normal(size=(size, 4)).astype("float32"))
    return Batch([f"{index}/{row}" for row in range(size)], features)


def part(batch: Batch, world: World) -> Batch:
    rows = list(world.part_of(range(len(batch.ids))))
    return Batch([batch.ids[row] for row in rows], batch.features[rows])


def compute_loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    error = model(batch.features) - batch.features[:, :2]
    return {"loss": error.square().mean(), "largest": error.abs().mean()}


def validate(model: nn.Module, step: int) -> Mapping[str, float]:
    """Best in the middle, so that the best weights are not the last; the first process's numbers count."""
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    return {"distance": abs(step - 3) if rank == 0 else step, "mean": float(model(torch.ones(2, 4)).mean())}


def network(dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Dropout(dropout), nn.Linear(8, 2))


def train(
    path: Path,
    world: World = ALONE,
    *,
    size: int = 8,
    num_micro_batches: int = 1,
    stop: int | None = None,
    is_sharded: bool = False,
    poison: int | None = None,
    is_validated: bool = False,
    dropout: float = 0.0,
    **config: Any,
) -> nn.Module:
    """Trains on global batches of `size`, cut over the micro-batches and then over the processes."""
    seed_everything(1 + world.rank, num_threads=1)  # the first process's weights must win
    model = network(dropout)
    if is_sharded:
        shard(model, world, blocks=[model[0], model[4]])
    path.parent.mkdir(parents=True, exist_ok=True)
    if world.is_first and not path.exists():
        RunDirectory.create(path, {})
    world.gather(None)  # the folder is there before anyone looks into it

    def batch_at(index: int) -> Batch:
        step, micro = divmod(index, num_micro_batches)
        if step == stop:
            raise KeyboardInterrupt
        batch = global_batch(step, size)
        rows = World(rank=micro, size=num_micro_batches).part_of(range(len(batch.ids)))
        features = batch.features[list(rows)]
        if poison == step and world.rank == world.size - 1:
            features = features * float("nan")
        return part(Batch([batch.ids[row] for row in rows], features), world)

    return fit(
        model,
        adamw(model, lr=0.02, weight_decay=0.01),
        batch_at=batch_at,
        compute_loss=compute_loss,
        lr_factor=lambda step: 1 / (1 + step),
        config=LoopConfig(
            num_steps=NUM_STEPS, log_every=1, checkpoint_every=2, num_micro_batches=num_micro_batches, **config
        ),
        run=RunDirectory(path),
        world=world,
        validate=validate if is_validated else None,
        validation=ValidationConfig(every=1, metric="distance") if is_validated else None,
    )


SCENARIOS: dict[str, dict[str, Any]] = {
    "even": {},
    "uneven": {"size": 5, "num_micro_batches": 2},  # parts of 2 and 3, over processes 1, 1 and 1, 2
    "empty": {"size": 1, "max_gradient_norm": None},  # nothing is left for one of two processes
    "averaged": {"size": 6, "ema_decay": 0.9, "num_micro_batches": 2, "is_validated": True},
    "sharded": {"is_sharded": True, "num_micro_batches": 2, "is_validated": True},
}
# Each process draws random numbers of its own here, so one process is no truth for it.
NOISY: dict[str, dict[str, Any]] = {"noisy": {"dropout": 0.5}}
# Stopped in the middle and gone on with.
RESUMED = {"averaged_resumed": "averaged", "sharded_resumed": "sharded", "noisy_resumed": "noisy"}
# These end in an error, on both processes.
FAILING: dict[str, dict[str, Any]] = {
    "poisoned": {"poison": 3},
    "sharded_empty": {"is_sharded": True, "size": 1},
    "sharded_averaged": {"is_sharded": True, "ema_decay": 0.9},
    "sharded_fp16": {"is_sharded": True, "precision": "fp16"},
}


def main(folder: Path, names: list[str]) -> None:
    """Runs scenarios in a row in this process of several."""
    with joined() as world:
        for name in names:
            if name == "broken" and world.rank == 1:
                raise RuntimeError("the disk of process 1 caught fire")
            settings = (SCENARIOS | NOISY | FAILING).get(RESUMED.get(name, name), {})
            if name in RESUMED:
                with contextlib.suppress(KeyboardInterrupt):
                    train(folder / name, world, stop=5, **settings)
            try:
                model = train(folder / name, world, **settings)
            except TubeletError as error:
                (folder / f"{name}.{world.rank}.error").write_text(str(error))
                continue
            whole = {key: getattr(value, "full_tensor", value.clone)() for key, value in model.state_dict().items()}
            save_weights(folder / f"{name}.{world.rank}.safetensors", whole)
    (folder / f"done.{world.rank}").write_text(json.dumps(names))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
