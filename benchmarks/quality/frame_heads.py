"""Compares heads over frozen frame features: what the default frame network is made of, and what each part is worth.

    python benchmarks/quality/frame_heads.py

Two generated tasks: `shapes` (one shape moves in one of eight ways; no single picture tells most of them) and `people`
(drawn people do one of eleven everyday actions; places, bodies and views of the test occur in no training clip). All
heads are trained on the same features of the same clips with the same number of steps. Writes
benchmarks/reports/frame_heads.json.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from tubelet import weights
from tubelet.datasets.synthetic import MOTIONS, moving_shape
from tubelet.datasets.synthetic_people import PROCEDURES, draw_scene, film_scene
from tubelet.metrics.intervals import ratio_interval
from tubelet.models.efficientnet_lite import efficientnet_lite0, load_efficientnet_lite_weights
from tubelet.models.frames import FrameNetwork, SingleFrame, TemporalAttention, frame_width
from tubelet.runs import Metric, Report, track
from tubelet.training.optimizer import adamw
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything, step_generator
from tubelet.video import uniform_times
from tubelet.weights.catalogue import EFFICIENTNET_LITE0

REPORT = Path(__file__).resolve().parents[1] / "reports" / "frame_heads.json"
NUM_FRAMES, SIDE_PX = 12, 160
GRID = 2
BATCH, LR, DECAY = 32, 5e-4, 0.05
Task = Literal["shapes", "people"]
CLASSES: dict[Task, tuple[str, ...]] = {"shapes": MOTIONS, "people": tuple(PROCEDURES)}
# For each head: the grid whose features it reads, and its temporal part.
HEADS: dict[str, tuple[int, Callable[[int], TemporalAttention | SingleFrame]]] = {
    "attention over frames and their changes, whole picture and grid": (GRID, TemporalAttention),
    "attention over frames and their changes, whole picture": (0, TemporalAttention),
    "attention over frames, whole picture and grid": (GRID, lambda width: TemporalAttention(width, sees_changes=False)),
    "attention over frames, whole picture": (0, lambda width: TemporalAttention(width, sees_changes=False)),
    "middle frame, whole picture and grid": (GRID, SingleFrame),
    "middle frame, whole picture": (0, SingleFrame),
}
DEFAULT, BASELINE = next(iter(HEADS)), "middle frame, whole picture and grid"


@dataclass(frozen=True)
class Clips:
    """Features of clips, their classes, and which clips show the same performance."""

    features: Tensor
    labels: Tensor
    groups: list[str]


def pictures(task: Task, split: Literal["train", "test"], per_class: int) -> Iterator[tuple[np.ndarray, int, str]]:
    """Every clip as pictures, with its class and its group."""
    for number in range(per_class):
        for label, name in enumerate(CLASSES[task]):
            if task == "shapes":
                seed = (2 * number + (split == "test")) * len(MOTIONS) + label
                yield moving_shape([name], seed=seed, width=128, height=96).frames, label, str(seed)
                continue
            scene = draw_scene(0, number // 2, name, split, ())
            yield film_scene(scene, number % 2, width=200, height=160), label, f"{name}-{number // 2}"


def normalised(network: FrameNetwork, frames: np.ndarray) -> Tensor:
    """Evenly spread pictures of a clip, squeezed into a square, as the network wants them."""
    places = uniform_times(len(frames), NUM_FRAMES).astype(int)
    square = np.stack([cv2.resize(frames[place], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for place in places])
    video = torch.from_numpy(square).permute(3, 0, 1, 2)[None] / 255
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (network.mean, network.std))
    return (video - mean) / std


def extract(network: FrameNetwork, task: Task, split: Literal["train", "test"], per_class: int) -> Clips:
    """Features of all clips of one split."""
    rows, labels, groups = [], [], []
    with torch.inference_mode():
        total = per_class * len(CLASSES[task])
        for frames, label, group in track(pictures(task, split, per_class), f"{task}, {split}", total=total):
            rows.append(network.frame_features(normalised(network, frames))[0])
            labels.append(label)
            groups.append(group)
    return Clips(torch.stack(rows), torch.tensor(labels), groups)


def correct(head: str, task: Task, training: Clips, test: Clips, seed: int, num_steps: int) -> np.ndarray:
    """Which test clips a freshly trained head gets right."""
    seed_everything(seed, num_threads=1)
    grid, temporal = HEADS[head]
    backbone = efficientnet_lite0(None)
    width = frame_width(backbone, grid)
    network = FrameNetwork(backbone, temporal(width), len(CLASSES[task]), grid=grid)
    network.freeze_backbone()
    network.train()
    optimizer = adamw(network, lr=LR, weight_decay=DECAY)
    for step in range(num_steps):
        for group in optimizer.param_groups:
            group["lr"] = LR * cosine(step, num_steps=num_steps, num_warmup_steps=num_steps // 10)
        rows = step_generator(seed, step).integers(len(training.labels), size=BATCH)
        logits = network.head_forward(training.features[rows, :, :width])
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(logits, training.labels[rows], label_smoothing=0.1).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        guesses = network.head_forward(test.features[:, :, :width]).argmax(dim=1)
    return (guesses == test.labels).numpy().astype(np.float64)


def main() -> None:
    """Extracts features once, trains every head with every seed, writes the report and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training-clips", type=int, default=40, help="per class")
    parser.add_argument("--test-clips", type=int, default=20, help="per class")
    parser.add_argument("--num-steps", type=int, default=300)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=REPORT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    backbone = efficientnet_lite0(None)
    load_efficientnet_lite_weights(backbone, weights.fetch(EFFICIENTNET_LITE0))
    width = frame_width(backbone, GRID)
    extractor = FrameNetwork(backbone, SingleFrame(width), 2, grid=GRID).fused()
    metrics: dict[str, Metric] = {}
    digest = hashlib.sha256()
    expected = 0
    for task in CLASSES:
        training = extract(extractor, task, "train", options.training_clips)
        test = extract(extractor, task, "test", options.test_clips)
        expected += len(test.labels)
        digest.update(training.labels.numpy().tobytes() + np.round(test.features.numpy(), 2).tobytes())
        right = {
            head: np.mean(
                [correct(head, task, training, test, seed, options.num_steps) for seed in range(options.num_seeds)],
                axis=0,
            )
            for head in HEADS
        }
        ones = np.ones(len(test.labels))
        for head, own in right.items():
            value = ratio_interval(own, ones, test.groups)
            metrics[f"{task}: {head}: top1"] = Metric(value=value.value, low=value.low, high=value.high, n=len(own))
        for head in HEADS:
            if head == DEFAULT:
                continue
            gain = ratio_interval(right[DEFAULT] - right[head], ones, test.groups)
            metrics[f"{task}: first head minus {head}"] = Metric(
                value=gain.value, low=gain.low, high=gain.high, n=len(ones)
            )
    report = Report(
        title="Heads over frozen EfficientNet-lite0 features",
        metrics=metrics,
        num_expected=expected,
        num_scored=expected,
        protocol=(
            f"Top-1 of one view of {NUM_FRAMES} frames at {SIDE_PX} px, mean of {options.num_seeds} training seeds, "
            f"{options.num_steps} steps of {BATCH} clips for every head; intervals by bootstrap over performances, "
            "differences paired by clip."
        ),
        dataset=f"generated shapes (8 motions) and people (11 actions), {options.training_clips} training and "
        f"{options.test_clips} test clips of each class",
        dataset_fingerprint=f"sha256:{digest.hexdigest()[:16]}",
        seed=0,
        details={"default": DEFAULT, "baseline": BASELINE, "backbone": EFFICIENTNET_LITE0.name},
    )
    report.write(options.out)
    print(report.to_markdown())


if __name__ == "__main__":
    main()
