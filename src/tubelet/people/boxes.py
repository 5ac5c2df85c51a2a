"""Person boxes, how much they overlap, and which of several boxes on one person to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


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


def box_areas(xyxy: Float[np.ndarray, "*any 4"]) -> Float[np.ndarray, "*any"]:
    """Area of each box; 0 for a box that is turned inside out."""
    width = np.clip(xyxy[..., 2] - xyxy[..., 0], 0, None)
    height = np.clip(xyxy[..., 3] - xyxy[..., 1], 0, None)
    return np.asarray(width * height)


def intersections(first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Area that each box of `first` shares with each box of `second`."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return box_areas(np.concatenate([top_left, bottom_right], axis=2))


def iou_matrix(first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of each box of `first` with each box of `second`; 0 where both are empty."""
    shared = intersections(first, second)
    union = box_areas(first)[:, None] + box_areas(second)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


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
    shared = intersections(ranked.xyxy_px, ranked.xyxy_px)
    areas = box_areas(ranked.xyxy_px)
    # Cross-multiplied so that boxes without area divide by nothing.
    same = shared > max_iou * (areas[:, None] + areas[None, :] - shared)
    same |= shared > max_contained * np.minimum(areas[:, None], areas[None, :])
    alive = np.ones(len(ranked), bool)
    for index in range(len(ranked)):
        if alive[index]:
            alive[index + 1 :] &= ~same[index, index + 1 :]
    return ranked.select(alive)
