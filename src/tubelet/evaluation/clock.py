"""Time and memory of passes that are to be compared: in turns under one clock, and what their tensors take at most."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a pass is beside another, both timed in the same rounds.

    Attributes:
        median_s: Seconds of a pass, in the median.
        ratio: The other's seconds over these, in the median over rounds.
        lowest, highest: Of these ratios.
    """

    median_s: float
    ratio: float
    lowest: float
    highest: float


def in_turns(
    passes: Mapping[Name, Callable[[], object]],
    rounds: int,
    *,
    device: torch.device,
    on_done: Callable[[], object] = lambda: None,
) -> dict[Name, list[float]]:
    """Seconds of each pass in each round; in every other round the order is turned round.

    What else the machine does, and whatever warms up, so falls on all of them. Each pass runs once before the clock.

    Args:
        passes: By name.
        rounds: How often each is timed.
        device: Where they run; the clock waits for it.
        on_done: Called after each pass.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; allowed: 1 or more")
    for once in passes.values():
        once()
        on_done()
    seconds: dict[Name, list[float]] = {name: [] for name in passes}
    for number in range(rounds):
        names = list(passes)
        for name in reversed(names) if number % 2 else names:
            _wait(device)
            began_s = time.perf_counter()
            passes[name]()
            _wait(device)
            seconds[name].append(time.perf_counter() - began_s)
            on_done()
    return seconds


def speed_of(seconds: list[float], beside: list[float]) -> Speed:
    """How fast a pass is beside another.

    Args:
        seconds: Of its rounds.
        beside: Of the same rounds of the other.
    """
    ratios = [other / own for other, own in zip(beside, seconds, strict=True)]
    return Speed(
        median_s=statistics.median(seconds),
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
    )


def peak_bytes(once: Callable[[], object], device: torch.device) -> int:
    """What the tensors of a pass take at most, beyond those that are there before it.

    Args:
        once: The pass.
        device: Where it runs. On a GPU its allocator counts; on a CPU every allocation of torch is recorded, which,
            unlike the size of the process, does not depend on what was freed before.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        once()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the recorder tells of its beginning and end on stderr
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        once()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(file))
        return _highest(json.loads(file.read_text(encoding="utf-8"))["traceEvents"])


def _highest(events: list[dict[str, object]]) -> int:
    """Most that was allocated at once, by the changes in order."""
    changes = [event for event in events if event.get("name") == "[memory]"]
    changes.sort(key=lambda event: float(str(event["ts"])))
    held = highest = 0
    for event in changes:
        details = event["args"]
        if isinstance(details, dict):
            held += int(details["Bytes"])
            highest = max(highest, held)
    return highest


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
