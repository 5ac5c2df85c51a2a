"""Compares two networks over skeletons that label a clip: a graph over joints, and a temporal convolution.

    python benchmarks/quality/skeleton_networks.py --seeds 0 1 2

Both are trained on the same synthetic clips (one person who does one of 22 actions, seen by a virtual camera through
an imperfect landmark model), once with equal numbers of steps and, for the convolution, once more with as much
processor time as the graph network took. The test holds out other recorded clips where a class has more than one, and
for all classes the direction of view and the proportions of the body. Writes benchmarks/reports/skeleton_networks.json.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tubelet.datasets import gait
from tubelet.datasets.everyday import EVERYDAY_ACTIONS, draw_stance
from tubelet.datasets.mocap import Motion
from tubelet.datasets.performances import LABELS, draw_body, join, leg_share, perform_clip, trimmed
from tubelet.datasets.virtual_camera import film
from tubelet.methods.recognition.examples import Drawing, allowed_views
from tubelet.methods.recognition.preprocess import FEATURE_NAMES, NUM_FEATURES, NUM_JOINTS, RATE_HZ, features
from tubelet.methods.recognition.recipes import mocap_skeleton_held_out
from tubelet.methods.recognition.split import hold_outs, split_clips, training_drawing, validation_drawing
from tubelet.methods.recognition.train import load_motions
from tubelet.metrics.intervals import ratio_interval
from tubelet.models.graph import SkeletonGraph
from tubelet.models.skeleton_clip import SkeletonClipTCN
from tubelet.runs import Metric, Report, track
from tubelet.skeletons import BODY_13
from tubelet.training.optimizer import adamw
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything, step_generator

REPORT = Path(__file__).resolve().parents[1] / "reports" / "skeleton_networks.json"
NUM_FRAMES = 45  # 3 s
BATCH, LR, DECAY, SMOOTHING = 32, 2e-3, 0.02, 0.05
TEST_SEED = 1_000_003
GRAPH, TCN, TCN_LONG = "graph", "temporal convolution", "temporal convolution, equal time"
NOSE_BONES = tuple((BODY_13.index("nose"), BODY_13.index(f"{side}_shoulder")) for side in ("left", "right"))
# Which features belong to each joint; the others (speed of the whole body, its box) are given to all joints.
BY_JOINT = np.array(
    [
        [FEATURE_NAMES.index(f"{joint}_{kind}") for joint in BODY_13.joints]
        for kind in ("x", "y", "speed_x", "speed_y", "visibility")
    ]
)
OF_BODY = np.setdiff1d(np.arange(NUM_FEATURES), BY_JOINT)


@dataclass(frozen=True)
class Clips:
    """Features of one person's clips, zeros and not seen beyond their ends, and their classes."""

    features: Tensor
    is_seen: Tensor
    labels: Tensor

    def of(self, rows: np.ndarray | slice) -> Clips:
        """Some of them."""
        return Clips(self.features[rows], self.is_seen[rows], self.labels[rows])


def draw_clips(motions: Sequence[Motion], drawing: Drawing, per_class: int) -> Clips:
    """Equally many clips of every class; clip i depends on the seed and i alone."""
    count = per_class * len(LABELS)
    rows = np.zeros((count, NUM_FEATURES, NUM_FRAMES), np.float32)
    seen = np.zeros((count, NUM_FRAMES), bool)
    for number in track(range(count), "drawing clips", total=count):
        rng = np.random.default_rng((drawing.seed, number))
        motion = one_action(rng, LABELS[number % len(LABELS)], motions)
        body = draw_body(rng)
        while not drawing.leg_shares[0] <= leg_share(body) < drawing.leg_shares[1]:
            body = draw_body(rng)
        joints = join(rng, [motion], body).joints_m
        azimuth = rng.uniform(0, 2 * np.pi)
        while allowed_views(drawing, joints, azimuth).mean() < 0.5:
            azimuth = rng.uniform(0, 2 * np.pi)
        shortest_s = min(1.5, 0.8 * len(joints) / 30)
        footage, _ = film(rng, joints, azimuth_rad=azimuth, min_s=shortest_s, severity=drawing.severity)
        columns = features(footage.landmarks_px, footage.box_px, footage.times_s)
        first = int(rng.integers(max(0, columns.shape[1] - NUM_FRAMES) + 1))
        columns = columns[:, first : first + NUM_FRAMES]
        rows[number, :, : columns.shape[1]] = columns
        seen[number, : columns.shape[1]] = columns[FEATURE_NAMES.index("box_known")] > 0
    labels = torch.arange(count) % len(LABELS)
    return Clips(torch.from_numpy(rows)[..., None], torch.from_numpy(seen)[..., None], labels)


