"""Needle questions: short synthetic videos, each with a question whose answer stands in few places of it.

Handwritten digits stand, appear, move or flash in the cells of a grid over a textured background that stands still;
some cells may flicker, and never are what is asked for. Four strata:

    moving      two digits are there, and one of them hops from cell to cell; "which digit moved?"
    entering    one digit is there from the beginning, another comes while cells flicker; "which digit came later?"
    standing    the same without flicker, and what stands may leave after the first frame; "which digit was first?"
    flashing    likewise with flicker, but what comes is there in a single frame; "which digit flashed?"

Whoever keeps the wrong part of the video cannot know the answer, and where it stands is known for every clip.

Source: the design of a small-scale check for token pruning; digits are the test part of "Optical Recognition of
    Handwritten Digits" (Alpaydin and Kaynak, 1998), CC BY 4.0, as scikit-learn ships them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from tubelet.datasets.glyph_motion import Digits
from tubelet.datasets.labelled import SPLITS, Split

Stratum = Literal["moving", "entering", "standing", "flashing"]
STRATA: tuple[Stratum, ...] = get_args(Stratum)
QUESTIONS: dict[Stratum, str] = {
    "moving": "which digit moved?",
    "entering": "which digit came later?",
    "standing": "which digit was first?",
    "flashing": "which digit flashed?",
}
_NUM_HOPS = 3
_SHARES: dict[Split, tuple[float, float]] = {"train": (0.0, 0.6), "val": (0.6, 0.75), "test": (0.75, 1.0)}
_BRIGHT = 235


@dataclass(frozen=True, kw_only=True)
class NeedleStyle:
    """Size of the clips, and how hard they are.

    Attributes:
        num_frames: Frames of a clip.
        timeline: Length of what they are sampled from: one frame at a random moment of each of `num_frames` equal
            parts. As long as the clip if None.
        is_needle_sampled: Whether what flashes does so in a frame that is sampled. If not, it does so anywhere on the
            timeline, and the clip may lack it.
        size_px: Side of the frames.
        cell_px: Side of a cell, and of a digit.
        kinds: Digits that there are.
        num_flicker: Cells that flicker in the strata that have flicker.
        noise: Standard deviation of what is added to every value of every frame, of 255.
    """

    num_frames: int = 8
    timeline: int | None = None
    is_needle_sampled: bool = True
    size_px: int = 24
    cell_px: int = 8
    kinds: tuple[int, ...] = (0, 1, 4, 7)
    num_flicker: int = 2
    noise: float = 4.0

    def __post_init__(self) -> None:
        if self.num_frames < 2:
            raise ValueError(f"num_frames is {self.num_frames}; allowed: 2 or more, since digits come and move")
        if self.timeline is not None and self.timeline < self.num_frames:
            raise ValueError(f"timeline is {self.timeline}; allowed: num_frames, which is {self.num_frames}, or more")
        if self.cell_px < 4 or self.size_px % self.cell_px or self.size_px < 3 * self.cell_px:
            raise ValueError(
                f"size_px is {self.size_px} and cell_px {self.cell_px}; allowed: cells of at least 4 pixels, of which "
                "3 or more fill a side"
            )
        if len(self.kinds) < 2 or sorted(set(self.kinds)) != list(self.kinds) or not set(self.kinds) <= set(range(10)):
            raise ValueError(f"kinds is {self.kinds}; allowed: two or more of the digits 0 to 9, rising")
        most = (self.size_px // self.cell_px) ** 2 - 2
        if not 0 <= self.num_flicker <= most:
            raise ValueError(f"num_flicker is {self.num_flicker}; allowed: 0 to {most}, so that two cells are left")
        if not 0 <= self.noise <= 255:
            raise ValueError(f"noise is {self.noise:g}; allowed: 0 to 255")


@dataclass(frozen=True, kw_only=True)
class NeedleClip:
    """One clip with its question and where the answer stands.

    Attributes:
        frames: RGB.
        times: Place of each frame on the timeline.
        question: In words.
        choices: Possible answers.
        answer: Index into them.
        stratum: What kind of question it is.
        digit_ids: The images of digits in it, that of the answer first: splits share none.
        evidence: Where the digit that is asked for stands, in each frame.
        flicker: Which pixels are noise.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    times: tuple[int, ...]
    question: str
    choices: tuple[str, ...]
    answer: int
    stratum: Stratum
    digit_ids: tuple[int, ...]
    evidence: Bool[np.ndarray, "time height width"]
    flicker: Bool[np.ndarray, "height width"]

    def evidence_groups(self, group_px: int) -> Bool[np.ndarray, "time rows columns"]:
        """In which groups of pixels the evidence is.

        Args:
            group_px: Side of a group; groups at the edges may be smaller.
        """
        return _by_group(self.evidence, group_px)

    def flicker_groups(self, group_px: int) -> Bool[np.ndarray, "time rows columns"]:
        """In which groups of pixels it flickers; `group_px` as in `evidence_groups`."""
        groups = _by_group(self.flicker[None], group_px)
        return np.repeat(groups, len(self.frames), axis=0)


