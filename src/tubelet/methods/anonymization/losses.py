"""What the anonymiser is trained with: the action's loss, the attributes' loss, and gradient reversal between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, weight: float) -> Tensor:  # noqa: ANN401 - torch's own type is Any
        context.weight = weight
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return -context.weight * gradients[0], None


def reverse_gradient(values: Tensor, weight: float) -> Tensor:
    """The same values, whose gradient comes back multiplied by -weight.

    Source: Ganin and Lempitsky 2015 (arXiv:1409.7495), eq. 1 to 3.
    """
    reversed_values: Tensor = _Reversed.apply(values, weight)  # type: ignore[no-untyped-call]
    return reversed_values


def reversal_weight(progress: float) -> float:
    """Rises from 0 at the beginning of training to nearly 1 at its end.

    Args:
        progress: Share of the training that is done, 0 to 1.

    Raises:
        ValueError: It is not a share.

    Source: Ganin and Lempitsky 2015, section 4.1; arXiv:2603.26336's code.
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress is {progress:g}; allowed: 0 to 1")
    return 2 / (1 + math.exp(-10 * progress)) - 1


def attribute_loss(
    logits: Float[Tensor, "batch attributes"], private: Float[Tensor, "batch attributes"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy, averaged over the attributes that are known; 0 where none is."""
    known = ~private.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits.float(), private.nan_to_num(0.0).float(), reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp(min=1)


def dual_loss(
    action_logits: Float[Tensor, "batch actions"],
    private_logits: Float[Tensor, "batch attributes"],
    actions: Int64[Tensor, " batch"],
    private: Float[Tensor, "batch attributes"],
    *,
    action_weight: float = 1.0,
) -> Mapping[str, Float[Tensor, ""]]:
    """What training minimises: `loss`, and its two parts.

    Args:
        action_logits: From the action's CLS token.
        private_logits: From the privacy CLS token, behind the gradient reversal where there is one.
        actions: Which action each clip shows.
        private: 1, 0, or NaN for unknown.
        action_weight: Of the action's cross-entropy.

    Source: arXiv:2603.26336's code.
    """
    action = nn.functional.cross_entropy(action_logits.float(), actions)
    attributes = attribute_loss(private_logits, private)
    return {"loss": action_weight * action + attributes, "action_loss": action, "private_loss": attributes}
