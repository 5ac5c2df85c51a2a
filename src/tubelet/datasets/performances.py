"""What one person does over ten seconds or so: actions one after another, with a label for every frame.

A performance strings motions together on one body, each beginning where the last one ended and blending into it, so
that a network learns where actions begin and end. Scripts say which motions follow each other; how often each is drawn
is the prior that a recogniser trained on them has: people on footage mostly stand and walk, and seldom do backflips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from tubelet.datasets import everyday, gait, humanoid
from tubelet.datasets.everyday import EVERYDAY_ACTIONS, FPS, NO_ACTION, draw_stance
from tubelet.datasets.mocap import LABEL_OF_CLIP, Motion, looped
from tubelet.datasets.puppet import wander

LABELS: tuple[str, ...] = (*sorted(set(LABEL_OF_CLIP.values())), *EVERYDAY_ACTIONS)
"""The default vocabulary: 13 classes of motion capture, then the everyday ones."""

NO_LABEL = -1
"""Frames that show none of the classes."""

_KEEPS_GOING = ("walk", "run", "crawl", "dance")
_REPEATS = ("jump", "kick", "punch", "spinkick", "spin", "cartwheel")
_STARTS_LYING = ("getup", "crawl")
_SETTLED_M_S = 0.5  # at the ends of a clip, slower than this is waiting, not acting


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One person's movement with labels.

    Attributes:
        joints_m: Joints of HUMANOID_15 at 30 frames per second.
        labels: Index into `LABELS` for every frame, `NO_LABEL` where none fits.
        near_change: Frames within a blend from one motion to the next, where either label is right.
        clips: Source clips that were used.
    """

    joints_m: Float[np.ndarray, "time 15 3"]
    labels: Int[np.ndarray, " time"]
    near_change: np.ndarray
    clips: tuple[str, ...]


def draw_body(rng: np.random.Generator, size: tuple[float, float] = (0.8, 1.12)) -> humanoid.Body:
    """A body: children to tall adults, with long or short limbs, and hips as wide as the landmark model places them."""
    body = humanoid.DEFAULT_BODY
    # The landmark model puts hips lower than anatomy does: on street footage the trunk is 0.43 of trunk, thigh and shin
    # together, against 0.37 on the body of the motion files.
    lengths = {"waist": 1.25, "chest": 1.1, "thigh": 0.88, "shin": 0.93, "upper_arm": 1.0, "forearm": 1.0}
    body = replace(
        body,
        **{name: getattr(body, name) * rng.normal(mean, 0.07) for name, mean in lengths.items()},
        hip_half_width=rng.uniform(0.08, 0.13),
        shoulder_half_width=rng.uniform(0.15, 0.20),
        shoulder_drop=rng.uniform(-0.03, 0.03),
        nose_up=rng.uniform(0.13, 0.26),
        nose_forward=rng.uniform(0.08, 0.14),
    )
    return body.scaled(rng.uniform(*size))


def leg_share(body: humanoid.Body) -> float:
    """Share of the legs in the height from ankles to neck: what tells proportions apart, whatever the size."""
    return body.leg / (body.leg + body.waist + body.chest)


def trimmed(motion: Motion) -> Motion:
    """A motion without the waiting before and after it."""
    if motion.label in _KEEPS_GOING:
        return motion
    speed = np.linalg.norm(np.diff(motion.joints_m, axis=0), axis=-1).mean(axis=1) * motion.fps
    moving = np.flatnonzero(speed > _SETTLED_M_S)
    start, end = int(moving[0]), int(moving[-1]) + 2
    return replace(motion, loops=False, root_m=motion.root_m[start:end], rotations=motion.rotations[start:end])


def split_in_time(motion: Motion, share: float, gap_s: float = 0.1) -> tuple[Motion, Motion]:
    """The first and the last part of a clip, without waiting before and after it, and with no frame in common.

    Args:
        motion: A clip that shows its action throughout, so that each part shows it too.
        share: Of the clip that the last part gets.
        gap_s: Time between the two that neither has, for neighbouring frames are nearly alike.
    """
    whole = trimmed(motion)
    # The last frame of a file that loops is the first one again.
    frames = len(whole) - motion.loops
    cut = round(frames * (1 - share))
    parts = ("first", 0, cut - round(gap_s * motion.fps)), ("last", cut, frames)
    first, last = (
        replace(
            whole,
            name=f"{motion.name}:{name}",
            source_clip=f"{motion.source_clip}:{name}",
            loops=False,
            root_m=whole.root_m[start:end],
            rotations=whole.rotations[start:end],
        )
        for name, start, end in parts
    )
    return first, last


