"""Scenes with coloured people whose places are known, and stand-ins for the pretrained parts that see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tubelet.methods.recognition.preprocess import FEATURE_NAMES
from tubelet.people.boxes import Boxes
from tubelet.people.landmarks import Pose
from tubelet.video import Frame, VideoWriter

WIDTH, HEIGHT = 320, 180
RED, GREEN = (230, 40, 40), (40, 230, 40)


def _is(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where an image has about this colour; encoding shifts it a little."""
    return (np.abs(image.astype(np.int16) - colour) < 70).all(axis=2)


class ColourDetector:
    """Finds red and green rectangles."""

    name, reason = "colour", "a stand-in for tests"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: np.ndarray, *, tile_px: int | None = None) -> Boxes:
        """The bounding box of each colour."""
        del tile_px
        self.calls += 1
        found = []
        for colour in (RED, GREEN):
            rows, columns = np.nonzero(_is(image, colour))
            if len(rows) > 200:
                found.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        if not found:
            return Boxes.empty()
        return Boxes(np.array(found, np.float32), np.full(len(found), 0.7, np.float32))


class ColourLandmarks:
    """Poses that fill whatever coloured thing is in the box."""

    def estimate_many(
        self, image: np.ndarray, boxes_px: Iterable[np.ndarray], angles_rad: Iterable[float] | None = None
    ) -> list[Pose]:
        """One pose per box; presence is low where the box holds no colour."""
        del angles_rad
        return [self._pose(image, box) for box in boxes_px]

    def _pose(self, image: np.ndarray, box: np.ndarray) -> Pose:
        x0, y0, x1, y1 = (int(v) for v in np.clip(box, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT]))
        patch = image[y0:y1, x0:x1]
        body = _is(patch, RED) | _is(patch, GREEN)
        if body.sum() < 50:
            return Pose(np.zeros((33, 3), np.float32), 0.02)
        rows, columns = np.nonzero(body)
        left, right, top, bottom = x0 + columns.min(), x0 + columns.max(), y0 + rows.min(), y0 + rows.max()
        down = np.linspace(0.06, 0.94, 33)
        across = np.where(np.arange(33) % 2 == 0, 0.1, 0.9)
        points = np.stack([left + across * (right - left), top + down * (bottom - top), np.ones(33)], axis=1)
        return Pose(points.astype(np.float32), 0.97)


class SpeedModel:
    """Calls a person moving or still by the speed of its box."""

    labels = ("still", "moving")
    context = 3
    min_score = 0.6

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """The faster the box, the more it moves."""
        speed = np.abs(features[FEATURE_NAMES.index("box_speed_wide_x")])
        moving = 1 / (1 + np.exp(-20 * (speed - 0.25)))
        return np.stack([1 - moving, moving], axis=1).astype(np.float32)


def scene(num_frames: int, fps: float = 30.0) -> Iterator[Frame]:
    """A red person who stands for three seconds, then goes right; a green one who is there from 1 s to 4 s."""
    for index in range(num_frames):
        time_s = index / fps
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        x = red_x(time_s)
        image[60:140, x : x + 30] = RED
        if 1.0 <= time_s < 4.0:
            image[50:120, 250:276] = GREEN
        yield Frame(image=image, time_s=time_s, index=index)


def red_x(time_s: float) -> int:
    """Left edge of the red person; after 8 s of walking it turns back, and so on."""
    walked = max(time_s - 3.0, 0.0) % 16.0
    return 40 + int(min(walked, 16.0 - walked) * 24)


def write_scene(path: Path, num_frames: int = 200, fps: float = 30.0) -> Path:
    """The scene as a video file."""
    with VideoWriter(path, width=WIDTH, height=HEIGHT, fps=fps) as writer:
        for frame in scene(num_frames, fps):
            writer.write(frame.image, frame.time_s)
    return path
