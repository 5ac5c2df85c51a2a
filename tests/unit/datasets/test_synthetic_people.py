"""Drawn people: the same from the same seed, nothing of the test in the training, and the whole body in the picture."""

from __future__ import annotations

import numpy as np
import pytest

from tubelet.datasets import synthetic_people
from tubelet.datasets.labelled import Split
from tubelet.datasets.rendered import PLACES, draw_outfit, place_picture
from tubelet.datasets.synthetic_people import CLASSES, PROCEDURES, TEST_PLACES, draw_scene, film_scene, holds_out


def test_the_same_arguments_give_the_same_pictures() -> None:
    one, two = (film_scene(draw_scene(3, 1, "wave", "train", []), 0, width=96, height=72) for _ in range(2))
    other = film_scene(draw_scene(3, 1, "wave", "train", []), 1, width=96, height=72)
    assert np.array_equal(one, two)
    assert one.shape == other.shape
    assert not np.array_equal(one, other)
    assert one.shape[1:] == (72, 96, 3)
    assert 30 <= len(one) <= 50


@pytest.mark.parametrize("label", list(PROCEDURES))
def test_the_person_is_in_the_picture_and_moves(label: str) -> None:
    scene = draw_scene(0, 0, label, "train", [])
    camera, _ = synthetic_people.draw_camera(np.random.default_rng((scene.seed, 0)), scene, 160, 120)
    points, depth = camera.project(scene.joints_m.reshape(-1, 3))
    inside = (points >= -8).all(axis=1) & (points[:, 0] < 168) & (points[:, 1] < 128)
    assert depth.min() > 0.3
    assert inside.mean() > 0.97
    frames = film_scene(scene, 0, width=160, height=120, fps=5)
    background = film_scene(scene, 1, width=160, height=120, fps=5)
    assert np.abs(frames[0].astype(int) - background[0]).mean() > 5  # another camera sees another place
    if label != "stand":
        assert np.abs(frames[-1].astype(int) - frames[len(frames) // 2]).max() > 40


def _pools(split: Split) -> tuple[set[str], list[float]]:
    scenes = [draw_scene(0, number, label, split, []) for number in range(12) for label in ("wave", "walk")]
    angles = [synthetic_people._azimuth_deg(np.random.default_rng(i), split) % 90 for i in range(200)]
    return {scene.place for scene in scenes}, angles


def test_the_test_split_has_places_and_views_of_its_own() -> None:
    (train, train_angles), (test, test_angles) = _pools("train"), _pools("test")
    assert test == set(TEST_PLACES)
    assert train <= set(PLACES) - test
    low, high = synthetic_people.TEST_AZIMUTH_DEG
    assert all(low <= angle < high for angle in test_angles)
    assert not any(low <= angle < high for angle in train_angles)


def test_a_class_without_recordings_says_so() -> None:
    with pytest.raises(ValueError, match="no recorded clip of 'kick' was given"):
        draw_scene(0, 0, "kick", "train", [])
    with pytest.raises(ValueError, match="label is 'juggle'; allowed: sit_down"):
        draw_scene(0, 0, "juggle", "train", [])
    assert holds_out("wave", []) == "performances drawn anew"
    assert len(CLASSES) == 22


def test_recorded_clips_are_split_where_there_are_several() -> None:
    from tubelet import weights
    from tubelet.datasets.mocap import read_motion

    names = ("motion_humanoid3d_dance_a", "motion_humanoid3d_dance_b", "motion_humanoid3d_kick")
    motions = [read_motion(weights.fetch(item)) for item in weights.MOTIONS if item.name in names]
    sources = {
        split: {draw_scene(0, number, "dance", split, motions).source for number in range(4)}
        for split in ("train", "test")
    }
    assert sources == {"train": {"humanoid3d_dance_a"}, "test": {"humanoid3d_dance_b"}}
    assert holds_out("dance", motions) == "other recorded clips"
    assert holds_out("kick", motions) == "the one recorded clip, done otherwise"


@pytest.mark.parametrize("kind", PLACES)
def test_every_place_can_be_drawn(kind: str) -> None:
    picture = place_picture(np.random.default_rng(0), kind, width=64, height=48, horizon=0.5)
    assert picture.shape == (48, 64, 3)
    assert picture.std() > 3


def test_an_unknown_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="kind is 'moon'; allowed: room"):
        place_picture(np.random.default_rng(0), "moon", width=64, height=48, horizon=0.5)


def test_outfits_differ() -> None:
    outfits = [draw_outfit(np.random.default_rng(seed)) for seed in range(5)]
    assert len({outfit.top for outfit in outfits}) == 5
    assert all(0 <= value <= 255 for outfit in outfits for value in (*outfit.top, *outfit.skin, *outfit.legs))
