"""Networks trained anew on what would be published: what a recogniser still reads, and what an attacker does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tubelet.configs import to_json
from tubelet.errors import OutputExistsError
from tubelet.methods.anonymization.data import ClipSource, PrivateBatch, check_private
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


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the clips of a split really show.

    Attributes:
        ids: Of the clips.
        groups: Clips of one group are not independent of each other.
        actions: Which action.
        private: 1, 0 or NaN.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    actions: Int64[np.ndarray, " clips"]
    private: Float[np.ndarray, "clips attributes"]


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What networks read from clips of the test.

    Attributes:
        truth: What the clips show.
        action_scores: Probabilities of the actions, by the network that was trained to read these.
        private_scores: Probabilities of the attributes, by each attacker.
    """

    truth: Truth
    action_scores: Float[np.ndarray, "clips actions"]
    private_scores: Mapping[str, Float[np.ndarray, "clips attributes"]]


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

    Source: stages two and three of arXiv:2603.26336's code.
    Differs: several attackers, of which the strongest counts.
    """
    wanted: list[tuple[ReaderName, Target]] = [(config.utility, "actions")]
    wanted += [(name, "private") for name in config.attackers]
    scores: dict[tuple[str, str], Float[np.ndarray, "clips outputs"]] = {}
    truth: Truth | None = None
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
        scores[name, target], truth = read(network, target, published, config)
    if truth is None:
        raise ValueError("no network was to be trained")
    return Attacked(
        truth=truth,
        action_scores=scores[config.utility, "actions"],
        private_scores={name: scores[name, "private"] for name in config.attackers},
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
    seed_everything(seed)
    names = published.action_names if target == "actions" else published.attribute_names
    network = build_reader(name, len(names), num_frames=num_frames, size_px=size_px).to(device)
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


def read(
    network: nn.Module, target: Target, published: ClipSource, config: AttackConfig
) -> tuple[Float[np.ndarray, "clips outputs"], Truth]:
    """Probabilities for each clip of the test, averaged over its views, and the truth."""
    device = next(network.parameters()).device
    sums: dict[str, Float[np.ndarray, " outputs"]] = {}
    counts: dict[str, int] = {}
    facts: dict[str, tuple[str, int, Float[np.ndarray, " attributes"]]] = {}
    with torch.inference_mode():
        for batch in published.evaluation("test", batch_size=50, num_views=config.num_views):
            logits = network.eval()(batch.video.to(device)).float()
            shares = logits.softmax(1) if target == "actions" else logits.sigmoid()
            for row, name in enumerate(batch.ids):
                sums[name] = sums.get(name, 0) + shares[row].cpu().numpy()
                counts[name] = counts.get(name, 0) + 1
                facts[name] = (batch.groups[row], int(batch.actions[row]), batch.private[row].numpy())
    scores = np.stack([sums[name] / counts[name] for name in sums])
    truth = Truth(
        ids=tuple(facts),
        groups=tuple(group for group, _, _ in facts.values()),
        actions=np.array([action for _, action, _ in facts.values()]),
        private=np.stack([private for _, _, private in facts.values()]),
    )
    return scores, truth


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
