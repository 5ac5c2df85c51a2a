"""The gradient of one optimiser step, of one batch or of several that together count as one."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tubelet.errors import ConfigError, TrainingError
from tubelet.training.distributed import ALONE, World
from tubelet.training.ledger import ids_of
from tubelet.training.model_state import is_sharded
from tubelet.training.precision import Precision, autocast

Batch = TypeVar("Batch")


@dataclass(kw_only=True)
class StepNumbers:
    """What the micro-batches of one step gave, over all processes.

    Attributes:
        num_examples: Examples; where batches do not name them, batches.
        num_named: Those of them that have names.
        means: Of each number that `compute_loss` gave, over examples.
        ids: Names of this process's examples.
        suspects: Those of them that were in a micro-batch of which a number was not finite.
    """

    num_examples: int = 0
    num_named: int = 0
    means: dict[str, float] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)


class _Loss(nn.Module):
    """Model and loss in one module: DDP watches one `forward`, and a loss may use the model's other methods."""

    def __init__(self, model: nn.Module, compute_loss: Callable[[nn.Module, Any], Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self._compute_loss = compute_loss

    def forward(self, batch: object) -> Mapping[str, Tensor]:
        """The numbers of a batch; of none, a zero that reaches every parameter, so that no process is waited for."""
        if batch is not None:
            return self._compute_loss(self.model, batch)
        zeros = [parameter.sum() * 0.0 for parameter in self.model.parameters() if parameter.requires_grad]
        return {"loss": torch.stack(zeros).sum()}


class GradientSum(Generic[Batch]):
    """Adds up gradients so that they are those of the mean loss over all examples of a step.

    One process with one batch per step computes what `loss.backward()` does and no more. Else each micro-batch weighs
    as much as it has examples, so uneven ones, and ones that are empty on some process, give what one big batch gives.

    Args:
        model: In training mode, on its device.
        compute_loss: From model and batch to named scalars, each a mean over the batch's examples; `loss` is minimised.
        num_micro_batches: Micro-batches of a step, per process.
        precision: Of the forward pass.
        scaler: For fp16.
        world: The processes of this training.

    Attributes:
        device: Where the model is.

    Raises:
        ConfigError: fp16 and a sharded model do not go together.
    """

    def __init__(
        self,
        model: nn.Module,
        compute_loss: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
        *,
        num_micro_batches: int = 1,
        precision: Precision = "fp32",
        scaler: torch.amp.GradScaler | None = None,
        world: World = ALONE,
    ) -> None:
        if is_sharded(model) and scaler is not None:
            raise ConfigError("precision is 'fp16' and the model is sharded, which do not go together; use bf16")
        self._model, self._world, self._scaler = model, world, scaler
        self._precision: Precision = precision
        self.device = next((each.device for each in model.parameters()), torch.device("cpu"))
        self._is_weighted = num_micro_batches > 1 or world.size > 1
        loss = _Loss(model, compute_loss)
        self._loss = loss if world.size == 1 or is_sharded(model) else DistributedDataParallel(loss)
        self._reset()

    def add(self, batch: Batch, *, is_last: bool) -> None:
        """Forward and backward of one micro-batch.

        Args:
            batch: Names its examples in `ids` where there are several micro-batches or processes.
            is_last: Whether it is the last of this step: then the processes exchange their gradients.

        Raises:
            TypeError: The batch does not say how many examples it has, and must.
            TrainingError: It is empty on some process and the model is sharded.
        """
        ids = ids_of(batch)
        if ids is None and self._is_weighted:
            raise TypeError(
                f"{type(batch).__name__} has no `ids`; batches name their examples where several make up one step"
            )
        num_examples = 1 if ids is None else len(ids)
        # All must know before the forward pass, in which they gather each other's parameters.
        if is_sharded(self._model) and 0 in (counts := self._world.gather(num_examples)):
            raise TrainingError(
                f"no clip of a batch of process {counts.index(0)} could be read, and a sharded model needs one on "
                "each; use larger batches, or leave the broken files out (`tubelet check` lists them)"
            )
        if num_examples == 0 and not isinstance(self._loss, DistributedDataParallel):
            return
        with self._exchange_only_if(is_last):
            with autocast(self.device, self._precision):
                numbers = self._loss(batch if num_examples else None)
            loss: Tensor = numbers["loss"]
            weighted = loss * num_examples if self._is_weighted else loss
            (weighted if self._scaler is None else self._scaler.scale(weighted)).backward()  # type: ignore[no-untyped-call]
        values = {name: value.item() for name, value in numbers.items()} if num_examples else {}
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * num_examples
        self._num_examples += num_examples
        self._ids += ids or []
        if not all(math.isfinite(value) for value in values.values()):
            self._suspects += ids or []

    def finish(self, optimizer: torch.optim.Optimizer, max_norm: float | None) -> StepNumbers:
        """Make the sum a mean over all examples of all processes, undo the scale of fp16, and clip.

        Args:
            optimizer: Over the parameters of the model.
            max_norm: Gradients are scaled down to this norm; None to leave them.

        Returns:
            The step's numbers, the same on every process; `gradient_norm` is the norm before clipping.
        """
        found = self._exchanged()
        self._reset()
        if found.num_examples == 0:
            return found
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)
        parameters = list(self._model.parameters())
        if self._is_weighted:
            # DDP and FSDP have divided by the number of processes already.
            factor = self._world.size / found.num_examples
            torch._foreach_mul_([each.grad for each in parameters if each.grad is not None], factor)
        norm: Any = torch.nn.utils.clip_grad_norm_(parameters, max_norm or math.inf)
        found.means["gradient_norm"] = float(norm.full_tensor() if is_sharded(self._model) else norm)
        return found

    def _exchanged(self) -> StepNumbers:
        parts = self._world.gather([self._num_examples, len(self._ids), self._sums])
        total = sum(part[0] for part in parts)
        names = next((list(part[2]) for part in parts if part[2]), [])
        return StepNumbers(
            num_examples=total,
            num_named=sum(part[1] for part in parts),
            means={name: sum(part[2].get(name, 0.0) for part in parts) / total for name in names},
            ids=self._ids,
            suspects=self._suspects,
        )

    def _reset(self) -> None:
        self._num_examples = 0
        self._sums: dict[str, float] = {}
        self._ids: list[str] = []
        self._suspects: list[str] = []

    def _exchange_only_if(self, is_last: bool) -> AbstractContextManager[None]:
        if is_sharded(self._model):
            sharded: Any = self._model
            sharded.set_requires_gradient_sync(is_last)
        elif isinstance(self._loss, DistributedDataParallel) and not is_last:
            return self._loss.no_sync()
        return contextlib.nullcontext()
