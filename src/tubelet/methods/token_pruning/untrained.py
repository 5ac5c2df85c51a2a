"""Scores that need no training: how groups differ from reference frames and within windows."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tubelet.methods.token_pruning.scorer import novelty
from tubelet.methods.token_pruning.selection import clip_starts

PROTECTED = 2.0
"""Score of what may only go after all else; novelty reaches 1."""


def changed_from_reference(
    patches: Float[Tensor, "frames grid channels"],
    groups: Int64[Tensor, "groups patches"],
    lengths: Int64[Tensor, " clips"],
    remove: float,
    *,
    threshold: float = 0.85,
) -> Float[Tensor, "frames groups"]:
    """How much groups differ from a running reference; a frame that differs as a whole is the next reference, and safe.

    The first frame of a clip is its first reference. Where so many frames become references that the budget cannot be
    met, the threshold falls by 0.05, five times at most.

    Args:
        patches: Of all frames of all clips.
        groups: See `patch_groups`.
        lengths: Frames of each clip.
        remove: Share that is to go.
        threshold: Mean similarity, from 0 to 1, below which a frame is a new reference.

    Source: STTS (arXiv:2603.18004), its code's baseline by similarity to a reference, as an idea.
    """
    scores = patches.new_full((len(patches), len(groups)), PROTECTED)
    at = 0
    for length in lengths.tolist():
        clip = patches[at : at + length]
        needed = math.ceil(remove * length - 1e-9)
        found = _one_clip(clip, groups, threshold)
        for step in range(1, 6):
            if int((found[:, 0] < PROTECTED).sum()) >= needed:
                break
            found = _one_clip(clip, groups, threshold - 0.05 * step)
        scores[at : at + length] = found
        at += length
    return scores


def _one_clip(clip: Tensor, groups: Tensor, threshold: float) -> Tensor:
    scores = clip.new_full((len(clip), len(groups)), PROTECTED)
    never = torch.zeros(2, dtype=torch.bool, device=clip.device)
    back = torch.zeros(2, dtype=torch.int64, device=clip.device)
    reference = 0
    for frame in range(1, len(clip)):
        changed = novelty(clip[[reference, frame]], groups, never, back)[1]
        if 1 - float(changed.mean()) < threshold:
            reference = frame
        else:
            scores[frame] = changed
    return scores


def window_novelty(
    patches: Float[Tensor, "frames grid channels"],
    groups: Int64[Tensor, "groups patches"],
    lengths: Int64[Tensor, " clips"],
) -> Float[Tensor, "frames groups"]:
    """How much groups differ within windows of four frames; the first of each is safe.

    The second and third are compared with the first, the fourth with the third.

    Source: the temporal merging of DyCoke (arXiv:2411.15024).
    Differs: the lowest of the whole clip go, so that the budget is met exactly, where DyCoke removes a share of each
        frame; and they go inside the transformer already.
    """
    starts = clip_starts(lengths, len(patches))
    first = starts.nonzero()[:, 0].repeat_interleave(lengths[lengths > 0])
    numbers = torch.arange(len(patches), device=patches.device)
    place = (numbers - first) % 4
    back = torch.tensor([0, 1, 2, 1], device=patches.device)[place]
    opens = place == 0
    return novelty(patches, groups, opens, numbers - back).masked_fill(opens[:, None], PROTECTED)
