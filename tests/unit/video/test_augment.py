"""Random changes to clips: the same for every picture, within their ranges, and nothing where nothing was asked for."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.video.augment import (
    OPERATIONS,
    ClipAugmentation,
    augment,
    erase_rectangle,
    jittered,
    rand_augmented,
    random_rectangle,
)

PLAIN = ClipAugmentation(scale=(1, 1), aspect=(1, 1), mirror=False)
FULL = ClipAugmentation(
    scale=(0.1, 1),
    num_operations=3,
    magnitude=9,
    erasing_probability=1,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.2,
)


def still(seed: int = 0, num_frames: int = 5, height: int = 48, width: int = 60) -> np.ndarray:
    """A clip whose pictures are all the same: what differs afterwards was not treated alike."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 4 % 256, y * 5 % 256, (x + y) * 2 % 256], axis=-1)
    image = image + np.random.default_rng(seed).integers(0, 9, image.shape)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[None], num_frames, axis=0)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_all_pictures_are_treated_alike(seed: int) -> None:
    clip = still()
    changed = augment(clip, FULL, np.random.default_rng(seed), size_px=32)

    assert changed.shape == (5, 32, 32, 3) and changed.dtype == np.uint8
    assert (changed == changed[:1]).all()
    np.testing.assert_array_equal(clip, still())


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_each_operation_treats_all_pictures_alike_and_does_something(name: str) -> None:
    clip = still()
    clip = np.concatenate([clip, clip // 2 + 60])  # a clip with a cut: statistics are the clip's, not the picture's
    changed = OPERATIONS[name](clip, 0.9, np.random.default_rng(3))

    assert changed.shape == clip.shape and changed.dtype == np.uint8
    assert (changed[:5] == changed[:1]).all() and (changed[5:] == changed[5:6]).all()
    assert (changed != clip).any() == (name != "identity")


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"auto_contrast", "equalize"}))
def test_each_operation_with_a_strength_does_nothing_at_strength_0(name: str) -> None:
    np.testing.assert_array_equal(OPERATIONS[name](still(), 0.0, np.random.default_rng(0)), still())


def test_nothing_happens_where_nothing_is_asked_for() -> None:
    clip = still(height=32, width=32)
    for augmentation in (PLAIN, replace(PLAIN, num_operations=4, magnitude=0)):
        for seed in range(5):
            np.testing.assert_array_equal(augment(clip, augmentation, np.random.default_rng(seed), size_px=32), clip)


def test_the_same_generator_gives_the_same_clip_and_others_give_others() -> None:
    results = [augment(still(), FULL, np.random.default_rng(seed), size_px=32) for seed in (0, 0, 1, 2)]

    np.testing.assert_array_equal(results[0], results[1])
    assert len({result.tobytes() for result in results}) == 3


def test_mirroring_happens_to_half_of_the_clips_and_can_be_switched_off() -> None:
    clip = still(height=32, width=32)
    mirrored = [
        np.array_equal(
            augment(clip, replace(PLAIN, mirror=True), np.random.default_rng(seed), size_px=32), clip[:, :, ::-1]
        )
        for seed in range(200)
    ]
    assert 70 < sum(mirrored) < 130
    for seed in range(50):
        np.testing.assert_array_equal(augment(clip, PLAIN, np.random.default_rng(seed), size_px=32), clip)


@given(seed=st.integers(0, 1000), height=st.integers(8, 300), width=st.integers(8, 300))
def test_what_is_cut_out_lies_inside_and_has_the_asked_area_and_shape(seed: int, height: int, width: int) -> None:
    augmentation = ClipAugmentation(scale=(0.2, 0.5), aspect=(0.75, 4 / 3))
    top, left, cut_height, cut_width = random_rectangle(height, width, augmentation, np.random.default_rng(seed))

    assert 0 <= top <= top + cut_height <= height and 0 <= left <= left + cut_width <= width
    if 0.3 < height / width < 3 and min(height, width) > 60:
        assert 0.18 < cut_height * cut_width / (height * width) < 0.52
        assert 0.72 < cut_width / cut_height < 1.39


def test_where_no_rectangle_fits_the_largest_square_is_taken_somewhere() -> None:
    places = {random_rectangle(20, 400, PLAIN, np.random.default_rng(seed)) for seed in range(50)}
    assert {place[2:] for place in places} == {(20, 20)}
    assert len(places) > 30


def test_crops_move_over_the_picture() -> None:
    generator = np.random.default_rng(0)
    tops = [random_rectangle(100, 100, ClipAugmentation(scale=(0.25, 0.25)), generator)[0] for _ in range(300)]
    assert min(tops) <= 3 and max(tops) >= 45


def test_colours_change_as_told() -> None:
    grey = np.full((2, 4, 4, 3), 100, np.uint8)
    values = [jittered(grey, replace(PLAIN, brightness=0.3), np.random.default_rng(seed)) for seed in range(100)]
    assert all((value == value[0, 0, 0, 0]).all() for value in values)
    brightest, darkest = max(int(v.max()) for v in values), min(int(v.min()) for v in values)
    assert 120 < brightest <= 130 and 70 <= darkest < 80
    for augmentation in (replace(PLAIN, saturation=1.0), replace(PLAIN, hue=0.5), replace(PLAIN, contrast=1.0)):
        changed = jittered(grey, augmentation, np.random.default_rng(1))
        np.testing.assert_allclose(changed, grey, atol=1)  # grey has no colour, and is its own mean


