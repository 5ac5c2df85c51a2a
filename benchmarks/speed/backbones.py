"""MViT, R(2+1)D, R3D and X3D beside the reference implementations, with the same weights, in one run.

fp32 on a CPU. Forward passes of one clip without gradients, and training steps (forward, backward, SGD) of two networks
with two clips. Both implementations take turns, in an order that is shuffled in every round, so that a busy machine
slows both. How far the outputs lie apart is part of the report (of a step: the loss and the gradients, compared in
double precision on a part of the clips).

The references are torchvision and pytorchvideo. They do not belong into tubelet's environment: scripts/
record_reference_outputs.py says how to make one for them; then, in it,

    pip install --no-deps -e . && pip install jaxtyping safetensors
    python benchmarks/speed/backbones.py --rounds 7

On a machine that has other work, OMP_WAIT_POLICY=PASSIVE keeps threads that wait for each other from spinning, which
would slow the many small operations of X3D tenfold. The report says whether it was set.

Where the references are absent this says so and measures nothing. Writes benchmarks/reports/backbones.json and prints
its table.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tubelet.models.mvit import mvit_b_16x4, mvit_v2_s
from tubelet.models.r2plus1d import r2plus1d_18, r3d_18
from tubelet.models.x3d import x3d_m, x3d_s, x3d_xs
from tubelet.runs.files import write_json

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "backbones.json"
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

from record_reference_outputs import REFERENCES, import_references, reference_networks  # noqa: E402
from recorded_networks import made_up_clip  # noqa: E402
from seeded_weights import seeded_state  # noqa: E402

MAKERS: dict[str, Callable[..., nn.Module]] = {
    maker.__name__: maker for maker in (mvit_b_16x4, mvit_v2_s, r2plus1d_18, r3d_18, x3d_xs, x3d_s, x3d_m)
}


@dataclass(frozen=True)
class Case:
    """One comparison: a network, its clip, and whether a training step is measured instead of a forward pass."""

    network: str
    num_frames: int
    size_px: int
    trains: bool = False

    @property
    def name(self) -> str:
        what = "training step" if self.trains else "forward"
        return f"{self.network}, {self.num_frames} x {self.size_px} px, {what}"


CASES = (
    Case("mvit_b_16x4", 16, 224),
    Case("mvit_v2_s", 16, 224),
    Case("r2plus1d_18", 16, 112),
    Case("r3d_18", 16, 112),
    Case("x3d_xs", 4, 160),
    Case("x3d_s", 13, 160),
    Case("x3d_m", 16, 224),
    Case("r2plus1d_18", 8, 112, trains=True),
    Case("x3d_s", 13, 160, trains=True),
)
MOST_APART = {"logits_apart": 1e-4, "loss_apart": 1e-9, "gradients_apart": 1e-6}  # of the largest value, or of the norm


def pair(case: Case) -> dict[str, nn.Module]:
    """Both implementations with the same weights."""
    reference = reference_networks()[case.network][1]()
    state = seeded_state(reference.state_dict())
    ours = MAKERS[case.network]()
    reference.load_state_dict(state)
    ours.load_state_dict(state)
    if case.network.startswith("x3d"):
        # The same random dropout cannot be drawn by both in turn.
        reference.blocks[-1].dropout = ours.blocks[-1].dropout = nn.Identity()  # type: ignore[union-attr]
    return {"tubelet": ours.train(case.trains), "reference": reference.train(case.trains)}


def forward(network: nn.Module, clip: Tensor) -> Tensor:
    with torch.inference_mode():
        out: Tensor = network(clip)
    return out


def training_step(network: nn.Module, clip: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(network(clip), torch.zeros(len(clip), dtype=torch.long))
    loss.backward()
    optimizer.step()
    return loss.detach()


def apart(found: Tensor, wanted: Tensor) -> float:
    """Largest difference as a share of the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))


