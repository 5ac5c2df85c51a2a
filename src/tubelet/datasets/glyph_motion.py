"""Glyph motion: a block moves in one quarter of the picture and a handwritten digit stands still in another.

The direction of the block is the action, the digit is private. They lie in different places, so the best mask is known,
and no single picture tells the direction.

Source: the design of a small-scale check for anonymisers; digits are the test part of "Optical Recognition of
    Handwritten Digits" (Alpaydin and Kaynak, 1998), CC BY 4.0, as scikit-learn ships them.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tubelet import weights
from tubelet.datasets.labelled import Split
from tubelet.errors import DatasetError

ACTIONS = ("left", "right", "up", "down")
NUM_FRAMES, SIDE_PX = 8, 32
_QUARTER, _BLOCK, _DIGIT = SIDE_PX // 2, 4, 12
_STEPS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
_SHARES: dict[Split, tuple[float, float]] = {"train": (0.0, 0.6), "val": (0.6, 0.75), "test": (0.75, 1.0)}


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Handwritten digits.

    Attributes:
        images: Ink from 0 to 1.
        values: Which digit each is.
    """

    images: Float[np.ndarray, "digits 8 8"]
    values: Int[np.ndarray, " digits"]


@dataclass(frozen=True, kw_only=True)
class GlyphClip:
    """One clip with its truth.

    Attributes:
        frames: RGB.
        action: Index into `ACTIONS`.
        digit: Which digit stands in the picture.
        digit_id: Which image of it: splits share none.
        block: Where the moving block is, in each picture.
        glyph: Where the digit's square is.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    action: int
    digit: int
    digit_id: int
    block: Bool[np.ndarray, "time height width"]
    glyph: Bool[np.ndarray, "height width"]


def load_digits() -> Digits:
    """The digits, out of the pinned package; fetched where they are not in the cache.

    Raises:
        DatasetError: The file does not hold 64 numbers from 0 to 16 and a digit in every row.
        WeightsError: It cannot be fetched.
    """
    path = weights.fetch(weights.DIGITS)
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: is not a table of digits: {error}; delete it, and it is fetched again") from error
    if table.ndim != 2 or table.shape[1] != 65 or table.min() < 0 or table[:, :64].max() > 16 or table[:, 64].max() > 9:
        raise DatasetError(f"{path}: rows of 64 numbers from 0 to 16 and a digit are needed; delete it and try again")
    return Digits(images=table[:, :64].reshape(-1, 8, 8) / 16, values=table[:, 64].astype(np.int64))


def draw_glyph_clip(seed: int, number: int, split: Split, digits: Digits) -> GlyphClip:
    """Draw one clip; it depends on its arguments alone. Actions take turns, so that they are equally frequent.

    Args:
        seed: Of the set.
        number: Of the clip in its split.
        split: Whose digits to take.
        digits: All digits.
    """
    rng = np.random.default_rng((seed, ("train", "val", "test").index(split), number))
    action = number % len(ACTIONS)
    order = np.random.default_rng((seed, 99)).permutation(len(digits.values))
    low, high = (int(share * len(order)) for share in _SHARES[split])
    digit_id = int(order[rng.integers(low, high)])
    frames = _background(rng)
    moving, still = rng.choice(4, 2, replace=False)
    glyph = _draw_digit(frames, rng, int(still), digits.images[digit_id])
    block = _draw_block(frames, rng, int(moving), _STEPS[ACTIONS[action]])
    noisy = np.clip(frames + rng.normal(0, 6, frames.shape), 0, 255).astype(np.uint8)
    return GlyphClip(
        frames=noisy,
        action=action,
        digit=int(digits.values[digit_id]),
        digit_id=digit_id,
        block=block,
        glyph=glyph,
    )


def _background(rng: np.random.Generator) -> Float[np.ndarray, "time height width 3"]:
    coarse = rng.normal(0, 14, (6, 6, 3)).astype(np.float32)
    picture = 90 + rng.normal(0, 15, 3) + cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.repeat(picture[None].astype(np.float64), NUM_FRAMES, axis=0)


def _corner(quarter: int) -> tuple[int, int]:
    return (quarter // 2) * _QUARTER, (quarter % 2) * _QUARTER


def _draw_digit(
    frames: Float[np.ndarray, "time height width 3"],
    rng: np.random.Generator,
    quarter: int,
    image: Float[np.ndarray, "8 8"],
) -> Bool[np.ndarray, "height width"]:
    top, left = (place + int(rng.integers(0, _QUARTER - _DIGIT + 1)) for place in _corner(quarter))
    ink = cv2.resize(image.astype(np.float32), (_DIGIT, _DIGIT), interpolation=cv2.INTER_LINEAR)[..., None]
    area = (slice(None), slice(top, top + _DIGIT), slice(left, left + _DIGIT))
    frames[area] = frames[area] * (1 - ink) + 230 * ink
    glyph = np.zeros((SIDE_PX, SIDE_PX), bool)
    glyph[area[1:]] = True
    return glyph


def _draw_block(
    frames: Float[np.ndarray, "time height width 3"], rng: np.random.Generator, quarter: int, step: tuple[int, int]
) -> Bool[np.ndarray, "time height width"]:
    """A bright block that crosses its quarter, leaving on one side and coming in on the other."""
    top, left = _corner(quarter)
    place = rng.integers(0, _QUARTER, 2)
    where = np.zeros(frames.shape[:3], bool)
    for time in range(NUM_FRAMES):
        corner = place + np.array(step) * time * 2
        rows, columns = ((corner[axis] + np.arange(_BLOCK)) % _QUARTER for axis in (0, 1))
        where[time][np.ix_(top + rows, left + columns)] = True
    frames[where] = rng.uniform(215, 250)
    return where
