"""Everything random, from one seed; and the state of all of it, to go on from."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, *, num_threads: int | None = None, deterministic: bool = True) -> None:
    """Seed python, numpy and torch on every device, and ask torch for algorithms that repeat bit by bit.

    The same seed gives the same bits only with the same number of threads, because sums are split by thread.

    Args:
        seed: 0 to 2**32 - 1.
        num_threads: Threads of torch's CPU operators; None leaves what is set.
        deterministic: Let torch raise where it has no repeatable algorithm.

    Raises:
        ValueError: The seed is out of range, or `num_threads` is below 1.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; allowed: 0 to {2**32 - 1}")
    if num_threads is not None:
        if num_threads < 1:
            raise ValueError(f"num_threads is {num_threads}; allowed: 1 or more")
        torch.set_num_threads(num_threads)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - third-party code draws from the global state
    torch.manual_seed(seed)
    if deterministic:
        # cuBLAS reads this when its first handle is made; without it torch refuses matrix products on CUDA.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)


def step_generator(seed: int, step: int, stream: int = 0) -> np.random.Generator:
    """The random numbers of one step, independent of every other step's.

    A batch drawn from this generator depends on the step alone, so a resumed run sees the batches that the
    uninterrupted one would have seen, without any state to save.

    Args:
        seed: Of the run.
        step: Which step, from 0.
        stream: Tells uses within one step from each other (e.g. 0 training, 1 validation).
    """
    return np.random.default_rng((seed, stream, step))


def random_state() -> dict[str, Any]:
    """The state of python's, numpy's and torch's global generators, in types that `weights_only=True` reads back."""
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        # Of several processes each has a GPU of its own; to look at the others' would take memory on all of them.
        if torch.distributed.is_initialized():
            state["cuda_own"] = torch.cuda.get_rng_state()
        else:
            state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set the global generators to what `random_state` returned."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, numpy_keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, numpy_keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
    if torch.cuda.is_available() and "cuda_own" in state:
        torch.cuda.set_rng_state(state["cuda_own"])
