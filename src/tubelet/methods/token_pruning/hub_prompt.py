"""The prompt of a published model without the placeholders of visual tokens that are gone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

IGNORED = -100
"""Label of what no loss counts."""


@dataclass(frozen=True, kw_only=True)
class ShortPrompt:
    """A batch of prompts, filled up to one length.

    Attributes:
        columns: Of each place, where it stood in the whole prompt.
        there: Which places are no padding.
    """

    columns: Int64[Tensor, "batch places"]
    there: Bool[Tensor, "batch places"]

    def taken(self, whole: Int64[Tensor, "*rows batch tokens"], padding: int) -> Int64[Tensor, "*rows batch places"]:
        """Of each token of the whole prompt something, for the places that are left."""
        shape = (*whole.shape[:-1], self.columns.shape[1])
        return whole.gather(-1, self.columns.expand(shape)).masked_fill(~self.there, padding)


def shortened(
    input_ids: Int64[Tensor, "batch tokens"],
    mask: Bool[Tensor, "batch tokens"],
    video_token_id: int,
    kept: Bool[Tensor, " placeholders"],
    *,
    left: bool,
) -> ShortPrompt:
    """Leave out placeholders.

    Args:
        input_ids: The whole prompts.
        mask: Which of their tokens are no padding.
        video_token_id: The placeholder.
        kept: Which placeholders stay, over all prompts one after the other.
        left: Whether shorter prompts are filled up in front, as for generating, or behind.

    Raises:
        ValueError: There are not as many placeholders as visual tokens.
    """
    is_visual = (input_ids == video_token_id) & mask
    if int(is_visual.sum()) != len(kept):
        raise ValueError(
            f"the prompts have {int(is_visual.sum())} placeholders of videos (token {video_token_id}) and the videos "
            f"{len(kept)} visual tokens; give input_ids and videos as one call of the processor made them"
        )
    stays = mask.clone()
    stays[is_visual] = kept.to(mask.device)
    width = int(stays.sum(1).max())
    if left:
        columns = stays.to(torch.uint8).argsort(dim=1, stable=True)[:, -width:]
    else:
        columns = (~stays).to(torch.uint8).argsort(dim=1, stable=True)[:, :width]
    return ShortPrompt(columns=columns, there=stays.gather(1, columns))


def harmless_token(taken: Collection[int | None]) -> int:
    """A token to fill up with: padding is never read, but must not be counted as a placeholder."""
    return next(number for number in range(len(taken) + 1) if number not in taken)
