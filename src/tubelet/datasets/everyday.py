"""Everyday actions animated from random parameters, on the skeleton of the motion-capture files.

Motion capture in packages holds few clips and almost no everyday movement. Each function here draws one performance of
one action: which arm, how far, how fast, how often, in what stance and with what the rest of the body does meanwhile.
Ranges are judgement, wide on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tubelet.datasets.mocap import Motion
from tubelet.datasets.puppet import Curve, keyframes, on_the_ground, rotations, wander

FPS = 30.0
NO_ACTION = ""
"""Label of movement that is none of the classes."""

Curves = dict[str, Curve]
_BOTH = ("right", "left")
_DEGREE = np.pi / 180

# arm_forward, arm_out, elbow, elbow_in in degrees, and the chance of holding both arms this way
_ARM_POSES: Mapping[str, tuple[float, float, float, float]] = {
    "hanging": (0, 10, 15, 10),
    "on_hips": (-25, 42, 95, 75),
    "crossed": (28, 8, 105, 75),
    "phone_at_ear": (45, 40, 140, 10),
    "phone_in_front": (22, 8, 95, 25),
    "in_pockets": (-20, 18, 45, 25),
    "behind_back": (-25, 12, 50, 110),
    "carrying": (15, 8, 85, 20),
    "strap": (30, 12, 125, 35),
    "bag_at_side": (0, 6, 4, 0),
}
_ARM_POSE_CHANCES = (0.40, 0.07, 0.08, 0.06, 0.09, 0.09, 0.04, 0.06, 0.04, 0.07)


@dataclass(frozen=True, kw_only=True)
class Stance:
    """How one person holds themself while doing something: what all of their actions start from."""

    arms: Mapping[str, tuple[float, float, float, float]]
    feet_out: float
    feet_yaw: float
    split: float
    knees: float
    lean: float
    head: float


def draw_stance(rng: np.random.Generator) -> Stance:
    """Draw a way of standing."""
    names = list(_ARM_POSES)
    right = names[rng.choice(len(names), p=_ARM_POSE_CHANCES)]
    same = rng.random() < (0.9 if right in ("hanging", "crossed", "on_hips", "behind_back") else 0.35)
    left = right if same else rng.choice(["hanging", "hanging", "in_pockets", "bag_at_side", "carrying"])
    if rng.random() < 0.5:
        right, left = left, right
    arms = {
        side: tuple((np.array(_ARM_POSES[name]) + rng.normal(0, (7, 5, 11, 15))) * _DEGREE)
        for side, name in zip(_BOTH, (right, left), strict=True)
    }
    return Stance(
        arms=arms,  # four angles each
        feet_out=float(np.clip(rng.normal(5, 4), -1, 18) * _DEGREE),
        feet_yaw=float(rng.normal(8, 8) * _DEGREE),
        split=float(rng.normal(0, 5) * _DEGREE),
        knees=float(abs(rng.normal(3, 5)) * _DEGREE),
        lean=float(rng.normal(-2, 4) * _DEGREE),
        head=float(rng.normal(-8, 10) * _DEGREE),
    )


def _standing(rng: np.random.Generator, stance: Stance, frames: int, sway: float = 1.0) -> Curves:
    """The angles of standing in a stance, with breathing and shifting weight."""

    def idle(degrees: float, seconds: float = 1.5) -> Float[np.ndarray, "time"]:
        return wander(rng, frames, FPS, degrees * _DEGREE * sway, seconds)

    shift = idle(3.0, 2.5)
    bend = stance.lean + idle(1.5, 2)
    curves: Curves = {
        "roll": shift * 0.5,
        "pitch": bend,
        "chest_pitch": idle(2.0, 2),
        "chest_yaw": idle(6.0, 2),
        "chest_roll": -shift * 0.5 + idle(1.0),
        "neck_pitch": stance.head + idle(5.0, 1.5),
        "neck_yaw": idle(20.0, 1.5),
    }
    for side, sign in zip(_BOTH, (1.0, -1.0), strict=True):
        forward, out, elbow, inwards = stance.arms[side]
        curves[f"{side}_arm_forward"] = forward - bend + idle(3.0)
        curves[f"{side}_arm_out"] = out + idle(2.0)
        curves[f"{side}_elbow"] = np.maximum(elbow + idle(4.0), 0.0)
        curves[f"{side}_elbow_in"] = inwards + idle(4.0)
        knee = np.maximum(stance.knees + np.maximum(sign * shift, 0) * 2 + idle(1.0), 0.0)
        curves[f"{side}_hip_forward"] = -bend + sign * stance.split + knee * 0.5
        curves[f"{side}_hip_out"] = stance.feet_out + sign * shift * 0.5
        curves[f"{side}_hip_yaw"] = -sign * stance.feet_yaw
        curves[f"{side}_knee"] = knee
    return curves


def _add(curves: Curves, **more: Curve) -> None:
    for name, curve in more.items():
        curves[name] = curves.get(name, 0.0) + curve


def _mix(curves: Curves, share: Curve, **targets: Curve) -> None:
    """Move angles towards other values: 0 leaves them, 1 replaces them."""
    for name, target in targets.items():
        curves[name] = (1 - share) * curves.get(name, 0.0) + share * target


def _finish(
    label: str,
    curves: Curves,
    frames: int,
    *,
    name: str | None = None,
    travel_m: Float[np.ndarray, "time 2"] | None = None,
    hop_m: Curve = 0.0,
) -> Motion:
    turned = rotations(curves, frames)
    return Motion(
        name=name or label,
        label=label,
        source_clip=f"procedural_{name or label}",
        fps=FPS,
        loops=False,
        root_m=on_the_ground(turned, travel_m, hop_m),
        rotations=turned,
    )


def _times(seconds: float) -> Float[np.ndarray, "time"]:
    return np.arange(max(2, round(seconds * FPS) + 1)) / FPS


def _pulse(
    times_s: Float[np.ndarray, "time"], rise_s: float, fall_s: float, start_s: float = 0.0
) -> Float[np.ndarray, "time"]:
    """0 -> 1 within `rise_s`, held, and back to 0 within the last `fall_s`."""
    end = float(times_s[-1])
    return keyframes(times_s, (start_s, start_s + rise_s, end - fall_s, end), (0, 1, 1, 0))


def stand(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Standing about: shifting weight, looking round, talking with the hands, now and then a small step or a turn."""
    times = _times(seconds)
    frames = len(times)
    curves = _standing(rng, stance, frames, sway=rng.uniform(0.4, 1.6))
    if rng.random() < 0.35:  # talking: forearms move, hands stay below the head
        for side in _BOTH if rng.random() < 0.5 else (rng.choice(_BOTH),):
            share = np.clip(wander(rng, frames, FPS, 0.6, 1.0), 0, 1)
            _mix(curves, share, **{f"{side}_elbow": rng.uniform(50, 95) * _DEGREE, f"{side}_elbow_in": 0.3})
            _add(curves, **{f"{side}_elbow": share * wander(rng, frames, FPS, 0.2, 0.5)})
    if rng.random() < 0.25:  # a hand to the face, the hair, a bag: once, and down again
        side = str(rng.choice(_BOTH))
        begin = rng.uniform(0, max(0.1, seconds - 1.5))
        share = keyframes(times, (begin, begin + 0.5, begin + 0.6 + rng.exponential(0.8), begin + 3.0), (0, 1, 1, 0))
        _mix(
            curves, share * rng.uniform(0.5, 1),
            **{f"{side}_arm_forward": rng.uniform(10, 55) * _DEGREE, f"{side}_arm_out": rng.uniform(0, 45) * _DEGREE},
            **{f"{side}_elbow": rng.uniform(80, 140) * _DEGREE, f"{side}_elbow_in": rng.uniform(0, 50) * _DEGREE},
        )  # fmt: skip
    travel = np.stack([wander(rng, frames, FPS, 0.02, 2.0), wander(rng, frames, FPS, 0.03, 2.0)], axis=1)
    yaw = np.zeros(frames)
    for _ in range(rng.poisson(seconds * 0.12)):  # a small step, perhaps with a turn
        begin, lasts = rng.uniform(0, seconds), rng.uniform(0.4, 0.8)
        side = str(rng.choice(_BOTH))
        lift = np.clip(1 - np.abs(times - begin - lasts / 2) / (lasts / 2), 0, 1)
        _add(
            curves,
            **{f"{side}_knee": lift * rng.uniform(0.2, 0.7), f"{side}_hip_forward": lift * rng.uniform(0.1, 0.4)},
        )
        moved = keyframes(times, (begin, begin + lasts), (0, 1))
        travel = travel + moved[:, None] * rng.normal(0, 0.10, 2)
        yaw = yaw + moved * rng.normal(0, 0.5)
    curves["yaw"] = yaw
    return _finish("stand", curves, frames, travel_m=travel)


