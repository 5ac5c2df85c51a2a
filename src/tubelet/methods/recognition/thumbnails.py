"""One small picture per segment, kept while the video goes by."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

from tubelet.methods.recognition.timeline import Segment, Thumbnail
from tubelet.video import Frame

_HEIGHT_PX = 144
_MARGIN = 0.15  # of the box, on each side: a little of the surroundings says where
_MIN_GAP_S = 0.4
_MAX_CANDIDATES = 8
_MAX_PER_TRACK = 6
_MAX_TOTAL = 300  # so that an hour of people does not fill memory or a page with pictures


class ThumbnailKeeper:
    """Holds a few candidate pictures per person and gives out the one nearest the middle of each finished segment."""

    def __init__(self) -> None:
        self._candidates: dict[int, list[tuple[float, bytes]]] = {}
        self._given: dict[int, int] = {}
        self._num_given = 0

    def offer(self, track_id: int, frame: Frame, box_px: Float32[np.ndarray, "4"]) -> None:
        """Keeps a picture of the person if it adds something to those already kept."""
        if self._num_given >= _MAX_TOTAL or self._given.get(track_id, 0) >= _MAX_PER_TRACK:
            return
        held = self._candidates.setdefault(track_id, [])
        gap_s = _MIN_GAP_S if len(held) < 2 else max(_MIN_GAP_S, held[1][0] - held[0][0])
        if held and frame.time_s - held[-1][0] < gap_s:
            return
        picture = _cut(frame, box_px)
        if picture is None:
            return
        held.append((frame.time_s, picture))
        if len(held) > _MAX_CANDIDATES:
            del held[1::2]  # a long segment keeps pictures further apart

    def choose(self, segment: Segment) -> list[Thumbnail]:
        """The picture nearest the middle of the segment, if one was taken in it."""
        held = self._candidates.get(segment.track_id, [])
        inside = [item for item in held if segment.start_s <= item[0] < segment.end_s]
        self._candidates[segment.track_id] = [item for item in held if item[0] >= segment.end_s]
        if not inside or self._num_given >= _MAX_TOTAL or self._given.get(segment.track_id, 0) >= _MAX_PER_TRACK:
            return []
        middle = (segment.start_s + segment.end_s) / 2
        time_s, jpeg = min(inside, key=lambda item: abs(item[0] - middle))
        self._given[segment.track_id] = self._given.get(segment.track_id, 0) + 1
        self._num_given += 1
        return [Thumbnail(track_id=segment.track_id, time_s=time_s, jpeg=jpeg)]

    def forget(self, track_id: int) -> None:
        """Frees what is held of a person who left."""
        self._candidates.pop(track_id, None)
        self._given.pop(track_id, None)


def _cut(frame: Frame, box_px: Float32[np.ndarray, "4"]) -> bytes | None:
    height, width = frame.image.shape[:2]
    x0, y0, x1, y1 = (float(value) for value in box_px)
    margin_x, margin_y = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
    left, right = max(int(x0 - margin_x), 0), min(int(np.ceil(x1 + margin_x)), width)
    top, bottom = max(int(y0 - margin_y), 0), min(int(np.ceil(y1 + margin_y)), height)
    if right - left < 4 or bottom - top < 4:
        return None
    patch = frame.image[top:bottom, left:right]
    scale = min(_HEIGHT_PX / patch.shape[0], 2.0)
    size = (max(round(patch.shape[1] * scale), 1), max(round(patch.shape[0] * scale), 1))
    shrunk = cv2.resize(patch, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(shrunk, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return data.tobytes() if done else None
