"""Train the skeleton network on the main persons of labelled clips, from the shipped model or from nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.order import EpochOrder
from tubelet.errors import ConfigError, DatasetError
from tubelet.methods.recognition.action_model import load_action_model, save_action_model
from tubelet.methods.recognition.clips.calibration import Calibration, calibrate
from tubelet.methods.recognition.clips.config import SkeletonClipConfig
from tubelet.methods.recognition.clips.data import begin_with, command_of, data_card, open_data, require_few_failures
from tubelet.methods.recognition.clips.persons import PersonSequences, find_people, known_frames
from tubelet.methods.recognition.model_card import CARD_SCHEMA
from tubelet.methods.recognition.preprocess import FEATURE_NAMES, MARGIN_S, MAX_GAP_S, NUM_FEATURES, RATE_HZ
from tubelet.metrics.classification import top_k
from tubelet.models.skeleton import SkeletonTCN
from tubelet.runs import RunDirectory, installed_versions
from tubelet.skeletons import BODY_13
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.optimizer import adamw
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything, step_generator
from tubelet.training.stopping import ValidationConfig

_LEAST_FOUND = 0.5  # share of training clips in which somebody must be found
_FEATURE_NOISE = 0.03
_VALIDATIONS = 20  # in a training


@dataclass(frozen=True)
class Batch:
    """One step's windows.

    Attributes:
        ids: Of the clips.
    """

    features: Float32[Tensor, "batch features time"]
    labels: Int64[Tensor, " batch"]
    known: Float32[Tensor, "batch time"]
    ids: tuple[str, ...]


def train_skeleton(config: SkeletonClipConfig, run: RunDirectory) -> None:
    """Find the main person of every clip, train, calibrate, and write an action model into the run's folder.

    Raises:
        DatasetError: The clips cannot be used, or people are found in too few of them.
    """
    seed_everything(config.seed, num_threads=config.num_threads)
    data = open_data(config.data)
    require_one_label(data)
    begin_with(data, config.data, run)
    train, val = (people_of(data.of(split), config) for split in ("train", "val"))
    for split, people in (("train", train), ("val", val)):
        require_few_failures(data.of(split), {failure.item: failure.reason for failure in people.failures})  # type: ignore[arg-type]
    _check_found(train, data)
    for failure in (*train.failures, *val.failures):
        run.log(event="failure", item=failure.item, reason=failure.reason)
    network = build_skeleton(config, len(data.classes))
    order = EpochOrder(len(train.clips), batch_size=min(config.batch_size, len(train.clips)), seed=config.seed)
    num_steps = order.num_steps(config.num_epochs)
    trained = fit(
        network,
        adamw(network, lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay),
        batch_at=lambda step: _batch(train, order, config, step),
        compute_loss=lambda model, batch: _loss(model, batch, config.label_smoothing),
        lr_factor=lambda step: cosine(
            step,
            num_steps=num_steps,
            num_warmup_steps=min(config.optimizer.num_warmup_steps, num_steps),
            final_factor=config.optimizer.final_lr_factor,
        ),
        config=LoopConfig(num_steps=num_steps, log_every=10, checkpoint_every=max(1, num_steps // 4)),
        run=run,
        validate=lambda model, _: validate(_as_skeleton(model), val, mirror=config.mirror),
        validation=ValidationConfig(
            every=max(1, num_steps // _VALIDATIONS), metric="loss", goal="min", patience=config.patience
        ),
        num_examples_per_epoch=len(train.clips),
    )
    logits = clip_logits(_as_skeleton(trained), val, mirror=config.mirror)
    calibration = calibrate(logits, _labels(val), greatest_risk=config.greatest_risk)
    run.log(event="calibrated", temperature=calibration.temperature, min_score=calibration.min_score)
    save_action_model(run.path, _as_skeleton(trained), _card(config, data, calibration, len(train.clips), run))


def require_one_label(data: ClipSet) -> None:
    """See that clips have one label each.

    Raises:
        DatasetError: They may have several.
    """
    if data.is_multi_label:
        raise DatasetError(
            f"{data.name}: clips have several labels; the skeleton network takes one. Use recognition:frames"
        )


def people_of(clips: ClipSet, config: SkeletonClipConfig) -> PersonSequences:
    """The main persons of a split."""
    return find_people(clips.clips, detector=config.detector, num_workers=config.num_workers)


def build_skeleton(config: SkeletonClipConfig, num_classes: int) -> SkeletonTCN:
    """The network; with the shipped model's weights below the last layer where the config says so.

    Raises:
        ConfigError: The shipped model has another width.
    """
    network = SkeletonTCN(NUM_FEATURES, num_classes, channels=config.channels, dropout=config.dropout)
    if config.pretrained:
        shipped = load_action_model().network.state_dict()
        if shipped["entry.weight"].shape != network.entry.weight.shape:
            raise ConfigError(
                f"channels is {config.channels}, and the shipped model has {len(shipped['entry.weight'])}; "
                "give that number, or pretrained=false"
            )
        below = {name: tensor for name, tensor in shipped.items() if not name.startswith("head.")}
        network.load_state_dict(below, strict=False)
    return network


def clip_logits(
    network: SkeletonTCN, people: PersonSequences, *, mirror: bool = True
) -> Float32[np.ndarray, "clips classes"]:
    """Log of the mean over a person's known frames of the class probabilities.

    A clip in which nobody was found has equal logits.

    Args:
        network: The network.
        people: The main person of each clip.
        mirror: Take the mean with that of the mirror image.
    """
    network.eval()
    out = np.full((len(people.clips), network.num_classes), -math.log(network.num_classes), np.float32)
    with torch.inference_mode():
        for row, pair in enumerate(people.features):
            shown = pair if mirror else pair[:1]
            found = [_mean_probability(network, person) for person in shown if known_frames(person).any()]
            if found:
                out[row] = np.log(np.maximum(np.mean(found, axis=0), 1e-8))
    return out


def _mean_probability(
    network: SkeletonTCN, person: Float32[np.ndarray, "features time"]
) -> Float32[np.ndarray, " classes"]:
    probabilities = torch.softmax(network(torch.from_numpy(person)[None])[0], dim=0)
    known = torch.from_numpy(known_frames(person))
    mean: Float32[np.ndarray, " classes"] = ((probabilities * known).sum(dim=1) / known.sum()).numpy()
    return mean


def validate(network: SkeletonTCN, people: PersonSequences, *, mirror: bool) -> Mapping[str, float]:
    """Loss and accuracy on clips."""
    logits, labels = clip_logits(network, people, mirror=mirror), _labels(people)
    return {
        "loss": float(-logits[np.arange(len(labels)), labels].mean()),
        "top1": top_k(logits, labels),
    }


def _labels(people: PersonSequences) -> Int64[np.ndarray, " clips"]:
    return np.array([clip.label for clip in people.clips], dtype=np.int64)


def _check_found(people: PersonSequences, data: ClipSet) -> None:
    found = sum(known_frames(pair[0]).any() for pair in people.features)
    if found < _LEAST_FOUND * max(1, len(people.clips)):
        raise DatasetError(
            f"{data.name}: a person was found in {found} of {len(people.clips)} training clips; the skeleton network "
            f"needs people in at least {_LEAST_FOUND:.0%} of them. Use recognition:frames, which sees whole pictures"
        )


def _batch(people: PersonSequences, order: EpochOrder, config: SkeletonClipConfig, step: int) -> Batch:
    """Random windows of the step's clips, mirrored or not, with a little noise."""
    rng = step_generator(config.seed, step)
    places = [item.index for item in order.at(step)]
    features = np.zeros((len(places), NUM_FEATURES, config.window), np.float32)
    for row, place in enumerate(places):
        person = people.features[place][int(rng.integers(2)) if config.mirror else 0]
        room = person.shape[1] - config.window
        start = int(rng.integers(0, room + 1)) if room > 0 else 0
        part = person[:, start : start + config.window]
        features[row, :, : part.shape[1]] = part
    known = np.stack([known_frames(person) for person in features])
    features += rng.normal(0, _FEATURE_NOISE, features.shape).astype(np.float32) * known[:, None]
    return Batch(
        features=torch.from_numpy(features),
        labels=torch.tensor([people.clips[place].label for place in places]),
        known=torch.from_numpy(known),
        ids=tuple(people.clips[place].id for place in places),
    )


