"""Glyph motion in memory: clips with an action to keep, attributes to hide, and the places of both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from tubelet.datasets.glyph_motion import ACTIONS, NUM_FRAMES, PLAIN, SIDE_PX, Digits, GlyphStyle, draw_glyph_clip
from tubelet.datasets.labelled import Split

PRIVATE_BITS = ("five_or_more", "odd", "has_a_loop")
"""What is private about a digit: whether it is 5 or more, odd, and one of 0, 6, 8 and 9."""

_WITH_LOOP = (0, 6, 8, 9)


@dataclass(frozen=True, kw_only=True)
class PrivateClips:
    """Clips in memory with what each shows and what it gives away.

    Attributes:
        frames: RGB.
        actions: Index into `action_names`.
        private: 1 where the clip has the attribute, 0 where not, NaN where nobody knows.
        groups: Clips of one group are not independent of each other: the same picture of a digit, the same person.
        action_names: Names of the actions.
        attribute_names: Names of the attributes.
        motion: Where the action is, in each picture; None where nobody knows.
        secret: Where the attributes can be read, in each clip; None where nobody knows.
    """

    frames: UInt8[np.ndarray, "clips time height width 3"]
    actions: Int64[np.ndarray, " clips"]
    private: Float32[np.ndarray, "clips attributes"]
    groups: Int64[np.ndarray, " clips"]
    action_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    motion: Bool[np.ndarray, "clips time height width"] | None = None
    secret: Bool[np.ndarray, "clips height width"] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def fingerprint(self) -> str:
        """A sha256 over pictures and labels."""
        digest = hashlib.sha256()
        for part in (self.frames, self.actions, self.private, self.groups):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def private_bits(digit: int) -> tuple[int, int, int]:
    """The attributes of a digit, in the order of `PRIVATE_BITS`."""
    return int(digit >= 5), digit % 2, int(digit in _WITH_LOOP)


def draw_private_clips(
    split: Split, count: int, *, seed: int, digits: Digits, style: GlyphStyle = PLAIN, gait: float = 0.0
) -> PrivateClips:
    """Draw a split of the set; no picture of a digit is in two splits.

    Args:
        split: Which.
        count: Clips.
        seed: Of the set.
        digits: As `load_digits` returns them.
        style: How hard it is.
        gait: See `draw_glyph_clip`.

    Raises:
        ValueError: Fewer than one clip is asked for.
    """
    if count < 1:
        raise ValueError(f"count is {count}; allowed: 1 or more")
    frames = np.empty((count, NUM_FRAMES, SIDE_PX, SIDE_PX, 3), np.uint8)
    motion = np.empty(frames.shape[:4], bool)
    secret = np.empty((count, SIDE_PX, SIDE_PX), bool)
    facts = np.empty((count, 3), np.int64)
    for number in range(count):
        clip = draw_glyph_clip(seed, number, split, digits, style, gait=gait)
        frames[number], motion[number], secret[number] = clip.frames, clip.block, clip.glyph
        facts[number] = clip.action, clip.digit, clip.digit_id
    return PrivateClips(
        frames=frames,
        actions=facts[:, 0].copy(),
        private=np.array([private_bits(int(digit)) for digit in facts[:, 1]], np.float32),
        groups=facts[:, 2].copy(),
        action_names=ACTIONS,
        attribute_names=PRIVATE_BITS,
        motion=motion,
        secret=secret,
    )