PLAIN = NeedleStyle()


def draw_needle_clip(
    seed: int,
    number: int,
    split: Split,
    digits: Digits,
    style: NeedleStyle = PLAIN,
    *,
    strata: tuple[Stratum, ...] = ("moving", "entering", "standing"),
) -> NeedleClip:
    """Draw one clip; it depends on its arguments alone. Strata take turns, and in each of them the answers.

    Args:
        seed: Of the set.
        number: Of the clip in its split.
        split: Whose digits to take.
        digits: As `load_digits` returns them.
        style: Sizes and how hard it is.
        strata: Which kinds of questions.

    Raises:
        ValueError: There is no such stratum, or a split has no image of a digit.
    """
    if not strata or not set(strata) <= set(STRATA):
        raise ValueError(f"strata is {strata}; allowed: one or more of {', '.join(STRATA)}")
    rng = np.random.default_rng((seed, SPLITS.index(split), number))
    stratum, turn = strata[number % len(strata)], number // len(strata)
    times = _times(rng, style)
    images_of = _images(digits, seed, split, style.kinds)
    kinds = rng.permutation(len(style.kinds))[:2]
    choices = tuple(map(str, style.kinds))
    answer = turn % len(choices)
    # The digit asked for is the answer; the other one is any other.
    kinds = np.array([answer, kinds[0] if kinds[0] != answer else kinds[1]])
    ids = tuple(int(rng.choice(images_of[kind])) for kind in kinds)
    glyphs = [_grown(digits.images[number], style.cell_px) for number in ids]
    frames, cells = _background(rng, style), rng.permutation((style.size_px // style.cell_px) ** 2)
    flicker = np.zeros((style.size_px, style.size_px), bool)
    if stratum in ("entering", "flashing"):
        for cell in cells[2 : 2 + style.num_flicker]:
            flicker[_area(int(cell), style)] = True
    cells_of = _cells(rng, stratum, cells, times, style)
    evidence = np.zeros(frames.shape[:3], bool)
    for glyph, path, is_asked in zip(glyphs, cells_of, (True, False), strict=True):
        for time, cell in enumerate(path):
            if cell >= 0:
                area = (time, *_area(cell, style))
                frames[area] += glyph * (_BRIGHT - frames[area])
                evidence[area] |= is_asked
    # Noise belongs to the frame and not to the digit: what is drawn where differs by the digit alone.
    frames += rng.standard_normal(frames.shape, dtype=np.float32) * style.noise
    if flicker.any():
        frames[:, flicker] = rng.uniform(0, 255, (style.num_frames, int(flicker.sum()), 3))
    return NeedleClip(
        frames=np.clip(frames, 0, 255).astype(np.uint8),
        times=tuple(times.tolist()),
        question=QUESTIONS[stratum],
        choices=choices,
        answer=answer,
        stratum=stratum,
        digit_ids=ids,
        evidence=evidence,
        flicker=flicker,
    )


def _times(rng: np.random.Generator, style: NeedleStyle) -> Int64[np.ndarray, " time"]:
    """Moments of the frames: the first one, then one of each part of the timeline."""
    length = style.num_frames if style.timeline is None else style.timeline
    edges = np.arange(style.num_frames + 1) * length // style.num_frames
    times = rng.integers(edges[:-1], edges[1:])
    times[0] = 0
    return times


def _cells(
    rng: np.random.Generator,
    stratum: Stratum,
    cells: Int64[np.ndarray, " cells"],
    times: Int64[np.ndarray, " time"],
    style: NeedleStyle,
) -> tuple[list[int], list[int]]:
    """Cell of the digit asked for and of the other one in each frame; -1 where it is not there."""
    length, side = int(times[-1]) + 1, style.size_px // style.cell_px
    first, second = int(cells[0]), int(cells[1])
    if stratum == "moving":
        moments = rng.choice(np.arange(1, len(times)), min(_NUM_HOPS, len(times) - 1), replace=False)
        free = rng.permutation(np.delete(np.arange(side * side), [first, second]))
        path = np.concatenate([[first], free])
        asked = path[np.searchsorted(np.sort(moments), np.arange(len(times)), side="right")]
        beside = np.full(len(times), second)
    elif stratum == "standing":
        leaves = rng.random() < 0.5
        asked = np.where((times == 0) | (not leaves), first, -1)
        beside = np.where(times < times[rng.integers(1, len(times))], -1, second)
    else:
        moment = int(times[rng.integers(1, len(times))])
        if stratum == "flashing":
            if not style.is_needle_sampled:
                moment = int(rng.integers(1, style.timeline or length))
            asked = np.where(times == moment, first, -1)
        else:
            asked = np.where(times < moment, -1, first)
        beside = np.full(len(times), second)
    return asked.tolist(), beside.tolist()


@lru_cache(maxsize=64)
def _split_ids(values: bytes, seed: int, split: Split, kinds: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    order = np.random.default_rng((seed, 99)).permutation(len(values))
    found = []
    for kind in kinds:
        ids = order[np.frombuffer(values, np.uint8)[order] == kind]
        low, high = (int(share * len(ids)) for share in _SHARES[split])
        if low == high:
            raise ValueError(f"there is no image of the digit {kind} for {split}; give more digits, or other kinds")
        found.append(ids[low:high])
    return tuple(found)


def _images(digits: Digits, seed: int, split: Split, kinds: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Images of each kind that belong to a split; each kind is cut by itself, so that every split has all."""
    return _split_ids(digits.values.astype(np.uint8).tobytes(), seed, split, kinds)


def _grown(image: Float[np.ndarray, "8 8"], side: int) -> Float[np.ndarray, "side side 1"]:
    ink = image.astype(np.float32)
    return (ink if side == len(ink) else cv2.resize(ink, (side, side), interpolation=cv2.INTER_LINEAR))[..., None]


def _background(rng: np.random.Generator, style: NeedleStyle) -> Float[np.ndarray, "time height width 3"]:
    """A texture that stands still."""
    size = style.size_px
    coarse = rng.normal(0, 20, (6, 6, 3)).astype(np.float32)
    picture = (
        80 + rng.normal(0, 15, 3).astype(np.float32) + cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    )
    return np.repeat(picture[None], style.num_frames, axis=0)


def _area(cell: int, style: NeedleStyle) -> tuple[slice, slice]:
    row, column = divmod(cell, style.size_px // style.cell_px)
    side = style.cell_px
    return slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)


def _by_group(pixels: Bool[np.ndarray, "time height width"], group_px: int) -> Bool[np.ndarray, "time rows columns"]:
    if group_px < 1:
        raise ValueError(f"group_px is {group_px}; allowed: 1 or more")
    rows = np.logical_or.reduceat(pixels, np.arange(0, pixels.shape[1], group_px), axis=1)
    return np.logical_or.reduceat(rows, np.arange(0, pixels.shape[2], group_px), axis=2)
