"""Random cameras, and landmarks as a real landmark model would report them.

`film` turns a body's joints in metres into what the recogniser sees of a real person: landmarks with visibility and a
box, in pixels, at the irregular moments of a real video. The imperfections follow what `pose_landmark_full` does on
street footage of people 60 to 100 px tall (see the constants below): jitter of hands and feet of a twentieth of the
body height, drift over half a second, far limbs that are guessed, left and right exchanged, moments without any pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from tubelet.datasets.puppet import wander
from tubelet.skeletons import BODY_13, HUMANOID_15, convert

# Jitter of one frame against its neighbours, as a share of the person's height, at 75 px of height, in the order of
# BODY_13: measured as the residual against a half-second mean, on the first 40 s of OpenCV's vtest.avi.
_JITTER = np.array([0.020, 0.020, 0.020, 0.030, 0.030, 0.045, 0.045, 0.009, 0.009, 0.022, 0.022, 0.040, 0.040])
# Up and down it errs less than sideways: it knows how tall a person's parts are.
_AXIS = np.array([0.85, 0.45])
# Median visibility reported for each joint there, as a logit.
_VISIBILITY = np.array([7.0, 7.5, 7.5, 2.4, 2.4, 1.5, 1.5, 7.5, 7.5, 3.0, 3.0, 3.2, 3.2])
# Where the joints of a person who stands and faces the camera are, in heights from the middle of the hips: what the
# model guesses.
_UPRIGHT = np.array(
    [
        [0.0, -0.38],
        *([0.10, -0.29], [-0.10, -0.29], [0.14, -0.13], [-0.14, -0.13], [0.14, 0.0], [-0.14, 0.0]),
        *([0.05, 0.0], [-0.05, 0.0], [0.06, 0.23], [-0.06, 0.23], [0.06, 0.44], [-0.06, 0.44]),
    ]
)
_LIMBS = tuple(np.array(limb) for limb in ((3, 5), (4, 6), (9, 11), (10, 12), (9, 10, 11, 12), (3, 4, 5, 6)))
_MIRROR = np.array(BODY_13.mirror)
_LEGS = np.array([9, 10, 11, 12])
_NEAREST_M = 0.6
_JOINT_RATE_HZ = 30.0


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position_m: Where it stands; y is up.
        axes: Rows are the directions right, down and forward of the picture in world coordinates.
        focal_px: Focal length.
        width, height: Of the picture in pixels.
    """

    position_m: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]
    focal_px: float
    width: int
    height: int

    def project(
        self, points_m: Float[np.ndarray, "*any 3"]
    ) -> tuple[Float[np.ndarray, "*any 2"], Float[np.ndarray, "*any"]]:
        """Pixels, and depth in metres along the viewing direction. Pixels mean nothing where it is not positive."""
        seen = (points_m - self.position_m) @ self.axes.T
        depth = seen[..., 2]
        scale = self.focal_px / np.maximum(depth, 1e-3)
        return seen[..., :2] * scale[..., None] + np.array([self.width / 2, self.height / 2]), depth


@dataclass(frozen=True, kw_only=True)
class Footage:
    """What the recogniser sees of one person.

    Attributes:
        landmarks_px: x, y, visibility of the joints of BODY_13; NaN at moments without a pose.
        box_px: x0, y0, x1, y1.
        times_s: Moments, rising, not evenly spaced.
    """

    landmarks_px: Float32[np.ndarray, "time 13 3"]
    box_px: Float32[np.ndarray, "time 4"]
    times_s: Float[np.ndarray, " time"]


def draw_camera(rng: np.random.Generator, joints_m: Float[np.ndarray, "time 15 3"], azimuth_rad: float) -> Camera:
    """A camera somewhere round the person: near or far, level or high above, looking roughly at them.

    Args:
        rng: Source of chance.
        joints_m: What is filmed.
        azimuth_rad: Direction in which the camera looks, 0 being along x, the way that the first motion goes.
    """
    width, height = ((640, 480), (768, 576), (1280, 720), (1920, 1080), (1080, 1920), (720, 1280))[rng.choice(6)]
    focal = 0.5 * max(width, height) / np.tan(rng.uniform(0.45, 1.25) / 2)
    person_px = np.exp(rng.uniform(np.log(32.0), np.log(0.85 * height)))
    distance = max(focal * 1.7 / person_px, 2.2)
    pitch = rng.uniform(0.17, 0.78) if rng.random() < 0.5 else rng.normal(0.05, 0.07)
    azimuth, roll = azimuth_rad, rng.normal(0, 0.03)
    forward = np.array([np.cos(azimuth) * np.cos(pitch), -np.sin(pitch), np.sin(azimuth) * np.cos(pitch)])
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    target = joints_m[rng.integers(len(joints_m)), 0]
    # The person need not be in the middle of the picture.
    aside = rng.uniform(-0.35, 0.35, 2) * np.array([width, height]) / focal * distance
    position = target - forward * distance + right * aside[0] + down * aside[1]
    return Camera(
        position_m=position, axes=np.stack([right, down, forward]), focal_px=focal, width=width, height=height
    )


