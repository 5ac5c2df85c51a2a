"""Filming: what is reported looks like footage of the body that was filmed."""

from __future__ import annotations

import numpy as np
import pytest

from tubelet.datasets.everyday import FPS, draw_stance, stand
from tubelet.datasets.gait import walk
from tubelet.datasets.virtual_camera import Footage, clutter, film
from tubelet.skeletons import BODY_13


def walker(seed: int, seconds: float = 6.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return walk(rng, draw_stance(rng), seconds).joints_m


def check(footage: Footage, seconds: float) -> None:
    landmarks, box, times = footage.landmarks_px, footage.box_px, footage.times_s
    assert landmarks.shape == (len(times), 13, 3)
    assert box.shape == (len(times), 4)
    assert (np.diff(times) > 0).all()
    assert times[0] >= 0
    assert times[-1] <= seconds + 1e-6
    assert (box[:, 2:] > box[:, :2]).all()
    missing = np.isnan(landmarks)
    assert (missing.all(axis=(1, 2)) == missing.any(axis=(1, 2))).all()  # a pose is whole or missing
    visibility = landmarks[..., 2][~missing[..., 2]]
    assert ((visibility >= 0) & (visibility <= 1)).all()


def test_filmed_walkers() -> None:
    for seed in range(40):
        joints = walker(seed)
        footage, start = film(np.random.default_rng(seed), joints, azimuth_rad=seed * 0.7)
        check(footage, 6.0)
        assert 0 <= start < len(joints)
        assert footage.times_s[-1] >= 1.2


def test_the_same_seed_films_the_same() -> None:
    first, _ = film(np.random.default_rng(3), walker(1), azimuth_rad=1.0)
    again, _ = film(np.random.default_rng(3), walker(1), azimuth_rad=1.0)
    np.testing.assert_array_equal(first.landmarks_px, again.landmarks_px)
    np.testing.assert_array_equal(first.box_px, again.box_px)


def test_without_imperfections_the_body_is_seen_as_it_is() -> None:
    """Bones keep their proportions and the head is above the feet, but for the moments that are guessed on purpose."""
    shares = []
    for seed in range(20):
        footage, _ = film(np.random.default_rng(seed), walker(seed), azimuth_rad=0.5, severity=0.0)
        points = footage.landmarks_px[np.isfinite(footage.landmarks_px[:, 0, 0])]
        feet = points[:, [BODY_13.index("left_ankle"), BODY_13.index("right_ankle")], 1].mean(axis=1)
        shares.append((points[:, 0, 1] < feet).mean())
    assert np.mean(shares) > 0.97


def test_imperfections_grow_with_severity_and_with_distance() -> None:
    def jitter(severity: float, seed: int) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        joints = stand(rng, draw_stance(rng), 5.0).joints_m
        footage, _ = film(np.random.default_rng(seed), joints, azimuth_rad=0.3, severity=severity)
        points = footage.landmarks_px[..., :2]
        height = np.median(footage.box_px[:, 3] - footage.box_px[:, 1])
        second = points[2:] - 2 * points[1:-1] + points[:-2]
        return float(np.nanmedian(np.abs(second)) / height), float(height)

    mild, strong = [jitter(0.3, seed)[0] for seed in range(15)], [jitter(2.0, seed)[0] for seed in range(15)]
    assert np.median(strong) > 2 * np.median(mild)
    measured = np.array([jitter(1.0, seed) for seed in range(60)])
    small, large = measured[measured[:, 1] < 100, 0], measured[measured[:, 1] > 250, 0]
    assert min(len(small), len(large)) > 5
    assert np.median(small) > 1.5 * np.median(large)


def test_a_body_that_passes_the_camera_is_cut_to_the_part_in_front_of_it() -> None:
    joints = walker(0, 4.0)
    far = joints + np.linspace(0, 60, len(joints))[:, None, None] * np.array([1.0, 0, 0])
    for seed in range(10):
        footage, _ = film(np.random.default_rng(seed), far, azimuth_rad=np.pi, min_s=0.3)
        assert np.abs(footage.box_px).max() < 10_000
        check(footage, 4.0)


@pytest.mark.parametrize("seed", range(10))
def test_clutter_is_footage_of_nobody(seed: int) -> None:
    footage = clutter(np.random.default_rng(seed), 5.0)
    check(footage, 5.0)
    assert FPS == 30.0
