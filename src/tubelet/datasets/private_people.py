"""Drawn people in memory: clips with an action to keep and looks to hide.

The actions are those that are animated anew for every scene, so nothing needs to be fetched. Test clips have places,
bodies and views of their own, as in `synthetic_people`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8

from tubelet.datasets.labelled import Split
from tubelet.datasets.private_glyphs import PrivateClips
from tubelet.datasets.rendered import Outfit
from tubelet.datasets.synthetic_people import PROCEDURES, draw_scene, film_scene

ACTIONS = tuple(PROCEDURES)
LOOKS = ("light_skin", "bright_top", "bright_trousers", "reddish_top")
"""What is private about a drawn person."""

_LUMA = np.array([0.299, 0.587, 0.114])
_LIGHT_SKIN, _BRIGHT = 135.0, 130.0  # luma, of 255; chosen so that about half of the people have each
_FILM_PX = (160, 120)


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
    fps: float = 15.0,
    on_clip: Callable[[], None] = lambda: None,
) -> PrivateClips:
    """Draw clips of people; two cameras film each scene, and both clips are in one group.

    Args:
        split: Whose places, bodies and views.
        count: Clips.
        seed: Of the set.
        num_frames: Of a clip.
        size_px: Side of the pictures, into which the camera's are squeezed.
        fps: Pictures a second.
        on_clip: Called after each.
    """
    frames = np.empty((count, num_frames, size_px, size_px, 3), np.uint8)
    facts: list[tuple[int, int]] = []
    private: list[tuple[int, ...]] = []
    for number in range(count):
        label, outfit, film = _film(seed, number, split, fps)
        start = int(np.random.default_rng((seed, 17, number)).integers(0, max(1, len(film) - num_frames + 1)))
        window = film[start : start + num_frames]
        window = np.concatenate([window, window[-1:].repeat(num_frames - len(window), axis=0)])
        for place, picture in enumerate(window):
            frames[number, place] = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA)
        facts.append((ACTIONS.index(label), number // 2))
        private.append(looks(outfit))
        on_clip()
    actions, groups = np.array(facts, np.int64).T
    return PrivateClips(
        frames=frames,
        actions=actions.copy(),
        private=np.array(private, np.float32),
        groups=groups.copy(),
        action_names=ACTIONS,
        attribute_names=LOOKS,
    )


def _film(
    seed: int, number: int, split: Split, fps: float
) -> tuple[str, Outfit, UInt8[np.ndarray, "time height width 3"]]:
    """What one of a scene's two cameras sees, whole."""
    label = ACTIONS[number // 2 % len(ACTIONS)]
    scene = draw_scene(seed, number // 2 // len(ACTIONS), label, split, ())
    width, height = _FILM_PX
    return label, scene.outfit, film_scene(scene, number % 2, width=width, height=height, fps=fps)
