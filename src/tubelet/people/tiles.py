"""Where in an image a detector with a small square input looks: the whole frame, and squares that overlap.

A 300 px network sees a person of 80 px in a 1080 px frame as 22 px and misses them. Squares of the short edge undo the
stretching; finer squares bring small people to the size that the network finds best. All functions here are pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tubelet.people.ssd import INPUT_SIZE_PX

MIN_OVERLAP = 0.4
"""Part of a coarse square that the next one shares, at least."""

MIN_FINE_OVERLAP = 0.3
"""Part of a fine square that the next one shares, at least."""

SMALLEST_PERSON_PX = 32
"""Height of a person in the network's input below which the coarse squares are not enough."""

BEST_PERSON_PX = 38
"""Height of the people in the network's input that fine squares aim at."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of the image that the network sees at once; x1 and y1 are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int


def _starts(length: int, side: int, min_overlap: float) -> list[int]:
    """Starts of the fewest squares of this side that cover `length` with at least `min_overlap` between neighbours."""
    if side >= length:
        return [0]
    count = 1 + math.ceil((length - side) / (side * (1 - min_overlap)))
    return [round(index * (length - side) / (count - 1)) for index in range(count)]


def _grid(width: int, height: int, side: int, min_overlap: float) -> list[Tile]:
    return [
        Tile(x0, y0, min(x0 + side, width), min(y0 + side, height))
        for y0 in _starts(height, side, min_overlap)
        for x0 in _starts(width, side, min_overlap)
    ]


def plan_tiles(width: int, height: int, tile_px: int | None = None, *, coarse: bool = True) -> list[Tile]:
    """The rectangles to search.

    Always the whole frame; squares of the short edge along the long one unless the frame is nearly square; and, where
    `tile_px` is given, a grid of finer squares of that side.

    Args:
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        tile_px: Side of the fine squares. None: no fine squares. As large as the short edge or larger: none either.
        coarse: Whether to lay squares of the short edge.

    Raises:
        ValueError: A size is not positive.
    """
    if width < 1 or height < 1 or (tile_px is not None and tile_px < 1):
        raise ValueError(f"cannot tile {width} x {height} px with tile_px={tile_px}: sizes must be positive")
    tiles = [Tile(0, 0, width, height)]
    short, long = min(width, height), max(width, height)
    if coarse and long > 1.15 * short:
        tiles += _grid(width, height, short, MIN_OVERLAP)
    if tile_px is not None and tile_px < short:
        tiles += _grid(width, height, tile_px, MIN_FINE_OVERLAP)
    return tiles


def choose_tile_px(width: int, height: int, person_heights_px: Sequence[float]) -> int | None:
    """How fine to search, given how large the people are: the `tile_px` for `plan_tiles`.

    Both detectors keep their recall down to people of about 32 px in their 300 px input and lose half of them at 20 px
    (docs/design/2026-11-23-person-detection.md). Squares of the short edge are fine enough for people taller than a
    ninth of it.

    Args:
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        person_heights_px: Heights of the people that are known to be there; the smaller ones decide. Empty: nobody was
            seen yet, so look for small ones.

    Returns:
        Side of the fine squares, or None where squares of the short edge are fine enough.
    """
    short = min(width, height)
    if len(person_heights_px) == 0:
        side = short / 2
    else:
        small = sorted(person_heights_px)[(len(person_heights_px) - 1) // 4]
        if small * INPUT_SIZE_PX >= SMALLEST_PERSON_PX * short:
            return None
        side = small * INPUT_SIZE_PX / BEST_PERSON_PX
    # Finer squares cost more passes than they find people; below the second bound there is nothing left to enlarge.
    side = max(side, short / 3, INPUT_SIZE_PX / 2)
    return round(side) if side < short else None
