"""`tubelet train anonymization:RECIPE`: trains the two tokens and leaves an anonymiser in the run's folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tubelet.configs import to_json
from tubelet.datasets.order import Share
from tubelet.errors import ConfigError
from tubelet.methods.anonymization.data import ClipSource, MemorySource, PrivateBatch, check_private
from tubelet.methods.anonymization.looked_at import LookedAt
from tubelet.methods.anonymization.losses import dual_loss, reversal_weight
from tubelet.methods.anonymization.model import (
    MODEL_FILE,
    SHOWN_PEOPLE,
    SHOWN_PICTURES,
    Anonymizer,
    DualTokenViT,
)
from tubelet.methods.anonymization.opening import open_source
from tubelet.methods.anonymization.recipes import (
    RANDOM_START,
    AnonymizationConfig,
    PeopleData,
    VideoData,
    random_start_warning,
    start_of,
)
from tubelet.methods.anonymization.warm import warm_start
from tubelet.metrics.classification import mean_average_precision, top_k
from tubelet.models.vit_weights import load_vit_weights
from tubelet.runs import Progress, RunDirectory, installed_versions
from tubelet.training.batch_checks import check_labels
from tubelet.training.distributed import ALONE, World, joined, seed_rank
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.optimizer import adamw
from tubelet.training.precision import find_device
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything
from tubelet.training.stopping import ValidationConfig

LEAST_PRIVATE_FILE = "least_private.safetensors"
"""Weights of the validation at which the network's own attribute head read least; the model is that of most action."""

_EVALUATION_BATCH = 50


def train(config: AnonymizationConfig, run: RunDirectory) -> None:
    """Train what the config describes and leave the model in the run's folder; `torchrun` trains in several processes.

    Raises:
        DatasetError: The clips or their labels cannot be used.
        ConfigError: The device is absent, or the processes cannot share a batch equally.
        TrainingError: The loss is not finite, or another process ended.
    """
    with joined(config.device) as world:
        if world.is_first and start_of(config) == RANDOM_START:
            sys.stderr.write(f"tubelet: warning: {random_start_warning(config)}\n")
        anonymizer = train_anonymizer(config, open_source(config), run, world=world)
        if world.is_first:
            anonymizer.save(run.path / MODEL_FILE)


def check(config: AnonymizationConfig) -> None:
    """See that a training can begin: that there are clips, their labels, and the device.

    Raises:
        DatasetError: The clips or their labels cannot be used.
        ConfigError: The device is absent.
    """
    find_device(config.device)
    if isinstance(config.data, VideoData):  # the others are drawn, which cannot fail but takes a while
        open_source(config)