def perform_clip(rng: np.random.Generator, motion: Motion, seconds: float) -> Motion:
    """One performance of a motion-capture clip: faster or slower, and never twice quite the same."""
    pace = rng.uniform(0.7, 1.4)
    if motion.label in _KEEPS_GOING and motion.loops:
        motion = looped(motion, max(seconds * pace, 1.0))
    frames = max(8, int(motion.duration_s / pace * FPS))
    root, rotations = motion.at(np.arange(frames) / FPS * pace)
    for joint in range(1, rotations.shape[1]):
        size = rng.uniform(0, 0.14)
        for axis in "xz":
            moved = rng.normal(0, size) + wander(rng, frames, FPS, size, 1.0)
            rotations[:, joint] = humanoid.multiply(rotations[:, joint], humanoid.about(axis, moved))
    return replace(motion, loops=False, fps=FPS, root_m=root, rotations=rotations)


class Script:
    """Draws performances.

    Args:
        clips: Motion-capture clips to draw from; classes without a clip do not occur, except the procedural ones.
        leg_shares: Only bodies whose `leg_share` is at least the first and below the second number.
    """

    def __init__(self, clips: Sequence[Motion], leg_shares: tuple[float, float] = (0.0, 1.0)) -> None:
        self._leg_shares = leg_shares
        self._clips: dict[str, list[Motion]] = {}
        for clip in clips:
            self._clips.setdefault(clip.label, []).append(trimmed(clip))
        self._rare = [label for label in self._clips if label not in ("walk", "run", "getup")]

    def draw(self, rng: np.random.Generator, seconds: float) -> Performance:
        """One person for about `seconds`: blends from one motion to the next take a little of it."""
        kind = rng.choice(4, p=(0.34, 0.32, 0.25, 0.09))
        motions: list[Motion] = []
        lasted = 0.0
        while lasted < seconds:
            more = (self._street, self._everyday, self._acrobatics, self._other)[kind](rng)
            if not motions and rng.random() < 0.5:
                more = more[int(rng.integers(len(more))) :]  # the camera may be late
            motions += more
            lasted = sum(motion.duration_s for motion in motions)
        return join(rng, motions, self._body(rng))

    def _body(self, rng: np.random.Generator) -> humanoid.Body:
        low, high = self._leg_shares
        while True:
            body = draw_body(rng)
            if low <= leg_share(body) < high:
                return body

    def _motion(self, rng: np.random.Generator, label: str, seconds: float, stance: everyday.Stance) -> Motion:
        if label in EVERYDAY_ACTIONS:
            return EVERYDAY_ACTIONS[label](rng, stance, seconds)
        clips = self._clips.get(label, [])
        if label in ("walk", "run") and (not clips or rng.random() < 0.7):
            return (gait.walk if label == "walk" else gait.run)(rng, stance, seconds)
        if not clips:
            return gait.random_movement(rng, stance, seconds)
        return perform_clip(rng, clips[rng.integers(len(clips))], seconds)

    def _street(self, rng: np.random.Generator) -> list[Motion]:
        """Walking, standing, walking on; seldom running."""
        stance = draw_stance(rng)
        out = []
        for _ in range(rng.integers(1, 4)):
            label = str(rng.choice(["walk", "stand", "run"], p=(0.56, 0.36, 0.08)))
            out.append(self._motion(rng, label, rng.uniform(1.0, 9.0), stance))
            if rng.random() < 0.3:
                stance = draw_stance(rng)
        return out

    def _everyday(self, rng: np.random.Generator) -> list[Motion]:
        """Standing or walking, an everyday action, standing or walking again."""
        stance = draw_stance(rng)
        # Waving comes in many forms, and some of them look nearly like standing: it is drawn more often.
        action = str(rng.choice([*(label for label in EVERYDAY_ACTIONS if label != "stand"), "wave"]))
        seconds = float(np.exp(rng.uniform(np.log(0.7), np.log(5.0))))
        out = [self._calm(rng, stance)]
        if action == "stand_up":
            out = [everyday.sitting(rng, stance, rng.uniform(0.5, 3))]
        out.append(self._motion(rng, action, seconds, stance))
        if action == "sit_down":
            out.append(everyday.sitting(rng, stance, rng.uniform(0.5, 3)))
            if rng.random() < 0.6:
                out.append(self._motion(rng, "stand_up", rng.uniform(0.8, 2.2), stance))
        elif action == "fall":
            out.append(lying(rng, out[-1]))
            if self._clips.get("getup") and rng.random() < 0.7:
                out.append(self._motion(rng, "getup", 3.0, stance))
        if rng.random() < 0.7:
            out.append(self._calm(rng, stance))
        return out

    def _acrobatics(self, rng: np.random.Generator) -> list[Motion]:
        """Something seldom seen, from motion capture."""
        stance = draw_stance(rng)
        label = str(rng.choice([*self._rare, "run", "getup"]))
        seconds = rng.uniform(1.5, 5.0)
        out = [] if label in _STARTS_LYING else [self._calm(rng, stance)]
        for _ in range(1 + (label in _REPEATS) * rng.choice([0, 0, 1, 2])):
            out.append(self._motion(rng, label, seconds, stance))
        if label == "crawl" and rng.random() < 0.5:
            out.append(self._motion(rng, "getup", 3.0, stance))
        if rng.random() < 0.7:
            out.append(self._calm(rng, stance))
        return out

    def _other(self, rng: np.random.Generator) -> list[Motion]:
        """None of the classes."""
        stance = draw_stance(rng)
        act = (gait.random_movement, gait.random_movement, gait.cycling, everyday.sitting)[rng.integers(4)]
        return [act(rng, stance, rng.uniform(1.5, 6.0))]

    def _calm(self, rng: np.random.Generator, stance: everyday.Stance) -> Motion:
        label = str(rng.choice(["stand", "walk"], p=(0.6, 0.4)))
        return self._motion(rng, label, rng.uniform(0.7, 3.5), stance)


