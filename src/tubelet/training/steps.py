"""What surrounds the loop's steps: how a training begins, when an update counts, what validation and logs do."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tubelet.errors import ConfigError, TrainingError
from tubelet.runs import RunDirectory
from tubelet.training.best_weights import save_best
from tubelet.training.checkpoint import LoopState, latest_checkpoint, load_checkpoint, save_checkpoint, writing
from tubelet.training.distributed import World
from tubelet.training.ema import Ema
from tubelet.training.gradients import StepNumbers
from tubelet.training.loop_config import LoopConfig
from tubelet.training.model_state import is_sharded, trained_names
from tubelet.training.parameter_groups import train_mode
from tubelet.training.precision import gradient_scaler
from tubelet.training.seed import random_state, restore_random_state
from tubelet.training.stopping import ValidationConfig

_NUM_SHOWN = 8  # names of examples in a message


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a training consists of while it goes on."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    base_lrs: list[float]
    ema: Ema | None
    scaler: torch.amp.GradScaler | None
    loop: LoopState
    first_step: int
    kept_names: Collection[str] | None
    config: LoopConfig
    run: RunDirectory
    world: World
    logs: Sequence[Callable[[int, Mapping[str, float]], None]]

    def log(self, **record: object) -> None:
        """Append a line to log.jsonl."""
        if self.world.is_first:
            with writing(self.run.log_path, self.run.checkpoints_path):
                self.run.log(**record)

    def log_numbers(self, event: str, step: int, numbers: Mapping[str, float], **more: object) -> None:
        """Append numbers to log.jsonl and to the other logs; what is not finite has no word in JSON and is null."""
        self.log(
            event=event,
            step=step,
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            **more,
        )
        if self.world.is_first:
            for log in self.logs:
                log(step, {name if event == "step" else f"{event}/{name}": value for name, value in numbers.items()})

    def save(self, step: int) -> None:
        """Write a checkpoint; all processes together."""
        save_checkpoint(
            self.run.checkpoints_path,
            step=step,
            model=self.model,
            optimizer=self.optimizer,
            ema=self.ema,
            scaler=self.scaler,
            loop=self.loop,
            world=self.world,
            trained_only=not self.config.keep_frozen,
        )


def begin(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: LoopConfig,
    run: RunDirectory,
    world: World,
    logs: Sequence[Callable[[int, Mapping[str, float]], None]],
) -> Training:
    """Set up what the config asks for, and go on from the latest checkpoint where there is one."""
    if is_sharded(model) and (config.ema_decay is not None or not config.keep_frozen):
        raise ConfigError(
            "the model is sharded, which goes neither with a weight average (ema_decay) nor with checkpoints of the "
            "trained weights alone (keep_frozen); leave these at their defaults"
        )
    if not is_sharded(model):
        world.send_from_first([*model.parameters(), *model.buffers()])
    device = next((each.device for each in model.parameters()), world.device)
    base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
    ema = None if config.ema_decay is None else Ema(model, config.ema_decay)
    scaler, loop, first_step = gradient_scaler(device, config.precision), LoopState(), 0
    checkpoint = latest_checkpoint(run.checkpoints_path)
    if checkpoint is not None:
        first_step = load_checkpoint(
            checkpoint, model=model, optimizer=optimizer, ema=ema, scaler=scaler, loop=loop, world=world
        )
    if len(set(world.gather(first_step))) > 1:
        raise ConfigError(
            f"process {world.rank} finds step {first_step} in {run.checkpoints_path} and others find another; "
            "all processes need the same run folder, on storage that all machines share"
        )
    training = Training(
        model=model,
        optimizer=optimizer,
        base_lrs=base_lrs,
        ema=ema,
        scaler=scaler,
        loop=loop,
        first_step=first_step,
        kept_names=None if config.keep_frozen else trained_names(model),
        config=config,
        run=run,
        world=world,
        logs=logs,
    )
    training.log(
        event="start",
        step=first_step,
        num_steps=config.num_steps,
        num_threads=torch.get_num_threads(),
        num_processes=world.size,
        precision=config.precision,
        device=str(device),
    )
    return training


def update(training: Training, found: StepNumbers, step: int) -> bool:
    """Let the optimiser take its step; not where there was no example, and not where fp16 overflowed.

    Raises:
        TrainingError: The loss or the gradient is not finite, or fp16 has overflowed too often in a row.
    """
    loop, scaler, config = training.loop, training.scaler, training.config
    if found.num_examples == 0:
        training.log(event="empty_step", step=step)
        return False
    bad = {name: repr(value) for name, value in found.means.items() if not math.isfinite(value)}
    if scaler is None:
        _require_finite(training, found, bad, step)
        training.optimizer.step()
        return True
    if bad.keys() != {"gradient_norm"}:
        _require_finite(training, found, bad, step)
    scaler.step(training.optimizer)  # takes no step where a gradient is infinite
    scaler.update()
    if not bad:
        loop.overflows_in_a_row = 0
        return True
    del found.means["gradient_norm"]
    loop.num_overflows += 1
    loop.overflows_in_a_row += 1
    if loop.overflows_in_a_row >= config.max_overflows_in_a_row:
        training.log(event="overflow", step=step, in_a_row=loop.overflows_in_a_row, scale=scaler.get_scale())
        raise TrainingError(
            f"training stopped at step {step}: fp16 overflowed {loop.overflows_in_a_row} times in a row, at last with "
            f"a scale of {scaler.get_scale():g}; {_last_good(training)}. Use bf16 or fp32, or lower the learning rate"
        )
    return False


def _require_finite(training: Training, found: StepNumbers, bad: Mapping[str, str], step: int) -> None:
    """Stop before the optimiser spreads a NaN through the weights, and say which examples were in the batch."""
    if not bad:
        return
    # The means are the same on all processes, so all come here, and each can name the examples of all.
    suspects, all_ids = training.world.gather(found.suspects), training.world.gather(found.ids)
    names = [name for part in (suspects if any(suspects) else all_ids) for name in part]
    training.log(event="diverged", step=step, ids=names, **bad)
    said = ", ".join(f"{name} is {value}" for name, value in bad.items())
    shown = ", ".join(names[:_NUM_SHOWN]) + (f" and {len(names) - _NUM_SHOWN} more" if len(names) > _NUM_SHOWN else "")
    first = step * training.config.num_micro_batches
    last = first + training.config.num_micro_batches - 1
    where = f"batch {first}" if first == last else f"batches {first} to {last}"
    raise TrainingError(
        f"training stopped at step {step}: {said} ({where}{f': {shown}' if names else ''}); {_last_good(training)}. "
        "Lower the learning rate, or look at the clips of this step (log.jsonl names them all), and start anew; "
        "--resume with the same settings comes to the same point"
    )


def _last_good(training: Training) -> str:
    checkpoint = latest_checkpoint(training.run.checkpoints_path)
    return f"the last good checkpoint is {checkpoint}" if checkpoint else "there is no checkpoint yet"


def validate_now(
    training: Training,
    validate: Callable[[nn.Module, int], Mapping[str, float]],
    validation: ValidationConfig,
    done: int,
) -> None:
    """Judge the weights on held-out data without leaving a trace in the random numbers of training."""
    model, world, best = (
        training.model if training.ema is None else training.ema.model,
        training.world,
        training.loop.best,
    )
    before = random_state()
    model.eval()
    with torch.no_grad():
        numbers = {name: float(value) for name, value in validate(model, done).items()}
    restore_random_state(before)
    train_mode(training.model)
    numbers = world.gather(numbers)[0]
    is_best = best.judge(numbers, done, validation)
    if is_best:
        save_best(training.run.checkpoints_path, model=model, best=best, names=training.kept_names, world=world)
    training.log_numbers("validation", done, numbers, is_best=is_best)
