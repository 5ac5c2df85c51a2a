"""Landmarks of one tracked person -> the features that the action model reads: one function for training and use.

Features live on a fixed clock: frame k belongs to the moment k / 15 s of the video, whatever the video's own rate.
Every frame depends only on what was measured within `MARGIN_S` of it, so features of a part of a track equal those of
the whole, and a stream equals a file.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32

from tubelet.skeletons import BODY_13

RATE_HZ = 15.0
MAX_GAP_S = 0.5
"""Between measurements further apart than this nothing is filled in."""

NUM_JOINTS = len(BODY_13)
_SCALE_FRAMES = 12  # body size: over 0.8 s to each side
_NEAR, _WIDE = 2, 8  # frames to each side over which speeds are taken
MARGIN_FRAMES = max(_SCALE_FRAMES + _NEAR, _WIDE)
"""Look-ahead, and look-back, of a feature frame in frames."""
MARGIN_S = MARGIN_FRAMES / RATE_HZ + MAX_GAP_S
"""How far measurements must reach on either side of a frame for its features to be final."""

_LEFT_SHOULDER, _RIGHT_SHOULDER, _LEFT_HIP, _RIGHT_HIP = (
    BODY_13.index(name) for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
)
_BONES = np.array(
    [
        [BODY_13.index(f"{side}_{a}"), BODY_13.index(f"{side}_{b}")]
        for a, b in (("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"))
        for side in ("left", "right")
    ]
)

FEATURE_NAMES: tuple[str, ...] = (
    *(f"{joint}_{axis}" for joint in BODY_13.joints for axis in "xy"),
    *(f"{joint}_speed_{axis}" for joint in BODY_13.joints for axis in "xy"),
    *(f"{joint}_visibility" for joint in BODY_13.joints),
    *(f"root_speed_{span}_{axis}" for span in ("near", "wide") for axis in "xy"),
    *(f"box_speed_{span}_{axis}" for span in ("near", "wide") for axis in "xy"),
    *("root_in_box_x", "root_in_box_y", "box_aspect", "box_size", "growth", "pose_known", "box_known"),
)
NUM_FEATURES = len(FEATURE_NAMES)


def frame_range(times_s: Float[np.ndarray, " time"]) -> tuple[int, int]:
    """First feature frame, and one past the last, that lie between the first and the last of these moments."""
    if len(times_s) == 0:
        raise ValueError("no moments: a track needs at least one measurement")
    first = int(np.ceil(times_s[0] * RATE_HZ - 1e-6))
    return first, max(first, int(np.floor(times_s[-1] * RATE_HZ + 1e-6)) + 1)


def features(
    landmarks_px: Float[np.ndarray, "time 13 3"],
    box_px: Float[np.ndarray, "time 4"],
    times_s: Float[np.ndarray, " time"],
    frames: tuple[int, int] | None = None,
) -> Float32[np.ndarray, "features frames"]:
    """Features of one person.

    Args:
        landmarks_px: x, y and visibility of the joints of BODY_13; NaN where the person was boxed but no pose was
            found.
        box_px: x0, y0, x1, y1.
        times_s: When each was measured, rising, in seconds from the first displayed frame.
        frames: First feature frame and one past the last, frame k being at k / 15 s; what `frame_range(times_s)` says
            where not given.

    Returns:
        One column per frame: joints round the middle of the hips, their speeds and visibilities, speed of hips and of
            box, and what the
        box looks like. Lengths are in body sizes (shoulder to hip to knee to ankle). Zeros where nothing is known.

    Raises:
        ValueError: The arrays disagree in length, or the moments do not rise.
    """
    if landmarks_px.shape != (len(times_s), NUM_JOINTS, 3) or box_px.shape != (len(times_s), 4):
        raise ValueError(
            f"landmarks are {landmarks_px.shape} and boxes {box_px.shape} for {len(times_s)} moments; "
            f"must be (time, {NUM_JOINTS}, 3) and (time, 4)"
        )
    if (np.diff(times_s) <= 0).any():
        raise ValueError("times_s must rise; remove repeated moments")
    first, end = frame_range(times_s) if frames is None else frames
    if end <= first:
        return np.zeros((NUM_FEATURES, 0), np.float32)
    # Computed wider than asked for, so that speeds and sizes at the edges see what is there.
    grid = np.arange(first - MARGIN_FRAMES, end + MARGIN_FRAMES)
    box, box_known = _resample(box_px.astype(np.float64), times_s, grid / RATE_HZ)
    has_pose = np.isfinite(landmarks_px).all(axis=(1, 2))
    pose, pose_known = _resample(
        landmarks_px[has_pose].astype(np.float64).reshape(-1, NUM_JOINTS * 3), times_s[has_pose], grid / RATE_HZ
    )
    columns = _columns(pose.reshape(-1, NUM_JOINTS, 3), pose_known, box, box_known)
    return np.ascontiguousarray(columns[MARGIN_FRAMES:-MARGIN_FRAMES].T, dtype=np.float32)


def _resample(
    values: Float[np.ndarray, "time values"], times_s: Float[np.ndarray, " time"], at_s: Float[np.ndarray, " frames"]
) -> tuple[Float[np.ndarray, "frames values"], Bool[np.ndarray, " frames"]]:
    """Straight lines between measurements; unknown outside and within gaps that are too long."""
    if len(times_s) == 0:
        return np.zeros((len(at_s), values.shape[1])), np.zeros(len(at_s), dtype=bool)
    high = np.searchsorted(times_s, at_s - 1e-6)  # times such as 0.2 and 3 / 15 differ in the last bit
    exact = np.abs(times_s[np.minimum(high, len(times_s) - 1)] - at_s) <= 1e-6
    low = np.where(exact, high, high - 1)
    known = (low >= 0) & (high < len(times_s))
    low, high = np.clip(low, 0, len(times_s) - 1), np.clip(high, 0, len(times_s) - 1)
    gap = times_s[high] - times_s[low]
    known &= gap <= MAX_GAP_S
    share = np.where(exact, 0.0, (at_s - times_s[low]) / np.maximum(gap, 1e-9))[:, None]
    mixed = values[low] * (1 - share) + values[high] * share
    return np.where(known[:, None], mixed, 0.0), known


def _speed(
    values: Float[np.ndarray, "frames values"], known: Bool[np.ndarray, " frames"], reach: int
) -> Float[np.ndarray, "frames values"]:
    """Change per second between `reach` frames before and after, or to the frame itself where one side is unknown."""
    frames = np.arange(len(values))
    before, after = np.maximum(frames - reach, 0), np.minimum(frames + reach, len(values) - 1)
    before = np.where(known[before], before, frames)
    after = np.where(known[after], after, frames)
    speed = (values[after] - values[before]) * (RATE_HZ / np.maximum(after - before, 1))[:, None]
    return np.where((known & (after > before))[:, None], speed, 0.0)


def _windowed_quantile(
    values: Float[np.ndarray, " frames"], known: Bool[np.ndarray, " frames"], share: float, reach: int
) -> Float[np.ndarray, " frames"]:
    """Quantile of the known values within `reach` frames; 0 where none is known."""
    padded = np.full(len(values) + 2 * reach, np.inf)
    padded[reach : reach + len(values)] = np.where(known, values, np.inf)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)
    count = np.isfinite(windows).sum(axis=1)
    index = np.floor(share * np.maximum(count - 1, 0)).astype(int)
    return np.where(count > 0, np.take_along_axis(windows, index[:, None], axis=1)[:, 0], 0.0)


def _columns(
    pose: Float[np.ndarray, "frames 13 3"],
    pose_known: Bool[np.ndarray, " frames"],
    box: Float[np.ndarray, "frames 4"],
    box_known: Bool[np.ndarray, " frames"],
) -> Float[np.ndarray, "frames features"]:
    xy = pose[..., :2]
    bones = np.linalg.norm(xy[:, _BONES[:, 0]] - xy[:, _BONES[:, 1]], axis=-1)
    centre, size = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
    longer = size.max(axis=1)
    from_box = _windowed_quantile(longer, box_known, 0.8, _SCALE_FRAMES) * 0.7
    from_pose = _windowed_quantile(bones.sum(axis=1) / 2, pose_known, 0.8, _SCALE_FRAMES)
    # A pose much smaller or larger than its box is wrong: believe it within limits.
    scale = np.where(from_pose > 0, np.clip(from_pose, 0.5 * from_box, 1.6 * from_box), from_box)
    scale = np.maximum(scale, 1.0)[:, None]
    root = (xy[:, _LEFT_HIP] + xy[:, _RIGHT_HIP]) / 2
    around = ((xy - root[:, None]) / scale[:, None]).reshape(len(pose), -1)
    around = np.where(pose_known[:, None], around, 0.0)
    parts = [
        np.clip(around, -2, 2) * 2,
        np.clip(_speed(around, pose_known, _NEAR), -8, 8) / 2,
        np.where(pose_known[:, None], pose[..., 2] * 2 - 1, 0.0),
    ]
    for place, known in ((root, pose_known), (centre, box_known)):
        parts += [np.clip(_speed(place, known, reach) / scale, -6, 6) for reach in (_NEAR, _WIDE)]
    both = (pose_known & box_known)[:, None]
    parts.append(np.where(both, np.clip((root - centre) / scale, -2, 2) * 2, 0.0))
    shape = np.log(np.maximum(size[:, :1], 1) / np.maximum(size[:, 1:], 1))
    against = np.log(np.maximum(longer[:, None], 1) / scale)
    growth = np.clip(_speed(np.log(np.maximum(longer[:, None], 1)), box_known, _WIDE), -2, 2)
    parts += [np.where(box_known[:, None], np.clip(part, -2, 2), 0.0) for part in (shape, against, growth * 2)]
    parts += [pose_known[:, None].astype(float), box_known[:, None].astype(float)]
    return np.concatenate(parts, axis=1)
