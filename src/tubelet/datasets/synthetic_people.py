"""Clips of drawn people who do one action each, with everything that a held-out test needs kept apart.

A scene is one performance by one body in one outfit at one place; two cameras film it, which makes two clips of one
group. Scenes of the test split have places, body proportions and directions of view that no other scene has, and
performances of their own: a fresh drawing of a procedural action, another recorded clip, or, where there is only one
recorded clip of a class, the same clip (`Scene.holds_out` says which).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tubelet.datasets import gait, humanoid
from tubelet.datasets.everyday import EVERYDAY_ACTIONS, FPS, Stance, draw_stance
from tubelet.datasets.labelled import Split
from tubelet.datasets.mocap import LABEL_OF_CLIP, Motion
from tubelet.datasets.performances import draw_body, leg_share, perform_clip, trimmed
from tubelet.datasets.rendered import PLACES, Outfit, draw_outfit, draw_person, place_picture
from tubelet.datasets.virtual_camera import Camera

PROCEDURES: Mapping[str, Callable[[np.random.Generator, Stance, float], Motion]] = {
    **{name: EVERYDAY_ACTIONS[name] for name in ("sit_down", "stand_up", "jumping_jack", "wave")},
    "walk": gait.walk,
    **{name: EVERYDAY_ACTIONS[name] for name in ("bend_over", "squat", "raise_arms", "fall", "stand")},
    "run": gait.run,
}
"""Actions that are animated anew for every scene, in the order in which `tubelet synth --classes N` takes them."""

CLASSES: tuple[str, ...] = (*PROCEDURES, *sorted(set(LABEL_OF_CLIP.values()) - set(PROCEDURES)))
"""All actions: the procedural ones first, then those that need the motion-capture files."""

TEST_PLACES = ("street", "corridor")
TEST_LEG_SHARE = 0.59  # legs at least this long, as a share of the height to the neck, are those of the test split
TEST_AZIMUTH_DEG = (20.0, 70.0)  # views from these directions, from in front and behind alike, are those of the test
_VIEWS = 2
_SECONDS = (2.2, 3.2)
_ANGLE_FOLD = 90.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One performance at one place.

    Attributes:
        label: The action.
        split: Whose pool of places, bodies and views it was drawn from.
        source: Recorded clip or "drawn anew".
        joints_m: Joints of HUMANOID_15 at 30 frames per second.
        forward_m: Where the pelvis faces, unit vectors.
        outfit: Colours.
        place: Kind of background.
        seed: Of cameras, background and noise.
    """

    label: str
    split: Split
    source: str
    joints_m: Float[np.ndarray, "time 15 3"]
    forward_m: Float[np.ndarray, "time 3"]
    outfit: Outfit
    place: str
    seed: int


def needs_recordings(classes: Sequence[str]) -> bool:
    """Whether some of these classes exist as motion capture only."""
    return any(name not in PROCEDURES for name in classes)


def holds_out(label: str, motions: Sequence[Motion]) -> str:
    """What of a class's performances the test split has for itself."""
    if label in PROCEDURES:
        return "performances drawn anew"
    return "other recorded clips" if len(_clips_of(label, motions)) > 1 else "the one recorded clip, done otherwise"


def draw_scene(seed: int, number: int, label: str, split: Split, motions: Sequence[Motion]) -> Scene:
    """Draw one scene; it depends on its arguments alone.

    Args:
        seed: Of the set.
        number: Of the scene within its class and split.
        label: One of `CLASSES`.
        split: Which pools to draw from.
        motions: Recorded clips, which only some classes need.

    Raises:
        ValueError: There is no such class, or no clip of it among `motions`.
    """
    if label not in CLASSES:
        raise ValueError(f"label is {label!r}; allowed: {', '.join(CLASSES)}")
    rng = np.random.default_rng((seed, CLASSES.index(label), ("train", "val", "test").index(split), number))
    seconds = float(rng.uniform(*_SECONDS))
    if label in PROCEDURES:
        motion, source = PROCEDURES[label](rng, draw_stance(rng), seconds), "drawn anew"
    else:
        recorded = _pick(rng, label, split, motions)
        motion, source = perform_clip(rng, trimmed(recorded), seconds), recorded.source_clip
    if rng.random() < 0.5:
        root, rotations = humanoid.mirrored(motion.root_m, motion.rotations)
        motion = replace(motion, root_m=root, rotations=rotations)
    joints = humanoid.joint_positions(motion.root_m, motion.rotations, _draw_body(rng, split))
    joints = joints - joints[0, 0] * np.array([1.0, 0.0, 1.0])
    joints[..., 1] -= np.percentile(joints[..., 1].min(axis=1), 10) - 0.07  # feet on the ground, whatever the body
    forward = humanoid.matrices(motion.rotations[:, 0])[..., 0]
    others = [place for place in PLACES if place not in TEST_PLACES]
    places = TEST_PLACES if split == "test" else others
    return Scene(
        label=label,
        split=split,
        source=source,
        joints_m=joints,
        forward_m=forward,
        outfit=draw_outfit(rng),
        place=places[rng.choice(len(places))],
        seed=int(rng.integers(2**31)),
    )


