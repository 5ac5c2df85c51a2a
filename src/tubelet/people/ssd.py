"""Anchors and box code of an SSD-MobileNetV2 with 300 x 300 input: both person detectors share them.

Source: Liu et al., "SSD: Single Shot MultiBox Detector" (ECCV 2016), section 2.2, with the TensorFlow Object Detection
    API's anchor
generator (scales .2 to .95 on six levels, smaller boxes on the finest level) and box coder (10, 10, 5, 5).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float

INPUT_SIZE_PX = 300
NUM_ANCHORS = 1917

_GRIDS = (19, 10, 5, 3, 2, 1)
_SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
_FINEST_SHAPES = ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5))
_ASPECTS = (1.0, 2.0, 0.5, 3.0, 0.3333)
_CENTRE_VARIANCE = 10.0
_SIZE_VARIANCE = 5.0


@cache
def anchors() -> Float[np.ndarray, "1917 4"]:
    """Anchors as `centre y, centre x, height, width` in parts of the input, ordered by level, row, column, shape."""
    levels = []
    for level, grid in enumerate(_GRIDS):
        if level == 0:
            shapes = [(scale / np.sqrt(aspect), scale * np.sqrt(aspect)) for scale, aspect in _FINEST_SHAPES]
        else:
            scale = _SCALES[level]
            shapes = [(scale / np.sqrt(aspect), scale * np.sqrt(aspect)) for aspect in _ASPECTS]
            between = np.sqrt(scale * _SCALES[level + 1])
            shapes.append((between, between))
        centres = (np.arange(grid) + 0.5) / grid
        rows, columns = np.meshgrid(centres, centres, indexing="ij")
        level_anchors = np.empty((grid, grid, len(shapes), 4))
        level_anchors[..., 0] = rows[:, :, None]
        level_anchors[..., 1] = columns[:, :, None]
        level_anchors[..., 2:] = np.asarray(shapes)
        levels.append(level_anchors.reshape(-1, 4))
    result = np.concatenate(levels).astype(np.float32)
    result.setflags(write=False)
    return result


def decode_boxes(
    encodings: Float[np.ndarray, "boxes 4"], anchor_boxes: Float[np.ndarray, "boxes 4"]
) -> Float[np.ndarray, "boxes 4"]:
    """Turn the network's `ty, tx, th, tw` into `x0, y0, x1, y1` in parts of the network's input.

    Args:
        encodings: Offsets from the anchors.
        anchor_boxes: The anchor of each row, as `anchors()` gives them.
    """
    centre_y = encodings[:, 0] / _CENTRE_VARIANCE * anchor_boxes[:, 2] + anchor_boxes[:, 0]
    centre_x = encodings[:, 1] / _CENTRE_VARIANCE * anchor_boxes[:, 3] + anchor_boxes[:, 1]
    half_height = np.exp(encodings[:, 2] / _SIZE_VARIANCE) * anchor_boxes[:, 2] / 2
    half_width = np.exp(encodings[:, 3] / _SIZE_VARIANCE) * anchor_boxes[:, 3] / 2
    edges = [centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height]
    return np.stack(edges, axis=1).astype(np.float32)


def decode_above(
    encodings: Float[np.ndarray, "1917 4"], logits: Float[np.ndarray, " 1917"], min_score: float
) -> tuple[Float[np.ndarray, "found 4"], Float[np.ndarray, " found"]]:
    """Boxes whose sigmoid score is above `min_score`, as `x0, y0, x1, y1` in parts of the input, and their scores."""
    # Comparing logits first spares the exponentials of the other 99 %.
    above = np.flatnonzero(logits > np.log(min_score / (1 - min_score)))
    scores = (1 / (1 + np.exp(-logits[above]))).astype(np.float32)
    return decode_boxes(encodings[above], anchors()[above]), scores
