"""Several processes that train one model, started by `torchrun`; without it, a world of one process.

    torchrun --standalone --nproc-per-node 2 -m tubelet train clips/ --out RUN

Every process reads the same run folder (on several machines: a folder that all of them see) and only the first writes.
Each draws its part of the global batch with `World.part_of`; the loop weighs the parts so that the gradient is the mean
over all examples of all processes, however they are spread.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from tubelet.errors import ConfigError, TrainingError
from tubelet.training.precision import find_device

Item = TypeVar("Item")

_SETTLE_S = 0.2
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
# What gloo and NCCL say when a peer is gone; they raise plain RuntimeErrors.
_LOST = ("closed by peer", "connection reset by peer", "gloo", "nccl", "tcpstore")


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of a training and which of them this one is.

    Attributes:
        rank: Number of this process among all, from 0.
        size: Number of processes.
        device: Where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank is {self.rank} of {self.size} processes; allowed: 0 to {self.size - 1}")

    @property
    def is_first(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.rank == 0

    def part_of(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of a global batch: one of `size` neighbouring parts whose lengths differ by at most 1."""
        begin, end = (len(items) * edge // self.size for edge in (self.rank, self.rank + 1))
        return items[begin:end]

    def gather(self, value: object) -> list[Any]:
        """One JSON value of each process, in the order of their ranks, on every process.

        Raises:
            TrainingError: Another process is gone.
        """
        return [json.loads(content) for content in self.gather_bytes(json.dumps(value).encode())]

    def gather_bytes(self, content: bytes) -> list[bytes]:
        """The bytes of each process, in the order of their ranks, on every process.

        Raises:
            TrainingError: Another process is gone.
        """
        if self.size == 1:
            return [content]
        with explained_losses():
            length = torch.tensor([len(content)], device=self.device)
            lengths = [torch.zeros_like(length) for _ in range(self.size)]
            distributed.all_gather(lengths, length)
            longest = max(int(each) for each in lengths)
            padded = torch.zeros(longest, dtype=torch.uint8, device=self.device)
            padded[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            parts = [torch.zeros_like(padded) for _ in range(self.size)]
            distributed.all_gather(parts, padded)
        return [part[: int(n)].cpu().numpy().tobytes() for part, n in zip(parts, lengths, strict=True)]

    def send_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite the tensors of all other processes with those of the first."""
        if self.size > 1:
            with explained_losses():
                for tensor in tensors:
                    distributed.broadcast(tensor.detach(), src=0)


ALONE = World()
"""One process by itself."""


@contextlib.contextmanager
def joined(device: str = "cpu", *, timeout_s: float = 1800.0) -> Iterator[World]:
    """Join the processes that `torchrun` started, and leave them at the end; nothing to join without torchrun.

    Args:
        device: "cpu" (processes talk by gloo) or "cuda" (by NCCL; each process takes the GPU of its local rank).
        timeout_s: How long a process waits for the others, e.g. while one of them reads slow files.

    Yields:
        The world of this process.

    Raises:
        ConfigError: The device is absent, a machine has more processes than GPUs, or torchrun's environment is torn.
        TrainingError: Another process ended while this one waited for it.
    """
    rank, size, local_rank = _ranks(os.environ)
    found = find_device(device)
    if size == 1:
        yield World(device=found)
        return
    if found.type == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"this machine runs {local_rank + 1} processes or more and has {torch.cuda.device_count()} GPUs; "
                "give torchrun an --nproc-per-node of at most the GPUs there are"
            )
        found = torch.device("cuda", local_rank)
        torch.cuda.set_device(found)
    distributed.init_process_group(
        "nccl" if found.type == "cuda" else "gloo",
        timeout=dt.timedelta(seconds=timeout_s),
        device_id=found if found.type == "cuda" else None,
    )
    # Not left when an error passes through: the others may be in the middle of a sum and would be waited for. The
    # process ends, and torchrun ends the others.
    with explained_losses():
        yield World(rank=rank, size=size, device=found)
        distributed.barrier()
    distributed.destroy_process_group()
    # A thread of gloo lets go of the tensors of a sum a moment after the sum is done, and needs the interpreter for it:
    # in a process that is ending by then that aborts it, after all is done.
    time.sleep(_SETTLE_S)


def seed_rank(seed: int, world: World) -> None:
    """Give each process random numbers of its own (dropout), from one seed; the first keeps those of `seed` itself.

    To be called when the model is made: before that all processes need the same.
    """
    torch.manual_seed((seed + world.rank) % 2**32)


@contextlib.contextmanager
def explained_losses() -> Iterator[None]:
    """Tells the error of a process that lost another from errors of its own.

    Raises:
        TrainingError: Another process is gone.
    """
    try:
        yield
    except RuntimeError as error:
        said = str(error)
        if not any(word in said.lower() for word in _LOST):
            raise
        raise TrainingError(
            f"another process of this training ended or does not answer ({said.splitlines()[0][:200]}); its own error "
            "says why. Mend that, and go on from the last checkpoint with --resume"
        ) from error


def _ranks(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Rank, number of processes and rank on this machine, as torchrun puts them into the environment."""
    given = {name: environment[name] for name in _VARIABLES if name in environment}
    if not given:
        return 0, 1, 0
    missing = [name for name in _VARIABLES if name not in given]
    if missing or not all(value.isdecimal() for value in given.values()):
        shown = ", ".join(f"{name}={value}" for name, value in given.items())
        lacking = f" and lacks {', '.join(missing)}" if missing else ""
        raise ConfigError(
            f"the environment has {shown}{lacking}; several processes are started by torchrun, which sets "
            f"{', '.join(_VARIABLES)} to numbers. Unset them to train with one process"
        )
    return int(given["RANK"]), int(given["WORLD_SIZE"]), int(given["LOCAL_RANK"])
