"""What is put where pixels were removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tubelet.people.landmarks import Pose

Fill = Literal["black", "blur", "pixelate", "silhouette"]
FILLS: tuple[Fill, ...] = get_args(Fill)
DERIVED_FROM_REMOVED: tuple[Fill, ...] = ("blur", "pixelate")
"""Fills that are computed from the removed pixels, and so carry something of them."""

_BLUR_SHARE = 0.06  # sigma over the shorter side of the picture: a face of a tenth of it is a smear
_BLOCKS = 18  # along the shorter side
_GREY, _FIGURE = 64, 176
LEAST_PRESENCE = 0.5
"""Landmarks are trusted where there is a person in the crop with at least this probability."""

# Pairs of BLAZEPOSE_33 that make limbs, and how thick each is over the width of the shoulders.
_LIMBS: tuple[tuple[int, int, float], ...] = (
    *((11, 13, 0.30), (13, 15, 0.24), (12, 14, 0.30), (14, 16, 0.24)),
    *((23, 25, 0.42), (25, 27, 0.32), (24, 26, 0.42), (26, 28, 0.32)),
    *((27, 31, 0.22), (28, 32, 0.22)),
)
_TORSO = (11, 12, 24, 23)
_NOSE, _EARS = 0, (7, 8)


def filled(
    image: UInt8[np.ndarray, "height width 3"],
    hidden: Bool[np.ndarray, "height width"],
    fill: Fill,
    poses: Sequence[Pose] = (),
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with something else where it is hidden.

    Args:
        image: RGB.
        hidden: What to remove.
        fill: "black"; "blur" and "pixelate", which are computed from the whole picture and so carry something of
            what is removed; or "silhouette", flat grey with a figure drawn from landmarks.
        poses: Of the people, for "silhouette".
    """
    if fill == "black":
        other: UInt8[np.ndarray, "height width 3"] = np.zeros_like(image)
    elif fill == "blur":
        other = _blurred(image)
    elif fill == "pixelate":
        other = _pixelated(image)
    else:
        other = silhouette(image.shape[:2], poses)
    return np.where(hidden[..., None], other, image)


def silhouette(size: tuple[int, int], poses: Sequence[Pose]) -> UInt8[np.ndarray, "height width 3"]:
    """Figures on grey: nothing of a person but where the joints are.

    Args:
        size: Rows and columns.
        poses: Of the people; those whose landmarks are not trusted are not drawn.
    """
    canvas = np.full((*size, 3), _GREY, np.uint8)
    for pose in poses:
        if pose.presence >= LEAST_PRESENCE:
            _draw_figure(canvas, pose.landmarks[:, :2])
    return canvas


def _draw_figure(canvas: UInt8[np.ndarray, "height width 3"], points: Float[np.ndarray, "33 2"]) -> None:
    colour = (_FIGURE,) * 3
    # Seen from the side the shoulders are close together, but not the hips from the neck.
    torso = float(np.linalg.norm(points[[11, 12]].mean(0) - points[[23, 24]].mean(0)))
    width = max(float(np.linalg.norm(points[11] - points[12])), 0.45 * torso, 2.0)
    whole = np.round(points).astype(np.int32)
    cv2.fillConvexPoly(canvas, cv2.convexHull(whole[list(_TORSO)]), colour, cv2.LINE_AA)
    for start, end, share in _LIMBS:
        thick = max(1, round(share * width))
        cv2.line(canvas, whole[start].tolist(), whole[end].tolist(), colour, thick, cv2.LINE_AA)
    head = points[list(_EARS)].mean(0)
    radius = max(2, round(0.36 * width), round(float(np.linalg.norm(points[_EARS[0]] - points[_EARS[1]])) * 0.7))
    cv2.circle(canvas, np.round(head).astype(np.int32).tolist(), radius, colour, -1, cv2.LINE_AA)
    neck = points[[11, 12]].mean(0)
    cv2.line(
        canvas,
        np.round(head).astype(np.int32).tolist(),
        np.round(neck).astype(np.int32).tolist(),
        colour,
        max(1, round(0.25 * width)),
        cv2.LINE_AA,
    )


def _blurred(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Blurred at an eighth of the size, which the eye cannot tell from blurring the whole."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    sigma = max(1.0, _BLUR_SHARE * min(small.shape[:2]))
    smooth = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _pixelated(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    height, width = image.shape[:2]
    side = max(1, min(height, width) // _BLOCKS)
    small = cv2.resize(image, (-(-width // side), -(-height // side)), interpolation=cv2.INTER_AREA)
    grown = small.repeat(side, axis=0).repeat(side, axis=1)
    return np.ascontiguousarray(grown[:height, :width])