def film(
    rng: np.random.Generator,
    joints_m: Float[np.ndarray, "time 15 3"],
    *,
    azimuth_rad: float,
    min_s: float = 1.5,
    severity: float = 1.0,
) -> tuple[Footage, int]:
    """Film a moving body and report it as the landmark model would.

    Args:
        rng: Source of chance.
        joints_m: Joints of HUMANOID_15 at 30 frames per second.
        azimuth_rad: Direction in which the camera looks.
        min_s: The person must be in the picture for this long, else another camera is drawn.
        severity: Factor on all imperfections.

    Returns:
        The footage, and the frame of `joints_m` that its time 0 belongs to.
    """
    body = convert(joints_m, HUMANOID_15, BODY_13)
    while True:
        camera = draw_camera(rng, joints_m, azimuth_rad)
        pixels, depth = camera.project(body)
        inside: Bool[np.ndarray, "time 13"] = np.all((pixels >= 0) & (pixels < [camera.width, camera.height]), axis=-1)
        whole = np.all(depth > _NEAREST_M, axis=1)
        start, end = _longest_run(whole & (inside.mean(axis=1) >= 0.45))
        if end - start >= min_s * _JOINT_RATE_HZ:
            break
        if rng.random() < 0.1:  # a body that no camera caught so far: film its middle only
            joints_m = joints_m - (joints_m[:, :1] - joints_m[:1, :1]) * [0.9, 0.0, 0.9]
            body = convert(joints_m, HUMANOID_15, BODY_13)
    pixels, depth, inside = pixels[start:end], depth[start:end], inside[start:end]
    pixels = pixels + _shake(rng, end - start, camera)[:, None]
    if rng.random() < 0.5:  # mirror: left and right change places
        pixels = pixels[:, _MIRROR] * [-1, 1] + [camera.width, 0]
        depth, inside = depth[:, _MIRROR], inside[:, _MIRROR]
    moments = _moments(rng, end - start)
    place = np.minimum(np.round(moments * _JOINT_RATE_HZ).astype(int), end - start - 1)
    box = _box(rng, pixels, camera, severity)[place]
    landmarks = _reported(rng, pixels[place], depth[place], inside[place], moments, severity)
    return Footage(landmarks_px=landmarks, box_px=box.astype(np.float32), times_s=moments), start


def clutter(rng: np.random.Generator, seconds: float) -> Footage:
    """What detector and landmark model make of a signboard, a bush, or the place where a person was lost.

    The guessed body jumps from one shape to another, its box stands still or drifts on, and often there is no pose at
    all.
    """
    times = _moments(rng, int(seconds * _JOINT_RATE_HZ))
    frames = len(times)
    tall = float(np.exp(rng.uniform(np.log(32), np.log(300))))
    points = np.zeros((frames, 13, 2))
    begin = 0
    while begin < frames:
        end = begin + 1 + int(rng.exponential(15))
        shape = _UPRIGHT * [rng.uniform(-1.5, 1.5), rng.uniform(0.6, 1.1)] + rng.normal(
            0, rng.uniform(0.02, 0.2), (13, 2)
        )
        points[begin:end] = shape
        begin = end
    points = points + rng.uniform(0.02, 0.12) * _drift(rng, times, (13, 2), rng.uniform(0.1, 1.0))
    velocity = rng.normal(0, 0.5, 2) * [1.0, 0.3] * (rng.random() < 0.4)
    place = velocity * times[:, None] + rng.uniform(0.0, 0.08) * _drift(rng, times, (2,), rng.uniform(0.2, 1.5))
    size = np.array([rng.uniform(0.15, 0.5), rng.uniform(0.4, 0.65)])
    box = np.concatenate([place - size, place + size], axis=1)
    box = box + 0.03 * _drift(rng, times, (4,), 0.4)
    visibility = rng.normal(1.5, 1.5) + rng.normal(0, 1.2, 13) + _drift(rng, times, (13,), 0.5)
    reported = np.concatenate(
        [(points + place[:, None]) * tall, 1 / (1 + np.exp(-visibility[..., None]))], axis=-1, dtype=np.float32
    )
    reported[_bursts(rng, times, rng.choice([0.1, 0.5, 1.5]), rng.uniform(0.2, 1.0))] = np.nan
    return Footage(landmarks_px=reported, box_px=(box * tall).astype(np.float32), times_s=times)