def equality(case: Case, networks: dict[str, nn.Module], clip: Tensor) -> dict[str, float]:
    if not case.trains:
        return {"logits_apart": apart(*(forward(networks[name], clip) for name in ("tubelet", "reference")))}
    # A part of the clip: in double precision, convolutions take the library's slowest way.
    part = clip[:, :, :4, : case.size_px // 2, : case.size_px // 2].double()
    losses, gradients = [], []
    for name in ("tubelet", "reference"):
        # In double precision, so that what the gradients lie apart is what is computed and not how it is rounded.
        network = copy.deepcopy(networks[name]).double()
        if name == "reference" and case.network.startswith("x3d"):
            # Its window of the intended size does not fit into a part; over the whole part is what it means.
            network.blocks[-1].pool.pool = nn.AdaptiveAvgPool3d(1)  # type: ignore[union-attr]
        losses.append(training_step(network, part, torch.optim.SGD(network.parameters(), lr=0.0)))
        gradients.append({key: p.grad for key, p in network.named_parameters() if p.grad is not None})
    if gradients[0].keys() != gradients[1].keys():
        raise RuntimeError(f"{case.name}: gradients of other parameters")
    norms = [torch.cat([g.flatten() for _, g in sorted(part.items())]) for part in gradients]
    return {
        "loss_apart": apart(losses[0], losses[1]),
        "gradients_apart": float((norms[0] - norms[1]).norm() / norms[1].norm()),
    }


def measure(case: Case, rounds: int, generator: np.random.Generator) -> dict[str, Any]:
    """Milliseconds of both, medians and ratio."""
    networks = pair(case)
    clips = [made_up_clip(case.num_frames, case.size_px, seed=seed) for seed in range(2 if case.trains else 1)]
    clip = torch.cat(clips)
    same = equality(case, networks, clip)
    run: dict[str, Callable[[], Tensor]] = {}
    for name, network in networks.items():
        if case.trains:
            optimizer = torch.optim.SGD(network.parameters(), lr=1e-6)
            run[name] = lambda network=network, optimizer=optimizer: training_step(network, clip, optimizer)
        else:
            run[name] = lambda network=network: forward(network, clip)
    times_ms: dict[str, list[float]] = {name: [] for name in run}
    names = list(run)
    for number in range(rounds + 1):
        for index in generator.permutation(len(names)).tolist():
            began = time.perf_counter()
            run[names[index]]()
            if number > 0:  # the first round warms up
                times_ms[names[index]].append((time.perf_counter() - began) * 1e3)
    medians = {name: float(np.median(values)) for name, values in times_ms.items()}
    ratios = np.array(times_ms["reference"]) / np.array(times_ms["tubelet"])
    return {
        "batch": len(clip),
        "median_ms": medians,
        "all_ms": times_ms,
        "speed_against_reference": medians["reference"] / medians["tubelet"],
        "round_by_round_ratio": {"low": float(np.quantile(ratios, 0.1)), "high": float(np.quantile(ratios, 0.9))},
        **same,
    }


def judge(cases: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The targets, each with the number measured."""
    verdicts: dict[str, dict[str, Any]] = {}
    for name, case in cases.items():
        ratio = case["speed_against_reference"]
        verdicts[f"{name}: speed against the reference"] = {"value": ratio, "least": 1.0, "holds": ratio >= 1.0}
        for what, most in MOST_APART.items():
            if what in case:
                verdicts[f"{name}: {what.replace('_', ' ')}"] = {
                    "value": case[what],
                    "most": most,
                    "holds": case[what] <= most,
                }
    return verdicts


def table(results: dict[str, Any]) -> str:
    lines = [
        "| median ms | tubelet | reference | speed against the reference | apart |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, case in results["cases"].items():
        medians = case["median_ms"]
        off = case.get("logits_apart", case.get("gradients_apart"))
        lines.append(
            f"| {name} | {medians['tubelet']:.0f} | {medians['reference']:.0f} "
            f"| {case['speed_against_reference']:.2f}x | {off:.1e} |"
        )
    lines.append("")
    for name, verdict in results["targets"].items():
        limit = f">= {verdict['least']}" if "least" in verdict else f"<= {verdict['most']}"
        lines.append(f"{'yes' if verdict['holds'] else 'NO '}  {name}: {verdict['value']:.2g} ({limit})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="measured repetitions of each case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--report", type=Path, default=REPORT)
    arguments = parser.parse_args()
    try:
        library = import_references()
    except ModuleNotFoundError as error:
        print(
            f"not measured: {error.name} is not in this environment, and does not belong into tubelet's own. "
            "scripts/record_reference_outputs.py says how to make one that has it"
        )
        return
    torch.set_num_threads(arguments.threads)
    generator = np.random.default_rng(arguments.seed)
    load_before = os.getloadavg()[0]
    cases = {}
    for case in CASES:
        if arguments.only in case.name:
            cases[case.name] = measure(case, arguments.rounds, generator)
            print(f"{case.name}: {cases[case.name]['speed_against_reference']:.2f}x", file=sys.stderr)
    del library  # kept alive until here
    results: dict[str, Any] = {"cases": cases, "targets": judge(cases)}
    versions = {name: importlib.metadata.version(name) for name in ("tubelet", "numpy", "torch", *REFERENCES)}
    report = {
        "schema": "tubelet.benchmark.backbones/1",
        "command": f"python benchmarks/speed/backbones.py --rounds {arguments.rounds} --seed {arguments.seed} "
        f"--threads {arguments.threads}" + (f" --only '{arguments.only}'" if arguments.only else ""),
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "num_threads": arguments.threads,
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
        "machine": {
            "processor": platform.machine(),
            "num_cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": load_before,
            "load_after": os.getloadavg()[0],
        },
        "versions": versions | {"python": platform.python_version()},
        "references": REFERENCES,
        **results,
    }
    write_json(arguments.report, report)
    print(table(results))
    print(f"report: {arguments.report}")


if __name__ == "__main__":
    main()
