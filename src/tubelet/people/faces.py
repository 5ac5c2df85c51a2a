"""Faces in one image: MediaPipe's full-range detector over the frame, over squares of it, and where people are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from tubelet import weights
from tubelet.people.boxes import Boxes, suppress
from tubelet.people.litert import InterpreterPool
from tubelet.people.squares import Square, crop_square
from tubelet.people.tiles import plan_tiles

INPUT_SIZE_PX = 192
NUM_ANCHORS = 2304
MIN_SCORE = 0.6
"""MediaPipe's own; below it leaves and bare shoulders are found more often than faces."""

_OUTPUTS = ("Identity", "Identity_1")  # 16 values per anchor, and the logit of "a face"
_STRIDE_PX = 4
_LOGIT_LIMIT = 100.0
_MAX_IOU = 0.3
_LEAST_SIDE_PX = 1.0
_HEAD_SIDE = 0.7  # of a person's longer edge: arms that are raised push the head down in the box
_HEAD_MARGIN = 0.1  # of that square, above the box


@cache
def anchors() -> Float[np.ndarray, "2304 2"]:
    """Middles of the anchors as x, y in parts of the input, row by row: one for each 4 x 4 pixels of it."""
    middles = (np.arange(INPUT_SIZE_PX // _STRIDE_PX) + 0.5) * _STRIDE_PX / INPUT_SIZE_PX
    rows, columns = np.meshgrid(middles, middles, indexing="ij")
    result = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
    result.setflags(write=False)
    return result


def decode_faces(values: Float[np.ndarray, "2304 16"], logits: Float[np.ndarray, " 2304"], min_score: float) -> Boxes:
    """Boxes whose score is at least `min_score`, as `x0, y0, x1, y1` in parts of the input; not suppressed.

    Args:
        values: Middle (from the anchor's), width and height of the face and then x, y of two eyes, nose, mouth and two
            ears, all in pixels of the input; only the first four are used.
        logits: Of "a face". Those beyond 100 count as 100.
        min_score: In 0..1.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -_LOGIT_LIMIT, _LOGIT_LIMIT)))
    found = np.flatnonzero(scores >= min_score)
    box = values[found, :4] / INPUT_SIZE_PX
    middle, half = anchors()[found] + box[:, :2], box[:, 2:] / 2
    return Boxes(
        np.concatenate([middle - half, middle + half], axis=1).astype(np.float32), scores[found].astype(np.float32)
    )


def head_square(box_px: Float[np.ndarray, " 4"]) -> Square:
    """Where to look for the face of a person in a box: round its upper part, or all of a box that lies.

    Args:
        box_px: `x0, y0, x1, y1` in pixels; may reach over the image's edge.

    Raises:
        ValueError: The box is empty or not finite.
    """
    x0, y0, x1, y1 = (float(value) for value in box_px)
    if not (np.isfinite([x0, y0, x1, y1]).all() and x1 > x0 and y1 > y0):
        raise ValueError(f"box {[x0, y0, x1, y1]} is empty; wanted x0 < x1 and y0 < y1 in pixels")
    width, height = x1 - x0, y1 - y0
    side = width * (1 + _HEAD_MARGIN) if width > height else _HEAD_SIDE * height
    top = (y0 + y1 - side) / 2 if width > height else y0 - _HEAD_MARGIN * side
    return Square(round((x0 + x1 - side) / 2), round(top), max(1, round(side)))


class FaceDetector:
    """Finds faces over a pool of interpreters; thread-safe. Faces seen from the side count, backs of heads do not.

    Args:
        path: The `.tflite` file; None fetches it.
        num_workers: Squares that run at the same time.
        min_score: Faces below are dropped.
        notify: Called with a sentence when the file is being fetched.

    Raises:
        WeightsError: The file cannot be brought, or is not the expected network.

    Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs" (2019); weights,
        anchors, box code and threshold of `face_detection_full_range` in MediaPipe 0.10.21.
    Differs: MediaPipe looks at the whole frame once and averages boxes that overlap; here people and squares of the
        frame are looked at besides, because faces in footage of whole bodies are small, and the best box is kept.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        num_workers: int = 2,
        min_score: float = MIN_SCORE,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        if not 0 < min_score < 1:
            raise ValueError(f"min_score is {min_score}; it must lie between 0 and 1")
        self.min_score = min_score
        self._pool = InterpreterPool(path or weights.fetch(weights.FACE_DETECTION_FULL, notify=notify), num_workers)
        self._pool.require((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), _OUTPUTS)
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="tubelet-faces")

    def detect(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        *,
        people_px: Sequence[Float[np.ndarray, " 4"]] | Float[np.ndarray, "people 4"] = (),
        tile_px: int | None = None,
    ) -> Boxes:
        """Find faces.

        Args:
            image: RGB.
            people_px: `x0, y0, x1, y1` of people, each of whom is looked at closely.
            tile_px: Side of additional squares for small faces outside of these; None for none finer than the frame's
                short edge.

        Returns:
            Boxes from forehead to chin inside the image, best score first.

        Raises:
            ValueError: The image is none, or a person's box is empty.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}; wanted uint8 (height, width, 3)")
        height, width = image.shape[:2]
        squares = [
            Square((tile.x0 + tile.x1 - side) // 2, (tile.y0 + tile.y1 - side) // 2, side)
            for tile in plan_tiles(width, height, tile_px)
            for side in [max(tile.x1 - tile.x0, tile.y1 - tile.y0)]
        ]
        squares += [head_square(np.asarray(box)) for box in people_px]
        found = list(self._threads.map(lambda square: self._look(image, square), squares))
        xyxy = np.clip(np.concatenate([b.xyxy_px for b in found]), 0, np.array([width, height] * 2, np.float32))
        faces = Boxes(xyxy, np.concatenate([b.scores for b in found]))
        is_there = (xyxy[:, 2:] - xyxy[:, :2] >= _LEAST_SIDE_PX).all(axis=1)
        return suppress(faces.select(is_there), max_iou=_MAX_IOU)

    def _look(self, image: UInt8[np.ndarray, "height width 3"], square: Square) -> Boxes:
        batch = crop_square(image, square, INPUT_SIZE_PX)[None].astype(np.float32)
        batch *= 1 / 127.5
        batch -= 1
        values, logits = self._pool.run(batch, _OUTPUTS)
        faces = decode_faces(values[0], logits[0, :, 0], self.min_score)
        corner = np.array([square.x0, square.y0] * 2, np.float32)
        return Boxes(faces.xyxy_px * np.float32(square.side) + corner, faces.scores)
