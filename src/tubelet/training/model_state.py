"""A model's and an optimiser's state as whole tensors on the CPU, from wherever they are: here, or spread by FSDP."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tubelet.errors import WeightsError

if TYPE_CHECKING:
    from torch.distributed.checkpoint.state_dict import StateDictOptions


def is_sharded(model: nn.Module) -> bool:
    """Whether `sharding.shard` has spread the model over the processes."""
    # Where a model was, this module is loaded; importing it for all the others would cost them half a second.
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(model, fsdp.FSDPModule)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a model; of a sharded one, gathered by all processes together and filled on the first only."""
    if is_sharded(model):
        from torch.distributed.checkpoint.state_dict import get_model_state_dict

        whole = get_model_state_dict(model, options=_whole())
        return {name: value for name, value in whole.items() if torch.is_tensor(value)}
    return dict(model.state_dict())


def load_model_tensors(
    model: nn.Module, tensors: Mapping[str, Tensor], *, where: str, may_lack: Collection[str]
) -> None:
    """Put tensors into a model, all of them and no others.

    Args:
        model: What they are for.
        tensors: By name.
        where: Where they come from, for messages.
        may_lack: Names that the model has and `tensors` need not have.

    Raises:
        WeightsError: Names or shapes differ; where only the last layer's width does, the message gives both counts of
            classes.
    """
    own = model.state_dict()
    missing = sorted(own.keys() - tensors.keys() - set(may_lack))
    unknown = sorted(tensors.keys() - own.keys())
    shapes = {
        name: (tuple(tensor.shape), tuple(own[name].shape))
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    }
    if not missing and not unknown and not shapes:
        if is_sharded(model):
            from torch.distributed.checkpoint.state_dict import set_model_state_dict

            set_model_state_dict(model, dict(tensors), options=_whole())
        else:
            model.load_state_dict(dict(tensors), strict=False)  # what is lacking was checked above
        return
    counts = {(theirs[0], ours[0]) for theirs, ours in shapes.values() if theirs[1:] == ours[1:] and theirs and ours}
    owners = {name.rpartition(".")[0] for name in shapes}
    is_head = len(counts) == len(owners) == 1 and all(theirs[1:] == ours[1:] for theirs, ours in shapes.values())
    if is_head and not missing and not unknown:
        ((theirs, ours),) = counts
        raise WeightsError(
            f"{where}: its last layer ({next(iter(owners)) or 'the model'}) is for {theirs} classes, and the model has "
            f"{ours}; give data with the same classes, or start a new run from these weights with a new head"
        )
    said = [f"{what} {_shown(names)}" for what, names in (("lacks", missing), ("has unknown", unknown)) if names]
    said += [f"{name} has shape {theirs}, needed {ours}" for name, (theirs, ours) in list(shapes.items())[:3]]
    raise WeightsError(f"{where}: the weights do not fit the model: {'; '.join(said)}; it is of another model or size")


def trained_names(model: nn.Module) -> set[str]:
    """Names in the state dict that training changes: parameters that are not frozen, and buffers."""
    frozen = {name for name, each in model.named_parameters(remove_duplicate=False) if not each.requires_grad}
    return model.state_dict().keys() - frozen


def frozen_sha256(model: nn.Module) -> str:
    """A sha256 over names and values of the frozen parameters: what the trained ones were trained upon."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters(remove_duplicate=False)):
        if not parameter.requires_grad:
            digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}\n".encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's state dict, whole; all processes take part where the model is sharded."""
    if is_sharded(model):
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        return dict(get_optimizer_state_dict(model, optimizer, options=_whole()))
    return optimizer.state_dict()


def load_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimiser what `optimizer_state` returned."""
    if is_sharded(model):
        from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

        set_optimizer_state_dict(model, optimizer, state, options=_whole())
    else:
        optimizer.load_state_dict(state)


def _whole() -> StateDictOptions:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)


def _shown(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
