"""What removing tokens saves: a dense video-language model beside pruned ones, in one run, by the number of frames.

    python benchmarks/speed/token_pruning.py

The small model of the study (12x12 patches, 16 groups, 6 blocks of 96 channels, a language model of 4 layers of 128)
reads clips of 8 to 64 frames and a question; and a transformer of the size of ViT-B looks at 16 frames of 224x224.
Models take turns. "Limit" is the ratio of operations, counted by hooks. "Overhead" is scoring, selecting and packing,
timed by itself, over the pruned pass. Writes benchmarks/reports/token_pruning_speed.json and its claims.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tubelet.evaluation.claims import Claim, current_commit, update_claims
from tubelet.evaluation.clock import in_turns, speed_of
from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.packing import first_fit, pack
from tubelet.methods.token_pruning.pruned import PrunedClassifier, config_for
from tubelet.methods.token_pruning.pruning import GROUP_METHODS
from tubelet.methods.token_pruning.selection import clip_starts, select
from tubelet.models.text_tokens import CharacterTokenizer
from tubelet.models.token_reduction import Tokens
from tubelet.models.video_language import tiny_video_language
from tubelet.models.visual_connector import patch_groups
from tubelet.models.vit import vit_base
from tubelet.runs import installed_versions, this_command, write_json

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "token_pruning_speed.json"
FRAMES = (8, 16, 32, 64)
REMOVE = 0.5
CPU = torch.device("cpu")
METHODS = ("dense", "stts", "random", "prev_sim", "uniform_frames", "tome", "fastv")
TEXT = CharacterTokenizer()


def flops_of(call: Callable[[], object]) -> int:
    # Fused kernels are not counted; plain ones are.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    return int(counter.get_total_flops())


def case_of(
    name: str,
    calls: dict[str, Callable[[], object]],
    counted: dict[str, Callable[[], object]],
    rounds: int,
    overhead_s: float,
) -> dict[str, Any]:
    """Speeds over the dense model, and what operations allow."""
    seconds = in_turns(calls, rounds, device=CPU)
    operations = {method: flops_of(call) for method, call in counted.items()}
    speeds = {method: speed_of(own, seconds["dense"]) for method, own in seconds.items()}
    rows = {}
    for method, speed in speeds.items():
        limit = operations["dense"] / operations[method]
        rows[method] = {
            "speedup": speed.ratio,
            "range": [speed.lowest, speed.highest],
            "limit": limit,
            "share_of_limit": speed.ratio / limit,
        }
    del rows["dense"]
    return {
        "name": name,
        "median_ms": {method: 1000 * speed.median_s for method, speed in speeds.items()},
        "methods": rows,
        "overhead_share": overhead_s / speeds["stts"].median_s,
    }


def language_case(num_frames: int, rounds: int) -> dict[str, Any]:
    """The small video-language model reads one clip and a question."""
    torch.manual_seed(0)
    model = tiny_video_language(TEXT, num_frames=num_frames).eval()
    frames, lengths = torch.rand(num_frames, 3, 48, 48), torch.tensor([num_frames])
    question = [TEXT.encode("which way did 7 move?")]

    def wrapped(method: str, backend: str) -> nn.Module:
        options: dict[str, Any] = {}
        if method in GROUP_METHODS:
            options = {"after_block": 0, "pool": model.pool, "backend": backend}
        return PrunedVideoLanguage(model, config_for(method, REMOVE, **options)).eval()

    def calls(backend: str) -> dict[str, Callable[[], object]]:
        modules = {method: wrapped(method, backend) for method in METHODS}
        return {method: (lambda m=module: m(frames, lengths, question)) for method, module in modules.items()}

    scorer = PrunedVideoLanguage(model, config_for("stts", REMOVE, after_block=0, pool=model.pool)).eval().scorer
    overhead = overhead_s(scorer, num_frames, (12, 12), model.pool, model.vit.num_features, rounds)
    return case_of(f"small model, {num_frames} frames", calls("auto"), calls("loop"), rounds, overhead) | {
        "num_frames": num_frames
    }


def vit_case(rounds: int) -> dict[str, Any]:
    """A transformer of the size of ViT-B over 16 frames, each by itself."""
    torch.manual_seed(0)
    model = vit_base(400, num_frames=16, tubelet=(1, 16, 16), attention="frame").eval()
    video = torch.rand(1, 3, 16, 224, 224)

    def calls(backend: str) -> dict[str, Callable[[], object]]:
        found: dict[str, Callable[[], object]] = {}
        for method in ("dense", "stts", "prev_sim", "uniform_frames", "tome"):
            options: dict[str, Any] = {"backend": backend, "pool": 2} if method in GROUP_METHODS else {}
            module = PrunedClassifier(model, config_for(method, REMOVE, **options)).eval()
            found[method] = lambda m=module: m(video)
        return found

    scorer = PrunedClassifier(model, config_for("stts", REMOVE, pool=2)).eval().scorer
    overhead = overhead_s(scorer, 16, (14, 14), 2, model.num_features, rounds)
    return case_of("ViT-B, 16 frames of 224x224", calls("auto"), calls("loop"), rounds, overhead) | {"num_frames": 16}


def overhead_s(
    scorer: nn.Module | None, num_frames: int, grid: tuple[int, int], pool: int, channels: int, rounds: int
) -> float:
    """Seconds of scoring, selecting, packing, and bringing back to the grid."""
    if scorer is None:
        raise ValueError("there is no scorer to time")
    num_patches = grid[0] * grid[1]
    values = torch.rand(num_frames, num_patches, channels)
    ids = torch.arange(num_frames * num_patches).reshape(num_frames, -1)
    tokens = Tokens(values=values, ids=ids, clips=torch.zeros_like(ids))
    groups, lengths = patch_groups(*grid, pool), torch.tensor([num_frames])
    starts = clip_starts(lengths, num_frames)
    of_patch = torch.arange(grid[0])[:, None] // pool * -(-grid[1] // pool) + torch.arange(grid[1])[None] // pool

    def once() -> None:
        keep = select(scorer(values, groups, starts), lengths, REMOVE)
        packed = pack(replace(tokens, notes={}), keep[:, of_patch.flatten()], backend="auto")
        packed.on_grid(1, num_frames * num_patches)

    return statistics.median(in_turns({"": once}, rounds, device=CPU)[""])


def planning_ms() -> float:
    """Of packing 256 frames into rows."""
    counts = torch.randint(1, 730, (256,), generator=torch.Generator().manual_seed(0)).tolist()
    return 1000 * statistics.median(in_turns({"": lambda: first_fit(counts, 729)}, 20, device=CPU)[""])


def claims_of(cases: list[dict[str, Any]], plan_ms: float) -> list[Claim]:
    """E5, from the numbers."""
    small = [case for case in cases if case["name"].startswith("small")]
    at_32 = next(case for case in small if case["num_frames"] == 32)["methods"]["stts"]
    speedups = [case["methods"]["stts"]["speedup"] for case in small]
    large = next(case for case in cases if case["name"].startswith("ViT-B"))
    overhead = max(small[-1]["overhead_share"], large["overhead_share"])
    lowest, highest = (round(end / at_32["limit"], 3) for end in at_32["range"])
    commit = current_commit(ROOT)

    def claim(
        name: str,
        statement: str,
        ours: float,
        unit: str,
        *,
        holds: bool,
        interval: tuple[float, float] | None = None,
        note: str = "",
    ) -> Claim:
        return Claim(
            id=name,
            statement=statement,
            unit=unit,
            paper=None,
            ours=round(ours, 3),
            interval=interval,
            num_seeds=0,
            holds=holds,
            command="python benchmarks/speed/token_pruning.py",
            report=REPORT.relative_to(ROOT).as_posix(),
            machine=f"{os.cpu_count()} cores, {platform.machine()}",
            commit=commit,
            note=note,
        )

    return [
        claim(
            "E5-small",
            "Half removed, the small model with 32 frames is at least 0.70 times as fast as operations allow.",
            at_32["share_of_limit"],
            "",
            holds=at_32["share_of_limit"] >= 0.70,
            interval=(lowest, highest),
            note=f"{at_32['speedup']:.2f} times as fast as dense; operations allow {at_32['limit']:.2f}. Median over "
            "rounds; the ends are those of the slowest and the fastest round.",
        ),
        claim(
            "E5-frames",
            "Half removed, the speedup rises with the frames (8, 16, 32, 64).",
            speedups[-1] - speedups[0],
            "",
            holds=all(fewer < more for fewer, more in pairwise(speedups)),
            note="; ".join(
                f"{case['num_frames']} frames: {found['speedup']:.2f} (rounds {found['range'][0]:.2f} to "
                f"{found['range'][1]:.2f}) of {found['limit']:.2f}"
                for case, found in ((case, case["methods"]["stts"]) for case in small)
            ),
        ),
        claim(
            "E5-overhead",
            "Scoring, selecting and packing take at most a tenth of the pruned pass on a CPU: the small model with 64 "
            "frames, and a transformer of the size of ViT-B.",
            100 * overhead,
            "%",
            holds=overhead <= 0.10,
            note="The larger of both. The bias of the attention is not in it.",
        ),
        claim(
            "E5-planning",
            "Packing 256 frames into rows is planned in at most 5 ms.",
            plan_ms,
            "ms",
            holds=plan_ms <= 5,
        ),
    ]


def main() -> None:
    """Parses, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="of every case (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = []
    with torch.inference_mode():
        for num_frames in FRAMES:
            cases.append(language_case(num_frames, options.rounds))
            print(_line(cases[-1]), flush=True)
        cases.append(vit_case(options.rounds))
        print(_line(cases[-1]), flush=True)
    plan_ms = planning_ms()
    write_json(
        options.report,
        {
            "schema": "tubelet.benchmark.token_pruning_speed/1",
            "command": this_command(),
            "versions": installed_versions(),
            "machine": {"processor": platform.machine(), "num_cores": os.cpu_count(), "num_threads": options.threads},
            "remove": REMOVE,
            "cases": cases,
            "planning_256_frames_ms": plan_ms,
        },
    )
    update_claims(ROOT / "benchmarks" / "claims" / "token_pruning.json", claims_of(cases, plan_ms))


def _line(case: dict[str, Any]) -> str:
    shown = {name: f"{row['speedup']:.2f} of {row['limit']:.2f}" for name, row in case["methods"].items()}
    return f"{case['name']}: {shown}, overhead {100 * case['overhead_share']:.1f} %"


if __name__ == "__main__":
    main()
