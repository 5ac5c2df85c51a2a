"""The world of one process, its parts of a batch, and what torchrun's environment may say."""

from __future__ import annotations

import pytest
import torch

from tubelet.errors import ConfigError, TrainingError
from tubelet.training import World, joined, seed_rank, shard
from tubelet.training.distributed import ALONE, explained_losses

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_parts_are_the_whole_and_nearly_equal(size: int, count: int) -> None:
    items = list(range(count))
    parts = [World(rank=rank, size=size).part_of(items) for rank in range(size)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_talks_to_itself() -> None:
    assert ALONE.gather({"loss": 0.5}) == [{"loss": 0.5}]
    assert ALONE.gather_bytes(b"ab") == [b"ab"]
    tensor = torch.ones(2)
    ALONE.send_from_first([tensor])
    assert tensor.tolist() == [1.0, 1.0]
    assert ALONE.is_first and not World(rank=1, size=2).is_first
    with pytest.raises(ValueError, match="rank is 2 of 2 processes; allowed: 0 to 1"):
        World(rank=2, size=2)
    with pytest.raises(ConfigError, match="sharding spreads a model over several processes, and this is one"):
        shard(torch.nn.Linear(1, 1), ALONE)


def test_without_torchrun_there_is_nothing_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with joined() as world:
        assert (world.rank, world.size, world.device) == (0, 1, torch.device("cpu"))
    assert not torch.distributed.is_initialized()


def test_one_process_of_torchrun_is_a_world_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, ("0", "1", "0"), strict=True):
        monkeypatch.setenv(name, value)
    with joined() as world:
        assert world.size == 1


def test_a_torn_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ConfigError, match="has RANK=1 and lacks WORLD_SIZE, LOCAL_RANK; .* by torchrun"), joined():
        pass
    monkeypatch.setenv("WORLD_SIZE", "two")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ConfigError, match="has RANK=1, WORLD_SIZE=two, LOCAL_RANK=0; several processes"), joined():
        pass


def test_more_processes_than_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, ("3", "4", "3"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="runs 4 processes or more and has 2 GPUs; give torchrun"), joined("cuda"):
        pass


def test_each_process_draws_other_numbers_and_the_first_those_of_the_seed() -> None:
    drawn = []
    state = torch.get_rng_state()
    for rank in (0, 1):
        seed_rank(5, World(rank=rank, size=2))
        drawn.append(float(torch.rand(())))
    torch.manual_seed(5)
    assert drawn[0] == float(torch.rand(()))
    assert drawn[0] != drawn[1]
    torch.set_rng_state(state)


def test_a_lost_process_is_told_from_an_error_of_ones_own() -> None:
    with (
        pytest.raises(
            TrainingError, match=r"another process .* ended or does not answer \(.*Connection closed by peer"
        ),
        explained_losses(),
    ):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:544] Connection closed by peer [127.0.0.1]:123\nmore")
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"), explained_losses():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
