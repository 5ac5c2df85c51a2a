from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from tubelet.datasets.check.sketch import (
    SKETCH_BYTES,
    hashes,
    likeness,
    look_at,
    make_sketch,
    mirror_bits,
    mirrored,
    scene_likeness,
    sketch_times_s,
)
from tubelet.datasets.synthetic import MOTIONS, moving_shape

MOVING = [motion for motion in MOTIONS if motion != "still"]


@cache
def frames(seed: int, motion: str = "left") -> np.ndarray:
    video = moving_shape([motion], seed=seed)
    return video.frames[np.floor(sketch_times_s(0.0, len(video.frames))).astype(int)]


def look(pictures: np.ndarray):
    return look_at(make_sketch(pictures))


def smaller(pictures: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in pictures])


def test_times_are_the_middles_of_equal_parts() -> None:
    np.testing.assert_allclose(sketch_times_s(2.0, 4.0), [2.125, 2.375, 2.625, 2.875, 3.125, 3.375, 3.625, 3.875])


def test_a_sketch_is_small_and_of_one_size() -> None:
    assert make_sketch(frames(0)).shape == make_sketch(smaller(frames(0), 33, 150)).shape == (SKETCH_BYTES,)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("half the size", lambda pictures: smaller(pictures, 48, 36)),
        ("another shape", lambda pictures: smaller(pictures, 64, 64)),
        ("brighter", lambda pictures: np.clip(pictures.astype(int) + 30, 0, 255).astype(np.uint8)),
        ("darker", lambda pictures: (pictures * 0.6).astype(np.uint8)),
        ("noise", lambda pictures: np.clip(pictures + np.random.default_rng(0).normal(0, 8, pictures.shape), 0, 255)),
        ("cropped by 2 %", lambda pictures: pictures[:, 1:-1, 1:-1]),
    ],
)
def test_copies_are_alike(what: str, change) -> None:
    found = [
        likeness(look(frames(seed, MOVING[seed % 7])), look(change(frames(seed, MOVING[seed % 7])).astype(np.uint8)))
        for seed in range(8)
    ]
    assert min(found) > 0.92, (what, found)


def test_different_clips_are_not_alike() -> None:
    looks = [look(frames(seed, MOVING[seed % 7])) for seed in range(42)]
    found = [
        max(likeness(looks[one], looks[other]), likeness(looks[one], mirrored(looks[other])))
        for one in range(42)
        for other in range(one)
    ]
    assert len(found) == 861
    assert sum(value > 0.92 for value in found) == 0


def test_a_mirror_image_is_alike_only_to_the_mirrored_look() -> None:
    one, other = look(frames(3)), look(frames(3)[:, :, ::-1])
    assert likeness(one, other) < 0.5
    assert likeness(one, mirrored(other)) > 0.99


def test_mirroring_flips_known_bits_of_the_hash() -> None:
    one = look(frames(3, "circle"))
    flipped = hashes(one.motion) ^ hashes(mirrored(one).motion)
    assert [bin(int(bits) ^ mirror_bits()).count("1") for bits in flipped] == [0] * 8


def test_hashes_do_not_depend_on_contrast() -> None:
    motion = look(frames(3)).motion
    np.testing.assert_array_equal(hashes(motion), hashes((motion * 0.3).astype(np.float32)))


@pytest.mark.parametrize("level", [0, 16, 128, 255])
def test_plain_clips_are_never_alike(level: int) -> None:
    noise = np.random.default_rng(level).normal(0, 3, (8, 72, 96, 3))
    plain = look(np.clip(noise + level, 0, 255).astype(np.uint8))
    assert plain.is_flat
    assert likeness(plain, plain) == 0.0
    assert likeness(plain, look(frames(0))) == 0.0


def test_a_plain_gradient_is_no_scene() -> None:
    ramp = np.broadcast_to(np.linspace(20, 220, 96)[None, None, :, None], (8, 72, 96, 3)).astype(np.uint8)
    assert look(ramp).is_flat
    assert scene_likeness(look(ramp), look(ramp)) == 0.0


def test_clips_of_one_camera_share_the_scene_and_are_not_copies() -> None:
    room = cv2.resize(np.random.default_rng(1).integers(0, 255, (9, 12, 3)).astype(np.uint8), (96, 72))

    def walk(step: int) -> np.ndarray:
        pictures = np.repeat(room[None], 8, axis=0)
        for number in range(8):
            left = 44 + step * number
            pictures[number, 30:60, left : left + 8] = (250, 240, 30)
        return pictures

    one, other = look(walk(6)), look(walk(-6))
    assert scene_likeness(one, other) > 0.95
    assert likeness(one, other) < 0.92


def test_a_still_clip_is_not_like_one_that_moves() -> None:
    still = look(np.repeat(frames(2)[:1], 8, axis=0))
    assert still.is_still
    assert likeness(still, look(frames(2))) == 0.0
    assert likeness(still, still) == pytest.approx(1.0)
