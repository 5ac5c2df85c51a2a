"""What `--token-budget` saves and costs: time of a video transformer and of `recognize`, and accuracy.

Clips of 16 frames of 224x224 through networks of random weights, as `recognition:vit_small` and `vit_base` build them;
`tubelet.Recognizer` with such a run on the demo clip; and, of a trained run that is given, accuracy on its test clips.
Budgets take turns in every round, the order shuffled. Ratios are of processor time of one thread, which other programs
disturb less than wall time. "Limit" is the ratio of operations.

    python benchmarks/speed/token_budget.py --rounds 3 --run RUN

RUN is a run of a video transformer, for example of

    tubelet synth people --classes jumping_jack,walk,squat,run --clips 60
    tubelet train people --recipe recognition:vit_small --out RUN --set network.name=vit_tiny ...

with the settings that the report names. Writes benchmarks/reports/token_budget.json and prints its tables.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tubelet import Recognizer, probe, weights
from tubelet.cli.main import main as tubelet_command
from tubelet.configs import to_json
from tubelet.methods.recognition import recipes
from tubelet.methods.recognition.clips.model import save_clip_model
from tubelet.methods.recognition.clips.networks import build_network
from tubelet.models.token_merging import TokenMerging
from tubelet.runs import Report, RunDirectory
from tubelet.runs.files import write_json
from tubelet.runs.report import installed_versions, this_command

REPORT = Path(__file__).resolve().parents[1] / "reports" / "token_budget.json"
BUDGETS = (1.0, 0.7, 0.5, 0.3)
CLASSES = tuple(f"class_{number}" for number in range(10))
STEP_S = 2 / 15


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="measured repetitions of the forward passes")
    parser.add_argument("--recognize-rounds", type=int, default=1, help="and of recognising the demo clip; 0: none")
    parser.add_argument("--run", type=Path, default=None, help="a trained run of a video transformer, for accuracy")
    parser.add_argument("--networks", nargs="+", default=["vit_small", "vit_base"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, default=REPORT)
    smaller = parser.add_argument_group("smaller clips, to see whether the script works; no numbers for the docs")
    smaller.add_argument("--frames", type=int, default=16)
    smaller.add_argument("--size-px", type=int, default=224)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.recognize_rounds < 0:
        parser.error(
            f"--rounds is {options.rounds} and --recognize-rounds {options.recognize_rounds}; allowed: 1 or more, "
            "0 or more"
        )
    return options


def built(name: str, options: argparse.Namespace) -> torch.nn.Module:
    config = getattr(recipes, name)() if hasattr(recipes, name) else recipes.vit_small()
    torch.manual_seed(options.seed)
    network = {**to_json(config.network), "name": name}
    return build_network(type(config.network)(**network), sampling_of(options), CLASSES).eval()


def sampling_of(options: argparse.Namespace) -> Any:
    sampling = recipes.vit_small().sampling
    return type(sampling)(num_frames=options.frames, step_s=STEP_S, size_px=options.size_px)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def in_turns(
    works: dict[float, Callable[[], object]], rounds: int, seed: int
) -> dict[float, list[tuple[float, float]]]:
    shuffle = random.Random(seed)
    spent: dict[float, list[tuple[float, float]]] = {budget: [] for budget in works}
    for _ in range(rounds):
        for budget in shuffle.sample(list(works), k=len(works)):
            spent[budget].append(timed(works[budget]))
    return spent


def summary(spent: dict[float, list[tuple[float, float]]]) -> dict[str, Any]:
    """By budget: median times, and how many times as fast as with all tokens, with the spread over the rounds."""
    dense = spent[1.0]
    result = {}
    for budget, each in spent.items():
        ratios = sorted(whole[1] / part[1] for whole, part in zip(dense, each, strict=True))
        result[f"{budget:g}"] = {
            "wall_s": statistics.median(wall for wall, _ in each),
            "processor_s": statistics.median(processor for _, processor in each),
            "speed": statistics.median(ratios),
            "speed_low": ratios[0],
            "speed_high": ratios[-1],
            "all_processor_s": [processor for _, processor in each],
        }
    return result


@torch.inference_mode()
def forwards(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Times and operations of one network by budget."""
    network = built(name, options)
    shape = (1, 3, options.frames, options.size_px, options.size_px)
    clip = torch.randn(shape, generator=torch.Generator().manual_seed(options.seed))

    def work(budget: float) -> Callable[[], object]:
        given = {"reduction": TokenMerging(budget, len(network.blocks))} if budget < 1 else {}
        return lambda: network(clip, **given)

    works = {budget: work(budget) for budget in BUDGETS}
    operations = {}
    for budget, each in works.items():  # which warms caches, too
        # Fused kernels are not counted; plain ones are.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            each()
        operations[budget] = int(counter.get_total_flops())
    result = summary(in_turns(works, options.rounds, options.seed))
    for budget, count in operations.items():
        result[f"{budget:g}"] |= {"flops": count, "limit": operations[1.0] / count}
    return result


