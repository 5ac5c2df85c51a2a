"""Which groups go: the lowest scores of the whole clip, so that frames keep different numbers."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

LOWEST = math.exp(-2.0)
"""What the lowest score of a frame is worth as a weight of attention, before the softmax normalises."""


def num_removed(remove: float, num_groups: int, num_frames: int, *, prune_from_frame: int = 0) -> int:
    """How many groups of a clip go.

    Args:
        remove: Share, from 0 to below 1.
        num_groups: Of a frame.
        num_frames: Of the clip.
        prune_from_frame: Frames before this one stay whole and do not count; the first frame stays whole in any case.

    Raises:
        ValueError: The share is no share, or more would go than the later frames have.
    """
    if not 0 <= remove < 1:
        raise ValueError(f"remove is {remove:g}; allowed: at least 0 and less than 1")
    if num_frames <= max(1, prune_from_frame):
        return 0
    count = math.floor(remove * num_groups * (num_frames - prune_from_frame) + 1e-9)
    most = num_groups * (num_frames - max(1, prune_from_frame))
    if count > most:
        largest = most / (num_groups * (num_frames - prune_from_frame))
        raise ValueError(
            f"remove is {remove:g} with {num_frames} frames of {num_groups} groups: {count} groups would go, but only "
            f"{most} may, as the first frame stays whole; the largest share for this clip is {largest:.4g}"
        )
    return count


def select(
    scores: Float[Tensor, "frames groups"],
    lengths: Int64[Tensor, " clips"],
    remove: float,
    *,
    prunable: Bool[Tensor, " clips"] | None = None,
    prune_from_frame: int = 0,
) -> Bool[Tensor, "frames groups"]:
    """Which groups stay; of equal scores the earlier goes.

    Args:
        scores: Higher is worth more.
        lengths: Frames of each clip; they add up to all frames.
        remove: See `num_removed`.
        prunable: Clips of which groups may go; all if None.
        prune_from_frame: See `num_removed`.

    Raises:
        ValueError: Lengths do not fit, or see `num_removed`.
        FloatingPointError: A score is no number.
    """
    check_lengths(lengths, len(scores))
    finite = scores.isfinite().all(1)
    if not bool(finite.all()):
        frame = int((~finite).nonzero()[0])
        clip = int((lengths.cumsum(0) <= frame).sum())
        raise FloatingPointError(f"clip {clip} has a score that is no finite number, in frame {frame} of the batch")
    keep = torch.ones_like(scores, dtype=torch.bool)
    sizes, may = lengths.tolist(), [True] * len(lengths) if prunable is None else prunable.tolist()
    start = 0
    for clip, size in enumerate(sizes):
        count = num_removed(remove, scores.shape[1], size, prune_from_frame=prune_from_frame) if may[clip] else 0
        if count:
            first = start + max(1, prune_from_frame)
            later = scores[first : start + size].detach().flatten()
            gone = later.argsort(stable=True)[:count]
            keep[first : start + size].view(-1)[gone] = False
        start += size
    return keep


def check_lengths(lengths: Int64[Tensor, " clips"], num_frames: int) -> None:
    """See that the clips make up the frames.

    Raises:
        ValueError: They do not.
    """
    if bool((lengths < 0).any()) or int(lengths.sum()) != num_frames:
        raise ValueError(
            f"clip_lengths is {lengths.tolist()}, together {int(lengths.sum())}, but there are {num_frames} frames; "
            "give the number of frames of each clip, 0 or more"
        )


def clip_starts(lengths: Int64[Tensor, " clips"], num_frames: int) -> Bool[Tensor, " frames"]:
    """Which frames are the first of their clip."""
    starts = torch.zeros(num_frames, dtype=torch.bool, device=lengths.device)
    starts[(lengths.cumsum(0) - lengths)[lengths > 0]] = True
    return starts


def score_bias(
    scores: Float[Tensor, "frames groups"], unbiased: Bool[Tensor, " frames"], *, row_width: int | None = None
) -> Float[Tensor, "frames groups"]:
    """What is added to the attention logits of a group's keys: -2 to 0; the way by which the task teaches the scorer.

    Args:
        scores: From 0 to 1.
        unbiased: Frames whose bias is 0: the first of each clip, and those of clips that are not pruned.
        row_width: Groups of a row of the grid, if scores are to be spread over -2 to 0 in each row by itself, as the
            released code does; None spreads them over the whole frame.

    Source: STTS (arXiv:2603.18004), the score as a bias of attention.
    Differs: spread over the frame. By rows, equal scores of one row all become the lowest.
    """
    spread = scores if row_width is None else scores.reshape(len(scores), -1, row_width)
    low, high = spread.amin(-1, keepdim=True), spread.amax(-1, keepdim=True)
    share = ((spread - low) / (high - low).clamp(min=1e-6)).reshape(scores.shape)
    return (LOWEST + (1 - LOWEST) * share).log().masked_fill(unbiased[:, None], 0.0)
