"""Networks trained anew on what would be published: what a recogniser still reads, and what an attacker does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.configs import to_json
from tubelet.datasets.labelled import Split
from tubelet.errors import DatasetError, OutputExistsError
from tubelet.methods.anonymization.data import ClipSource, PrivateBatch, Truth, check_private
from tubelet.methods.anonymization.losses import attribute_loss
from tubelet.methods.anonymization.readers import build_reader
from tubelet.methods.anonymization.recipes import AttackConfig, ReaderName
from tubelet.runs import RunDirectory, installed_versions
from tubelet.training.batch_checks import check_labels
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.optimizer import adamw
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything

Target = Literal["actions", "private"]
ById = dict[str, Float[np.ndarray, " outputs"]]
"""What a network says of clips, by their ids."""

_Reader = TypeVar("_Reader")


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What networks read from clips of the test, and what attackers read from those of the validation.

    Attributes:
        truth: What those clips of the test show that every network could be shown.
        action_scores: Probabilities of the actions, by the network that was trained to read these.
        private_scores: Probabilities of the attributes, by each attacker.
        val_truth: What clips of the validation show; None where no attacker is to be chosen on them.
        val_scores: Probabilities of their attributes, by each attacker.
        failures: Reasons why the other clips of the test were not scored, by id.
    """

    truth: Truth
    action_scores: Float[np.ndarray, "clips actions"]
    private_scores: Mapping[str, Float[np.ndarray, "clips attributes"]]
    val_truth: Truth | None = None
    val_scores: Mapping[str, Float[np.ndarray, "val_clips attributes"]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


def attack(
    published: ClipSource, config: AttackConfig, folder: Path, *, num_frames: int, size_px: int, seed: int, device: str
) -> Attacked:
    """Train the utility model and every attacker on published clips, and let them read the test.

    Args:
        published: Clips as they would be published, with their true labels: an attacker who has labelled clips of the
            same kind can do this.
        config: Which networks, and how long.
        folder: Where their runs go; those that are there go on or are used as they are.
        num_frames: Frames of a clip.
        size_px: Side of the pictures.
        seed: Of networks and batches.
        device: "cpu" or "cuda".

    Raises:
        DatasetError: Too many clips cannot be read.
        WeightsError: Weights to start from cannot be read or do not fit.

    Source: stages two and three of arXiv:2603.26336's code.
    Differs: several attackers, of which the strongest counts.
    """
    wanted: list[tuple[ReaderName, Target]] = [(config.utility, "actions")]
    wanted += [(name, "private") for name in config.attackers]
    for name, target in wanted:
        if config.weights_of(name) is not None:  # weights that do not fit show before the first training
            count = len(published.action_names if target == "actions" else published.attribute_names)
            build_reader(name, count, num_frames=num_frames, size_px=size_px, weights=config.weights_of(name))
    scores: dict[tuple[str, Target], ById] = {}
    val_scores: dict[str, ById] = {}
    for name, target in wanted:
        network = train_reader(
            name,
            target,
            published,
            config,
            folder / f"{target}_{name}",
            num_frames=num_frames,
            size_px=size_px,
            seed=seed,
            device=device,
        )
        scores[name, target] = read(network, target, published, "test", num_views=config.num_views)
        if target == "private":
            val_scores[name] = read(network, target, published, "val", num_views=config.num_views)
    truth, read_by, failures = _read_by_all(published, "test", scores)
    val_truth, val_read_by, _ = _read_by_all(published, "val", val_scores)
    return Attacked(
        truth=truth,
        action_scores=read_by[config.utility, "actions"],
        private_scores={name: read_by[name, "private"] for name in config.attackers},
        val_truth=val_truth,
        val_scores=val_read_by,
        failures=failures,
    )


def train_reader(
    name: ReaderName,
    target: Target,
    published: ClipSource,
    config: AttackConfig,
    folder: Path,
    *,
    num_frames: int,
    size_px: int,
    seed: int,
    device: str,
) -> nn.Module:
    """One network, trained to read actions or attributes; goes on where an earlier training was cut off."""
    seed_everything(seed, deterministic=device == "cpu")  # not all of what videos need repeats bit by bit on a GPU
    names = published.action_names if target == "actions" else published.attribute_names
    network = build_reader(
        name, len(names), num_frames=num_frames, size_px=size_px, weights=config.weights_of(name)
    ).to(device)
    description = {
        "recipe": f"{target} by {name}",
        "config": to_json(config),
        "seed": seed,
        "versions": installed_versions(),
        "command": "part of tubelet evaluate",
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        run = RunDirectory.create(folder, description)
    except OutputExistsError:
        run = RunDirectory.open(folder)
    with published.training(num_steps=config.num_steps, batch_size=config.batch_size, seed=seed) as batch_at:
        return fit(
            network,
            adamw(network, lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay),
            batch_at=batch_at,
            compute_loss=lambda model, batch: {"loss": _reader_loss(model, batch, target, device)},
            lr_factor=lambda step: cosine(
                step,
                num_steps=config.num_steps,
                num_warmup_steps=min(config.optimizer.num_warmup_steps, config.num_steps),
                final_factor=config.optimizer.final_lr_factor,
            ),
            config=LoopConfig(
                num_steps=config.num_steps,
                log_every=max(1, config.num_steps // 10),
                checkpoint_every=max(1, min(2000, config.num_steps)),
            ),
            run=run,
            check_batch=lambda batch: _check(batch, len(names), target),
        )


def read(network: nn.Module, target: Target, published: ClipSource, split: Split, *, num_views: int) -> ById:
    """Probabilities for each clip of a split that can be read, averaged over its views."""
    device = next(network.parameters()).device
    network.eval()
    found: dict[str, list[Float[np.ndarray, " outputs"]]] = {}
    with torch.inference_mode():
        for batch in published.evaluation(split, batch_size=50, num_views=num_views):
            logits = network(batch.video.to(device)).float()
            shares = logits.softmax(1) if target == "actions" else logits.sigmoid()
            for name, row in zip(batch.ids, shares.cpu().numpy(), strict=True):
                found.setdefault(name, []).append(row)
    return {name: np.mean(rows, axis=0) for name, rows in found.items()}


def _read_by_all(
    published: ClipSource, split: Split, scores: Mapping[_Reader, ById]
) -> tuple[Truth, dict[_Reader, Float[np.ndarray, "clips outputs"]], dict[str, str]]:
    """The clips of a split that every network was shown, what each says of them, and why the others are missing."""
    truth = published.labels(split)
    failures = {
        name: published.failures.get(name, "it could not be read at one time, and could at another")
        for name in truth.ids
        if any(name not in each for each in scores.values())
    }
    rows = np.array([row for row, name in enumerate(truth.ids) if name not in failures], np.int64)
    if not len(rows):
        first = next(iter(failures.items()), ("none", "the split is empty"))
        raise DatasetError(
            f"{published.name}: no clip of the {split} split can be scored, first: {first[0]}: {first[1]}; mend the "
            "clips, or give others"
        )
    left = truth.of(rows)
    return left, {reader: np.stack([each[name] for name in left.ids]) for reader, each in scores.items()}, failures


def _reader_loss(model: nn.Module, batch: PrivateBatch, target: Target, device: str) -> Tensor:
    logits = model(batch.video.to(device))
    if target == "actions":
        return nn.functional.cross_entropy(logits, batch.actions.to(device))
    return attribute_loss(logits, batch.private.to(device))


def _check(batch: PrivateBatch, num_outputs: int, target: Target) -> None:
    if target == "actions":
        check_labels(batch.actions, num_classes=num_outputs, ids=batch.ids)
    else:
        check_private(batch.private, batch.ids)
