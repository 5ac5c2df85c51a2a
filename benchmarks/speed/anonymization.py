"""What pruning saves and what it costs: a dense network with two CLS tokens beside a pruned one, in one run.

    python benchmarks/speed/anonymization.py --rounds 5

Two sizes: that of the small experiments, where starting kernels costs most, and ViT-B on 16 frames of 224x224. Dense
and pruned take turns. "Limit" is the ratio of the operations by formula. The overhead is that of scoring, ranking,
gathering and fusing at the pruning blocks, timed by itself on tokens of the same shape, over the pruned forward pass.
Writes benchmarks/reports/anonymization_speed.json.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tubelet.methods.anonymization.model import DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import ContrastPruning, PruningConfig, flops
from tubelet.methods.anonymization.recipes import glyphs
from tubelet.models.token_reduction import Attended, Tokens
from tubelet.runs import installed_versions, this_command, write_json

REPORT = Path(__file__).resolve().parents[1] / "reports" / "anonymization_speed.json"


def timed(call: Callable[[], object], times: int = 1) -> float:
    began_s = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began_s) / times


def measure(name: str, shape: VitShape, pruning: PruningConfig, batch: int, rounds: int, times: int) -> dict[str, Any]:
    torch.manual_seed(0)
    network = DualTokenViT(51, 5, shape).eval()
    video = torch.rand(batch, 3, shape.num_frames, shape.size_px, shape.size_px)
    dense = replace(pruning, keep=None, keep_rate=1.0)
    frames, rows, columns = shape.tubelet
    places = (shape.num_frames // frames) * (shape.size_px // rows) * (shape.size_px // columns)
    sizes: dict[str, Any] = {
        "num_places": places,
        "channels": shape.channels,
        "depth": shape.depth,
        "mlp_ratio": 4.0,
        "patch_values": 3 * frames * rows * columns,
    }
    # Dense without any pruning code: what a network of two CLS tokens costs.
    calls: dict[str, Callable[[], object]] = {
        "dense": lambda: network.vit.encode(video),
        "pruned": lambda: network(video, pruning),
    }
    seconds: dict[str, list[float]] = {each: [] for each in calls}
    with torch.inference_mode():
        for each in calls.values():
            each()
        for number in range(rounds):
            for each in sorted(calls, reverse=bool(number % 2)):
                seconds[each].append(timed(calls[each], times))
        overhead_s = _overhead(shape, pruning, batch, places, rounds, times)
    limit = flops(dense, **sizes) / flops(pruning, **sizes)
    medians = {each: statistics.median(values) for each, values in seconds.items()}
    speedup = medians["dense"] / medians["pruned"]
    return {
        "name": name,
        "batch": batch,
        "median_ms": {each: 1000 * value for each, value in medians.items()},
        "speedup": speedup,
        "limit": limit,
        "share_of_limit": speedup / limit,
        "overhead_share": overhead_s / medians["pruned"],
        "round_by_round": [
            dense_s / pruned_s for dense_s, pruned_s in zip(seconds["dense"], seconds["pruned"], strict=True)
        ],
    }


def _overhead(shape: VitShape, pruning: PruningConfig, batch: int, places: int, rounds: int, times: int) -> float:
    """Seconds that the pruning blocks spend on scores, ranking, gathering and fusing."""
    grid = (
        shape.num_frames // shape.tubelet[0],
        shape.size_px // shape.tubelet[1],
        shape.size_px // shape.tubelet[2],
    )
    reduction = ContrastPruning(grid, pruning, depth=shape.depth)
    total, left = 0.0, places
    for block in pruning.blocks:
        ids = torch.cat([torch.tensor([-3, -4]), torch.arange(left)]).expand(batch, -1)
        tokens = Tokens(
            values=torch.rand(batch, left + 2, shape.channels), ids=ids, clips=torch.zeros_like(ids), num_cls=2
        )
        heads = shape.num_heads
        keys = torch.rand(batch, heads, left + 2, shape.channels // heads)
        query = torch.rand(batch, heads, 2, shape.channels // heads)

        def once(tokens: Tokens = tokens, keys: torch.Tensor = keys, query: torch.Tensor = query) -> Tokens:
            weights = (query @ keys.transpose(-1, -2)).softmax(-1)
            return reduction.after_attention(block, tokens, Attended(keys=keys, weights=weights))  # noqa: B023

        found = once()
        total += statistics.median(timed(once, max(1, times)) for _ in range(rounds))
        left = found.ids.shape[1] - 2
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    small = glyphs()
    cases = [
        measure(
            "small, 8 x 32 px", small.shape, replace(small.pruning, keep=None, keep_rate=0.7), 32, options.rounds, 5
        ),
        measure("ViT-B, 16 x 224 px", VitShape(), PruningConfig(keep_rate=0.7), 1, options.rounds, 1),
        measure("ViT-B, 16 x 224 px, as published", VitShape(), PruningConfig(), 1, options.rounds, 1),
    ]
    report = {
        "schema": "tubelet.benchmark.anonymization_speed/1",
        "command": this_command(),
        "versions": installed_versions(),
        "machine": {
            "processor": platform.machine(),
            "num_cores": os.cpu_count(),
            "num_threads": torch.get_num_threads(),
            "load": os.getloadavg()[0],
        },
        "rounds": options.rounds,
        "cases": cases,
    }
    write_json(REPORT, report)
    for case in cases:
        print(
            f"{case['name']}: {case['speedup']:.2f}x of at most {case['limit']:.2f}x "
            f"({case['share_of_limit']:.0%}); overhead {case['overhead_share']:.1%}"
        )
    print(f"report: {REPORT}")


if __name__ == "__main__":
    main()