def film_scene(
    scene: Scene, view: int, *, width: int = 320, height: int = 240, fps: float = 15.0
) -> UInt8[np.ndarray, "time height width 3"]:
    """The pictures of one camera.

    Args:
        scene: What happens.
        view: Which camera, 0 or 1.
        width: Of a picture in pixels.
        height: Of a picture in pixels.
        fps: Pictures per second.
    """
    rng = np.random.default_rng((scene.seed, view))
    camera, horizon = draw_camera(rng, scene, width, height)
    background = place_picture(rng, scene.place, width=width, height=height, horizon=horizon)
    noise, gain = float(rng.uniform(0.5, 3.0)), float(rng.uniform(0.75, 1.15))
    grain = rng.normal(0, noise, (height, width, 3)).astype(np.float32)  # drawn once and shifted: drawing is slow
    wanted = np.round(np.arange(0, len(scene.joints_m) - 1e-6, FPS / fps)).astype(int)
    shake = np.cumsum(rng.normal(0, 0.12, (len(wanted), 2)), axis=0) * float(rng.choice([0.0, 1.0]))
    pictures = np.empty((len(wanted), height, width, 3), np.uint8)
    for picture, moment, moved in zip(pictures, wanted.clip(max=len(scene.joints_m) - 1), shake, strict=True):
        picture[:] = background
        draw_person(picture, scene.joints_m[moment], level(scene.forward_m[moment]), camera, scene.outfit)
        shift = np.array([[1, 0, moved[0]], [0, 1, moved[1]]], np.float64)
        moved_picture = cv2.warpAffine(picture, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        rolled = np.roll(grain, tuple(rng.integers(0, (height, width))), axis=(0, 1))
        picture[:] = np.clip(moved_picture * np.float32(gain) + rolled, 0, 255).astype(np.uint8)
    return pictures


def level(forward: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """A direction without its vertical part."""
    length = float(np.linalg.norm(forward))
    return forward / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])


def _clips_of(label: str, motions: Sequence[Motion]) -> list[Motion]:
    found = sorted((motion for motion in motions if motion.label == label), key=lambda motion: motion.name)
    if not found:
        raise ValueError(f"no recorded clip of {label!r} was given; fetch the motion files")
    return found


def _pick(rng: np.random.Generator, label: str, split: Split, motions: Sequence[Motion]) -> Motion:
    """A recorded clip: the last of its class for the test split, the others for the rest, where there are others."""
    found = _clips_of(label, motions)
    pool = found if len(found) == 1 else found[-1:] if split == "test" else found[:-1]
    return pool[rng.choice(len(pool))]


def _draw_body(rng: np.random.Generator, split: Split) -> humanoid.Body:
    while True:
        body = draw_body(rng)
        if (leg_share(body) >= TEST_LEG_SHARE) == (split == "test"):
            return body


def _azimuth_deg(rng: np.random.Generator, split: Split) -> float:
    low, high = TEST_AZIMUTH_DEG
    while True:
        angle = float(rng.uniform(0, 360))
        if (low <= angle % _ANGLE_FOLD < high) == (split == "test"):
            return angle


def draw_camera(rng: np.random.Generator, scene: Scene, width: int, height: int) -> tuple[Camera, float]:
    """A level camera that sees the whole performance, and where the horizon is in its picture."""
    azimuth, pitch = np.radians(_azimuth_deg(rng, scene.split)), float(np.radians(rng.uniform(-2, 14)))
    forward = np.array([np.cos(azimuth) * np.cos(pitch), -np.sin(pitch), np.sin(azimuth) * np.cos(pitch)])
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    focal = float(width / 2 / np.tan(np.radians(rng.uniform(20, 30))))
    points = scene.joints_m.reshape(-1, 3) @ axes.T
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    room_px = np.array([width, height]) / 2 * float(rng.uniform(0.75, 0.98))
    extent = np.abs(points[:, :2] - middle[:2]).max(axis=0) + 0.1
    distance = float((focal * extent / room_px).max() + np.ptp(points[:, 2]) / 2)
    aside = rng.uniform(-0.12, 0.12, 2) * np.array([width, height * 0.5]) / focal * distance
    position = (np.array([middle[0] + aside[0], middle[1] + aside[1], middle[2] - distance])) @ axes
    camera = Camera(position_m=position, axes=axes, focal_px=focal, width=width, height=height)
    horizon = 0.5 - np.tan(pitch) * focal / height + 0.1
    return camera, float(horizon)
