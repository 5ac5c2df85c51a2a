"""A kit (seed, optimiser, schedule, average, checkpoint) and one plain loop."""

from tubelet.training.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from tubelet.training.distributed import World, joined, seed_rank
from tubelet.training.ema import Ema
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.optimizer import OptimizerConfig, adamw
from tubelet.training.schedule import cosine, step_decay
from tubelet.training.seed import random_state, restore_random_state, seed_everything, step_generator
from tubelet.training.sharding import shard
from tubelet.training.stopping import ValidationConfig
from tubelet.training.weights_files import load_weights, save_weights

__all__ = [
    "Ema",
    "LoopConfig",
    "OptimizerConfig",
    "ValidationConfig",
    "World",
    "adamw",
    "cosine",
    "fit",
    "joined",
    "latest_checkpoint",
    "load_checkpoint",
    "load_weights",
    "random_state",
    "restore_random_state",
    "save_checkpoint",
    "save_weights",
    "seed_everything",
    "seed_rank",
    "shard",
    "step_decay",
    "step_generator",
]