def train_anonymizer(
    config: AnonymizationConfig, source: ClipSource, run: RunDirectory, *, world: World = ALONE
) -> Anonymizer:
    """Stage one: the network with two tokens.

    Args:
        config: What and how long.
        source: Its training and validation clips are used.
        run: Where log, checkpoints and the least private weights go.
        world: The processes of this training, which share every batch.

    Raises:
        ConfigError: The device is absent, or the processes cannot share a batch equally.
        TrainingError: The loss is not finite, or another process ended.

    Source: arXiv:2603.26336's code. The weights kept are those with the best action accuracy on validation clips.
    Differs: the release picks them on its test list.
    """
    if config.batch_size % world.size:
        raise ConfigError(
            f"batch_size is {config.batch_size}, which {world.size} processes cannot share equally; give a multiple: "
            f"--set batch_size={config.batch_size + -config.batch_size % world.size}"
        )
    device = find_device(config.device) if world.size == 1 else world.device
    # Not all of what videos need repeats bit by bit on a GPU.
    seed_everything(config.seed, num_threads=config.num_threads, deterministic=device.type == "cpu")
    share = Share(rank=world.rank, world_size=world.size)
    network = DualTokenViT(len(source.action_names), len(source.attribute_names), config.shape)
    if config.image_weights is not None:
        load_vit_weights(network.vit, config.image_weights, head="keep")
    network.to(device)
    source = _looked_at(network, source)
    if config.num_warm_steps:
        warm_start(
            network,
            source,
            run.path / "warm",
            pruning=config.pruning,
            num_steps=config.num_warm_steps,
            batch_size=config.batch_size,
            optimizer=config.optimizer,
            seed=config.seed,
            action_weight=config.action_weight,
            world=world,
        )
    if world.size > 1:  # after the warm start, at whose end all processes draw the same heads
        seed_rank(config.seed, world)
    with source.training(
        num_steps=config.num_steps, batch_size=config.batch_size, seed=config.seed, share=share
    ) as batch_at:
        trained = fit(
            network,
            adamw(network, lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay),
            batch_at=batch_at,
            compute_loss=lambda model, batch: _loss(model, batch, config),
            lr_factor=lambda step: cosine(
                step,
                num_steps=config.num_steps,
                num_warmup_steps=min(config.optimizer.num_warmup_steps, config.num_steps),
                final_factor=config.optimizer.final_lr_factor,
            ),
            config=LoopConfig(
                num_steps=config.num_steps, precision=config.precision, checkpoint_every=max(1, config.num_steps // 10)
            ),
            run=run,
            check_batch=lambda batch: _check(batch, source),
            validate=lambda model, step: _validate(model, step, config, source, run, world),
            validation=ValidationConfig(
                every=config.validate_every or max(1, config.num_steps // 10), metric="top1", goal="max"
            ),
            world=world,
        )
    if not isinstance(trained, DualTokenViT):
        raise TypeError(f"training returned {type(trained).__name__}; DualTokenViT expected")
    return Anonymizer(trained.cpu(), config.pruning, _facts(config, source))


def _looked_at(network: DualTokenViT, source: ClipSource) -> ClipSource:
    """Clips in memory as what the network's fixed stem sees of them; other clips, or without a stem, as they are."""
    if network.image is None or not isinstance(source, MemorySource):
        return source
    device = next(network.parameters()).device
    with Progress() as progress:
        num_clips = sum(len(source.labels(split).ids) for split in ("train", "val"))
        line = progress.add("looking at clips", num_clips, "clips")
        looked = LookedAt(source, lambda video: network.seen(video.to(device)).cpu(), on_clips=line.advance)
        line.finish()
    return looked


def _facts(config: AnonymizationConfig, source: ClipSource) -> dict[str, Any]:
    """What else is known of the model; `step_s` is the time from one frame to the next of its clips.

    `shown` says what the clips show: whole pictures, or squares that go with a person.
    """
    return {
        "actions": list(source.action_names),
        "attributes": list(source.attribute_names),
        "privacy_mode": config.privacy_mode,
        "config": to_json(config),
        "data": source.name,
        "versions": installed_versions(),
        "step_s": _step_s(config),
        "shown": SHOWN_PEOPLE if isinstance(config.data, PeopleData) else SHOWN_PICTURES,
        "licence": "of its training clips" if isinstance(config.data, VideoData) else "Apache-2.0",
    }


def _step_s(config: AnonymizationConfig) -> float:
    """Time from one frame to the next."""
    if isinstance(config.data, VideoData):
        return config.data.stride / 25.0
    return 1 / config.data.fps if isinstance(config.data, PeopleData) else 1 / 15


def _loss(model: nn.Module, batch: PrivateBatch, config: AnonymizationConfig) -> Mapping[str, Tensor]:
    device = next(model.parameters()).device
    reversal = reversal_weight(batch.progress) if config.privacy_mode == "grl" else None
    found = model(batch.video.to(device), config.pruning, reversal=reversal)
    return dual_loss(
        found.actions,
        found.private,
        batch.actions.to(device),
        batch.private.to(device),
        action_weight=config.action_weight,
    )


def _check(batch: PrivateBatch, source: ClipSource) -> None:
    check_labels(batch.actions, num_classes=len(source.action_names), ids=batch.ids)
    check_private(batch.private, batch.ids)


def _validate(
    model: nn.Module, step: int, config: AnonymizationConfig, source: ClipSource, run: RunDirectory, world: World
) -> Mapping[str, float]:
    """Accuracy of the network's own heads on validation clips; keeps the weights whose attribute head reads least."""
    if not isinstance(model, DualTokenViT):
        raise TypeError(f"{type(model).__name__} is no DualTokenViT")
    actions, private, labels, truth = [], [], [], []
    with torch.inference_mode():
        for batch in source.evaluation("val", batch_size=_EVALUATION_BATCH, num_views=1):
            found = model(batch.video.to(next(model.parameters()).device), config.pruning)
            actions.append(found.actions.float().cpu().numpy())
            private.append(found.private.float().cpu().numpy())
            labels.append(batch.actions.numpy())
            truth.append(batch.private.numpy())
    top1 = top_k(np.concatenate(actions), np.concatenate(labels))
    known = ~np.isnan(np.concatenate(truth)).any(axis=1)
    cmap = mean_average_precision(np.concatenate(private)[known], np.concatenate(truth)[known] > 0)
    if np.isnan(cmap):
        return {"top1": top1}
    if not world.is_first:
        return {"top1": top1, "private_cmap": cmap}
    earlier = [line["private_cmap"] for line in run.read_log() if line.get("event") == "least_private"]
    if not earlier or cmap < min(earlier):
        facts = {"step": step, "chosen": f"lowest mean average precision of the attribute head, {cmap:.4f}"}
        Anonymizer(model, config.pruning, facts).save(run.path / LEAST_PRIVATE_FILE)
        run.log(event="least_private", step=step, private_cmap=cmap)
    return {"top1": top1, "private_cmap": cmap}