def recognitions(options: argparse.Namespace) -> dict[str, Any]:
    """Times of `Recognizer.recognize` on the demo clip with a random ViT-S, decoding and all."""
    clip = weights.fetch(weights.DEMO_VIDEO)
    with tempfile.TemporaryDirectory() as folder:
        card = {
            "name": "random",
            "classes": list(CLASSES),
            "is_multi_label": False,
            "network": {"name": "vit_small"},
            "sampling": to_json(sampling_of(options)),
            "calibration": {"temperature": 1.0, "min_score": 0.0},
            "window_s": options.frames * STEP_S,
            "data": {},
            "training": {},
            "evidence": {},
        }
        save_clip_model(folder, built("vit_small", options).state_dict(), card)
        works = {}
        for budget in BUDGETS:
            recognizer = Recognizer(folder, token_budget=budget)
            works[budget] = lambda recognizer=recognizer: recognizer.recognize(clip)
        spent = in_turns(works, options.recognize_rounds, options.seed)
    return {
        "clip": {"name": "demo.mp4", "length_s": probe(clip).duration_s, "rounds": options.recognize_rounds},
        "network": "vit_small, random weights",
        "budgets": summary(spent),
    }


def accuracy(path: Path) -> dict[str, Any]:
    """Top-1 on the run's test clips by budget, as `tubelet evaluate` measures it."""
    run = RunDirectory.open(path)
    described = run.description()
    found: dict[str, Any] = {}
    for budget in BUDGETS:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            code = tubelet_command(["evaluate", str(path), "--token-budget", f"{budget:g}", "--out", folder])
            if code:
                sys.exit(f"tubelet evaluate {path} ended with {code}")
            report = Report.read(Path(folder) / "report.json")
        top1 = report.metrics["top1"]
        found[f"{budget:g}"] = {"value": top1.value, "low": top1.low, "high": top1.high, "n": top1.n}
    chance = report.metrics["chance"].value
    return {
        "budgets": found,
        "chance": chance,
        "recipe": described.get("recipe"),
        "config": described.get("config"),
        "dataset": report.dataset,
        "dataset_fingerprint": report.dataset_fingerprint,
    }


def tables(report: dict[str, Any]) -> str:
    lines = []
    for name, budgets in {**report["forward"], "recognize": report.get("recognize", {}).get("budgets", {})}.items():
        for budget, each in budgets.items():
            limit = f"  limit {each['limit']:.2f}" if "limit" in each else ""
            lines.append(
                f"{name:<10} {budget:>4}  {each['processor_s']:7.2f} s processor  {each['speed']:.2f} times "
                f"({each['speed_low']:.2f} to {each['speed_high']:.2f}){limit}"
            )
    for budget, top1 in report.get("accuracy", {}).get("budgets", {}).items():
        lines.append(f"accuracy   {budget:>4}  {100 * top1['value']:.1f} % of {top1['n']}")
    return "\n".join(lines)


def _written(path: Path, report: dict[str, Any]) -> None:
    """What there is so far: the parts take minutes."""
    report["machine"]["load_after"] = os.getloadavg()[0]
    write_json(path, report)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    torch.set_num_threads(1)
    load_before = os.getloadavg()[0]
    report: dict[str, Any] = {
        "schema": "tubelet.benchmark.token_budget/1",
        "command": this_command(),
        "versions": installed_versions(),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "num_cores": os.cpu_count(),
            "num_threads": 1,
            "load_before": load_before,
        },
        "input": {"clips": 1, "frames": options.frames, "size_px": options.size_px},
        "rounds": options.rounds,
        "seed": options.seed,
        "forward": {},
    }
    for name in options.networks:
        report["forward"][name] = forwards(name, options)
        _written(options.report, report)
    if options.run is not None:
        report["accuracy"] = accuracy(options.run)
        _written(options.report, report)
    if options.recognize_rounds:
        report["recognize"] = recognitions(options)
        _written(options.report, report)
    print(tables(report))
    print(f"report: {options.report}")


if __name__ == "__main__":
    main()
