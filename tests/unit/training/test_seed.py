"""One seed decides every random number, and the state of all generators can be kept and put back."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tubelet.training import random_state, restore_random_state, seed_everything, step_generator


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    threads, deterministic, state = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        random_state(),
    )
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    restore_random_state(state)


def draw() -> list[float]:
    # ruff: noqa: NPY002 - the global state is what is tested
    return [
        random.random(),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(1)),
        random.gauss(0, 1),
    ]


def test_the_same_seed_gives_the_same_numbers() -> None:
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert not set(draw()) & set(first)


def test_threads_and_determinism_are_set() -> None:
    seed_everything(0, num_threads=1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    seed_everything(0, deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()


def test_state_survives_a_file_that_is_read_without_pickle() -> None:
    seed_everything(1)
    draw()  # a gaussian is half-drawn in two of the generators now
    file = io.BytesIO()
    torch.save(random_state(), file)
    expected = draw()
    draw()
    file.seek(0)
    restore_random_state(torch.load(file, weights_only=True))
    assert draw() == expected


def test_a_step_has_its_own_numbers() -> None:
    assert step_generator(1, 5).random() == step_generator(1, 5).random()
    draws = {step_generator(seed, step, stream).random() for seed in (0, 1) for step in (0, 1) for stream in (0, 1)}
    assert len(draws) == 8


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="seed is -1; allowed: 0 to 4294967295"):
        seed_everything(-1)
    with pytest.raises(ValueError, match="num_threads is 0; allowed: 1 or more"):
        seed_everything(0, num_threads=0)
