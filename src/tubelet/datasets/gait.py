"""Procedural walking and running, and movement that is none of the classes.

The walks of the motion files are alike: one person, one speed, swinging arms. On a street people stroll and hurry, with
hands in pockets, bags and telephones, and start, stop and turn.
"""

from __future__ import annotations

import numpy as np

from tubelet.datasets.everyday import (
    _BOTH,
    _DEGREE,
    FPS,
    NO_ACTION,
    Stance,
    _add,
    _finish,
    _mix,
    _seat,
    _standing,
    _times,
)
from tubelet.datasets.humanoid import DEFAULT_BODY
from tubelet.datasets.mocap import Motion
from tubelet.datasets.puppet import wander


def _steps(rng: np.random.Generator, stance: Stance, seconds: float, *, running: bool) -> Motion:
    times = _times(seconds)
    frames = len(times)
    curves = _standing(rng, stance, frames, sway=0.7)
    pace = float(rng.uniform(0.0, 1.0) if running else rng.beta(2.0, 1.3) * 1.15)  # people hurry more than they stroll
    if running:
        strides_hz, reach, knee_rest, knee_swing = 1.15 + 0.5 * pace, 26 + 20 * pace, 15.0, 50 + 60 * pace
    else:
        strides_hz, reach, knee_rest, knee_swing = 0.62 + 0.42 * pace, 14 + 14 * pace, 5.0, 38 + 24 * pace
    strides_hz *= rng.uniform(0.9, 1.12)
    reach *= rng.uniform(0.85, 1.15) * _DEGREE
    slow = np.clip(1 + wander(rng, frames, FPS, 0.10, 1.5), 0.5, 1.4)  # nobody keeps an even pace
    phase = 2 * np.pi * (np.cumsum(strides_hz * slow) / FPS + rng.uniform())
    free_arms = rng.uniform(0.1, 1.0) * (1.2 if running else 0.9)
    for side, offset in zip(_BOTH, (0.0, np.pi), strict=True):
        own = phase + offset
        swing = np.sin(own)
        _add(curves, **{f"{side}_hip_forward": reach * swing + reach * 0.15})
        wave = (own + 0.35 + np.pi) % (2 * np.pi) - np.pi
        bend = (
            knee_rest
            + knee_swing * np.exp(-((wave / 0.75) ** 2))
            + rng.uniform(4, 14) * np.maximum(0, np.sin(own - 0.9)) ** 2
        )
        _add(curves, **{f"{side}_knee": bend * _DEGREE})
        if running:
            _mix(
                curves,
                0.85,
                **{f"{side}_elbow": rng.uniform(60, 110) * _DEGREE, f"{side}_arm_out": 0.2, f"{side}_elbow_in": 0.4},
            )
        still = 0.15 if abs(stance.arms[side][2]) > 35 * _DEGREE and not running else 1.0  # an arm that holds something
        _add(curves, **{f"{side}_arm_forward": -reach * free_arms * still * swing})
    _add(curves, chest_yaw=-reach * 0.25 * np.sin(phase) * rng.uniform(0.3, 1), roll=0.04 * np.sin(phase))
    _add(curves, pitch=-rng.uniform(4, 16) * _DEGREE if running else -rng.uniform(0, 5) * _DEGREE)
    turn = rng.choice([0.0, 0.12, 0.5]) * wander(rng, frames, FPS, 1.0, 2.0)
    yaw = np.cumsum(turn) / FPS
    curves["yaw"] = yaw
    speed = (
        4
        * np.sin(reach)
        * DEFAULT_BODY.leg
        * strides_hz
        * slow
        * (rng.uniform(1.25, 1.7) if running else rng.uniform(0.9, 1.25))
    )
    travel = np.stack([np.cumsum(speed * np.cos(yaw)), np.cumsum(-speed * np.sin(yaw))], axis=1) / FPS
    hop = rng.uniform(0.03, 0.09) * np.abs(np.sin(phase + 0.6)) if running else 0.0
    return _finish("run" if running else "walk", curves, frames, travel_m=travel, hop_m=hop)


def walk(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Walking at any pace from a stroll to a hurry, arms swinging or busy, straight on or in curves."""
    return _steps(rng, stance, seconds, running=False)


def run(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Jogging or running with bent arms."""
    return _steps(rng, stance, seconds, running=True)


def cycling(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Riding a bicycle: seated, legs turning, arms in front, moving fast."""
    times = _times(seconds)
    frames = len(times)
    curves = _standing(rng, stance, frames, sway=0.5)
    lean = rng.uniform(10, 50) * _DEGREE
    _seat(rng, curves, 1.0, lean)
    phase = 2 * np.pi * times * rng.uniform(0.6, 1.5) * float(rng.random() < 0.8)
    for side, offset in zip(_BOTH, (0.0, np.pi), strict=True):
        lift = np.sin(phase + offset)
        curves[f"{side}_hip_forward"] = lean + (60 + 25 * lift) * _DEGREE
        curves[f"{side}_knee"] = (75 + 35 * np.sin(phase + offset + 0.5)) * _DEGREE
        curves[f"{side}_arm_forward"] = lean + rng.uniform(35, 60) * _DEGREE
        curves[f"{side}_elbow"] = rng.uniform(5, 50) * _DEGREE
    travel = np.stack([times * rng.uniform(1.5, 7), np.zeros(frames)], axis=1)
    return _finish(NO_ACTION, curves, frames, name="cycling", travel_m=travel, hop_m=0.2)


def random_movement(rng: np.random.Generator, stance: Stance, seconds: float) -> Motion:
    """Joint angles that wander at random: movement nobody has a word for."""
    times = _times(seconds)
    frames = len(times)
    curves = _standing(rng, stance, frames, sway=1.0)
    seconds_each = rng.uniform(0.3, 1.5)
    size = rng.uniform(15, 60) * _DEGREE
    names = [name for name in curves if rng.random() < 0.7]
    for name in names:
        scale = 0.5 if name in ("pitch", "roll", "neck_yaw", "chest_yaw") else 1.0
        moved = wander(rng, frames, FPS, size * scale, seconds_each) + rng.normal(0, size * scale)
        _add(curves, **{name: np.abs(moved) if name.endswith(("knee", "elbow")) else moved})
    curves["yaw"] = wander(rng, frames, FPS, rng.uniform(0, 1.5), 2.0)
    travel = np.stack([wander(rng, frames, FPS, rng.uniform(0, 0.6), 1.0) for _ in range(2)], axis=1)
    return _finish(NO_ACTION, curves, frames, name="random_movement", travel_m=travel)
