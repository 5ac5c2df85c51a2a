"""Clips in memory that a network trained on pictures has looked at once, so that a training need not look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float16, Int64
from torch import Tensor

from tubelet.datasets.labelled import SPLITS, Split
from tubelet.methods.anonymization.data import MemorySource, PrivateBatch


class LookedAt(MemorySource):
    """Clips in memory as their features, computed once, since the network that makes them is not trained.

    In training a clip is moved by at most one place in each direction, so that places are not learned by heart.

    Args:
        source: The clips.
        look: Makes features of them.
        on_clips: Called with the number of clips as they are looked at.
    """

    def __init__(
        self, source: MemorySource, look: Callable[[Tensor], Tensor], *, on_clips: Callable[[int], None]
    ) -> None:
        # Their pixels are not needed any more, and take as much memory again.
        bare = {
            split: replace(clips, frames=clips.frames[:, :1, :1, :1].copy()) for split, clips in source.splits.items()
        }
        super().__init__(source.name, bare, split_rule=source.split_rule)
        self.features: dict[Split, Float16[Tensor, "clips features steps rows columns"]] = {}
        for split in SPLITS[:2]:
            found = []
            for batch in source.evaluation(split, batch_size=16):
                found.append(look(batch.video).half())
                on_clips(len(batch.ids))
            self.features[split] = torch.cat(found)

    def _batch(self, split: Split, rows: Int64[np.ndarray, " batch"], *, progress: float = 0.0) -> PrivateBatch:
        features = self.features[split][torch.from_numpy(rows)].float()
        if split == "train":
            moves = np.random.default_rng((*rows.tolist(), round(progress * 1e6))).integers(-1, 2, 2)
            for axis, places in zip((-2, -1), moves.tolist(), strict=True):
                features = moved(features, places, axis)
        return replace(super()._batch(split, rows, progress=progress), video=features)


def moved(features: Float[Tensor, "*axes"], places: int, axis: int) -> Float[Tensor, "*axes"]:
    """Features moved along an axis; what comes in at the edge is the edge again."""
    size = features.shape[axis]
    return features.index_select(axis, (torch.arange(size) - places).clamp(0, size - 1))
