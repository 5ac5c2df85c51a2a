"""A colour description of a person, to tell people apart where they cross."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

_PATCH = (24, 48)  # width, height to which a person is shrunk: fine detail is noise here
_BINS = (8, 4, 4)  # hue, saturation, value
_PARTS = 2  # upper and lower half separately: a dark coat over blue jeans


def describe(
    image: UInt8[np.ndarray, "height width 3"], boxes_px: Float[np.ndarray, "people 4"]
) -> Float32[np.ndarray, "people bins"]:
    """Colour histograms of the upper and lower body of each box.

    Only the middle 60 % of the width is used, which keeps most of the background out.

    Returns:
        One histogram per box that sums to 1; compare two by `sum(sqrt(a * b))`.
    """
    height, width = image.shape[:2]
    found = np.zeros((len(boxes_px), _PARTS * int(np.prod(_BINS))), np.float32)
    for row, (x0, y0, x1, y1) in enumerate(boxes_px):
        margin = 0.2 * (x1 - x0)
        left, right = int(max(x0 + margin, 0)), int(min(max(x1 - margin, x0 + margin + 1), width))
        top, bottom = int(max(y0, 0)), int(min(max(y1, y0 + 1), height))
        if right <= left or bottom <= top:
            continue  # wholly outside the picture: all zero, unlike everything
        patch = cv2.resize(image[top:bottom, left:right], _PATCH, interpolation=cv2.INTER_AREA)
        hsv = cv2.cvtColor(patch, cv2.COLOR_RGB2HSV)
        halves = np.split(hsv, _PARTS, axis=0)
        parts = [cv2.calcHist([half], [0, 1, 2], None, list(_BINS), [0, 180, 0, 256, 0, 256]) for half in halves]
        flat = np.concatenate([part.ravel() for part in parts])
        found[row] = flat / max(float(flat.sum()), 1.0)
    return found
