"""Body landmarks of a person in a box: BlazePose's 33 points, run crop by crop in LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tubelet import weights
from tubelet.people.litert import InterpreterPool

INPUT_SIZE_PX = 256
NUM_LANDMARKS = 33

_OUTPUTS = ("Identity", "Identity_1")  # 39 points of x, y, z, visibility, presence; and whether there is a person
_VALUES_PER_POINT = 5
_LEFT_EAR, _RIGHT_EAR, _LEFT_SHOULDER, _RIGHT_SHOULDER, _LEFT_HIP, _RIGHT_HIP = 7, 8, 11, 12, 23, 24
_CROWN = 0.6  # from the ears to the top of the head, over the distance from the neck to the ears
_MARGIN_ALONG, _MARGIN_ACROSS = 0.02, 0.04  # of the longer edge, beyond the outermost landmarks


@dataclass(frozen=True)
class Pose:
    """Landmarks of one person in one image.

    Args:
        landmarks: `x_px, y_px, visibility` of the 33 points in the order of `skeletons.BLAZEPOSE_33`; visibility in
            0..1. Points may lie outside the image.
        presence: Probability that there is a person in the crop at all. The landmarks mean nothing where it is low.
    """

    landmarks: Float[np.ndarray, "33 3"]
    presence: float


@dataclass(frozen=True)
class Crop:
    """A square of the image, possibly turned and reaching over its edges, that fills the network's input.

    Args:
        centre_px: x and y of its middle.
        side_px: Its side.
        angle_rad: Which way is up in the crop: 0 is the image's up, positive turns the crop clockwise on the screen.
    """

    centre_px: tuple[float, float]
    side_px: float
    angle_rad: float = 0.0

    def to_image(self) -> Float[np.ndarray, "2 3"]:
        """Affine map from pixels of the network's input to pixels of the image."""
        scale = self.side_px / INPUT_SIZE_PX
        cos, sin = scale * np.cos(self.angle_rad), scale * np.sin(self.angle_rad)
        turn = np.array([[cos, -sin], [sin, cos]])
        shift = np.asarray(self.centre_px) - turn @ np.full(2, INPUT_SIZE_PX / 2)
        return np.concatenate([turn, shift[:, None]], axis=1)


def square_crop(box_px: Float[np.ndarray, " 4"] | Sequence[float], scale: float, angle_rad: float = 0.0) -> Crop:
    """The square round the middle of a box, `scale` times its longer edge, turned by `angle_rad`.

    Raises:
        ValueError: The box is empty or not finite.
    """
    x0, y0, x1, y1 = (float(v) for v in box_px)
    side = max(x1 - x0, y1 - y0)
    if not (np.isfinite([x0, y0, x1, y1]).all() and x1 > x0 and y1 > y0):
        raise ValueError(f"box {[x0, y0, x1, y1]} is empty; wanted x0 < x1 and y0 < y1 in pixels")
    return Crop(((x0 + x1) / 2, (y0 + y1) / 2), side * scale, angle_rad)


