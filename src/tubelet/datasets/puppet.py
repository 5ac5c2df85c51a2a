"""A humanoid moved by named angles over time: the ground that procedural actions stand on.

Angles are radians; zero is standing straight with hanging arms. A curve is an array over time or one number. `forward`
and `out` of a limb say how far it is raised towards the front and towards its own side: an arm at `forward = pi` points
up, having been raised in front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from tubelet.datasets import humanoid

Curve = Float[np.ndarray, "time"] | float
GROUND_M = 0.08  # height of the ankle joint, and about half the thickness of a lying body
_SIDES = (("right", 1.0), ("left", -1.0))


def keyframes(
    times_s: Float[np.ndarray, "time"], at_s: Sequence[float], values: Sequence[float]
) -> Float[np.ndarray, "time"]:
    """Values between key moments, speeding up and slowing down softly; held before the first and after the last."""
    at, value = np.asarray(at_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    place = np.clip(np.searchsorted(at, times_s, side="right") - 1, 0, len(at) - 2)
    share = np.clip((times_s - at[place]) / np.maximum(at[place + 1] - at[place], 1e-6), 0, 1)
    return np.asarray(value[place] + (value[place + 1] - value[place]) * share * share * (3 - 2 * share))


def wander(
    rng: np.random.Generator, frames: int, fps: float, size: float, seconds: float = 1.0
) -> Float[np.ndarray, "time"]:
    """Smooth random movement round zero with standard deviation `size`, changing over about `seconds`."""
    num_knots = max(4, int(frames / fps / seconds) + 4)
    knots = rng.normal(0, size, num_knots)
    place = np.arange(frames) / fps / seconds + rng.uniform(0, 1)
    low = np.minimum(place.astype(int), num_knots - 2)
    share = place - low
    share = share * share * (3 - 2 * share)
    return np.asarray(knots[low] * (1 - share) + knots[low + 1] * share)


def _raised(forward: Curve, out: Curve, sign: float, frames: int) -> Float[np.ndarray, "time 4"]:
    """Rotation that raises a hanging limb by |(forward, out)| towards that direction."""
    forward, out = np.broadcast_to(forward, frames), np.broadcast_to(out, frames) * sign
    angle = np.hypot(forward, out)
    share = np.sin(angle / 2) / np.maximum(angle, 1e-9)
    return np.stack([np.cos(angle / 2), -out * share, np.zeros(frames), forward * share], axis=-1)


def rotations(curves: Mapping[str, Curve], frames: int) -> Float[np.ndarray, "time 13 4"]:
    """Joint rotations from named angles.

    Args:
        curves: `yaw pitch roll` of the pelvis (pitch > 0 leans back), `chest_pitch chest_roll chest_yaw`, `neck_pitch
            neck_yaw`, and for each side `right_`/`left_`: `hip_forward hip_out hip_yaw knee arm_forward arm_out elbow
            elbow_in` (the direction in which the elbow bends: 0 to the front, pi/2 inwards).
        frames: Number of frames.

    Raises:
        ValueError: An angle has a name that is not in the list above.
    """
    unknown = set(curves) - ANGLES
    if unknown:
        raise ValueError(f"no angle is called {', '.join(sorted(unknown))}; known: {', '.join(sorted(ANGLES))}")

    def turn(axis: str, name: str) -> Float[np.ndarray, "time 4"]:
        return humanoid.about(axis, np.broadcast_to(curves.get(name, 0.0), frames))

    multiply = humanoid.multiply
    out = np.zeros((frames, len(humanoid.ROTATIONS), 4))
    out[..., 0] = 1
    place = humanoid.ROTATIONS.index
    out[:, place("root")] = multiply(turn("y", "yaw"), multiply(turn("x", "roll"), turn("z", "pitch")))
    out[:, place("chest")] = multiply(
        turn("y", "chest_yaw"), multiply(turn("x", "chest_roll"), turn("z", "chest_pitch"))
    )
    out[:, place("neck")] = multiply(turn("y", "neck_yaw"), turn("z", "neck_pitch"))
    for side, sign in _SIDES:
        hip = _raised(curves.get(f"{side}_hip_forward", 0.0), curves.get(f"{side}_hip_out", 0.0), sign, frames)
        out[:, place(f"{side}_hip")] = multiply(hip, turn("y", f"{side}_hip_yaw"))
        out[:, place(f"{side}_knee")] = humanoid.about("z", -np.broadcast_to(curves.get(f"{side}_knee", 0.0), frames))
        arm = _raised(curves.get(f"{side}_arm_forward", 0.0), curves.get(f"{side}_arm_out", 0.0), sign, frames)
        out[:, place(f"{side}_shoulder")] = arm
        bend = np.broadcast_to(curves.get(f"{side}_elbow", 0.0), frames)
        inwards = np.broadcast_to(curves.get(f"{side}_elbow_in", 0.0), frames)
        out[:, place(f"{side}_elbow")] = _raised(bend * np.cos(inwards), -bend * np.sin(inwards), sign, frames)
    return out


ANGLES = frozenset(
    ["yaw", "pitch", "roll", "chest_pitch", "chest_roll", "chest_yaw", "neck_pitch", "neck_yaw"]
    + [
        f"{side}_{name}"
        for side, _ in _SIDES
        for name in ("hip_forward", "hip_out", "hip_yaw", "knee", "arm_forward", "arm_out", "elbow", "elbow_in")
    ]
)


def on_the_ground(
    rotation: Float[np.ndarray, "time 13 4"],
    travel_m: Float[np.ndarray, "time 2"] | None = None,
    hop_m: Curve = 0.0,
) -> Float[np.ndarray, "time 3"]:
    """Root positions such that the lowest joint touches the ground.

    Args:
        rotation: Joint rotations.
        travel_m: Where the pelvis is on the ground plane (x, z). Where not given, the feet stay on their spot and the
            pelvis moves.
        hop_m: Height above the ground, for jumps.
    """
    frames = len(rotation)
    joints = humanoid.joint_positions(np.zeros((frames, 3)), rotation)
    root = np.zeros((frames, 3))
    root[:, 1] = GROUND_M - joints[..., 1].min(axis=1) + hop_m
    if travel_m is None:
        feet = joints[:, -2:, ::2].mean(axis=1)  # the ankles are the last two joints of HUMANOID_15
        root[:, ::2] = feet[0] - feet
    else:
        root[:, ::2] = travel_m
    return root
