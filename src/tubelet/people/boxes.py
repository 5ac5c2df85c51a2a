"""Person boxes, how much they overlap, and which of several boxes on one person to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from tubelet.metrics.tracking import containment_matrix
from tubelet.metrics.tracking import iou_matrix as iou_matrix  # the tracker takes it from here


@dataclass(frozen=True)
class Boxes:
    """People found in one image.

    Args:
        xyxy_px: `x0, y0, x1, y1` in pixels of the image, x1 and y1 exclusive.
        scores: Detector score of each box in 0..1. Comparable within one detector only.
    """

    xyxy_px: Float[np.ndarray, "people 4"]
    scores: Float[np.ndarray, " people"]

    def __post_init__(self) -> None:
        if self.xyxy_px.ndim != 2 or self.xyxy_px.shape[1] != 4 or self.scores.shape != self.xyxy_px.shape[:1]:
            raise ValueError(f"boxes are {self.xyxy_px.shape} with scores {self.scores.shape}; wanted (n, 4) and (n,)")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Boxes:
        """No people."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def select(self, which: Int[np.ndarray, " kept"] | Bool[np.ndarray, " people"]) -> Boxes:
        """The boxes at these positions, or where this mask is true."""
        return Boxes(self.xyxy_px[which], self.scores[which])

    @property
    def heights_px(self) -> Float[np.ndarray, " people"]:
        """Height of each box in pixels."""
        return np.asarray(self.xyxy_px[:, 3] - self.xyxy_px[:, 1])


def suppress(boxes: Boxes, *, max_iou: float = 0.5, max_contained: float = 0.85) -> Boxes:
    """Keep one box per person: greedy, best score first.

    A box goes when it overlaps a better one by more than `max_iou`, or when more than `max_contained` of the smaller of
    the two lies in the other: tiles cut people, and half a person inside a whole one has a low IoU with it.

    Args:
        boxes: Candidates in any order.
        max_iou: Largest intersection over union that two kept boxes may have.
        max_contained: Largest part of the smaller box that two kept boxes may share.

    Returns:
        The kept boxes, best score first.
    """
    order = np.argsort(-boxes.scores, kind="stable")
    ranked = boxes.select(order)
    inside = containment_matrix(ranked.xyxy_px, ranked.xyxy_px)
    same = iou_matrix(ranked.xyxy_px, ranked.xyxy_px) > max_iou
    same |= np.maximum(inside, inside.T) > max_contained  # of the two shares, that of the smaller box is the larger
    alive = np.ones(len(ranked), bool)
    for index in range(len(ranked)):
        if alive[index]:
            alive[index + 1 :] &= ~same[index, index + 1 :]
    return ranked.select(alive)