class LandmarkModel:
    """BlazePose "full" over a pool of interpreters; thread-safe.

    Args:
        path: The `.tflite` file; None fetches it.
        num_workers: Crops that run at the same time.
        roi_scale: Side of the square crop over the longer edge of the person's box.
        notify: Called with a sentence when the file is being fetched.

    Raises:
        WeightsError: The file cannot be brought, or is not the expected network.

    Source: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking" (2020); weights from the `mediapipe`
        wheel.
    Differs: MediaPipe crops a turned square that a second network or the previous frame's hips propose; here the square
        stands upright round the detector's box, because one detector then serves every part of the pipeline.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        num_workers: int = 2,
        roi_scale: float = 1.25,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        if not roi_scale > 0:
            raise ValueError(f"roi_scale is {roi_scale}; it must be positive")
        self.roi_scale = roi_scale
        self._pool = InterpreterPool(path or weights.fetch(weights.POSE_LANDMARK_FULL, notify=notify), num_workers)
        self._pool.require((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), _OUTPUTS)
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="tubelet-pose")

    def estimate(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        box_px: Float[np.ndarray, " 4"] | Sequence[float],
        angle_rad: float = 0.0,
    ) -> Pose:
        """Landmarks of the person in this box.

        The network was trained on people turned upright and pulls everybody towards that: of someone who leans by 45
        degrees it makes someone who stands, with high presence. Hand in the `body_angle` of the person's last pose to
        turn the crop with them.

        Args:
            image: RGB.
            box_px: `x0, y0, x1, y1` in pixels; may reach over the image's edge.
            angle_rad: Where the person's head points: 0 is up in the image, positive is clockwise on the screen.

        Raises:
            ValueError: The box is empty.
        """
        crop = square_crop(box_px, self.roi_scale, angle_rad)
        to_image = crop.to_image()
        side = INPUT_SIZE_PX
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        pixels = cv2.warpAffine(image, to_image, (side, side), flags=flags, borderMode=cv2.BORDER_CONSTANT)
        batch = pixels[None].astype(np.float32)
        batch *= 1 / 255
        points, presence = self._pool.run(batch, _OUTPUTS)
        return Pose(decode_landmarks(points.reshape(-1), to_image), float(presence.reshape(())))

    def estimate_many(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        boxes_px: Iterable[Float[np.ndarray, " 4"] | Sequence[float]],
        angles_rad: Iterable[float] | None = None,
    ) -> list[Pose]:
        """Landmarks of several people in one image, side by side in the worker threads; in the order of the boxes.

        Args:
            image: RGB.
            boxes_px: One box per person.
            angles_rad: Where each person's head points; None: all up.

        Raises:
            ValueError: A box is empty, or there are not as many angles as boxes.
        """
        boxes = list(boxes_px)
        angles = [0.0] * len(boxes) if angles_rad is None else list(angles_rad)
        if len(angles) != len(boxes):
            raise ValueError(f"{len(angles)} angles for {len(boxes)} boxes; wanted one each")
        return list(self._threads.map(lambda box, angle: self.estimate(image, box, angle), boxes, angles))


def decode_landmarks(
    values: Float[np.ndarray, " 195"], to_image: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "33 3"]:
    """The network's output as `x_px, y_px, visibility` in the image.

    Args:
        values: 39 points of x, y, z in pixels of the input, and visibility and presence as logits. The last six points
            are auxiliary and are dropped.
        to_image: Affine map from the input's pixels to the image's.
    """
    points = values.reshape(-1, _VALUES_PER_POINT)[:NUM_LANDMARKS]
    xy = points[:, :2] @ to_image[:, :2].T + to_image[:, 2]
    visibility = 1 / (1 + np.exp(-points[:, 3].astype(np.float64)))
    return np.concatenate([xy, visibility[:, None]], axis=1).astype(np.float32)


def _outline(landmarks: Float[np.ndarray, "33 values"]) -> Float[np.ndarray, "34 2"]:
    """The landmarks and the top of the head, which BlazePose has no point for."""
    points = landmarks[:, :2]
    ears = points[[_LEFT_EAR, _RIGHT_EAR]].mean(axis=0)
    neck = points[[_LEFT_SHOULDER, _RIGHT_SHOULDER]].mean(axis=0)
    crown = ears + _CROWN * (ears - neck)
    return np.concatenate([points, crown[None]])


def box_from_landmarks(landmarks: Float[np.ndarray, "33 values"]) -> Float[np.ndarray, " 4"]:
    """A box as tight round the person as a hand-drawn one, in any pose.

    Args:
        landmarks: x and y in pixels, and anything after them.

    Returns:
        `x0, y0, x1, y1` in pixels; not clipped to an image.
    """
    outline = _outline(landmarks)
    low, high = outline.min(axis=0), outline.max(axis=0)
    # Landmarks lie on joints: flesh and clothes reach further to the sides of the body than beyond head and toes.
    along = np.abs(_body_axis(landmarks))
    margin = float((high - low).max()) * (_MARGIN_ALONG * along + _MARGIN_ACROSS * (1 - along))
    return np.concatenate([low - margin, high + margin]).astype(np.float32)


def body_angle(landmarks: Float[np.ndarray, "33 values"]) -> float:
    """Direction from the hips to the neck, in radians: 0 is up in the image, positive is clockwise on the screen.

    Args:
        landmarks: x and y in pixels, and anything after them.
    """
    x, y = _body_axis(landmarks)
    return float(np.arctan2(x, -y))


def _body_axis(landmarks: Float[np.ndarray, "33 values"]) -> Float[np.ndarray, " 2"]:
    """Unit vector from the hips to the neck, in the image; straight up where both are the same point."""
    hips, neck = (
        landmarks[pair, :2].mean(axis=0) for pair in ([_LEFT_HIP, _RIGHT_HIP], [_LEFT_SHOULDER, _RIGHT_SHOULDER])
    )
    length = float(np.linalg.norm(neck - hips))
    return np.asarray((neck - hips) / length if length > 0 else (0.0, -1.0))


def roi_from_landmarks(landmarks: Float[np.ndarray, "33 values"]) -> Float[np.ndarray, " 4"]:
    """The square to look for the same person in, one moment later: round the hips, reaching to the furthest landmark.

    Args:
        landmarks: x and y in pixels, and anything after them.

    Returns:
        `x0, y0, x1, y1` in pixels, for `LandmarkModel.estimate`; not clipped to an image.
    """
    outline = _outline(landmarks)
    hips = outline[[_LEFT_HIP, _RIGHT_HIP]].mean(axis=0)
    radius = np.linalg.norm(outline - hips, axis=1).max()
    return np.concatenate([hips - radius, hips + radius]).astype(np.float32)
