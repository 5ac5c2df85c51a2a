"""Predictions files made for tests: a network that is right with some probability, on clips of several videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tubelet.evaluation.protocol import ClipTruth, Header, ViewProtocol
from tubelet.evaluation.writing import PredictionsWriter

CLASSES = ("clap", "jump", "run", "sit", "walk", "wave")


def header(**changes: Any) -> Header:
    """A header that fits `clips`."""
    protocol = ViewProtocol(
        num_clips=changes.pop("num_clips", 2),
        num_crops=changes.pop("num_crops", 1),
        num_frames=8,
        step_s=0.2,
        size_px=112,
        decoder="PyAV 17.1.0",
        group="source video",
    )
    fields: dict[str, Any] = {
        "classes": CLASSES,
        "dataset": "yard",
        "dataset_fingerprint": "ab" * 32,
        "split": "test",
        "num_expected": 60,
        "protocol": protocol,
        "model": {"name": "tiny", "sha256": "cd" * 32},
        "seed": 0,
        "command": "tubelet evaluate runs/tiny",
    }
    return Header(**(fields | changes))


def clips(number: int = 60, *, num_groups: int = 15, num_classes: int = len(CLASSES), seed: int = 0) -> list[ClipTruth]:
    """Clips whose labels and lengths depend on the seed alone."""
    generator = np.random.default_rng(seed)
    made = []
    for index in range(number):
        label = int(generator.integers(num_classes))
        name = f"{CLASSES[label] if num_classes <= len(CLASSES) else label}/{index:03d}.mp4"
        made.append(
            ClipTruth(
                id=name,
                path=name,
                group=f"video {index % num_groups}",
                labels=(label,),
                duration_s=round(float(generator.uniform(0.5, 12)), 2),
            )
        )
    return made


def logits(
    clip: ClipTruth, *, num_views: int = 2, num_classes: int = len(CLASSES), skill: float = 1.5, seed: int = 0
) -> np.ndarray:
    """What a network of some skill says of a clip, the same for the same seed."""
    generator = np.random.default_rng([seed, *clip.id.encode()])
    said = 0.6 * generator.normal(size=(num_views, num_classes)) + 0.8 * generator.normal(size=num_classes)
    said[:, list(clip.labels)] += skill
    return said


def write(path: Path, *, skill: float = 1.5, seed: int = 0, failing: tuple[str, ...] = (), **changes: Any) -> Path:
    """A whole predictions file."""
    said = header(**changes)
    with PredictionsWriter(path, said) as writer:
        for clip in clips(said.num_expected, num_classes=len(said.classes)):
            if clip.id in failing:
                writer.write_failure(clip, "truncated: the file ends early")
                continue
            writer.write(
                clip,
                logits(clip, num_views=said.protocol.num_views, num_classes=len(said.classes), skill=skill, seed=seed),
            )
    return path