def _longest_run(mask: Bool[np.ndarray, " time"]) -> tuple[int, int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    if len(edges) == 0:
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    return int(starts[best]), int(ends[best])


def _shake(rng: np.random.Generator, frames: int, camera: Camera) -> Float[np.ndarray, "time 2"]:
    """Movement of a camera that is held in the hand or follows the person; most cameras stand still."""
    if rng.random() < 0.8:
        return np.zeros((frames, 2))
    size = camera.height * np.exp(rng.uniform(np.log(0.002), np.log(0.15)))
    seconds = rng.uniform(0.3, 3.0)
    return np.stack([wander(rng, frames, _JOINT_RATE_HZ, size * share, seconds) for share in (1.0, 0.4)], axis=1)


def _moments(rng: np.random.Generator, frames: int) -> Float[np.ndarray, " moments"]:
    """Times of the frames in which the person was measured: a rate, jitter of the clock, and gaps."""
    rate = rng.choice([10.0, 12.5, 15.0, 15.0, 15.0, 7.5])
    times = np.arange(0, (frames - 1) / _JOINT_RATE_HZ, 1 / rate)
    if rng.random() < 0.2:
        times = times + rng.uniform(-0.3, 0.3, len(times)) / rate
        times[0] = max(times[0], 0.0)
    keep = rng.random(len(times)) > rng.choice([0.0, 0.02, 0.1])
    for _ in range(rng.poisson(0.05 * times[-1])):
        begin = rng.uniform(0, times[-1])
        keep &= ~((times > begin) & (times < begin + rng.uniform(0.1, 0.9)))
    keep[[0, -1]] = True
    return np.asarray(np.maximum(times[keep], 0.0))


def _box(
    rng: np.random.Generator, pixels: Float[np.ndarray, "time 13 2"], camera: Camera, severity: float
) -> Float[np.ndarray, "time 4"]:
    """The tracker's box: round the body and its head and feet, cut by the picture's edge, drifting and late."""
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    size = np.maximum((high - low).max(axis=1, keepdims=True), 4.0)
    # The joints end at nose and ankles; detectors differ in how much they leave round head, feet and arms.
    around = rng.uniform([0.02, 0.08, 0.02, 0.05], [0.12, 0.19, 0.12, 0.17])
    box = np.concatenate([low - size * around[:2], high + size * around[2:]], axis=1)
    limit = np.array([camera.width, camera.height, camera.width, camera.height])
    box = np.clip(box, 0, limit)
    frames = len(box)
    drift = np.stack([wander(rng, frames, _JOINT_RATE_HZ, 0.025, rng.uniform(0.2, 0.8)) for _ in range(4)], axis=1)
    box = box + (drift + rng.normal(0, 0.008, (frames, 4))) * size * severity + rng.normal(0, 0.02, 4) * size
    keep = np.exp(-1 / _JOINT_RATE_HZ / rng.uniform(0.02, 0.15))
    smooth = np.empty_like(box)
    smooth[0] = box[0]
    for frame in range(1, frames):
        smooth[frame] = keep * smooth[frame - 1] + (1 - keep) * box[frame]
    smooth[:, 2:] = np.maximum(smooth[:, 2:], smooth[:, :2] + 2)
    return np.asarray(smooth)


def _bursts(
    rng: np.random.Generator, times_s: Float[np.ndarray, " time"], per_s: float, seconds: float
) -> Bool[np.ndarray, " time"]:
    """Moments within randomly placed events of about this length."""
    mask = np.zeros(len(times_s), dtype=bool)
    for _ in range(rng.poisson(per_s * (times_s[-1] + seconds))):
        begin = rng.uniform(-seconds, times_s[-1])
        mask |= (times_s >= begin) & (times_s < begin + rng.exponential(seconds))
    return mask


def _drift(
    rng: np.random.Generator, times_s: Float[np.ndarray, " time"], shape: tuple[int, ...], seconds: float
) -> Float[np.ndarray, "time *shape"]:
    """Noise that is forgotten within `seconds`, of standard deviation 1 (an Ornstein-Uhlenbeck process)."""
    fresh = rng.normal(0, 1, (len(times_s), *shape))
    out = np.empty_like(fresh)
    out[0] = fresh[0]
    keep = np.exp(-np.diff(times_s) / seconds)
    for i, rho in enumerate(keep, start=1):
        out[i] = rho * out[i - 1] + np.sqrt(1 - rho * rho) * fresh[i]
    return out


def _reported(
    rng: np.random.Generator,
    pixels: Float[np.ndarray, "time 13 2"],
    depth_m: Float[np.ndarray, "time 13"],
    inside: Bool[np.ndarray, "time 13"],
    times_s: Float[np.ndarray, " time"],
    severity: float,
) -> Float32[np.ndarray, "time 13 3"]:
    """Landmarks as the model reports them: noisy, guessed where hidden, missing at times."""
    frames = len(times_s)
    root = pixels[:, 7:9].mean(axis=1, keepdims=True)
    extent = (pixels.max(axis=1) - pixels.min(axis=1)).max(axis=1)
    tall = np.full((frames, 1, 1), np.quantile(extent, 0.8))
    level = np.clip((75 / tall) ** 0.7, 0.3, 1.6) * np.exp(rng.normal(0, 0.35)) * severity
    inverted = pixels[:, 0, 1] > root[:, 0, 1]  # the model was trained on upright people
    trouble = np.ones((frames, 13, 1))
    trouble[inverted] *= 2.5
    trouble[~inside] *= 2.5
    points = pixels.copy()
    visibility = _VISIBILITY + rng.normal(0, 0.7, 13) + 1.2 * _drift(rng, times_s, (13,), 0.4)
    visibility = visibility - 3.0 * ~inside - 1.5 * inverted[:, None]

    # Guesses: the far limb of a body seen from the side, limbs behind things, everything at times.
    far = np.clip((depth_m - depth_m[:, _MIRROR]) / 0.25, 0, 1)
    visibility = visibility - 2.0 * far * (rng.random() < 0.8)
    trouble[..., 0] *= 1 + 0.8 * far
    for columns in _LIMBS:
        hidden = _bursts(rng, times_s, 0.04 * severity, 1.2)
        if rng.random() < 0.03 * severity:
            hidden[:] = True
        if hidden.any():
            guess = root + _UPRIGHT[columns] * [rng.uniform(-1, 1), 1] * tall * rng.uniform(0.85, 1.05)
            trust = rng.uniform(0, 0.7)
            points[np.ix_(hidden, columns)] = (trust * points[:, columns] + (1 - trust) * guess)[hidden]
            visibility[np.ix_(hidden, columns)] -= rng.uniform(0.5, 4)
            trouble[np.ix_(hidden, columns)] *= 1.5
    upright = _bursts(rng, times_s, 0.01, 0.4) | (_bursts(rng, times_s, 0.8, 0.4) & inverted)
    points[upright] = (root + _UPRIGHT * [rng.uniform(-1, 1), 1] * tall * 0.9)[upright]

    # Left for right: the whole body or the legs alone, for a moment or always.
    small = float(np.clip(level.mean(), 0.3, 1.5))
    swapped = _bursts(rng, times_s, 0.15 * small, 0.25) | (rng.random() < 0.04)
    points[swapped] = points[np.ix_(swapped, _MIRROR)]
    legs = _bursts(rng, times_s, 0.25 * small, 0.2)
    points[np.ix_(legs, _LEGS)] = points[np.ix_(legs, _MIRROR[_LEGS])]

    sigma = _JITTER[:, None] * tall * level * trouble
    sigma = sigma * np.where(inverted[:, None, None], 1.0, _AXIS)
    points += sigma * 0.8 * rng.normal(0, 1, points.shape)
    points += sigma * 1.1 * _drift(rng, times_s, (13, 2), rng.uniform(0.15, 0.7))
    points += rng.normal(0, 0.5, (13, 2)) * sigma.mean(axis=0, keepdims=True)
    points += tall * level * (0.006 * rng.normal(0, 1, (frames, 1, 2)) + 0.015 * _drift(rng, times_s, (1, 2), 0.3))
    elsewhere = _bursts(rng, times_s, 0.03 * small, 0.15)  # someone else's pose
    points[elsewhere] += rng.normal(0, 0.25, 2) * tall[elsewhere]

    out = np.concatenate([points, 1 / (1 + np.exp(-visibility[..., None]))], axis=-1).astype(np.float32)
    missing = _bursts(rng, times_s, rng.choice([0.02, 0.05, 0.4]), rng.uniform(0.1, 0.8))
    missing |= _bursts(rng, times_s, 1.0, 0.3) & inverted
    out[missing] = np.nan
    return out
