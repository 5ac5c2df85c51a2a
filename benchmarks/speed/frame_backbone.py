"""How many frames a second the frame backbone turns into features, beside the package that publishes its weights.

    python benchmarks/speed/frame_backbone.py --rounds 20

All take the same clip of 16 frames and hold the same weights; they take turns, so that a busy machine slows all of
them. A peer that is not there is an error that says how to install it. Writes benchmarks/reports/frame_backbone.json
and prints its table.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tubelet import weights
from tubelet.models.efficientnet_lite import load_efficientnet_lite_weights
from tubelet.models.frames import FrameNetwork, frame_lite0, frame_lite2
from tubelet.runs.files import write_json
from tubelet.runs.report import installed_versions, this_command
from tubelet.weights.catalogue import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2

REPORT = Path(__file__).resolve().parents[1] / "reports" / "frame_backbone.json"
NUM_FRAMES = 16
CASES = (("lite0", 224), ("lite0", 160), ("lite2", 260))
BUILDERS = {"lite0": (frame_lite0, EFFICIENTNET_LITE0), "lite2": (frame_lite2, EFFICIENTNET_LITE2)}
PEER, DEFAULT = "efficientnet-lite-pytorch 0.1.0", "tubelet, fused"
Features = Callable[[Tensor], Tensor]


def peer(size: str) -> Features:
    """The reference package's features, averaged over places as its own classifier takes them."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(f"efficientnet-{size}").eval()
    network.load_state_dict(torch.load(weights.fetch(BUILDERS[size][1]), weights_only=True))
    return lambda video: network.extract_features(video[0].transpose(0, 1).contiguous()).mean(dim=(2, 3))


def in_bf16(network: FrameNetwork) -> Features:
    """The same with products in bfloat16."""

    def features(video: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network.frame_features(video)[0].float()

    return features


def contenders(size: str) -> dict[str, Features]:
    """What is measured, by name."""
    build, file = BUILDERS[size]
    network = build(2, temporal="single_frame", grid=0)
    load_efficientnet_lite_weights(network.backbone, weights.fetch(file))
    network.eval()
    fused = network.fused()
    whole = fused.backbone
    return {
        PEER: peer(size),
        DEFAULT: lambda video: fused.frame_features(video)[0],
        "tubelet, fused, all frames at once": lambda video: whole.features(video[0].transpose(0, 1)),
        "tubelet, not fused": lambda video: network.frame_features(video)[0],
        "tubelet, fused, bf16": in_bf16(fused),
    }


def measure(size: str, side_px: int, rounds: int) -> dict[str, dict[str, float]]:
    """Frames per second of every contender and how far its features are from the peer's (1: the largest)."""
    runs = contenders(size)
    video = torch.randn(1, 3, NUM_FRAMES, side_px, side_px, generator=torch.Generator().manual_seed(0))
    walls: dict[str, list[float]] = {name: [] for name in runs}
    outputs: dict[str, Tensor] = {}
    with torch.inference_mode():
        for turn in range(rounds + 2):
            for name, run in runs.items():
                started_s = time.perf_counter()
                outputs[name] = run(video)
                if turn > 1:
                    walls[name].append(time.perf_counter() - started_s)
    wanted = outputs[PEER]
    return {
        name: {
            "median_frames_per_s": round(NUM_FRAMES / statistics.median(own), 1),
            "best_frames_per_s": round(NUM_FRAMES / min(own), 1),
            "greatest_difference": float((outputs[name] - wanted).abs().max() / wanted.abs().max()),
        }
        for name, own in walls.items()
    }


def main() -> None:
    """Measures every case and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=REPORT)
    options = parser.parse_args()
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        parser.error("the peer is not installed; run `pip install --no-deps efficientnet-lite-pytorch==0.1.0`")
    torch.set_num_threads(options.threads)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for size, side_px in CASES:
        case = results[f"{size}, {side_px} px"] = measure(size, side_px, options.rounds)
        for name, numbers in case.items():
            ratio = numbers["median_frames_per_s"] / case[PEER]["median_frames_per_s"]
            speeds = f"{numbers['median_frames_per_s']:7.1f} frames/s (best {numbers['best_frames_per_s']:.1f})"
            print(f"{size} {side_px} px  {name:<36} {speeds} {ratio:5.2f}x  {numbers['greatest_difference']:.1e} off")
    write_json(
        options.out,
        {
            "schema": "tubelet.benchmark/1",
            "command": this_command(),
            "versions": installed_versions(),
            "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()},
            "rounds": options.rounds,
            "threads": options.threads,
            "frames_per_clip": NUM_FRAMES,
            "peer": PEER,
            "results": results,
        },
    )


if __name__ == "__main__":
    main()
