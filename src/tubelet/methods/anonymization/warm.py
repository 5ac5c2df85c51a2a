"""A start for networks without image weights: one token learns to read everything, and both become copies of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tubelet.datasets.order import Share
from tubelet.errors import OutputExistsError
from tubelet.methods.anonymization.data import ClipSource, PrivateBatch
from tubelet.methods.anonymization.losses import dual_loss
from tubelet.methods.anonymization.model import DualTokenViT
from tubelet.methods.anonymization.pruning import ContrastPruning, PruningConfig
from tubelet.runs import RunDirectory
from tubelet.training.distributed import ALONE, World
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.optimizer import OptimizerConfig, adamw
from tubelet.training.schedule import cosine

_STREAM = 1_000_003  # batches of another order than those of the training that follows


class _OneToken(nn.Module):
    """Reads actions and attributes from the first CLS token, without pruning."""

    def __init__(self, network: DualTokenViT, pruning: PruningConfig) -> None:
        super().__init__()
        self.vit, self.privacy_head = network.vit, network.privacy_head
        self.seen = network.seen
        self.pruning = replace(pruning, keep=1.0)

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        video = self.seen(video)
        reduction = ContrastPruning(self.vit.grid_of(video), self.pruning, depth=len(self.vit.blocks))
        pooled = self.vit.encode(video, reduction=reduction).pooled
        return self.vit.head(pooled), self.privacy_head(pooled)


def warm_start(
    network: DualTokenViT,
    source: ClipSource,
    folder: Path,
    *,
    pruning: PruningConfig,
    num_steps: int,
    batch_size: int,
    optimizer: OptimizerConfig,
    seed: int,
    action_weight: float = 1.0,
    world: World = ALONE,
) -> None:
    """Train the transformer to read actions and attributes by one token, then copy that token over the other.

    It stands in for the image weights that the published method starts from: features that know nothing yet of which
    token is for what. The heads are drawn anew afterwards.

    Args:
        network: Trained in place.
        source: Its training clips are used.
        folder: Of the run, which goes on where it was cut off.
        pruning: How tokens may attend to each other; nothing is removed here.
        num_steps: Of the training.
        batch_size: Clips of a step.
        optimizer: Of the training.
        seed: Of batches.
        action_weight: Of the action's loss.
        world: The processes of this training.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if world.is_first:
        with suppress(OutputExistsError):
            RunDirectory.create(folder, {"recipe": "warm start", "seed": seed})
    world.gather(None)  # the folder is there before anyone looks into it
    run = RunDirectory.open(folder)
    share = Share(rank=world.rank, world_size=world.size)
    one = _OneToken(network, pruning)
    device = next(network.parameters()).device
    with source.training(num_steps=num_steps, batch_size=batch_size, seed=seed + _STREAM, share=share) as batch_at:
        fit(
            one,
            adamw(one, lr=optimizer.lr, weight_decay=optimizer.weight_decay),
            batch_at=batch_at,
            compute_loss=lambda model, batch: _loss(model, batch, device, action_weight),
            lr_factor=lambda step: cosine(
                step,
                num_steps=num_steps,
                num_warmup_steps=min(optimizer.num_warmup_steps, num_steps),
                final_factor=optimizer.final_lr_factor,
            ),
            config=LoopConfig(num_steps=num_steps, checkpoint_every=max(1, num_steps // 2)),
            run=run,
            world=world,
        )
    with torch.no_grad():
        if network.vit.cls_tokens is not None:
            network.vit.cls_tokens.copy_(network.vit.cls_tokens[:, :1].expand_as(network.vit.cls_tokens))
        for head in (network.vit.head, network.privacy_head):
            nn.init.trunc_normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
    network.train()


def _loss(model: nn.Module, batch: PrivateBatch, device: torch.device, action_weight: float) -> Mapping[str, Tensor]:
    actions, private = model(batch.video.to(device))
    return dual_loss(actions, private, batch.actions.to(device), batch.private.to(device), action_weight=action_weight)
