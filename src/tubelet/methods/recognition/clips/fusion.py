"""Late fusion: a picture model and a skeleton model judge each clip, and validation says how far to trust each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from tubelet.configs import to_json
from tubelet.datasets.loader import load_views
from tubelet.errors import WeightsError
from tubelet.methods.recognition.action_model import load_action_model
from tubelet.methods.recognition.clips.config import FRAMES_RUN, FUSION_FILE, SKELETON_RUN, FusionConfig
from tubelet.methods.recognition.clips.data import begin_with, open_data
from tubelet.methods.recognition.clips.model import load_clip_model
from tubelet.methods.recognition.clips.skeleton import clip_logits, people_of, train_skeleton
from tubelet.methods.recognition.clips.training import train_clips
from tubelet.metrics.calibration import negative_log_likelihood
from tubelet.runs import RunDirectory, write_json

FUSION_SCHEMA = "tubelet.fusion/1"
_SHARES = np.linspace(0.0, 1.0, 21)


def train_fusion(config: FusionConfig, run: RunDirectory) -> None:
    """Train both models, each as a run of its own inside of this one, and choose the share of the pictures.

    Either can be used alone: `tubelet recognize --model RUN/skeleton` or `RUN/frames`.
    """
    begin_with(open_data(config.data), config.data, run)
    frames = replace(config.frames, data=config.data, seed=config.seed, evaluation=config.evaluation)
    skeleton = replace(config.skeleton, data=config.data, seed=config.seed, evaluation=config.evaluation)
    train_clips(frames, _inner(run, FRAMES_RUN, "recognition:frames", to_json(frames)))
    train_skeleton(skeleton, _inner(run, SKELETON_RUN, "recognition:skeleton", to_json(skeleton)))
    val = open_data(config.data).of("val")
    people = people_of(val, skeleton)
    by_person = dict(
        zip(
            [clip.id for clip in people.clips],
            clip_logits(load_action_model(run.path / SKELETON_RUN).network, people, mirror=skeleton.mirror),
            strict=True,
        )
    )
    model = load_clip_model(run.path / FRAMES_RUN)
    pictures, persons, labels = [], [], []
    for outcome in load_views(val.clips, model.sampling, num_workers=frames.num_workers):
        if outcome.value is None or outcome.task.id not in by_person:
            continue
        probability = model.probabilities(model.logits(outcome.value.frames))[0]
        pictures.append(np.log(np.maximum(probability, 1e-8)))
        persons.append(by_person[outcome.task.id])
        labels.append(outcome.task.label)
    share, losses = best_share(np.stack(pictures), np.stack(persons), np.array(labels))
    run.log(event="fused", share=share, num_clips=len(labels))
    write_json(
        run.path / FUSION_FILE,
        {"schema": FUSION_SCHEMA, "share_of_pictures": share, "num_val_clips": len(labels), "losses": losses},
    )


def best_share(
    pictures: Float[np.ndarray, "clips classes"],
    persons: Float[np.ndarray, "clips classes"],
    labels: Int[np.ndarray, " clips"],
) -> tuple[float, dict[str, float]]:
    """The share of the picture model with the least loss on validation clips, and the loss of every share tried.

    Args:
        pictures: Log probabilities of the picture model.
        persons: Log probabilities of the skeleton model.
        labels: True classes.
    """
    losses = {
        round(float(share), 2): negative_log_likelihood(fused(pictures, persons, float(share)), labels)
        for share in _SHARES
    }
    best = min(losses, key=lambda share: (losses[share], abs(share - 0.5)))
    return best, {f"{share:g}": round(loss, 6) for share, loss in losses.items()}


def fused(
    pictures: Float[np.ndarray, "*clips classes"], persons: Float[np.ndarray, "*clips classes"], share: float
) -> Float[np.ndarray, "*clips classes"]:
    """Weighted mean of log probabilities: logits of the two together."""
    return share * pictures + (1 - share) * persons


def load_share(folder: Path) -> float:
    """How far a fusion run trusts its picture model, 0 to 1.

    Raises:
        WeightsError: The file that says so is missing or damaged.
    """
    path = folder / FUSION_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != FUSION_SCHEMA or not 0 <= content["share_of_pictures"] <= 1:
            raise ValueError(f"schema {content['schema']!r}, share {content['share_of_pictures']!r}")
        return float(content["share_of_pictures"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path}: does not say how the two models are weighed ({error}); train the run again"
        ) from error


def _inner(run: RunDirectory, name: str, recipe: str, config: object) -> RunDirectory:
    """A run inside of the run, made or gone on with."""
    inner = RunDirectory(run.path / name)
    if inner.config_path.exists():
        return RunDirectory.open(inner.path)
    return RunDirectory.create(inner.path, {**run.description(), "recipe": recipe, "config": config})
