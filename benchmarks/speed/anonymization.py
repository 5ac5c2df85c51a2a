"""What pruning saves and what it costs: a dense network with two CLS tokens beside a pruned one, in one run.

    python benchmarks/speed/anonymization.py
    python benchmarks/speed/anonymization.py --device cuda        # ViT-B, batch 8, half precision, and its memory

Sizes: that of the small experiments, in batches and clip by clip as `apply` has it, where starting kernels costs most,
and ViT-B on 16 frames of 224x224. Dense and pruned take turns. "Limit" is the ratio of the operations by formula. The
overhead is that of scoring, ranking, gathering and fusing at the pruning blocks, timed by itself on tokens of the same
shape, over the pruned forward pass. `apply` is timed whole, and its decoding, networks and encoding each alone. Writes
benchmarks/reports/anonymization_speed.json (or …_gpu.json) and the claims.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tubelet import weights
from tubelet.evaluation.claims import Claim, current_commit, read_claims, update_claims
from tubelet.evaluation.clock import in_turns, peak_bytes, speed_of
from tubelet.methods.anonymization.apply import hide_video
from tubelet.methods.anonymization.footage import Hider
from tubelet.methods.anonymization.model import EMBEDDED, Anonymizer, DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import ContrastPruning, PruningConfig, flops
from tubelet.methods.anonymization.recipes import glyphs
from tubelet.methods.anonymization.regions import PeopleRegions
from tubelet.models.token_reduction import Attended, Tokens
from tubelet.people.detector import load_detector
from tubelet.people.faces import FaceDetector
from tubelet.people.landmarks import LandmarkModel
from tubelet.runs import Progress, installed_versions, this_command, write_json
from tubelet.video import Frame, Source, VideoWriter, read_frames

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "anonymization_speed.json"
GPU_REPORT = REPORT.with_name("anonymization_speed_gpu.json")
CLAIMS = ROOT / "benchmarks" / "claims" / "anonymization.json"
KEEP_RATE = 0.7
_ON = "Scoring, ranking, gathering and fusing take at most 3 % of the pruned pass of ViT-B on a "
GPU_STATEMENTS = {
    "speed-gpu": "ViT-B, batch 8, on a GPU in half precision, 0.7 kept at each of three blocks: at least 0.85 times as "
    "fast as operations allow.",
    "speed-gpu-overhead": f"{_ON}GPU.",
    "speed-gpu-attention": "Dense, fused attention is at least 1.3 times as fast as attention with the whole matrix in "
    "all blocks.",
    "speed-gpu-memory": "The pruned pass takes at most 0.6 of the memory of attention with the whole matrix.",
}


def measure(
    name: str, shape: VitShape, pruning: PruningConfig, batch: int, rounds: int, device: torch.device, times: int = 1
) -> dict[str, Any]:
    """Dense and pruned, in turns."""
    torch.manual_seed(0)
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    network = DualTokenViT(51, 5, shape).eval().to(device, kind)
    video = torch.rand(batch, 3, shape.num_frames, shape.size_px, shape.size_px, device=device, dtype=kind)
    dense = replace(pruning, keep=None, keep_rate=1.0)
    sizes: dict[str, Any] = {
        "num_places": int(np.prod(grid_of(shape))),
        "channels": shape.channels,
        "depth": shape.depth,
        "mlp_ratio": 4.0,
        "patch_values": 3 * int(np.prod(shape.tubelet)),
    }

    def explicit() -> object:
        with sdpa_kernel(SDPBackend.MATH):
            return network.vit.encode(video)

    # Dense without any pruning code: what a network of two CLS tokens costs.
    calls: dict[str, Callable[[], object]] = {
        "dense": lambda: network.vit.encode(video),
        "pruned": lambda: network(video, pruning),
    }
    if device.type == "cuda":
        calls["all explicit"] = explicit
    with torch.inference_mode():
        repeated = {each: (lambda once=once: [once() for _ in range(times)]) for each, once in calls.items()}
        seconds = in_turns(repeated, rounds, device=device)
        overhead_s = _overhead(shape, pruning, batch, rounds, device, kind)
        peaks = {each: peak_bytes(once, device) for each, once in calls.items()} if device.type == "cuda" else {}
    limit = flops(dense, **sizes) / flops(pruning, **sizes)
    speeds = {each: speed_of(own, seconds["dense"]) for each, own in seconds.items()}
    pruned = speeds["pruned"]
    return {
        "name": name,
        "batch": batch,
        "median_ms": {each: 1000 * speed.median_s / times for each, speed in speeds.items()},
        "speedup": pruned.ratio,
        "range": [pruned.lowest, pruned.highest],
        "limit": limit,
        "share_of_limit": pruned.ratio / limit,
        "overhead_share": overhead_s / (pruned.median_s / times),
        "peak_bytes": peaks,
        "over_explicit": 1 / speeds["all explicit"].ratio if peaks else None,
    }


def grid_of(shape: VitShape) -> tuple[int, int, int]:
    """Steps, rows and columns of tubelets."""
    frames, rows, columns = shape.tubelet
    return shape.num_frames // frames, shape.size_px // rows, shape.size_px // columns


def _overhead(
    shape: VitShape, pruning: PruningConfig, batch: int, rounds: int, device: torch.device, kind: torch.dtype
) -> float:
    """Seconds that the pruning blocks spend on scores, ranking, gathering and fusing."""
    reduction = ContrastPruning(grid_of(shape), pruning, depth=shape.depth)
    total, left = 0.0, int(np.prod(grid_of(shape)))
    for block in pruning.blocks:
        ids = torch.cat([torch.tensor([-3, -4]), torch.arange(left)]).expand(batch, -1).to(device)
        values = torch.rand(batch, left + 2, shape.channels, device=device, dtype=kind)
        tokens = Tokens(values=values, ids=ids, clips=torch.zeros_like(ids), num_cls=2)
        heads, width = shape.num_heads, shape.channels // shape.num_heads
        keys = torch.rand(batch, heads, left + 2, width, device=device, dtype=kind)
        query = torch.rand(batch, heads, 2, width, device=device, dtype=kind)

        def once(tokens: Tokens = tokens, keys: torch.Tensor = keys, query: torch.Tensor = query) -> Tokens:
            attended = (query @ keys.transpose(-1, -2)).softmax(-1)
            return reduction.after_attention(block, tokens, Attended(keys=keys, weights=attended))  # noqa: B023

        left = once().ids.shape[1] - 2
        total += statistics.median(in_turns({"": once}, max(rounds, 20), device=device)[""])
    return total


def apply_case(name: str, hider: Callable[[], Hider], clip: Path, rounds: int) -> dict[str, Any]:
    """`apply` whole, and each of its three parts alone, in turns."""
    source = Source(str(clip), "file")
    frames = list(read_frames(source))
    height, width = frames[0].image.shape[:2]

    def held() -> Iterator[Frame]:
        yield from frames

    with tempfile.TemporaryDirectory() as folder:

        def encode() -> None:
            with VideoWriter(Path(folder) / "alone.mp4", width=width, height=height, fps=30.0, quality=18) as writer:
                for frame in frames:
                    writer.write(frame.image, frame.time_s)

        def whole() -> None:
            with Progress() as progress:
                line = progress.add(f"timing apply, {name}", len(frames), "frames")
                hide_video(source, hider(), "whole", Path(folder), facts={}, keep_audio=False, line=line)

        calls: dict[str, Callable[[], object]] = {
            "decoding": lambda: sum(1 for _ in read_frames(source)),
            "networks": lambda: sum(1 for _ in hider().run(held())),
            "encoding": encode,
            "whole": whole,
        }
        seconds = in_turns(calls, rounds, device=torch.device("cpu"))
    medians = {each: statistics.median(values) for each, values in seconds.items()}
    parts = {each: value for each, value in medians.items() if each != "whole"}
    return {
        "name": name,
        "clip": clip.name,
        "num_frames": len(frames),
        "size_px": [width, height],
        "median_s": medians,
        "slowest": max(parts, key=lambda each: parts[each]),
        "over_slowest": medians["whole"] / max(parts.values()),
        "over_sum": medians["whole"] / sum(parts.values()),
    }


def apply_cases(rounds: int) -> list[dict[str, Any]]:
    """A tiny network on whole pictures, and what ships."""
    clip = weights.fetch(weights.DEMO_VIDEO)
    config = glyphs()
    torch.manual_seed(0)
    tiny = Anonymizer(DualTokenViT(4, 3, config.shape), config.pruning, {})
    shipped, detector, landmarks, faces = (
        Anonymizer.load(EMBEDDED),
        load_detector("auto"),
        LandmarkModel(),
        FaceDetector(),
    )

    def round_people() -> Hider:
        people = PeopleRegions(detector, landmarks, "face", faces)
        return Hider(anonymizer=shipped, keep=0.5, temporal="tube", people=people, step_s=shipped.facts["step_s"])

    return [
        apply_case("small network, whole pictures", lambda: Hider(anonymizer=tiny, keep=0.5), clip, rounds),
        apply_case("what ships, with people and faces", round_people, clip, rounds),
    ]


def _claim(
    name: str, statement: str, ours: float, holds: bool, note: str = "", *, unit: str = "", is_gpu: bool = False
) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        unit=unit,
        paper=None,
        ours=round(ours, 3),
        interval=None,
        num_seeds=0,
        holds=holds,
        command="python benchmarks/speed/anonymization.py" + (" --device cuda" if is_gpu else ""),
        report=(GPU_REPORT if is_gpu else REPORT).relative_to(ROOT).as_posix(),
        machine=torch.cuda.get_device_name() if is_gpu else f"{os.cpu_count()} cores, {platform.machine()}",
        commit=current_commit(ROOT),
        note=note,
    )


def _speed_note(case: dict[str, Any]) -> str:
    low, high = case["range"]
    return (
        f"{case['speedup']:.2f} times as fast as dense (rounds {low:.2f} to {high:.2f}); "
        f"operations allow {case['limit']:.2f}."
    )


def gpu_claims(large: dict[str, Any]) -> list[Claim]:
    """Speed, overhead, attention and memory at the size of ViT-B."""
    memory = large["peak_bytes"]["pruned"] / large["peak_bytes"]["all explicit"]
    share, overhead, faster = large["share_of_limit"], large["overhead_share"], large["over_explicit"]
    found = {
        "speed-gpu": (share, share >= 0.85, _speed_note(large), ""),
        "speed-gpu-overhead": (100 * overhead, overhead <= 0.03, "", "%"),
        "speed-gpu-attention": (faster, faster >= 1.3, "", ""),
        "speed-gpu-memory": (memory, memory <= 0.6, "", ""),
    }
    return [
        _claim(name, GPU_STATEMENTS[name], ours, holds, note, unit=unit, is_gpu=True)
        for name, (ours, holds, note, unit) in found.items()
    ]


def cpu_claims(cases: list[dict[str, Any]], applied: list[dict[str, Any]]) -> list[Claim]:
    """Speed over what operations allow, overhead, and the pace of `apply`."""
    claims = []
    for name, where, case, least in (
        ("speed-cpu-small", "The small network, 32 clips at once on a CPU", cases[0], 0.75),
        ("speed-cpu-apply", "The small network, one clip at once on a CPU, as apply has it", cases[1], 0.60),
        ("speed-cpu-large", "ViT-B, one clip at once on a CPU", cases[2], 0.75),
    ):
        share = case["share_of_limit"]
        statement = (
            f"{where}, 0.7 kept at each of three blocks: at least {least:.2f} times as fast as operations allow."
        )
        claims.append(_claim(name, statement, share, share >= least, _speed_note(case)))
    overhead = cases[2]["overhead_share"]
    small = f"{100 * cases[0]['overhead_share']:.1f} % of the small network, where starting kernels costs most."
    claims.append(_claim("speed-cpu-overhead", f"{_ON}CPU.", 100 * overhead, overhead <= 0.03, small, unit="%"))
    for number, case in enumerate(applied, start=1):
        width, height = case["size_px"]
        parts = ", ".join(f"{each} {value:.1f} s" for each, value in case["median_s"].items() if each != "whole")
        claims.append(
            _claim(
                f"speed-apply-{number}",
                f"Decoding, networks and encoding of apply overlap ({case['name']}): the whole takes at most 1.2 times "
                "as long as the slowest of them alone.",
                case["over_slowest"],
                case["over_slowest"] <= 1.2,
                f"Alone: {parts}; together {case['median_s']['whole']:.1f} s, for {case['num_frames']} frames of "
                f"{width}x{height}. Parts that use both cores cannot overlap.",
            )
        )
    return claims


def not_measured() -> list[Claim]:
    """What a GPU would show, where none has shown it yet."""
    known = {claim.id for claim in read_claims(CLAIMS) if claim.ours is not None}
    return [
        Claim(
            id=name,
            statement=statement,
            unit="",
            paper=None,
            ours=None,
            interval=None,
            num_seeds=0,
            holds=None,
            command="python benchmarks/speed/anonymization.py --device cuda",
            report=None,
            machine=None,
            commit=None,
            note="No GPU was at hand.",
        )
        for name, statement in GPU_STATEMENTS.items()
        if name not in known
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="of dense and pruned (default: %(default)s)")
    parser.add_argument("--apply-rounds", type=int, default=3, help="of apply and its parts (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    device, is_gpu = torch.device(options.device), options.device == "cuda"
    small = glyphs()
    tiny = replace(small.pruning, keep=None, keep_rate=KEEP_RATE)
    large, published = PruningConfig(keep_rate=KEEP_RATE), PruningConfig()
    wanted = [
        ("small, 8 x 32 px", small.shape, tiny, 32, 5),
        ("small, 8 x 32 px", small.shape, tiny, 1, 30),
        ("ViT-B, 16 x 224 px", VitShape(), large, 8 if is_gpu else 1, 1),
        ("ViT-B, 16 x 224 px, as published", VitShape(), published, 8 if is_gpu else 1, 1),
    ]
    cases = []
    for name, shape, pruning, batch, times in wanted[2:] if is_gpu else wanted:
        began_s = time.perf_counter()
        cases.append(measure(name, shape, pruning, batch, options.rounds, device, times))
        print(_line(cases[-1]), f"({time.perf_counter() - began_s:.0f} s)", flush=True)
    torch.set_num_threads(torch.get_num_threads() if is_gpu else 1)  # as `apply` does
    applied = [] if is_gpu else apply_cases(options.apply_rounds)
    write_json(
        GPU_REPORT if is_gpu else REPORT,
        {
            "schema": "tubelet.benchmark.anonymization_speed/2",
            "command": this_command(),
            "versions": installed_versions(),
            "machine": {
                "processor": torch.cuda.get_device_name() if is_gpu else platform.machine(),
                "num_cores": os.cpu_count(),
                "load": os.getloadavg()[0],
            },
            "rounds": options.rounds,
            "cases": cases,
            "apply": applied,
        },
    )
    update_claims(CLAIMS, gpu_claims(cases[0]) if is_gpu else [*cpu_claims(cases, applied), *not_measured()])


def _line(case: dict[str, Any]) -> str:
    return (
        f"{case['name']}, {case['batch']} at once: {case['speedup']:.2f}x of at most {case['limit']:.2f}x "
        f"({case['share_of_limit']:.0%}); overhead {case['overhead_share']:.1%}"
    )


if __name__ == "__main__":
    main()