def wave(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Waving: one hand, rarely both, beside or above the head, swinging again and again."""
    times = _times(max(seconds, 1.2))
    frames = len(times)
    curves = _standing(rng, stance, frames)
    share = _pulse(times, rng.uniform(0.25, 0.5), rng.uniform(0.25, 0.5))
    sides = _BOTH if rng.random() < 0.12 else (str(rng.choice(_BOTH)),)
    rate = rng.uniform(0.8, 2.3)
    swing = np.sin(2 * np.pi * rate * times + rng.uniform(0, 6.28) + wander(rng, frames, FPS, 0.3, 0.7))
    style = rng.choice(3, p=(0.4, 0.25, 0.35))
    for side in sides:
        amount = rng.uniform(20, 45) * _DEGREE * swing * (1 if side == sides[0] else rng.choice([-1, 1]))
        if style == 0:  # the forearm, upright beside the head, swings like a pendulum
            out, ahead = rng.uniform(50, 105), rng.uniform(-5, 40)
            upright = (180 - out + rng.uniform(-25, 10)) * _DEGREE
            _mix(curves, share, **{f"{side}_elbow": upright + amount, f"{side}_elbow_in": -1.4})
        elif style == 1:  # the hand beside or before the face
            out, ahead = rng.uniform(20, 55), rng.uniform(25, 65)
            targets = {f"{side}_elbow": rng.uniform(105, 135) * _DEGREE, f"{side}_elbow_in": -0.5 + 1.5 * amount}
            _mix(curves, share, **targets)
        else:  # the whole arm, high up
            out, ahead = rng.uniform(115, 155) + 0.7 * amount / _DEGREE, rng.uniform(-10, 40)
            _mix(
                curves,
                share,
                **{f"{side}_elbow": rng.uniform(10, 50) * _DEGREE + 0.5 * amount, f"{side}_elbow_in": -1.4},
            )
        _mix(curves, share, **{f"{side}_arm_out": out * _DEGREE, f"{side}_arm_forward": ahead * _DEGREE})
    return _finish("wave", curves, frames)


def jumping_jack(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Jumping jacks: legs and arms spread and close with every hop."""
    period = rng.uniform(0.65, 1.5)
    times = _times(max(seconds, 1.6 * period))
    frames = len(times)
    curves = _standing(rng, stance, frames, sway=0.5)
    phase = times / period + wander(rng, frames, FPS, 0.03, 1.0)
    open_share = (0.5 - 0.5 * np.cos(2 * np.pi * phase)) ** rng.uniform(0.6, 1.2)
    late = (0.5 - 0.5 * np.cos(2 * np.pi * (phase - rng.uniform(-0.08, 0.08)))) ** rng.uniform(0.6, 1.2)
    arms_up, legs_out, elbow = rng.uniform(115, 178), rng.uniform(12, 30), rng.uniform(0, 45)
    ahead = rng.uniform(-15, 25)
    share = _pulse(times, 0.15, 0.15)
    for side in _BOTH:
        up = rng.uniform(-4, 4) + 8 + (arms_up - 8) * open_share
        _mix(curves, share, **{f"{side}_arm_out": up * _DEGREE, f"{side}_arm_forward": ahead * open_share * _DEGREE})
        _mix(curves, share, **{f"{side}_elbow": (8 + elbow * open_share) * _DEGREE, f"{side}_elbow_in": -1.2})
        _add(curves, **{f"{side}_hip_out": legs_out * late * share * _DEGREE})
        crouch = rng.uniform(10, 30) * _DEGREE * np.abs(np.cos(2 * np.pi * phase)) * share
        _add(curves, **{f"{side}_knee": crouch, f"{side}_hip_forward": crouch * 0.5})
    hop = rng.uniform(0.03, 0.14) * np.abs(np.sin(2 * np.pi * phase)) * share
    return _finish("jumping_jack", curves, frames, hop_m=hop)


def _lowered(curves: Curves, share: Curve, *, hip: float, knee: float, lean: Curve, apart: float = 8) -> None:
    """Bend hips and knees (degrees) and lean the trunk forward by `lean` radians, keeping the thighs where they are."""
    for side in _BOTH:
        curves[f"{side}_hip_forward"] = curves[f"{side}_hip_forward"] + share * hip * _DEGREE + lean
        _add(curves, **{f"{side}_knee": share * knee * _DEGREE, f"{side}_hip_out": share * apart * _DEGREE})
    _add(curves, pitch=-1.0 * np.asarray(lean))
    _add(curves, chest_pitch=-0.3 * np.asarray(lean))


def squat(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Squats: down and up again, once or several times, arms in front, on the hips or hanging."""
    period = rng.uniform(1.0, 3.0)
    repeats = max(1, round(seconds / period))
    times = _times(period * repeats)
    frames = len(times)
    curves = _standing(rng, stance, frames, sway=0.7)
    down = (0.5 - 0.5 * np.cos(2 * np.pi * times / period)) ** rng.uniform(0.5, 1.2)
    deep, lean = rng.uniform(65, 125), down * rng.uniform(10, 40) * _DEGREE
    _lowered(curves, down, hip=deep * rng.uniform(0.75, 0.95), knee=deep, lean=lean, apart=rng.uniform(2, 22))
    if rng.random() < 0.6:
        for side in _BOTH:
            reach, bend = rng.uniform(60, 95), rng.choice([10, 10, 100])
            keep = down if rng.random() < 0.6 else _pulse(times, 0.3, 0.3)
            _mix(curves, keep, **{f"{side}_arm_forward": reach * _DEGREE, f"{side}_elbow": bend * _DEGREE})
    return _finish("squat", curves, frames)


def _seat(rng: np.random.Generator, curves: Curves, seated: Curve, lean: Curve) -> None:
    hip = rng.uniform(78, 100)
    _lowered(curves, seated, hip=hip, knee=hip * rng.uniform(0.85, 1.1), lean=lean, apart=rng.uniform(0, 15))
    ahead, elbow = rng.uniform(10, 50), rng.uniform(20, 90)
    for side in _BOTH:
        targets = {f"{side}_arm_forward": ahead, f"{side}_elbow": elbow, f"{side}_elbow_in": rng.uniform(0, 50)}
        _mix(curves, seated, **{name: angle * _DEGREE for name, angle in targets.items()})


def _between_chair_and_standing(rng: np.random.Generator, stance: Stance, seconds: float, label: str) -> Motion:
    lasts = float(np.clip(seconds, 0.8, 2.6))
    times = _times(lasts)
    frames = len(times)
    curves = _standing(rng, stance, frames, sway=0.6)
    share = keyframes(times, (0.0, lasts * rng.uniform(0.8, 1.0)), (0, 1))
    if label == "stand_up":
        share = share[::-1]
    forward, back = rng.uniform(15, 50), rng.uniform(-15, 12)
    lean = (forward * 4 * share * (1 - share) + back * share) * _DEGREE
    _seat(rng, curves, share, lean)
    return _finish(label, curves, frames)


def sit_down(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """From standing to sitting on a chair."""
    return _between_chair_and_standing(rng, stance, seconds, "sit_down")


def stand_up(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """From sitting on a chair to standing."""
    return _between_chair_and_standing(rng, stance, seconds, "stand_up")


def sitting(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Sitting still: none of the classes, but what comes between sitting down and standing up."""
    times = _times(seconds)
    curves = _standing(rng, stance, len(times), sway=1.2)
    _seat(rng, curves, 1.0, rng.uniform(-15, 15) * _DEGREE)
    return _finish(NO_ACTION, curves, len(times), name="sitting")


def bend_over(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Bending the trunk far forward, as when lifting something, with straight or slightly bent knees."""
    lasts = max(seconds, 1.2)
    times = _times(lasts)
    frames = len(times)
    curves = _standing(rng, stance, frames)
    rise = rng.uniform(0.35, 0.48) if lasts < 2 else rng.uniform(0.15, 0.4)
    share = _pulse(times, lasts * rise, lasts * rise)
    lean, spine, knee = rng.uniform(35, 85), rng.uniform(10, 45), rng.uniform(0, 45) * rng.choice([0.3, 1.0])
    _lowered(curves, share, hip=knee * 0.5, knee=knee, lean=share * lean * _DEGREE, apart=rng.uniform(0, 8))
    _add(curves, chest_pitch=-share * spine * _DEGREE, neck_pitch=share * rng.uniform(-20, 40) * _DEGREE)
    sides = _BOTH if rng.random() < 0.7 else (str(rng.choice(_BOTH)),)
    for side in _BOTH:
        hang = (lean + spine) * rng.uniform(0.8, 1.15) if side in sides else rng.uniform(20, 90)
        targets = {
            f"{side}_arm_forward": hang,
            f"{side}_elbow": rng.uniform(5, 40),
            f"{side}_arm_out": rng.uniform(0, 15),
        }
        _mix(curves, share, **{name: angle * _DEGREE for name, angle in targets.items()})
    return _finish("bend_over", curves, frames)


def raise_arms(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Both arms, seldom one, raised above the head once and held there."""
    times = _times(max(seconds, 1.2))
    frames = len(times)
    curves = _standing(rng, stance, frames, sway=0.8)
    share = _pulse(times, rng.uniform(0.35, 0.8), rng.uniform(0.3, 0.6))
    up, azimuth, elbow = rng.uniform(135, 178), rng.uniform(0, 100) * _DEGREE, rng.uniform(0, 55)
    for side in _BOTH if rng.random() < 0.88 else (str(rng.choice(_BOTH)),):
        own = (up + rng.normal(0, 6)) * _DEGREE
        _mix(curves, share, **{f"{side}_arm_forward": own * np.cos(azimuth), f"{side}_arm_out": own * np.sin(azimuth)})
        _mix(curves, share, **{f"{side}_elbow": elbow * _DEGREE, f"{side}_elbow_in": rng.uniform(-90, 30) * _DEGREE})
    return _finish("raise_arms", curves, frames)


def fall(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Falling from standing to the ground, in any direction, and coming to rest."""
    lasts = float(np.clip(seconds, 0.6, 1.4))
    times = _times(lasts + 0.4)
    frames = len(times)
    curves = _standing(rng, stance, frames)
    toppled = np.clip(times / lasts, 0, 1) ** rng.uniform(1.4, 2.4)
    way = rng.uniform(0, 2 * np.pi)
    down = rng.uniform(75, 95) * _DEGREE
    _add(curves, pitch=toppled * down * np.cos(way), roll=toppled * down * np.sin(way))
    buckle = rng.uniform(0, 100) * _DEGREE
    for side in _BOTH:
        bent = np.sin(np.pi * np.clip(times / lasts, 0, 1))
        knee = buckle * rng.uniform(0.5, 1.2) * bent + toppled * rng.uniform(0, 0.8)
        _add(curves, **{f"{side}_knee": knee, f"{side}_hip_forward": knee * rng.uniform(0.2, 0.8)})
        flail = keyframes(times, (0.1, lasts * 0.6), (0, 1))
        rest = keyframes(times, (lasts * 0.7, lasts + 0.2), (0, 1))  # arms end beside the body, not under it
        for share, ahead, out in ((flail, (-40, 130), (10, 90)), (rest, (-20, 20), (0, 35))):
            targets = {f"{side}_arm_forward": rng.uniform(*ahead), f"{side}_arm_out": rng.uniform(*out)}
            _mix(curves, share, **{name: angle * _DEGREE for name, angle in targets.items()})
        _mix(curves, flail, **{f"{side}_elbow": rng.uniform(10, 90) * _DEGREE})
    return _finish("fall", curves, frames)


EVERYDAY_ACTIONS: Mapping[str, Callable[[np.random.Generator, Stance, float], Motion]] = {
    action.__name__: action
    for action in (stand, wave, jumping_jack, squat, sit_down, stand_up, bend_over, raise_arms, fall)
}
"""The procedural classes by label. Walking and running, which motion capture has too, are in `tubelet.datasets.gait`.
"""