def one_action(rng: np.random.Generator, label: str, motions: Sequence[Motion]) -> Motion:
    """A few seconds of one action: drawn anew where there is a procedure for it, else recorded and varied."""
    seconds = float(rng.uniform(2.0, 4.0))
    if label in EVERYDAY_ACTIONS:
        return EVERYDAY_ACTIONS[label](rng, draw_stance(rng), seconds)
    if label in ("walk", "run") and rng.random() < 0.5:
        return (gait.walk if label == "walk" else gait.run)(rng, draw_stance(rng), seconds)
    recorded = [motion for motion in motions if motion.label == label]
    return perform_clip(rng, trimmed(recorded[rng.integers(len(recorded))]), seconds)


def make(name: str) -> nn.Module:
    """A fresh network."""
    if name == GRAPH:
        channels = len(BY_JOINT) + len(OF_BODY)
        return SkeletonGraph(channels, len(LABELS), num_joints=NUM_JOINTS, bones=(*BODY_13.bones, *NOSE_BONES))
    return SkeletonClipTCN(NUM_FEATURES, len(LABELS))


def logits(network: nn.Module, clips: Clips) -> Tensor:
    """What a network says, from the features in the form that it reads."""
    inputs = clips.features
    if isinstance(network, SkeletonGraph):
        by_joint = inputs[:, BY_JOINT].movedim(3, 2)
        of_body = inputs[:, OF_BODY, :, None].expand(-1, -1, -1, NUM_JOINTS, -1)
        inputs = torch.cat([by_joint, of_body], dim=1)
    out: Tensor = network(inputs, clips.is_seen)
    return out


