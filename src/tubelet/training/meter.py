"""How fast a training goes and what it waits for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import torch

Batch = TypeVar("Batch")


class Meter:
    """Time, waiting for data, and examples since the numbers were last read.

    Args:
        device: Where the network computes, for its memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started_s = time.perf_counter()
        self._spent_s = self._waited_s = 0.0
        self._num_steps = self._num_examples = 0

    def timed(self, batch_at: Callable[[int], Batch], index: int) -> Batch:
        """Draw a batch, and count the time as waiting for data."""
        began_s = time.perf_counter()
        batch = batch_at(index)
        self._waited_s += time.perf_counter() - began_s
        return batch

    def start_step(self) -> None:
        """Begin the time of a step; what lies between two steps (validation, writing) is no training."""
        self._began_s = time.perf_counter()

    def end_step(self, num_examples: int) -> None:
        """End the time of a step that trained on so many examples, in all processes."""
        self._spent_s += time.perf_counter() - self._began_s
        self._num_steps += 1
        self._num_examples += num_examples

    def read(self, num_steps_left: int) -> dict[str, float]:
        """Numbers since the last reading: `elapsed_s` since the start, `eta_s`, rates, share of waiting, memory.

        `clips_per_s` is there where batches name their examples. Memory is the peak of the GPU where the network is on
        one, else of the process.
        """
        elapsed_s, spent_s = time.perf_counter() - self._started_s, max(self._spent_s, 1e-9)
        numbers = {
            "elapsed_s": round(elapsed_s, 3),
            "eta_s": round(num_steps_left * spent_s / max(1, self._num_steps), 3),
            "steps_per_s": round(self._num_steps / spent_s, 4),
            "data_wait_share": round(self._waited_s / spent_s, 4),
        }
        if self._num_examples:
            numbers["clips_per_s"] = round(self._num_examples / spent_s, 4)
        peak = peak_memory_mb(self._device)
        if peak is not None:
            numbers["peak_memory_mb"] = round(peak, 1)
        self._spent_s = self._waited_s = 0.0
        self._num_steps = self._num_examples = 0
        return numbers


def peak_memory_mb(device: torch.device) -> float | None:
    """The most memory used so far, in 10**6 bytes: tensors on a GPU, else this process; None where nobody tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def sentence(numbers: dict[str, float]) -> str:
    """What a person wants to see of a reading beside the bar, which shows steps and time left itself."""
    parts = [f"{numbers['clips_per_s']:.1f} clips/s"] if "clips_per_s" in numbers else []
    parts.append(f"data wait {100 * numbers['data_wait_share']:.0f} %")
    if "peak_memory_mb" in numbers:
        parts.append(f"{numbers['peak_memory_mb']:.0f} MB")
    return ", ".join(parts)
