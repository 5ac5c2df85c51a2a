"""Glyph motion: a block moves in one quarter of the picture and a handwritten digit stands still in another.

The direction of the block is the action, the digit is private. They lie in different places, so the best mask is known,
and no single picture tells the direction.

Source: the design of a small-scale check for anonymisers; digits are the test part of "Optical Recognition of
    Handwritten Digits" (Alpaydin and Kaynak, 1998), CC BY 4.0, as scikit-learn ships them.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tubelet import weights
from tubelet.datasets.labelled import Split
from tubelet.errors import DatasetError

ACTIONS = ("left", "right", "up", "down")
NUM_FRAMES, SIDE_PX = 8, 32
_QUARTER, _BLOCK = SIDE_PX // 2, 4
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
class GlyphStyle:
    """How hard the two things are to see, and how they hang together.

    Attributes:
        variant: "apart" draws block and digit in different quarters. In "entangled" the digit is what moves, so that no
            mask can show the one and hide the other. In "correlated" the action tells something of the digit.
        correlation: In "correlated", the share of clips whose digit is below five exactly for the actions left and
            right.
        block_contrast: 1 for a bright block, less to bring it closer to what is behind it.
        glyph_contrast: Likewise for the ink of the digit.
        noise: Standard deviation of what is added to every value, of 255.
        glyph_px: Side of the digit; 16 fills its quarter, less stands at a random place in it.
        num_distractors: Blocks as bright as the moving one that jump about in the two other quarters.
    """

    variant: Literal["apart", "entangled", "correlated"] = "apart"
    correlation: float = 0.0
    block_contrast: float = 1.0
    glyph_contrast: float = 1.0
    noise: float = 6.0
    glyph_px: int = 12
    num_distractors: int = 0

    def __post_init__(self) -> None:
        for name in ("correlation", "block_contrast", "glyph_contrast"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; allowed: 0 to 1")
        if not 0 <= self.noise <= 255:
            raise ValueError(f"noise is {self.noise:g}; allowed: 0 to 255")
        if not 8 <= self.glyph_px <= _QUARTER:
            raise ValueError(f"glyph_px is {self.glyph_px}; allowed: 8 to {_QUARTER}")
        if not 0 <= self.num_distractors <= 16:
            raise ValueError(f"num_distractors is {self.num_distractors}; allowed: 0 to 16")


@dataclass(frozen=True, kw_only=True)
class GlyphClip:
    """One clip with its truth.

    Attributes:
        frames: RGB.
        action: Index into `ACTIONS`.
        digit: Which digit stands in the picture.
        digit_id: Which image of it: splits share none.
        block: Where the moving block is, in each picture.
        glyph: Where the digit's square is; of a digit that moves, everywhere that it comes.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    action: int
    digit: int
    digit_id: int
    block: Bool[np.ndarray, "time height width"]
    glyph: Bool[np.ndarray, "height width"]


PLAIN = GlyphStyle()


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


