"""One plain training loop.

Batches come from a function of a number that rises by one, so the loop has no data state: a run that was killed goes on
from its last checkpoint and ends, on the CPU and with the same number of threads, in the same bits as if nothing had
happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from torch import Tensor, nn, optim

from tubelet.runs import Progress, RunDirectory
from tubelet.runs.progress import Task
from tubelet.training.best_weights import load_best
from tubelet.training.distributed import ALONE, World
from tubelet.training.gradients import GradientSum
from tubelet.training.ledger import Ledger, summary
from tubelet.training.loop_config import LoopConfig as LoopConfig
from tubelet.training.meter import Meter, sentence
from tubelet.training.parameter_groups import train_mode
from tubelet.training.steps import Training, begin, update, validate_now
from tubelet.training.stopping import ValidationConfig

Batch = TypeVar("Batch")


def fit(
    model: nn.Module,
    optimizer: optim.Optimizer,
    *,
    batch_at: Callable[[int], Batch],
    compute_loss: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
    lr_factor: Callable[[int], float],
    config: LoopConfig,
    run: RunDirectory,
    check_batch: Callable[[Batch], None] | None = None,
    validate: Callable[[nn.Module, int], Mapping[str, float]] | None = None,
    validation: ValidationConfig | None = None,
    num_examples_per_epoch: int | None = None,
    logs: Sequence[Callable[[int, Mapping[str, float]], None]] = (),
    world: World = ALONE,
) -> nn.Module:
    """Train `model`, from the run's latest checkpoint where it has one.

    Args:
        model: On its device; trained in place. Frozen parts stay in evaluation mode.
        optimizer: Over the parameters of `model`, with its base learning rates.
        batch_at: The batch of that number. Called once for each micro-batch, with rising numbers without gaps, first
            with the number of micro-batches that the resumed steps took: an ordered loader can be asked in turn. Where
            a batch has `ids` and `failures`, they are counted, kept in the ledger, and named in errors.
        compute_loss: From the model in training mode and a batch to named scalars, means over the batch's examples;
            `loss` is minimised, all are logged.
        lr_factor: From the step to the factor of the base learning rates.
        config: Length, precision, clipping, averaging, logging.
        run: Where log and checkpoints go.
        check_batch: Looks at every batch before it is used and raises where it cannot be, e.g. `check_labels`.
        validate: From the model that would be returned now, in evaluation mode, and the number of steps done, to
            numbers. Called on every process; those of the first count.
        validation: When to call it and when to stop; the best weights are kept and returned.
        num_examples_per_epoch: Size of the training set, to log epochs.
        logs: Where numbers go beside log.jsonl; see `loggers`.
        world: The processes of this training.

    Returns:
        The trained model, or its running average where `config.ema_decay` is set, in evaluation mode; with the best
        weights where there is a validation.

    Raises:
        TrainingError: The loss or the gradient is not finite, fp16 overflows again and again, the disk is full, or
            another process ended.
        WeightsError: The checkpoint to go on from is damaged or does not fit.
        ConfigError: Settings do not go together, or the checkpoint is of another number of processes.
    """
    if (validate is None) != (validation is None):
        raise ValueError("validate and validation go together; give both or neither")
    training = begin(model, optimizer, config, run, world, logs)
    result = model if training.ema is None else training.ema.model
    with Progress(enabled=None if world.is_first else False) as progress:
        line = progress.add("training", config.num_steps, "steps")
        line.advance(training.first_step)
        done = _train(training, batch_at, compute_loss, lr_factor, check_batch, validate, validation, line)
    ledgers = [Ledger.from_json(each) for each in world.gather(training.loop.ledger.to_json())]
    seen = summary(ledgers, num_examples_per_epoch=num_examples_per_epoch)
    training.log(
        event="end", step=done, best=training.loop.best.to_json(), num_overflows=training.loop.num_overflows, **seen
    )
    if validation is not None:
        load_best(run.checkpoints_path, model=result, best=training.loop.best, names=training.kept_names)
    return result.eval()


def _train(
    training: Training,
    batch_at: Callable[[int], Batch],
    compute_loss: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
    lr_factor: Callable[[int], float],
    check_batch: Callable[[Batch], None] | None,
    validate: Callable[[nn.Module, int], Mapping[str, float]] | None,
    validation: ValidationConfig | None,
    line: Task,
) -> int:
    """The loop; returns the number of steps done, which patience may have made fewer than were planned."""
    config, model, optimizer, loop = training.config, training.model, training.optimizer, training.loop
    gradients = GradientSum(
        model,
        compute_loss,
        num_micro_batches=config.num_micro_batches,
        precision=config.precision,
        scaler=training.scaler,
        world=training.world,
    )
    train_mode(model)
    meter = Meter(gradients.device)
    window: list[dict[str, float]] = []
    done = training.first_step
    for step in range(done, done if loop.best.is_over else config.num_steps):
        meter.start_step()
        factor = lr_factor(step)
        for group, base_lr in zip(optimizer.param_groups, training.base_lrs, strict=True):
            group["lr"] = base_lr * factor

        optimizer.zero_grad(set_to_none=True)
        for index in range(step * config.num_micro_batches, (step + 1) * config.num_micro_batches):
            batch = meter.timed(batch_at, index)
            if check_batch is not None:
                check_batch(batch)
            loop.ledger.record(batch)
            gradients.add(batch, is_last=index + 1 == (step + 1) * config.num_micro_batches)
        found = gradients.finish(optimizer, config.max_gradient_norm)
        if update(training, found, step) and training.ema is not None:
            training.ema.update(model, step)
        meter.end_step(found.num_named)

        done = step + 1
        window.append(found.means)
        line.advance()
        if done % config.log_every == 0 or done == config.num_steps:
            speed = meter.read(config.num_steps - done)
            means = _means(window)
            training.log_numbers("step", done, {"lr_factor": factor, **speed, **means})
            said = f"loss {means['loss']:.3f}, " if "loss" in means else ""
            line.update(description=f"training, {said}{sentence(speed)}")
            window.clear()
        if (
            validate is not None
            and validation is not None
            and (done % validation.every == 0 or done == config.num_steps)
        ):
            validate_now(training, validate, validation, done)
        if done % config.checkpoint_every == 0 or done == config.num_steps or loop.best.is_over:
            training.save(done)
        if loop.best.is_over:
            break
    return done


def _means(window: list[dict[str, float]]) -> dict[str, float]:
    """Means over the steps that have the number; one that saw no example has none."""
    names = {name: None for numbers in window for name in numbers}
    return {
        name: sum(values) / len(values)
        for name in names
        for values in [[numbers[name] for numbers in window if name in numbers]]
    }