def lying(rng: np.random.Generator, fallen: Motion) -> Motion:
    """Lying still where a fall ended: none of the classes."""
    frames = int(rng.uniform(0.5, 3) * FPS)
    return replace(
        fallen,
        name="lying",
        label=NO_ACTION,
        source_clip="procedural_lying",
        root_m=np.repeat(fallen.root_m[-1:], frames, axis=0),
        rotations=np.repeat(fallen.rotations[-1:], frames, axis=0),
    )


def join(rng: np.random.Generator, motions: Sequence[Motion], body: humanoid.Body) -> Performance:
    """String motions together on one body; all must have 30 frames per second."""
    first = motions[0]
    root, rotations = first.root_m.copy(), first.rotations.copy()
    root = root - root[0] * [1, 0, 1]
    labels = np.full(len(root), _index(first.label))
    near = np.zeros(len(root), dtype=bool)
    for motion in motions[1:]:
        blend = int(min(rng.uniform(0.2, 0.7) * FPS, len(motion) // 3, len(root) // 3))
        blend = max(blend, 2)
        turn = float(humanoid.heading_rad(rotations[-blend // 2, 0]) - humanoid.heading_rad(motion.rotations[0, 0]))
        about_y = humanoid.about("y", turn)
        new_rotations = motion.rotations.copy()
        new_rotations[:, 0] = humanoid.multiply(np.broadcast_to(about_y, (len(motion), 4)), motion.rotations[:, 0])
        moved = motion.root_m @ humanoid.matrices(about_y).T
        middle = blend // 2
        shift = (root[len(root) - blend + middle] - moved[middle]) * [1, 0, 1]
        moved = moved + shift
        share = np.arange(1, blend + 1) / (blend + 1)
        share = share * share * (3 - 2 * share)
        tail = slice(len(root) - blend, len(root))
        root[tail] = root[tail] * (1 - share[:, None]) + moved[:blend] * share[:, None]
        rotations[tail] = humanoid.blend(rotations[tail], new_rotations[:blend], share[:, None])
        labels[len(labels) - blend + middle :] = _index(motion.label)
        near[tail] = _index(motion.label) != labels[tail][0]
        root = np.concatenate([root, moved[blend:]])
        rotations = np.concatenate([rotations, new_rotations[blend:]])
        labels = np.concatenate([labels, np.full(len(motion) - blend, _index(motion.label))])
        near = np.concatenate([near, np.zeros(len(motion) - blend, dtype=bool)])
    root = root * (body.leg / humanoid.DEFAULT_BODY.leg)
    joints = humanoid.joint_positions(root, rotations, body)
    return Performance(
        joints_m=joints,
        labels=labels,
        near_change=near,
        clips=tuple(dict.fromkeys(motion.source_clip for motion in motions)),
    )


def _index(label: str) -> int:
    return LABELS.index(label) if label else NO_LABEL