def draw_glyph_clip(
    seed: int, number: int, split: Split, digits: Digits, style: GlyphStyle = PLAIN, *, gait: float = 0.0
) -> GlyphClip:
    """Draw one clip; it depends on its arguments alone. Actions take turns, so that they are equally frequent.

    Args:
        seed: Of the set.
        number: Of the clip in its split.
        split: Whose digits to take.
        digits: All digits.
        style: How hard it is.
        gait: Pixels by which the block swings sideways on its way, in a rhythm that belongs to the digit: who goes
            there can then be told from the movement alone.
    """
    rng = np.random.default_rng((seed, ("train", "val", "test").index(split), number))
    # What the styles add is drawn from numbers of its own, so that the plain clips stay what they are.
    more = np.random.default_rng((seed, 7, ("train", "val", "test").index(split), number))
    action = number % len(ACTIONS)
    order = np.random.default_rng((seed, 99)).permutation(len(digits.values))
    low, high = (int(share * len(order)) for share in _SHARES[split])
    place = rng.integers(low, high)
    if style.variant == "correlated" and more.random() < style.correlation:
        wanted = (digits.values[order[low:high]] < 5) == (action < 2)
        place = low + more.choice(np.flatnonzero(wanted))
    digit_id = int(order[place])
    frames = _background(rng)
    moving, still = (int(quarter) for quarter in rng.choice(4, 2, replace=False))
    step = _STEPS[ACTIONS[action]]
    image, rhythm = digits.images[digit_id], float(digits.values[digit_id])
    if style.variant == "entangled":
        block = _draw_moving_digit(frames, rng, moving, step, image, style.glyph_contrast)
        glyph = np.asarray(block.any(axis=0))
    else:
        glyph = _draw_digit(frames, rng, still, image, style)
        block = _draw_block(frames, rng, moving, step, style.block_contrast, (gait, rhythm))
    _draw_distractors(frames, more, [quarter for quarter in range(4) if quarter not in (moving, still)], style)
    noisy = np.clip(frames + rng.normal(0, style.noise, frames.shape), 0, 255).astype(np.uint8)
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
    style: GlyphStyle,
) -> Bool[np.ndarray, "height width"]:
    side = style.glyph_px
    top, left = (place + int(rng.integers(0, _QUARTER - side + 1)) for place in _corner(quarter))
    grown = cv2.resize(image.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    ink = style.glyph_contrast * grown[..., None]
    area = (slice(None), slice(top, top + side), slice(left, left + side))
    frames[area] = frames[area] * (1 - ink) + 230 * ink
    glyph = np.zeros((SIDE_PX, SIDE_PX), bool)
    glyph[area[1:]] = True
    return glyph


def _draw_block(
    frames: Float[np.ndarray, "time height width 3"],
    rng: np.random.Generator,
    quarter: int,
    step: tuple[int, int],
    contrast: float,
    gait: tuple[float, float],
) -> Bool[np.ndarray, "time height width"]:
    """A bright block that crosses its quarter, leaving on one side and coming in on the other."""
    place = rng.integers(0, _QUARTER, 2)
    across = np.array(step[::-1])
    where = np.zeros(frames.shape[:3], bool)
    for time in range(NUM_FRAMES):
        swing = round(gait[0] * np.sin((1 + gait[1]) * 0.35 * time))
        where[time][_wrapped(quarter, place + np.array(step) * time * 2 + across * swing, _BLOCK)] = True
    bright = rng.uniform(215, 250)
    frames[where] = bright if contrast == 1 else frames[where] * (1 - contrast) + bright * contrast
    return where


def _draw_moving_digit(
    frames: Float[np.ndarray, "time height width 3"],
    rng: np.random.Generator,
    quarter: int,
    step: tuple[int, int],
    image: Float[np.ndarray, "8 8"],
    contrast: float,
) -> Bool[np.ndarray, "time height width"]:
    """The digit itself crosses its quarter."""
    place = rng.integers(0, _QUARTER, 2)
    where = np.zeros(frames.shape[:3], bool)
    ink = contrast * image[..., None]
    for time in range(NUM_FRAMES):
        area = _wrapped(quarter, place + np.array(step) * time * 2, len(image))
        frames[time][area] = frames[time][area] * (1 - ink) + 230 * ink
        where[time][area] = True
    return where


def _draw_distractors(
    frames: Float[np.ndarray, "time height width 3"], rng: np.random.Generator, quarters: list[int], style: GlyphStyle
) -> None:
    """Blocks that are somewhere else in every picture: bright and changing, and of no direction."""
    for index in range(style.num_distractors):
        bright = rng.uniform(215, 250) * style.block_contrast
        for time in range(NUM_FRAMES):
            area = _wrapped(quarters[index % len(quarters)], rng.integers(0, _QUARTER, 2), _BLOCK)
            frames[time][area] = frames[time][area] * (1 - style.block_contrast) + bright


def _wrapped(quarter: int, corner: Int[np.ndarray, " 2"], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a square in a quarter that goes on at the other side."""
    top, left = _corner(quarter)
    rows, columns = ((corner[axis] + np.arange(side)) % _QUARTER for axis in (0, 1))
    return np.ix_(top + rows, left + columns)