def train(name: str, clips: Clips, seed: int, num_steps: int) -> tuple[nn.Module, float]:
    """A trained network, and the seconds of processor time that it took."""
    seed_everything(seed, num_threads=1)
    network = make(name).train()
    optimizer = adamw(network, lr=LR, weight_decay=DECAY)
    started_s = time.process_time()
    for step in range(num_steps):
        for group in optimizer.param_groups:
            group["lr"] = LR * cosine(step, num_steps=num_steps, num_warmup_steps=num_steps // 10, final_factor=0.01)
        batch = clips.of(step_generator(seed, step).integers(len(clips.labels), size=BATCH))
        loss = nn.functional.cross_entropy(logits(network, batch), batch.labels, label_smoothing=SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval(), time.process_time() - started_s


def correct(network: nn.Module, clips: Clips) -> np.ndarray:
    """Which clips the network gets right."""
    with torch.inference_mode():
        parts = [logits(network, clips.of(slice(row, row + 64))) for row in range(0, len(clips.labels), 64)]
    return (torch.cat(parts).argmax(dim=1) == clips.labels).numpy().astype(np.float64)


def ms_per_clip(networks: dict[str, nn.Module], clips: Clips, rounds: int = 60) -> dict[str, float]:
    """Median time of one clip on one thread, the networks taking turns."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for turn in range(rounds + 5):
            for name, network in networks.items():
                started_s = time.perf_counter()
                logits(network, clips.of(slice(turn, turn + 1)))
                times[name].append((time.perf_counter() - started_s) * 1000)
    return {name: statistics.median(own[5:]) for name, own in times.items()}


def main() -> None:
    """Trains every network with every seed, writes the report and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--training-clips", type=int, default=100, help="per class, drawn anew for each seed")
    parser.add_argument("--test-clips", type=int, default=30, help="per class")
    parser.add_argument("--num-steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=REPORT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = mocap_skeleton_held_out()
    training_motions, test_motions = split_clips(load_motions(), config)
    drawing = training_drawing(config)
    test = draw_clips(test_motions, validation_drawing(config, 1), options.test_clips)
    right: dict[str, list[np.ndarray]] = {GRAPH: [], TCN: [], TCN_LONG: []}
    seconds: dict[str, list[float]] = {name: [] for name in right}
    networks: dict[str, nn.Module] = {}
    for seed in options.seeds:
        own = Drawing(**{**drawing.__dict__, "seed": seed})
        clips = draw_clips(training_motions, own, options.training_clips)
        for name in right:
            steps = options.num_steps
            if name == TCN_LONG:
                steps = round(options.num_steps * seconds[GRAPH][-1] / seconds[TCN][-1])
            networks[name], took_s = train(name, clips, seed, steps)
            right[name].append(correct(networks[name], test))
            seconds[name].append(took_s)
            print(f"seed {seed}, {name}: {right[name][-1].mean():.3f} after {steps} steps, {took_s:.0f} s", flush=True)
    write_report(options, test, right, seconds, ms_per_clip(networks, test), hold_outs(config))


def write_report(
    options: argparse.Namespace,
    test: Clips,
    right: dict[str, list[np.ndarray]],
    seconds: dict[str, list[float]],
    latency_ms: dict[str, float],
    held_out: dict[str, str],
) -> None:
    """Means over seeds with intervals over test clips, differences paired by clip."""
    num_clips, num_seeds = len(test.labels), len(options.seeds)
    ones, groups = np.ones(num_clips), list(range(num_clips))
    mean = {name: np.mean(own, axis=0) for name, own in right.items()}
    metrics: dict[str, Metric] = {}
    for name, own in mean.items():
        value = ratio_interval(own, ones, groups)
        metrics[f"{name}: top1"] = Metric(value=value.value, low=value.low, high=value.high, n=num_clips)
    for name in (TCN, TCN_LONG):
        gain = ratio_interval(mean[GRAPH] - mean[name], ones, groups)
        metrics[f"{GRAPH} minus {name}"] = Metric(value=gain.value, low=gain.low, high=gain.high, n=num_clips)
    for name in right:
        metrics[f"{name}: training"] = Metric(value=statistics.mean(seconds[name]), n=num_seeds, unit="s")
    for name in (GRAPH, TCN):
        metrics[f"{name}: one clip"] = Metric(value=latency_ms[name], n=60, unit="ms")
        parameters = sum(parameter.numel() for parameter in make(name).parameters())
        metrics[f"{name}: parameters"] = Metric(value=parameters, n=1, unit="count")
    report = Report(
        title="Graph network or temporal convolution over skeletons",
        metrics=metrics,
        num_expected=num_clips,
        num_scored=num_clips,
        protocol=(
            f"Top-1 of clips of one action and at most {NUM_FRAMES / RATE_HZ:g} s, mean of training seeds "
            f"{', '.join(map(str, options.seeds))}, each with training clips of its own; {options.num_steps} steps of "
            f"{BATCH} clips at a highest learning rate of {LR:g} for both, one thread; 'equal time': as many more "
            "steps as fit into the graph network's processor time. Intervals by bootstrap over test clips, "
            "differences paired by clip; they do not hold the spread between seeds, which details.per_seed shows."
        ),
        dataset=f"synthetic skeleton clips of {len(LABELS)} actions, {options.training_clips} training and "
        f"{options.test_clips} test clips of each",
        dataset_fingerprint=f"sha256:{hashlib.sha256(test.features.numpy().tobytes()).hexdigest()[:16]}",
        seed=options.seeds[0],
        details={
            "per_seed": {name: [float(own.mean()) for own in per_seed] for name, per_seed in right.items()},
            "per_class": {
                label: {name: float(own[test.labels.numpy() == number].mean()) for name, own in mean.items()}
                for number, label in enumerate(LABELS)
            },
            "held_out": held_out,
        },
    )
    report.write(options.out)
    print(report.to_markdown())


if __name__ == "__main__":
    main()
