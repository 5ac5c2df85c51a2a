"""Drawn people in memory: clips with an action to keep and looks to hide.

The actions are those that are animated anew for every scene, so nothing needs to be fetched. Test clips have places,
bodies and views of their own, as in `synthetic_people`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import UInt8

from tubelet.datasets.everyday import FPS
from tubelet.datasets.labelled import Split
from tubelet.datasets.private_glyphs import PrivateClips
from tubelet.datasets.rendered import Outfit, draw_person, place_picture
from tubelet.datasets.synthetic_people import PROCEDURES, draw_camera, draw_scene, level

ACTIONS = tuple(PROCEDURES)
LOOKS = ("light_skin", "bright_top", "bright_trousers", "reddish_top")
"""What is private about a drawn person."""

_LUMA = np.array([0.299, 0.587, 0.114])
_LIGHT_SKIN, _BRIGHT = 135.0, 130.0  # luma, of 255; chosen so that about half of the people have each
_FILM_PX = (192, 144)
_NEAR = 0.6  # share of the clips whose camera frames the clip alone and not the whole performance


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
        size_px: Side of the pictures, into which the camera's are squeezed.
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
        outfit, film = _film(seed, number, split, num_frames, fps)
        for place, picture in enumerate(film):
            frames[number, place] = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA)
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
    seed: int, number: int, split: Split, num_frames: int, fps: float
) -> tuple[Outfit, UInt8[np.ndarray, "time height width 3"]]:
    """What one of a scene's two cameras sees of a part of the performance."""
    scene = draw_scene(seed, number // 2 // len(ACTIONS), ACTIONS[number // 2 % len(ACTIONS)], split, ())
    window = np.random.default_rng((seed, 17, number))
    length, width, height = len(scene.joints_m), *_FILM_PX
    needed = int(FPS / fps * (num_frames - 1)) + 1
    begin = int(window.integers(0, max(1, length - needed + 1)))
    moments = np.minimum(begin + np.round(np.arange(num_frames) * FPS / fps).astype(int), length - 1)
    is_near = window.random() < _NEAR
    rng = np.random.default_rng((scene.seed, number % 2))
    framed = scene
    if is_near:
        framed = replace(scene, joints_m=scene.joints_m[moments], forward_m=scene.forward_m[moments])
    camera, horizon = draw_camera(rng, framed, width, height)
    background = place_picture(rng, scene.place, width=width, height=height, horizon=horizon)
    noise, gain = float(rng.uniform(0.5, 3.0)), float(rng.uniform(0.75, 1.15))
    grain = rng.normal(0, noise, (height, width, 3)).astype(np.float32)
    shake = np.cumsum(rng.normal(0, 0.3, (num_frames, 2)), axis=0) * float(rng.choice([0.0, 1.0]))
    film = np.empty((num_frames, height, width, 3), np.uint8)
    for number_of_picture, (moment, moved) in enumerate(zip(moments, shake, strict=True)):
        picture = background.copy()
        draw_person(picture, scene.joints_m[moment], level(scene.forward_m[moment]), camera, scene.outfit)
        shift = np.array([[1, 0, moved[0]], [0, 1, moved[1]]])
        picture = cv2.warpAffine(picture, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        rolled = np.roll(grain, tuple(rng.integers(0, (height, width))), axis=(0, 1))
        film[number_of_picture] = np.clip(picture * np.float32(gain) + rolled, 0, 255).astype(np.uint8)
    return scene.outfit, film
