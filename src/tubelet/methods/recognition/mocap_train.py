"""Train the skeleton action model: `tubelet train recognition:mocap_skeleton`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import softmax
from torch import Tensor, nn

from tubelet import weights
from tubelet.configs import to_json
from tubelet.datasets.everyday import EVERYDAY_ACTIONS
from tubelet.datasets.mocap import Motion, read_motion
from tubelet.datasets.performances import LABELS, NO_LABEL
from tubelet.methods.recognition.action_model import save_action_model
from tubelet.methods.recognition.examples import Examples, draw_examples
from tubelet.methods.recognition.model_card import CARD_SCHEMA, DESCRIPTION, class_evidence
from tubelet.methods.recognition.preprocess import FEATURE_NAMES, MARGIN_S, MAX_GAP_S, NUM_FEATURES, RATE_HZ
from tubelet.methods.recognition.recipes import ACROBATIC_SHARE, EVERYDAY_SHARE, EXPECTED_SHARES, MocapSkeletonConfig
from tubelet.methods.recognition.split import split_clips, training_drawing, validation_drawing
from tubelet.metrics.calibration import abstention_threshold, fit_temperature
from tubelet.models.skeleton import SkeletonTCN
from tubelet.runs import RunDirectory, installed_versions
from tubelet.skeletons import BODY_13
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.optimizer import adamw
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything, step_generator

_LEAST_THRESHOLD, _GREATEST_THRESHOLD = 0.4, 0.7
_RAREST = 0.002  # classes rarer than this weigh no more


@dataclass(frozen=True)
class Batch:
    """Features, targets and weights of one step."""

    features: Float[Tensor, "batch features time"]
    targets: Float[Tensor, "batch classes time"]
    weights: Float[Tensor, "batch time"]


def load_motions() -> list[Motion]:
    """All human clips of the pinned pybullet wheel, fetched where they are not in the cache."""
    return [read_motion(weights.fetch(item)) for item in weights.MOTIONS]


def train_mocap(config: MocapSkeletonConfig, run: RunDirectory) -> None:
    """Draw examples, train, calibrate on others, and write the model with its card into the run's folder."""
    seed_everything(config.seed, num_threads=config.num_threads)
    training_clips, validation_clips = split_clips(load_motions(), config)
    examples = draw_examples(
        training_clips, training_drawing(config), config.num_people, num_workers=config.num_workers
    )
    network_settings: dict[str, Any] = {"channels": config.channels, "dropout": config.dropout}
    network = SkeletonTCN(NUM_FEATURES, len(LABELS), **network_settings)
    shares = _class_shares(examples)
    trained = fit(
        network,
        adamw(network, lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay),
        batch_at=lambda step: _batch(examples, shares, config, step),
        compute_loss=_loss,
        lr_factor=lambda step: cosine(
            step,
            num_steps=config.num_steps,
            num_warmup_steps=config.optimizer.num_warmup_steps,
            final_factor=config.optimizer.final_lr_factor,
        ),
        config=LoopConfig(num_steps=config.num_steps, checkpoint_every=max(1, config.num_steps // 2)),
        run=run,
    )
    if not isinstance(trained, SkeletonTCN):
        raise TypeError(f"training returned {type(trained).__name__}; SkeletonTCN expected")
    held = draw_examples(
        validation_clips, validation_drawing(config, 1), config.num_validation, num_workers=config.num_workers
    )
    trained_shares = np.maximum(shares * _rarity(shares, config), 1e-4)
    calibration = calibrate(logits_of(trained, held), held, trained_shares, config)
    run.log(
        event="calibrated", **{name: calibration[name] for name in ("temperature", "min_score", "coverage", "risk")}
    )
    card = {
        "schema": CARD_SCHEMA,
        "name": "mocap_skeleton",
        "licence": "Apache-2.0",
        "description": DESCRIPTION,
        "labels": list(LABELS),
        "evidence": class_evidence(LABELS),
        "preprocessing": {
            "joints": list(BODY_13.joints),
            "rate_hz": RATE_HZ,
            "max_gap_s": MAX_GAP_S,
            "margin_s": MARGIN_S,
            "features": list(FEATURE_NAMES),
        },
        "network": network_settings,
        "calibration": calibration,
        "training": {
            "recipe": config.recipe,
            "command": f"tubelet train {config.recipe} --out RUN",
            "config": to_json(config),
            "class_shares": dict(zip(LABELS, [round(float(share), 5) for share in shares], strict=True)),
            "examples_sha256": examples.digest(),
            "clips": [clip.source_clip for clip in training_clips],
            "versions": installed_versions(),
        },
    }
    save_action_model(run.path, trained, card)


def _class_shares(examples: Examples) -> Float[np.ndarray, " classes"]:
    """Share of each class among the frames that show a class at all."""
    counts = np.bincount(
        examples.labels[examples.labels >= 0],
        weights=examples.weights[examples.labels >= 0],
        minlength=len(LABELS),
    )
    return np.asarray(counts / counts.sum())


def _rarity(shares: Float[np.ndarray, " classes"], config: MocapSkeletonConfig) -> Float[np.ndarray, " classes"]:
    """Weight of each class in the loss; 1 on average over frames."""
    rarity = np.maximum(shares, _RAREST) ** -config.rarity_power
    return np.asarray(rarity / (rarity * shares).sum())


def _batch(examples: Examples, shares: Float[np.ndarray, " classes"], config: MocapSkeletonConfig, step: int) -> Batch:
    rng = step_generator(config.seed, step)
    rows = rng.integers(0, len(examples), config.batch_size)
    start = int(rng.integers(0, examples.labels.shape[1] - config.window + 1))
    span = slice(start, start + config.window)
    labels = torch.from_numpy(examples.labels[rows, span])
    smoothing = config.label_smoothing
    even = 1 / len(LABELS)
    targets = (
        nn.functional.one_hot(labels.clamp(min=0), len(LABELS)).to(torch.float32) * (1 - smoothing) + smoothing * even
    )
    # What is none of the classes should look like any of them a little: the network is then unsure, and abstains.
    targets = torch.where((labels == NO_LABEL)[..., None], even, targets).transpose(1, 2)
    rarity = np.append(_rarity(shares, config), 1.0)  # the last is NO_LABEL, which indexes from the end
    factor = torch.from_numpy(rarity[labels.numpy()].astype(np.float32))
    return Batch(
        torch.from_numpy(examples.features[rows, :, span]),
        targets,
        torch.from_numpy(examples.weights[rows, span]) * factor,
    )


def _loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    log_probabilities = torch.log_softmax(model(batch.features), dim=1)
    losses = -(batch.targets * log_probabilities).sum(dim=1)
    return {"loss": (losses * batch.weights).sum() / batch.weights.sum().clamp(min=1)}


def logits_of(network: SkeletonTCN, examples: Examples) -> Float[np.ndarray, "examples classes time"]:
    """Logits of every example."""
    with torch.inference_mode():
        features = torch.from_numpy(examples.features)
        parts = [network(features[start : start + 64]).numpy() for start in range(0, len(features), 64)]
    return np.concatenate(parts)


def certain_frames(
    logits: Float[np.ndarray, "examples classes time"], examples: Examples
) -> tuple[Float[np.ndarray, "frames classes"], Int[np.ndarray, " frames"]]:
    """Logits and labels of the frames that are measured, leaving out blends between two actions."""
    counted = examples.weights >= 1
    return np.moveaxis(logits, 1, 2)[counted], examples.labels[counted]


def expected_shares() -> Float[np.ndarray, " classes"]:
    """The prior that probabilities are given for, in the order of the vocabulary."""
    everyday = [label for label in EVERYDAY_ACTIONS if label not in EXPECTED_SHARES]
    acrobatic = [label for label in LABELS if label not in EXPECTED_SHARES and label not in EVERYDAY_ACTIONS]
    shares = dict(EXPECTED_SHARES)
    shares |= dict.fromkeys(everyday, EVERYDAY_SHARE / len(everyday))
    shares |= dict.fromkeys(acrobatic, ACROBATIC_SHARE / len(acrobatic))
    return np.array([shares[label] for label in LABELS])


def as_expected(labels: Int[np.ndarray, " frames"], seed: int, count: int = 40_000) -> Int[np.ndarray, " drawn"]:
    """Frames drawn with replacement: classes as often as they are expected on footage, and one frame in ten of none."""
    weights = np.zeros(len(labels))
    for index, share in enumerate(expected_shares()):
        own = labels == index
        weights[own] = share / max(1, int(own.sum()))
    if (labels < 0).any():
        weights[labels < 0] = weights.sum() / 9 / int((labels < 0).sum())
    return np.random.default_rng(seed).choice(len(labels), count, p=weights / weights.sum())


def calibrate(
    logits: Float[np.ndarray, "examples classes time"],
    examples: Examples,
    trained_shares: Float[np.ndarray, " classes"],
    config: MocapSkeletonConfig,
) -> dict[str, Any]:
    """Prior, temperature and threshold, on people that training did not see, drawn as often as expected on footage.

    A label on a frame that shows none of the classes counts as wrong.
    """
    shift = np.log(expected_shares() / trained_shares)
    rows, labels = certain_frames(logits, examples)
    drawn = as_expected(labels, config.seed)
    rows, labels = rows[drawn] + shift, labels[drawn]
    temperature = fit_temperature(rows[labels >= 0], labels[labels >= 0])
    confidence = softmax(rows / temperature, axis=1).max(axis=1)
    right = rows.argmax(axis=1) == labels
    wanted = abstention_threshold(confidence, right, config.greatest_risk)
    threshold = (
        min(max(wanted, _LEAST_THRESHOLD), _GREATEST_THRESHOLD) if math.isfinite(wanted) else _GREATEST_THRESHOLD
    )
    decided = confidence >= threshold
    return {
        "temperature": round(temperature, 6),
        "prior_shift": [round(float(value), 6) for value in shift],
        "expected_shares": dict(zip(LABELS, [round(float(share), 5) for share in expected_shares()], strict=True)),
        "min_score": round(threshold, 4),
        "coverage": _mean(decided[labels >= 0]),
        "risk": _mean(~right[decided]),
        "none_labelled": _mean(decided[labels < 0]),
    }


def _mean(values: Bool[np.ndarray, " frames"]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None
