"""Squares of a picture in whole pixels, and what a network is shown of them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8


class Square(NamedTuple):
    """Where in the image a network looks, in whole pixels; it may reach over the edges, where it sees black."""

    x0: int
    y0: int
    side: int


def crop_square(
    image: UInt8[np.ndarray, "height width 3"], square: Square, size_px: int
) -> UInt8[np.ndarray, "size size 3"]:
    """The pixels of a square, brought to a size; black where it reaches over the image's edges."""
    height, width = image.shape[:2]
    x0, y0, side = square
    x1, y1 = x0 + side, y0 + side
    inner = image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if inner.size == 0:
        return np.zeros((size_px, size_px, 3), np.uint8)
    edges = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
    whole = cv2.copyMakeBorder(np.ascontiguousarray(inner), *edges, cv2.BORDER_CONSTANT)
    # Large frames shrink ninefold: without averaging, what is left of a face would be single pixels.
    method = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(whole, (size_px, size_px), interpolation=method))
