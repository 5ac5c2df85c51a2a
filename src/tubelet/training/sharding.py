"""Models that do not fit one device, spread over the processes of a training with FSDP2."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from tubelet.errors import ConfigError
from tubelet.training.distributed import World


def shard(model: nn.Module, world: World, *, blocks: Iterable[nn.Module] = ()) -> nn.Module:
    """Spread parameters, gradients and the optimiser's state over the processes; done in place.

    To be called on the world's device, before the optimiser is made. All processes get the weights of the first.
    Afterwards the loss must be computed through `model(…)`, which gathers the parameters, not through its methods.

    Args:
        model: On the device of `world`.
        world: From `joined`.
        blocks: Parts of the model that are gathered one at a time, e.g. the blocks of a transformer; what is left is
            gathered as a whole.

    Returns:
        The model.

    Raises:
        ConfigError: There is one process only.

    Source: Zhao et al., PyTorch FSDP, 2023; torch.distributed.fsdp.fully_shard.
    """
    if world.size == 1:
        raise ConfigError("sharding spreads a model over several processes, and this is one; start them with torchrun")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    world.send_from_first([*model.parameters(), *model.buffers()])
    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model
