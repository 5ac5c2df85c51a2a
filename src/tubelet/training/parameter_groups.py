"""Which parameters are trained, how fast, and with how much decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from tubelet.errors import ConfigError

_NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,  # batch and instance norms of every dimension
)
# Last parts of names of parameters that are added to tokens, or are tokens: decay would pull them towards no place and
# no meaning.
_ADDED = ("position", "pos_embed", "rel_pos", "cls", "class_token", "mask_token", "query_token")


@runtime_checkable
class Layered(Protocol):
    """A network that knows how deep each of its parameters lies."""

    num_layers: int

    def layer_of(self, parameter_name: str) -> int:
        """0 for the stem to `num_layers` - 1 for the head."""


def layerwise_adamw(model: nn.Module, *, lr: float, weight_decay: float, layer_decay: float = 1.0) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, slower towards the input, without decay where decay does harm.

    Args:
        model: With `layer_of` and `num_layers` where `layer_decay` is not 1.
        lr: Of the head.
        weight_decay: Of matrices and kernels. Biases, norms, positions and class tokens have none.
        layer_decay: Factor of the learning rate from each layer to the one below it; 1 for none.

    Raises:
        ConfigError: Nothing is trainable, `layer_decay` is not in 0..1, or the model does not say how deep its
            parameters lie.

    Source: Clark et al., ELECTRA, 2020 (layer-wise decay); Bao et al., BEiT, 2022, for vision transformers.
    """
    if not 0 < layer_decay <= 1:
        raise ConfigError(f"layer_decay is {layer_decay:g}; allowed: above 0, to 1 for one rate everywhere")
    if layer_decay < 1 and not isinstance(model, Layered):
        raise ConfigError(
            f"layer_decay is {layer_decay:g}, and {type(model).__name__} does not say how deep its parameters lie "
            "(layer_of, num_layers); set it to 1"
        )
    without = undecayed_names(model)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        depth = model.layer_of(name) if layer_decay < 1 and isinstance(model, Layered) else 0
        above = model.num_layers - 1 - depth if layer_decay < 1 and isinstance(model, Layered) else 0
        if above < 0:
            raise ValueError(f"layer_of({name!r}) is {depth}; needed: 0 to {depth + above}")
        is_decayed = name not in without
        group = groups.setdefault(
            (-above, is_decayed),
            {"params": [], "lr": lr * layer_decay**above, "weight_decay": weight_decay if is_decayed else 0.0},
        )
        group["params"].append(parameter)
    if not groups:
        raise ConfigError(f"no parameter of {type(model).__name__} is trainable; leave at least the head unfrozen")
    return torch.optim.AdamW([groups[key] for key in sorted(groups)], lr=lr)


def undecayed_names(model: nn.Module) -> set[str]:
    """Names of parameters that weight decay should leave alone: vectors, norms, positions and class tokens."""
    in_norms = {id(each) for module in model.modules() if isinstance(module, _NORMS) for each in module.parameters()}
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim < 2 or id(parameter) in in_norms or any(word in name.rpartition(".")[2] for word in _ADDED)
    }


def freeze_all_but(model: nn.Module, trained: Iterable[nn.Module]) -> None:
    """Train only these parts of a model: the head, for a linear probe.

    Raises:
        ConfigError: They have no parameters.
    """
    kept = {id(parameter) for part in trained for parameter in part.parameters()}
    if not kept:
        raise ConfigError(f"the part of {type(model).__name__} that was to be trained has no parameters")
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in kept)


def train_mode(model: nn.Module) -> None:
    """Training mode, except in parts with nothing to train: their batch norms keep the statistics that they came with.

    A part is a module that has parameters, all of them frozen; dropout inside of it is off too, so that a linear probe
    sees the features that it will see later.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Numbers that are trained, and numbers in all."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, is_trained in sizes if is_trained), sum(size for size, _ in sizes)
