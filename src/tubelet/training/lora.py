"""LoRA: a large network stays as it is, and small matrices beside its linear layers are trained with the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from tubelet.errors import ConfigError, MissingExtraError

VIT_TARGETS = ("qkv", "proj", "fc1", "fc2")
"""The linear layers of the video transformers here."""
TRANSFORMERS_TARGETS = ("query", "key", "value", "q_proj", "k_proj", "v_proj")
"""Those of attention in most models of `transformers`."""


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Size and place of the trained matrices.

    Attributes:
        rank: Inner width.
        alpha: Their product is scaled by `alpha` / `rank`.
        dropout: On their input.
        targets: Names (last parts) of the linear layers that get them.
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: tuple[str, ...] = VIT_TARGETS

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; allowed: 1 or more")
        if self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}; allowed: 1 or more")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout:g}; allowed: 0 to below 1")
        if not self.targets:
            raise ValueError("targets are empty; allowed: names of linear layers")


def add_lora(model: nn.Module, config: LoraConfig, *, trained: Sequence[nn.Module]) -> None:
    """Freeze a model, put trained matrices beside its linear layers, and leave the given parts trainable. In place.

    To be called before the optimiser is made. What the model computes does not change until it is trained. Train with
    `LoopConfig(keep_frozen=False)` to keep checkpoints small.

    Args:
        model: With its pretrained weights.
        config: Size and place.
        trained: Parts that are trained whole: the head.

    Raises:
        MissingExtraError: peft is not installed.
        ConfigError: No linear layer has one of the names.

    Source: Hu et al., LoRA, 2021; the peft library.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError(
            f"LoRA needs the package peft ({error}); install it with: pip install 'tubelet[lora]'"
        ) from error
    inside = {id(each) for part in trained for each in part.modules()}
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in inside
    }
    chosen = [name for name in linear if name.rpartition(".")[2] in config.targets]
    if not chosen:
        there = sorted({name.rpartition(".")[2] for name in linear})
        raise ConfigError(
            f"no linear layer of {type(model).__name__} is named {', '.join(config.targets)}; "
            f"name some of those that are there as targets: {', '.join(there) or 'none'}"
        )
    settings = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=chosen, bias="none"
    )
    kept = [parameter for part in trained for parameter in part.parameters()]
    peft.inject_adapter_in_model(settings, model)
    for parameter in kept:
        parameter.requires_grad_(True)


def merge_lora(model: nn.Module) -> int:
    """Add the trained matrices to the layers beside which they lie, and take them out: a plain model again. In place.

    Returns:
        How many layers were merged.

    Raises:
        ConfigError: There are none.
    """
    merged = 0
    for name, module in list(model.named_modules()):
        if not hasattr(module, "lora_A"):
            continue
        layer: Any = module
        layer.merge()
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, layer.get_base_layer())
        merged += 1
    if not merged:
        raise ConfigError(f"{type(model).__name__} has no LoRA layers to merge; `add_lora` puts them in")
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return merged
