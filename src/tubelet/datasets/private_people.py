"""Drawn people in memory: clips with an action to keep and looks to hide.

A clip is a square that goes with its person, as it is cut from footage round a person who was found and followed.
The actions are those that are animated anew for every scene, so nothing needs to be fetched. Test clips have places,
bodies and views of their own, as in `synthetic_people`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tubelet.datasets.everyday import FPS
from tubelet.datasets.labelled import Split
from tubelet.datasets.private_glyphs import PrivateClips
from tubelet.datasets.rendered import Outfit, draw_person, place_picture
from tubelet.datasets.synthetic_people import PROCEDURES, draw_camera, draw_scene, level
from tubelet.datasets.virtual_camera import Camera
from tubelet.skeletons import HUMANOID_15

ACTIONS = tuple(PROCEDURES)
LOOKS = ("light_skin", "bright_top", "bright_trousers", "reddish_top")
"""What is private about a drawn person."""

_LUMA = np.array([0.299, 0.587, 0.114])
_LIGHT_SKIN, _BRIGHT = 135.0, 130.0  # luma, of 255; chosen so that about half of the people have each
_FILM_PX = (192, 144)
_WIDER = 1.6  # than what the camera frames: mostly there is something round a person
_HEAD_M = 0.22  # from the nose to the top of the head, and some
_SIDE = (1.1, 1.5)  # of the square, in longer edges of the person's box
_OFF, _WOBBLE = 0.1, 0.03  # of that side: how far from its person a square is, and how it errs from moment to moment
_BLURRED, _LEAST_PX = 0.5, 40  # share of the clips that were filmed with fewer pixels, and how few


def looks(outfit: Outfit) -> tuple[int, int, int, int]:
    """The attributes of an outfit, in the order of `LOOKS`."""
    skin, top, legs = (float(np.dot(_LUMA, colour)) for colour in (outfit.skin, outfit.top, outfit.legs))
    return int(skin >= _LIGHT_SKIN), int(top >= _BRIGHT), int(legs >= _BRIGHT), int(outfit.top[0] >= outfit.top[2])


def draw_private_people(
    split: Split,
    count: int,
    *,
    seed: int,
    num_frames: int,
    size_px: int,
    fps: float = 6.0,
    on_clips: Callable[[int], None] = lambda _: None,
) -> PrivateClips:
    """Draw clips of people; two cameras film each scene, and both clips are in one group.

    Args:
        split: Whose places, bodies and views.
        count: Clips.
        seed: Of the set.
        num_frames: Of a clip.
        size_px: Side of the pictures.
        fps: Pictures a second.
        on_clips: Called with the number of clips as they are drawn.

    Raises:
        ValueError: Fewer than one clip is asked for.
    """
    if count < 1:
        raise ValueError(f"count is {count}; allowed: 1 or more")
    frames = np.empty((count, num_frames, size_px, size_px, 3), np.uint8)
    actions = np.empty(count, np.int64)
    private: list[tuple[int, ...]] = []
    for number in range(count):
        actions[number] = number // 2 % len(ACTIONS)
        outfit, frames[number] = _film(seed, number, split, num_frames, fps, size_px)
        private.append(looks(outfit))
        on_clips(1)
    return PrivateClips(
        frames=frames,
        actions=actions,
        private=np.array(private, np.float32),
        groups=np.arange(count, dtype=np.int64) // 2,
        action_names=ACTIONS,
        attribute_names=LOOKS,
    )


def _film(
    seed: int, number: int, split: Split, num_frames: int, fps: float, size_px: int
) -> tuple[Outfit, UInt8[np.ndarray, "time size size 3"]]:
    """What one of a scene's two cameras sees of a part of the performance, in a square that goes with the person."""
    scene = draw_scene(seed, number // 2 // len(ACTIONS), ACTIONS[number // 2 % len(ACTIONS)], split, ())
    window = np.random.default_rng((seed, 17, number))
    length, width, height = len(scene.joints_m), *_FILM_PX
    needed = int(FPS / fps * (num_frames - 1)) + 1
    begin = int(window.integers(0, max(1, length - needed + 1)))
    moments = np.minimum(begin + np.round(np.arange(num_frames) * FPS / fps).astype(int), length - 1)
    rng = np.random.default_rng((scene.seed, number % 2))
    joints, forward = scene.joints_m[moments], scene.forward_m[moments]
    camera, horizon = draw_camera(rng, replace(scene, joints_m=joints, forward_m=forward), width, height)
    camera, horizon = _widened(camera, horizon)
    background = place_picture(rng, scene.place, width=camera.width, height=camera.height, horizon=horizon)
    noise, gain = float(rng.uniform(0.5, 3.0)), float(rng.uniform(0.75, 1.15))
    grain = rng.normal(0, noise, (size_px, size_px, 3)).astype(np.float32)
    side_px = size_px if window.random() >= _BLURRED else int(window.integers(_LEAST_PX, size_px + 1))
    film = np.empty((num_frames, size_px, size_px, 3), np.uint8)
    for place, square in enumerate(_squares(window, joints, camera)):
        picture = background.copy()
        draw_person(picture, joints[place], level(forward[place]), camera, scene.outfit)
        scale = side_px / square[2]
        cut = np.array([[scale, 0, -square[0] * scale], [0, scale, -square[1] * scale]])
        picture = cv2.warpAffine(picture, cut, (side_px, side_px))  # black beyond the edges, as footage is cut
        picture = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_LINEAR)
        rolled = np.roll(grain, tuple(rng.integers(0, size_px, 2)), axis=(0, 1))
        film[place] = np.clip(picture * np.float32(gain) + rolled, 0, 255).astype(np.uint8)
    return scene.outfit, film


def _widened(camera: Camera, horizon: float) -> tuple[Camera, float]:
    """A camera that sees the same and more around it, and where the horizon is in its picture."""
    wider = replace(camera, width=round(camera.width * _WIDER), height=round(camera.height * _WIDER))
    return wider, 0.5 + (horizon - 0.5) / _WIDER


def _squares(
    rng: np.random.Generator, joints_m: Float[np.ndarray, "time 15 3"], camera: Camera
) -> Float[np.ndarray, "time 3"]:
    """Left edge, upper edge and side of the square at each moment: one side for all, as long as the largest box asks.

    The square errs as a detector does: off by as much from beginning to end, and a little more at each moment.
    """
    nose = HUMANOID_15.joints.index("nose")
    head = joints_m[:, nose : nose + 1] + np.array([0.0, _HEAD_M, 0.0])
    points, _ = camera.project(np.concatenate([joints_m, head], axis=1))
    low, high = points.min(axis=1), points.max(axis=1)
    side = float((high - low).max()) * float(rng.uniform(*_SIDE))
    errors = rng.uniform(-_OFF, _OFF, 2) + rng.normal(0, _WOBBLE, (len(points), 2))
    corners = (low + high) / 2 + side * (errors - 0.5)
    return np.concatenate([corners, np.full((len(corners), 1), side)], axis=1)
