"""Which patches form a group: the unit that is kept or removed, and one visual token of a language model."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def group_of_patch(groups: Int64[Tensor, "groups patches"]) -> Int64[Tensor, " grid"]:
    """The group of each patch."""
    there = groups >= 0
    numbers = torch.arange(len(groups), device=groups.device)[:, None].expand_as(groups)
    found = torch.empty(int(there.sum()), dtype=torch.int64, device=groups.device)
    found[groups[there]] = numbers[there]
    return found


def sums_over_groups(
    values: Float[Tensor, "frames grid"], groups: Int64[Tensor, "groups patches"]
) -> Float[Tensor, "frames groups"]:
    """Sum over the patches of each group."""
    return values.new_zeros(len(values), len(groups)).index_add(1, group_of_patch(groups), values)
