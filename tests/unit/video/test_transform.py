"""Sizes, crops, mirror and normalisation, the same for all pictures of a clip."""

from __future__ import annotations

import numpy as np
import pytest

from tubelet.video.transform import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    centre_crop,
    crop,
    mirrored,
    normalised,
    random_crop,
    resized_short_side,
    three_crops,
)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 24, 40, 3), dtype=np.uint8)


def test_resizing_keeps_the_proportions(frames: np.ndarray) -> None:
    assert resized_short_side(frames, 12).shape == (4, 12, 20, 3)
    assert resized_short_side(frames.transpose(0, 2, 1, 3), 12).shape == (4, 20, 12, 3)
    assert resized_short_side(frames, 48).shape == (4, 48, 80, 3)
    assert resized_short_side(frames, 24) is frames
    halved = frames.astype(float).reshape(4, 12, 2, 20, 2, 3).mean(axis=(2, 4))
    assert np.abs(resized_short_side(frames, 12) - halved).max() <= 1


def test_crops_take_the_right_places(frames: np.ndarray) -> None:
    np.testing.assert_array_equal(crop(frames, top=2, left=3, height=5, width=7), frames[:, 2:7, 3:10])
    np.testing.assert_array_equal(centre_crop(frames, 20), frames[:, 2:22, 10:30])
    left, middle, right = three_crops(frames, 24)
    np.testing.assert_array_equal(left, frames[:, :, :24])
    np.testing.assert_array_equal(middle, frames[:, :, 8:32])
    np.testing.assert_array_equal(right, frames[:, :, 16:])
    upper, _, lower = three_crops(frames.transpose(0, 2, 1, 3), 24)
    np.testing.assert_array_equal(upper, frames[:, :, :24].transpose(0, 2, 1, 3))
    np.testing.assert_array_equal(lower, frames[:, :, 16:].transpose(0, 2, 1, 3))


def test_a_random_crop_is_the_same_place_in_every_picture() -> None:
    height, width = np.mgrid[0:24, 0:40].astype(np.uint8)
    one = np.stack([height, width, height], axis=-1)
    frames = np.stack([one] * 3)
    places = set()
    for seed in range(20):
        cut = random_crop(frames, 24, np.random.default_rng(seed))
        assert cut.shape == (3, 24, 24, 3)
        assert np.all(cut == cut[0])
        places.add(int(cut[0, 0, 0, 1]))
    assert len(places) > 5


def test_mirroring_exchanges_left_and_right(frames: np.ndarray) -> None:
    np.testing.assert_array_equal(mirrored(frames)[:, :, 0], frames[:, :, -1])
    np.testing.assert_array_equal(mirrored(mirrored(frames)), frames)


def test_normalising_follows_its_formula(frames: np.ndarray) -> None:
    expected = (frames / 255.0 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    last = normalised(frames, axes="channels_last")
    assert last.dtype == np.float32
    np.testing.assert_allclose(last, expected, atol=1e-5)
    np.testing.assert_array_equal(normalised(frames), last.transpose(3, 0, 1, 2))


def test_misuse_is_named(frames: np.ndarray) -> None:
    with pytest.raises(
        ValueError, match="the crop of 30x30 pixels at left 5, top -3 does not lie in the picture of 40x24"
    ):
        centre_crop(frames, 30)
    with pytest.raises(ValueError, match="size is 25; pictures of 40x24 hold at most 24"):
        random_crop(frames, 25, np.random.default_rng(0))
    with pytest.raises(ValueError, match="short_side is 0"):
        resized_short_side(frames, 0)
