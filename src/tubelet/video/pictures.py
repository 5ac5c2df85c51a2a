"""Decoder pictures to RGB arrays in display orientation."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import cast

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8

# The eight ways of the display matrix, keyed by the signs of its upper-left 2x2 part (a, b, c, d): a picture is first
# turned by cv2's rotation code, then mirrored left to right.
_TURNS: dict[tuple[int, int, int, int], tuple[int | None, bool]] = {
    (1, 0, 0, 1): (None, False),
    (0, 1, -1, 0): (cv2.ROTATE_90_CLOCKWISE, False),
    (-1, 0, 0, -1): (cv2.ROTATE_180, False),
    (0, -1, 1, 0): (cv2.ROTATE_90_COUNTERCLOCKWISE, False),
    (-1, 0, 0, 1): (None, True),
    (0, 1, 1, 0): (cv2.ROTATE_90_CLOCKWISE, True),
    (1, 0, 0, -1): (cv2.ROTATE_180, True),
    (0, -1, -1, 0): (cv2.ROTATE_90_COUNTERCLOCKWISE, True),
}
_DEGREES = {None: 0, cv2.ROTATE_90_CLOCKWISE: 90, cv2.ROTATE_180: 180, cv2.ROTATE_90_COUNTERCLOCKWISE: 270}

_DEEP_FORMATS = frozenset({"yuv420p10le", "yuv420p12le", "p010le"})


class PictureConverter:
    """Turns decoded pictures into RGB arrays, keeping the scaler's set-up from one picture to the next.

    Alpha is dropped, not blended. Interlaced pictures stay as coded, with both fields woven into one picture.
    Pictures of more than 8 bits are reduced to 8 without tone mapping.

    Args:
        short_side: Resize so that the shorter side has this many pixels; None keeps the size.
    """

    def __init__(self, short_side: int | None = None) -> None:
        if short_side is not None and short_side < 2:
            raise ValueError(f"short_side is {short_side}; it must be at least 2 pixels")
        self._short_side = short_side
        self._to_rgb = VideoReformatter()
        self._to_8_bits = VideoReformatter()

    def __call__(self, picture: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        """RGB of one picture; without turning and resizing it is a view of memory that belongs to it alone."""
        width, height = resized(picture.width, picture.height, self._short_side)
        if picture.format.name in _DEEP_FORMATS:
            # One step would cost three times as much as these two.
            picture = self._to_8_bits.reformat(picture, format="yuv420p", threads=1)
        # Averaging over areas keeps fine patterns from flickering in smaller pictures; it has no effect at full size.
        rgb = self._to_rgb.reformat(
            picture, width=width, height=height, format="rgb24", interpolation=Interpolation.AREA, threads=1
        )
        turn, is_mirrored = orientation(picture)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(height, plane.line_size)
        image: UInt8[np.ndarray, "height width 3"] = rows[:, : width * 3].reshape(height, width, 3)
        if turn is not None:
            image = cv2.rotate(image, turn)
        if is_mirrored:
            image = cv2.flip(image, 1)
        return image


def resized(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Width and height after the shorter one was brought to `short_side` and the longer one along with it."""
    if short_side is None:
        return width, height
    if width <= height:
        return short_side, max(1, round(height * short_side / width))
    return max(1, round(width * short_side / height)), short_side


def orientation(picture: VideoFrame) -> tuple[int | None, bool]:
    """How a decoded picture must be turned to be displayed: cv2's rotation code or None, then whether to mirror it.

    Source:
        The display matrix of ISO/IEC 14496-12 section 8.5.3. Turns that are not a multiple of 90 degrees are left
        undone, as players do.
    """
    side_data = cast("Mapping[str, bytes]", picture.side_data)
    if "DISPLAYMATRIX" not in side_data:
        return None, False
    a, b, _, c, d = struct.unpack_from("=5i", side_data["DISPLAYMATRIX"])
    return _TURNS.get((_sign(a), _sign(b), _sign(c), _sign(d)), (None, False))


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def is_turned_sideways(picture: VideoFrame) -> bool:
    """Whether display swaps width and height."""
    return rotation_deg(picture) in (90, 270)


def rotation_deg(picture: VideoFrame) -> int:
    """Clockwise rotation that display applies, degrees."""
    return _DEGREES[orientation(picture)[0]]
