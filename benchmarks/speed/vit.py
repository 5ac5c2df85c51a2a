"""Video transformer: tubelet's ViT-B beside transformers' VideoMAE with the same weights, forward and training step.

Clips of 16 frames of 224x224. The two take turns in every round, the order shuffled, so that a busy machine slows both;
attention is fused in both. Before anything is timed their logits and the gradients of the patch kernel are compared in
float32; more than 1e-4 apart is an error. Beside wall time the processor time of the process is given on a CPU, which
other programs disturb less.

    pip install -c constraints.txt '.[hub]'
    python benchmarks/speed/vit.py --rounds 5
    python benchmarks/speed/vit.py --device cuda --dtype bf16 --batch 8 --compile --rounds 20

Writes benchmarks/reports/vit.json (with a device or type of another name, vit_DEVICE_DTYPE.json) and prints its table.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.models.vit import VideoViT
from tubelet.models.vit_weights import load_vit_weights
from tubelet.runs.files import write_json
from tubelet.runs.report import installed_versions, this_command

REPORTS = Path(__file__).resolve().parents[1] / "reports"
NUM_CLASSES = 400
EQUAL_TO = 1e-4
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measured repetitions")
    parser.add_argument("--batch", type=int, default=1, help="clips")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="fp32", help="bf16: under autocast")
    parser.add_argument("--compile", action="store_true", help="both through torch.compile")
    parser.add_argument("--threads", type=int, default=None, help="of the CPU; default: as torch chooses")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, default=None)
    smaller = parser.add_argument_group("a smaller network, to see whether the script works; no numbers for the docs")
    smaller.add_argument("--blocks", type=int, default=12)
    smaller.add_argument("--channels", type=int, default=768)
    smaller.add_argument("--frames", type=int, default=16)
    smaller.add_argument("--size-px", type=int, default=224)
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no CUDA device here; run with --device cpu, or where there is a GPU")
    if options.rounds < 1 or options.batch < 1:
        parser.error(f"--rounds is {options.rounds} and --batch {options.batch}; allowed: 1 or more")
    return options


def same_pair(options: argparse.Namespace) -> tuple[VideoViT, nn.Module]:
    """Both networks with the same seeded weights."""
    try:
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification
    except ImportError:
        sys.exit("missing: transformers; run: pip install -c constraints.txt '.[hub]'")
    torch.manual_seed(options.seed)
    config = VideoMAEConfig(
        hidden_size=options.channels,
        num_hidden_layers=options.blocks,
        num_attention_heads=options.channels // 64,
        intermediate_size=4 * options.channels,
        num_frames=options.frames,
        image_size=options.size_px,
        num_labels=NUM_CLASSES,
    )
    config._attn_implementation = "sdpa"
    theirs = VideoMAEForVideoClassification(config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    ours = VideoViT(
        NUM_CLASSES,
        num_frames=options.frames,
        size_px=options.size_px,
        channels=options.channels,
        depth=options.blocks,
        num_heads=options.channels // 64,
        norm_eps=config.layer_norm_eps,
        head_norm_eps=1e-5,
    )
    load_vit_weights(ours, theirs.state_dict())
    return ours.to(options.device), theirs.to(options.device)


class Contender:
    """A network with its optimiser: one forward pass, one training step."""

    def __init__(self, network: nn.Module, options: argparse.Namespace) -> None:
        self.network, self.options = network, options
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)
        self.run = torch.compile(network) if options.compile else network

    def autocast(self) -> torch.autocast:
        dtype = DTYPES[self.options.dtype]
        return torch.autocast(self.options.device, dtype=torch.bfloat16, enabled=dtype != torch.float32)

    def forward(self, clips: Tensor, labels: Tensor) -> None:
        del labels
        self.network.eval()
        with torch.inference_mode(), self.autocast():
            self.logits(clips)

    def training_step(self, clips: Tensor, labels: Tensor) -> None:
        self.network.train()
        with self.autocast():
            loss = nn.functional.cross_entropy(self.logits(clips).float(), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def logits(self, clips: Tensor) -> Tensor:
        raise NotImplementedError


class Tubelet(Contender):
    def logits(self, clips: Tensor) -> Tensor:
        return self.run(clips)


class Transformers(Contender):
    def logits(self, clips: Tensor) -> Tensor:
        # Their order of axes is (batch, time, channels, height, width): a view, which costs nothing.
        return self.run(clips.transpose(1, 2)).logits


def differences(ours: Tubelet, theirs: Transformers, clips: Tensor, labels: Tensor) -> dict[str, float]:
    """How far the two are apart in float32; exits where that is more than the limit."""
    kernels = (ours.network.patch_embed.weight, theirs.network.videomae.embeddings.patch_embeddings.projection.weight)
    found = []
    for contender, kernel in zip((ours, theirs), kernels, strict=True):
        network = contender.network.eval()
        logits = network(clips) if contender is ours else network(clips.transpose(1, 2)).logits
        gradient = torch.autograd.grad(nn.functional.cross_entropy(logits, labels), kernel)[0]
        found.append((logits.detach(), gradient))
    (logits, gradient), (their_logits, their_gradient) = found
    off = {
        "logits": (logits - their_logits).abs().max().item(),
        "logits_scale": their_logits.abs().max().item(),
        "patch_kernel_gradient_relative": ((gradient - their_gradient).norm() / their_gradient.norm()).item(),
    }
    if not off["logits"] <= EQUAL_TO or not off["patch_kernel_gradient_relative"] <= 1e-3:
        sys.exit(f"the two networks do not give the same: {off}; allowed: logits {EQUAL_TO}, gradient 1e-3")
    return off


def timed(work: Callable[[Tensor, Tensor], None], clips: Tensor, labels: Tensor, device: str) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    wall, processor = time.perf_counter(), time.process_time()
    work(clips, labels)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - processor


def peak_memory_mb(work: Callable[[Tensor, Tensor], None], clips: Tensor, labels: Tensor) -> float:
    torch.cuda.reset_peak_memory_stats()
    work(clips, labels)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 1e6


def measure(
    contenders: dict[str, Contender], clips: Tensor, labels: Tensor, options: argparse.Namespace
) -> dict[str, Any]:
    """Interleaved rounds of both cases."""
    shuffle = random.Random(options.seed)
    cases: dict[str, Any] = {}
    for case in ("forward", "training_step"):
        works = {name: getattr(contender, case) for name, contender in contenders.items()}
        for work in works.values():
            for _ in range(3 if options.device == "cuda" else 1):
                work(clips, labels)  # compiles, warms caches
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(options.rounds):
            for name in shuffle.sample(list(works), k=len(works)):
                spent[name].append(timed(works[name], clips, labels, options.device))
        cases[case] = summary(spent)
        if options.device == "cuda":
            cases[case]["peak_memory_mb"] = {name: peak_memory_mb(work, clips, labels) for name, work in works.items()}
    return cases


def summary(spent: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    walls = {name: [wall for wall, _ in each] for name, each in spent.items()}
    processors = {name: [processor for _, processor in each] for name, each in spent.items()}
    ratios = sorted(theirs / ours for ours, theirs in zip(walls["tubelet"], walls["transformers"], strict=True))
    return {
        "median_ms": {name: 1e3 * statistics.median(each) for name, each in walls.items()},
        "all_ms": {name: [1e3 * value for value in each] for name, each in walls.items()},
        "speed": statistics.median(walls["transformers"]) / statistics.median(walls["tubelet"]),
        "speed_by_processor_time": statistics.median(processors["transformers"])
        / statistics.median(processors["tubelet"]),
        "round_by_round": {"low": ratios[0], "median": statistics.median(ratios), "high": ratios[-1]},
    }


def table(report: dict[str, Any]) -> str:
    lines = ["| median ms | tubelet | transformers | tubelet against it | by processor time | rounds |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, case in report["cases"].items():
        ours, theirs = case["median_ms"]["tubelet"], case["median_ms"]["transformers"]
        spread = f"{case['round_by_round']['low']:.2f} to {case['round_by_round']['high']:.2f}"
        lines.append(
            f"| {name.replace('_', ' ')} | {ours:.0f} | {theirs:.0f} | {case['speed']:.2f}x | "
            f"{case['speed_by_processor_time']:.2f}x | {spread} |"
        )
    lines.append("")
    for name, verdict in report["targets"].items():
        limit = f">= {verdict['least']}" if "least" in verdict else f"<= {verdict['most']}"
        lines.append(f"{'yes' if verdict['holds'] else 'NO '}  {name}: {verdict['value']:.3g} ({limit})")
    return "\n".join(lines)


def judge(cases: dict[str, Any], off: dict[str, float]) -> dict[str, Any]:
    targets: dict[str, Any] = {
        f"{name.replace('_', ' ')}: speed against transformers": {
            "value": case["speed"],
            "least": 1.0,
            "holds": case["speed"] >= 1.0,
        }
        for name, case in cases.items()
    }
    holds = off["logits"] <= EQUAL_TO
    return targets | {"logits differ by": {"value": off["logits"], "most": EQUAL_TO, "holds": holds}}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    ours, theirs = same_pair(options)
    contenders = {"tubelet": Tubelet(ours, options), "transformers": Transformers(theirs, options)}
    shape = (options.batch, 3, options.frames, options.size_px, options.size_px)
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(options.seed)).to(options.device)
    labels = torch.arange(options.batch, device=options.device) % NUM_CLASSES
    load_before = os.getloadavg()[0]
    off = differences(contenders["tubelet"], contenders["transformers"], clips, labels)
    cases = measure(contenders, clips, labels, options)
    is_default = (options.device, options.dtype) == ("cpu", "fp32")
    name = "vit.json" if is_default else f"vit_{options.device}_{options.dtype}.json"
    report = {
        "schema": "tubelet.benchmark.vit/1",
        "command": this_command(),
        "versions": installed_versions(),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "num_cores": os.cpu_count(),
            "num_threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if options.device == "cuda" else None,
            "load_before": load_before,
            "load_after": os.getloadavg()[0],
        },
        "network": {
            "channels": options.channels,
            "blocks": options.blocks,
            "parameters": sum(parameter.numel() for parameter in ours.parameters()),
        },
        "input": {"clips": options.batch, "frames": options.frames, "size_px": options.size_px},
        "device": options.device,
        "dtype": options.dtype,
        "compiled": options.compile,
        "rounds": options.rounds,
        "seed": options.seed,
        "differences_in_fp32": off,
        "cases": cases,
        "targets": judge(cases, off),
    }
    path = options.report or REPORTS / name
    write_json(path, report)
    print(table(report))
    print(f"report: {path}")


if __name__ == "__main__":
    main()
