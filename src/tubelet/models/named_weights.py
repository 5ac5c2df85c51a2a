"""Published weights whose names are the network's own: loaded whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.models.checkpoint_files import read_state

_NUM_SHOWN = 5


def load_named_weights(
    model: nn.Module,
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    *,
    head: Sequence[str],
    new_head: bool = False,
) -> None:
    """Load weights whose names are the model's own; all of them fit, or nothing is changed.

    Args:
        model: The network.
        source: A `.safetensors` file, a file of PyTorch with nothing but data in it, or named tensors.
        head: Names of the classifier's weight and bias, which may differ in their number of classes.
        new_head: Leave the classifier of the checkpoint out and keep the model's own, whatever its classes.

    Raises:
        WeightsError: The source cannot be read; names are missing or unknown; a shape differs; or the classifier has
            another number of classes and `new_head` was not asked for.
    """
    name = type(model).__name__
    state = dict(source) if isinstance(source, Mapping) else read_state(source)
    wanted = model.state_dict()
    if new_head:
        state = {key: value for key, value in state.items() if key not in head}
        wanted = {key: value for key, value in wanted.items() if key not in head}
    # Counts of batches are no weights, and older checkpoints lack them.
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in wanted]
    if missing or unexpected:
        raise WeightsError(
            f"these are no weights of this {name}: missing {_some(missing)}; unknown {_some(unexpected)}. "
            "Make the network that they belong to, or bring other weights"
        )
    first = head[0]
    if not new_head and state[first].shape != wanted[first].shape and state[first].shape[1:] == wanted[first].shape[1:]:
        raise WeightsError(
            f"the checkpoint has {state[first].shape[0]} classes and this {name} has {wanted[first].shape[0]}; "
            "make the network with as many classes, or load with new_head=True and train its classifier"
        )
    differing = [
        f"{key} is {tuple(value.shape)} and should be {tuple(wanted[key].shape)}"
        for key, value in state.items()
        if value.shape != wanted[key].shape
    ]
    if differing:
        raise WeightsError(
            f"these weights belong to another size of {name} (or to clips of another size): {_some(differing)}"
        )
    model.load_state_dict(state, strict=False)


def _some(names: Sequence[str]) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - _NUM_SHOWN} more" if len(names) > _NUM_SHOWN else ""
    return ", ".join(names[:_NUM_SHOWN]) + rest


def classifier(num_features: int, num_classes: int, std: float) -> nn.Linear:
    """A fresh classifier.

    Args:
        num_features: What it reads.
        num_classes: Classes.
        std: Standard deviation of its weights; biases are 0.

    Raises:
        ValueError: Fewer than one class.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; must be at least 1")
    fresh = nn.Linear(num_features, num_classes)
    nn.init.normal_(fresh.weight, std=std)
    nn.init.zeros_(fresh.bias)
    return fresh
