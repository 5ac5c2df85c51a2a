"""Anchors, box code and suppression against a slow computation, written box by box from the paper's formulas."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tubelet.people import ssd
from tubelet.people.boxes import Boxes, suppress


def slow_anchors() -> list[tuple[float, float, float, float]]:
    """Every anchor on its own: centre y, centre x, height, width."""
    scales = [0.2 + (0.95 - 0.2) * level / 5 for level in range(6)] + [1.0]
    result = []
    for level, grid in enumerate([19, 10, 5, 3, 2, 1]):
        for row in range(grid):
            for column in range(grid):
                if level == 0:
                    sizes = [
                        (0.1, 0.1),
                        (0.2 / math.sqrt(2), 0.2 * math.sqrt(2)),
                        (0.2 * math.sqrt(2), 0.2 / math.sqrt(2)),
                    ]
                else:
                    scale = scales[level]
                    sizes = [(scale / math.sqrt(a), scale * math.sqrt(a)) for a in (1, 2, 0.5, 3, 0.3333)]
                    sizes.append((math.sqrt(scale * scales[level + 1]),) * 2)
                result += [((row + 0.5) / grid, (column + 0.5) / grid, height, width) for height, width in sizes]
    return result


def test_anchors() -> None:
    expected = slow_anchors()
    assert len(expected) == ssd.NUM_ANCHORS == 1083 + 600 + 150 + 54 + 24 + 6
    np.testing.assert_allclose(ssd.anchors(), expected, atol=1e-6)


def test_box_code() -> None:
    rng = np.random.default_rng(0)
    encodings = rng.normal(0, 3, (ssd.NUM_ANCHORS, 4)).astype(np.float32)
    logits = rng.normal(-2, 2, ssd.NUM_ANCHORS).astype(np.float32)
    boxes, scores = ssd.decode_above(encodings, logits, 0.3)
    expected = []
    for (ty, tx, th, tw), logit, (ya, xa, ha, wa) in zip(encodings, logits, slow_anchors(), strict=True):
        score = 1 / (1 + math.exp(-logit))
        if score > 0.3:
            y, x = ty / 10 * ha + ya, tx / 10 * wa + xa
            h, w = math.exp(th / 5) * ha, math.exp(tw / 5) * wa
            expected.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, score))
    assert 200 < len(expected) < 700
    np.testing.assert_allclose(np.concatenate([boxes, scores[:, None]], axis=1), expected, rtol=1e-4, atol=1e-5)


def test_no_offset_is_the_anchor_itself() -> None:
    boxes = ssd.decode_boxes(np.zeros((ssd.NUM_ANCHORS, 4), np.float32), ssd.anchors())
    y, x, height, width = np.array(slow_anchors()).T
    np.testing.assert_allclose(
        boxes, np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1), atol=1e-6
    )


def slow_suppress(rows: list[tuple[int, ...]], max_iou: float, max_contained: float) -> list[int]:
    """Positions that stay, best score first; every overlap counted in whole pixels."""

    def pixels(row: tuple[int, ...]) -> set[tuple[int, int]]:
        return {(x, y) for x in range(row[0], row[0] + row[2]) for y in range(row[1], row[1] + row[3])}

    kept: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: -rows[i][4]):
        own = pixels(rows[index])
        overlaps = [
            (len(own & pixels(rows[k])), len(own | pixels(rows[k])), min(len(own), len(pixels(rows[k])))) for k in kept
        ]
        if all(shared <= max_iou * union and shared <= max_contained * smaller for shared, union, smaller in overlaps):
            kept.append(index)
    return kept


PIXEL_BOXES = st.tuples(
    st.integers(0, 12), st.integers(0, 12), st.integers(1, 10), st.integers(1, 10), st.integers(0, 9)
)


@given(st.lists(PIXEL_BOXES, max_size=12))
def test_suppression(rows: list[tuple[int, ...]]) -> None:
    array = np.array(rows, np.float32).reshape(-1, 5)
    corners = np.concatenate([array[:, :2], array[:, :2] + array[:, 2:4]], axis=1)
    # .55 and .83 are no ratios of such small numbers: no tie is decided by rounding.
    kept = suppress(Boxes(corners, array[:, 4]), max_iou=0.553, max_contained=0.837)
    expected = slow_suppress(rows, 0.553, 0.837)
    np.testing.assert_array_equal(kept.xyxy_px, corners[expected])
