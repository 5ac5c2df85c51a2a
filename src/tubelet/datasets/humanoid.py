"""The motion-capture humanoid: its body, and from joint rotations to joint positions.

Thirteen rotations move a body of 15 joints. Axes of the body at rest: x forward, y up, z to its right. All functions
work on any number of frames at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from tubelet.skeletons import HUMANOID_15

ROTATIONS = (
    "root",
    "chest",
    "neck",
    "right_hip",
    "right_knee",
    "right_ankle",
    "right_shoulder",
    "right_elbow",
    "left_hip",
    "left_knee",
    "left_ankle",
    "left_shoulder",
    "left_elbow",
)
"""The rotating joints in the order of the motion files. Knees and elbows bend about z only there, but may be any
rotation here.
"""

ROTATION_MIRROR = tuple(
    ROTATIONS.index(
        name.replace("right_", "left_") if name.startswith("right_") else name.replace("left_", "right_", 1)
    )
    for name in ROTATIONS
)


@dataclass(frozen=True, kw_only=True)
class Body:
    """Lengths of one body in metres.

    The defaults are the humanoid the motion files were recorded for. Source: the `humanoid3d` character of DeepMimic
        (Peng et al. 2018,
    arXiv:1804.02717) as described in `pybullet_data/humanoid/humanoid.urdf`, whose offsets are four times these; the
    nose is ours.
    """

    waist: float = 0.236
    chest: float = 0.224
    shoulder_drop: float = -0.020
    shoulder_half_width: float = 0.183
    shoulder_forward: float = -0.024
    upper_arm: float = 0.275
    forearm: float = 0.259
    hip_half_width: float = 0.085
    thigh: float = 0.422
    shin: float = 0.410
    nose_up: float = 0.16
    nose_forward: float = 0.10

    @property
    def leg(self) -> float:
        """Length of a straight leg from hip to ankle."""
        return self.thigh + self.shin

    def scaled(self, factor: float) -> Body:
        """The same body, larger or smaller."""
        return replace(self, **{name: value * factor for name, value in vars(self).items()})


DEFAULT_BODY = Body()


def multiply(a: Float[np.ndarray, "*batch 4"], b: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch 4"]:
    """Product of quaternions (w, x, y, z): first rotate by `b`, then by `a`."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def about(axis: str, angle_rad: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch 4"]:
    """Quaternion of a rotation about the x, y or z axis."""
    half = np.asarray(angle_rad, dtype=np.float64) / 2
    out = np.zeros((*half.shape, 4))
    out[..., 0] = np.cos(half)
    out[..., 1 + "xyz".index(axis)] = np.sin(half)
    return out


def normalise(q: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch 4"]:
    """Quaternions of length one."""
    return np.asarray(q / np.maximum(np.linalg.norm(q, axis=-1, keepdims=True), 1e-12))


def align_signs(q: Float[np.ndarray, "time joints 4"]) -> Float[np.ndarray, "time joints 4"]:
    """Choose between q and -q (the same rotation) so that neighbours in time lie close together."""
    flips = np.where(np.sum(q[1:] * q[:-1], axis=-1) < 0, -1.0, 1.0)
    signs = np.concatenate([np.ones_like(q[:1, :, 0]), np.cumprod(flips, axis=0)])
    return np.asarray(q * signs[..., None])


def blend(
    a: Float[np.ndarray, "*batch 4"], b: Float[np.ndarray, "*batch 4"], weight: Float[np.ndarray, "*#batch"] | float
) -> Float[np.ndarray, "*batch 4"]:
    """Rotations between `a` (weight 0) and `b` (weight 1) along the shorter way, by normalised linear interpolation."""
    weight = np.asarray(weight)[..., None]
    near = np.where(np.sum(a * b, axis=-1, keepdims=True) < 0, -b, b)
    return normalise((1 - weight) * a + weight * near)


def matrices(q: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices of unit quaternions."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def joint_positions(
    root_m: Float[np.ndarray, "time 3"], rotations: Float[np.ndarray, "time 13 4"], body: Body = DEFAULT_BODY
) -> Float[np.ndarray, "time 15 3"]:
    """Forward kinematics: where the joints of HUMANOID_15 are.

    Args:
        root_m: Position of the pelvis.
        rotations: Unit quaternions in the order of `ROTATIONS`, each relative to its parent, the root to the world.
        body: Bone lengths.
    """
    turn = dict(zip(ROTATIONS, np.moveaxis(matrices(rotations), 1, 0), strict=True))
    root = turn["root"]
    chest = root @ turn["chest"]
    head = chest @ turn["neck"]
    place: dict[str, Float[np.ndarray, "time 3"]] = {"pelvis": root_m}
    chest_m = root_m + root @ np.array([0.0, body.waist, 0.0])
    place["neck"] = chest_m + chest @ np.array([0.0, body.chest, 0.0])
    place["nose"] = place["neck"] + head @ np.array([body.nose_forward, body.nose_up, 0.0])
    for side, sign in (("right", 1.0), ("left", -1.0)):
        upper = chest @ turn[f"{side}_shoulder"]
        lower = upper @ turn[f"{side}_elbow"]
        shoulder = np.array([body.shoulder_forward, body.chest - body.shoulder_drop, sign * body.shoulder_half_width])
        place[f"{side}_shoulder"] = chest_m + chest @ shoulder
        place[f"{side}_elbow"] = place[f"{side}_shoulder"] - body.upper_arm * upper[..., 1]
        place[f"{side}_wrist"] = place[f"{side}_elbow"] - body.forearm * lower[..., 1]
        thigh = root @ turn[f"{side}_hip"]
        shin = thigh @ turn[f"{side}_knee"]
        place[f"{side}_hip"] = root_m + root @ np.array([0.0, 0.0, sign * body.hip_half_width])
        place[f"{side}_knee"] = place[f"{side}_hip"] - body.thigh * thigh[..., 1]
        place[f"{side}_ankle"] = place[f"{side}_knee"] - body.shin * shin[..., 1]
    return np.stack([place[joint] for joint in HUMANOID_15.joints], axis=1)


def heading_rad(root_rotation: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch"]:
    """The angle about y by which the body's forward direction is turned (0 = along x)."""
    w, x, y, z = np.moveaxis(root_rotation, -1, 0)
    return np.asarray(np.arctan2(-2 * (x * z - w * y), 1 - 2 * (y * y + z * z)))


def mirrored(
    root_m: Float[np.ndarray, "time 3"], rotations: Float[np.ndarray, "time 13 4"]
) -> tuple[Float[np.ndarray, "time 3"], Float[np.ndarray, "time 13 4"]]:
    """The same motion with left and right exchanged (a reflection in the plane z = 0)."""
    return root_m * [1.0, 1.0, -1.0], rotations[:, ROTATION_MIRROR] * [1.0, -1.0, -1.0, 1.0]