def _loss(model: nn.Module, batch: Batch, label_smoothing: float) -> Mapping[str, Tensor]:
    """Cross entropy of every known frame: any moment of a clip shows its class."""
    logits: Float[Tensor, "batch classes time"] = model(batch.features)
    labels = batch.labels[:, None].expand(-1, logits.shape[2])
    each = nn.functional.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
    return {"loss": (each * batch.known).sum() / batch.known.sum().clamp(min=1)}


def _as_skeleton(model: nn.Module) -> SkeletonTCN:
    if not isinstance(model, SkeletonTCN):
        raise TypeError(f"the network is a {type(model).__name__}; SkeletonTCN expected")
    return model


def _card(
    config: SkeletonClipConfig, data: ClipSet, calibration: Calibration, num_clips: int, run: RunDirectory
) -> dict[str, Any]:
    start = "the shipped skeleton model" if config.pretrained else "random weights"
    return {
        "schema": CARD_SCHEMA,
        "name": "skeleton_clips",
        "licence": "of its training clips",
        "description": f"Labels what one person does from body landmarks; trained from {start} on {num_clips} clips.",
        "labels": list(data.classes),
        "evidence": _evidence(data),
        "unmeasured": "see the run's evaluation",
        "preprocessing": {
            "joints": list(BODY_13.joints),
            "rate_hz": RATE_HZ,
            "max_gap_s": MAX_GAP_S,
            "margin_s": MARGIN_S,
            "features": list(FEATURE_NAMES),
        },
        "network": {"channels": config.channels, "dropout": config.dropout},
        "calibration": {
            "temperature": calibration.temperature,
            "prior_shift": [0.0] * len(data.classes),
            "min_score": calibration.min_score,
            "coverage": calibration.coverage,
            "risk": calibration.risk,
        },
        "training": {
            "recipe": "recognition:skeleton",
            "command": command_of(run),
            "data": data_card(data),
            "versions": installed_versions(),
        },
    }


def _evidence(data: ClipSet) -> dict[str, str]:
    counts = [sum(clip.split == "train" and clip.labels == (label,) for clip in data.clips) for label in _indices(data)]
    return {name: f"learned from {count} clips" for name, count in zip(data.classes, counts, strict=True)}


def _indices(data: ClipSet) -> Sequence[int]:
    return range(len(data.classes))