def test_hue_turns_colours_and_keeps_their_brightness() -> None:
    red = np.broadcast_to(np.array([160, 90, 90], np.uint8), (1, 4, 4, 3)).copy()
    turned = jittered(red, replace(PLAIN, hue=0.3), np.random.default_rng(2))[0, 0, 0].astype(float)
    hue_before, hue_after = (colorsys.rgb_to_hsv(*(colour / 255))[0] for colour in (np.array([160.0, 90, 90]), turned))
    assert abs(hue_after - hue_before) > 0.03
    assert turned @ [0.299, 0.587, 0.114] == pytest.approx(np.array([160, 90, 90]) @ [0.299, 0.587, 0.114], abs=2)


def test_contrast_and_colour_go_to_grey_at_factor_0() -> None:
    clip = still()
    luma = clip @ np.array([0.299, 0.587, 0.114])
    drawn = [OPERATIONS["colour"](clip, 1.0, np.random.default_rng(seed)).astype(float) for seed in range(8)]
    wanted = [0.1 * clip + 0.9 * luma[..., None], np.clip(1.9 * clip - 0.9 * luma[..., None], 0, 255)]
    assert all(min(np.abs(one - target).max() for target in wanted) < 1 for one in drawn)


def test_point_operations_follow_their_definitions() -> None:
    generator = np.random.default_rng(0)
    clip = still()
    np.testing.assert_array_equal(OPERATIONS["posterize"](clip, 1.0, generator), clip & 0xF0)
    np.testing.assert_array_equal(OPERATIONS["solarize"](clip, 1.0, generator), 255 - clip)
    np.testing.assert_array_equal(OPERATIONS["solarize"](clip, 0.5, generator), np.where(clip < 128, clip, 255 - clip))
    dull = clip // 4 + 50
    bright = OPERATIONS["auto_contrast"](dull, 0.0, generator)
    assert (bright.min(), bright.max()) == (0, 255)
    even = OPERATIONS["equalize"](clip, 0.0, generator)
    assert abs(float(even.mean()) - 127) < 12
    flat = np.full((2, 5, 5, 3), 77, np.uint8)
    for name in ("auto_contrast", "equalize"):
        np.testing.assert_array_equal(OPERATIONS[name](flat, 1.0, generator), flat)


def test_moving_operations_move_as_far_as_told() -> None:
    clip = np.zeros((1, 40, 60, 3), np.uint8)
    clip[0, 20, 30] = 255
    # 0.45 * 60 * 2/3 = 18 pixels to the right, or as many to the left
    moved = [OPERATIONS["translate_x"](clip, 2 / 3, np.random.default_rng(seed))[0, 20] for seed in range(9)]
    assert {int(np.flatnonzero(row.min(axis=-1) == 255)[0]) for row in moved} == {12, 48}
    turned = OPERATIONS["rotate"](np.full((1, 40, 40, 3), 255, np.uint8), 1.0, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(turned[0, 0], [124, 116, 104])
    assert turned[20, 20].tolist() == [255] * 3


def test_erasing_leaves_the_rest_alone_and_is_the_same_in_all_pictures() -> None:
    shares = []
    for seed in range(40):
        clip = np.zeros((3, 64, 64, 3), np.uint8)
        erase_rectangle(clip, np.random.default_rng(seed))
        assert (clip == clip[:1]).all()
        rows, columns = np.nonzero(clip[0].any(axis=-1))
        shares.append((np.ptp(rows) + 1) * (np.ptp(columns) + 1) / 64**2)
    assert 0.01 < min(shares) < 0.1 and 0.2 < max(shares) < 0.36


def test_operations_are_drawn_from_all() -> None:
    seen = {rand_augmented(still(num_frames=1), 1, 8.0, np.random.default_rng(seed)).tobytes() for seed in range(150)}
    assert len(seen) >= 20, "14 operations, most of them in two directions"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": (0.0, 1.0)}, r"scale is \(0, 1\); needed: 0 < lowest <= highest <= 1"),
        ({"scale": (0.5, 1.5)}, r"scale is \(0.5, 1.5\); needed: 0 < lowest <= highest <= 1"),
        ({"aspect": (2.0, 1.0)}, r"aspect is \(2, 1\); needed: 0 < lowest <= highest"),
        ({"magnitude": 11.0}, "magnitude is 11; allowed: 0 to 10"),
        ({"hue": 0.6}, "hue is 0.6; allowed: 0 to 0.5"),
        ({"erasing_probability": float("nan")}, "erasing_probability is nan; allowed: 0 to 1"),
        ({"num_operations": -1}, "num_operations is -1; allowed: 0 to"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipAugmentation(**changes)  # type: ignore[arg-type]
