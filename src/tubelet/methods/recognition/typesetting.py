"""Text in pictures: smooth letters on rounded plates, made once and blended where they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from tubelet.methods.recognition.palette import Colour

_WEIGHT = 550
_OVERSAMPLE = 4
_INK = (16, 18, 24)
_DIM = (70, 76, 88)
_DIM_TEXT = (226, 229, 236)


@dataclass(frozen=True)
class Plate:
    """A small picture with transparency, ready to blend.

    Attributes:
        opaque: The colours times their opacity.
        clear: One minus the opacity.
    """

    opaque: Float32[np.ndarray, "height width 3"]
    clear: Float32[np.ndarray, "height width 1"]

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.opaque.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.opaque.shape[0])


def text_width(text: str, size_px: int) -> int:
    """Width of a line of text in pixels."""
    return int(cv2.getTextSize((0, 0), text, (0, 0), cv2.FontFace("sans"), size_px, _WEIGHT)[2])


def put_text(
    picture: UInt8[np.ndarray, "height width 3"], text: str, x: int, baseline: int, colour: Colour, size_px: int
) -> None:
    """Write one line of text; letters that fall outside are cut."""
    cv2.putText(picture, text, (x, baseline), colour, cv2.FontFace("sans"), size_px, _WEIGHT)


def label_plate(number: str, text: str, colour: Colour, ink: Colour, size_px: int, *, is_dim: bool) -> Plate:
    """A plate with the number of a person and what they do.

    Args:
        number: Stands in a darker field on the left; may be empty.
        text: May be empty: then the number stands alone.
        colour: Of the person.
        ink: Colour of letters on `colour`.
        size_px: Height of the text.
        is_dim: Grey plate for a person whose action is not known; the number keeps its colour.
    """
    pad = round(size_px * 0.42)
    height = round(size_px * 1.42)
    number_width = text_width(number, size_px) + 2 * pad if number else 0
    text_room = text_width(text, size_px) + 2 * pad if text else 0
    width = max(1, number_width + text_room)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = _DIM if is_dim and text else colour
    if number:
        # The number's field: the person's own colour where the rest is grey, else a darker shade of it.
        field: Colour = colour if is_dim or not text else _shade(colour)
        picture[:, :number_width] = field
        number_ink = ink if is_dim or not text else (255, 255, 255)
        put_text(picture, number, pad, round(size_px * 1.07), number_ink, size_px)
    if text:
        put_text(picture, text, number_width + pad, round(size_px * 1.07), _DIM_TEXT if is_dim else ink, size_px)
    alpha = _rounded_mask(width, height, round(size_px * 0.32))[..., None]
    return Plate(opaque=picture.astype(np.float32) * alpha, clear=1 - alpha)


def blend(picture: UInt8[np.ndarray, "height width 3"], plate: Plate, x: int, y: int) -> None:
    """Blend a plate into a picture with its upper left corner at x, y; parts outside are cut."""
    left, top = max(0, x), max(0, y)
    right, bottom = min(picture.shape[1], x + plate.width), min(picture.shape[0], y + plate.height)
    if right <= left or bottom <= top:
        return
    part = (slice(top - y, bottom - y), slice(left - x, right - x))
    region = picture[top:bottom, left:right]
    region[:] = region * plate.clear[part] + plate.opaque[part]


def _shade(colour: Colour) -> Colour:
    return (int(colour[0] * 0.42), int(colour[1] * 0.42), int(colour[2] * 0.42))


def _rounded_mask(width: int, height: int, radius: int) -> Float32[np.ndarray, "height width"]:
    """Opacity of a rounded rectangle, smooth at its corners."""
    scale = _OVERSAMPLE
    large = np.zeros((height * scale, width * scale), np.uint8)
    r = max(1, radius * scale)
    right, bottom = width * scale - 1, height * scale - 1
    cv2.rectangle(large, (r, 0), (max(r, right - r), bottom), 255, -1)
    cv2.rectangle(large, (0, r), (right, max(r, bottom - r)), 255, -1)
    for x in (r, right - r):
        for y in (r, bottom - r):
            cv2.circle(large, (x, y), r, 255, -1)
    small = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / 255
