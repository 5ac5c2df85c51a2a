"""Features: what they mean, what they ignore, and that parts of a track give what the whole gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.methods.recognition import preprocess
from tubelet.methods.recognition.preprocess import FEATURE_NAMES, MARGIN_S, NUM_FEATURES, RATE_HZ, features, frame_range
from tubelet.skeletons import BODY_13

# A person who stands, in heights from the ground up, facing the camera.
UPRIGHT = np.array(
    [
        [0, 0.92], [0.11, 0.82], [-0.11, 0.82], [0.13, 0.63], [-0.13, 0.63], [0.14, 0.46], [-0.14, 0.46],
        [0.06, 0.52], [-0.06, 0.52], [0.06, 0.28], [-0.06, 0.28], [0.06, 0.05], [-0.06, 0.05],
    ]
)  # fmt: skip


def person(
    times_s: np.ndarray,
    *,
    height_px: float = 100,
    speed_px_s: tuple[float, float] = (0, 0),
    at: tuple[float, float] = (300, 400),
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks and boxes of a stiff person who glides."""
    place = np.array(at) + times_s[:, None] * speed_px_s
    points = UPRIGHT * [1, -1] * height_px + place[:, None]
    landmarks = np.concatenate([points, np.full((len(times_s), 13, 1), 0.9)], axis=2)
    box = np.concatenate(
        [place - np.array([0.2 * height_px, height_px]), place + np.array([0.2 * height_px, 0])], axis=1
    )
    return landmarks.astype(np.float32), box.astype(np.float32)


def row(name: str) -> int:
    return FEATURE_NAMES.index(name)


def wobbly(seed: int, seconds: float = 8.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A person measured irregularly, with noise, gaps and moments without a pose."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(3.0, 3.0 + seconds, int(seconds * 11)))
    times = times[(times < 5) | (times > 5.8)]
    landmarks, box = person(times, speed_px_s=(40, 5))
    landmarks[..., :2] += rng.normal(0, 3, landmarks[..., :2].shape).astype(np.float32)
    landmarks[rng.random(len(times)) < 0.2] = np.nan
    return landmarks, box, times


def test_standing_still() -> None:
    times = np.arange(0, 4, 1 / 15)
    found = features(*person(times), times)
    assert found.shape == (NUM_FEATURES, 60)
    assert found.dtype == np.float32
    speeds = [index for index, name in enumerate(FEATURE_NAMES) if "speed" in name or name == "growth"]
    assert np.abs(found[speeds]).max() < 1e-4
    assert (found[[row("pose_known"), row("box_known")]] == 1).all()
    # Head above the hips, feet below; left is right of the middle for someone who faces the camera.
    assert (found[row("nose_y")] < -0.5).all()
    assert (found[row("left_ankle_y")] > 0.5).all()
    assert (found[row("left_hip_x")] > 0).all()
    np.testing.assert_allclose(found[row("nose_visibility")], 0.8, atol=1e-6)


def test_speed_is_in_body_sizes_per_second() -> None:
    times = np.arange(0, 4, 1 / 15)
    found = features(*person(times, height_px=100, speed_px_s=(80, 0)), times)
    size = np.hypot(0.05, 0.30) + 0.24 + 0.23  # shoulder to hip to knee to ankle, in heights
    for name in ("root_speed_near_x", "root_speed_wide_x", "box_speed_near_x", "box_speed_wide_x"):
        np.testing.assert_allclose(found[row(name), 10:-10], 0.8 / size, rtol=1e-3)


@pytest.mark.parametrize("rate", [7.5, 10.0, 12.5, 25.0, 29.97])
def test_the_rate_of_the_video_does_not_matter(rate: float) -> None:
    times = np.arange(0, 4, 1 / rate)
    slow = features(*person(times, speed_px_s=(60, 10)), times, (8, 40))
    reference_times = np.arange(0, 4, 1 / 15)
    reference = features(*person(reference_times, speed_px_s=(60, 10)), reference_times, (8, 40))
    np.testing.assert_allclose(slow, reference, atol=2e-3)


def test_neither_place_nor_size_in_the_picture_matters() -> None:
    times = np.arange(0, 3, 1 / 15)
    near = features(*person(times, height_px=400, speed_px_s=(200, 0), at=(900, 700)), times)
    far = features(*person(times, height_px=60, speed_px_s=(30, 0), at=(50, 80)), times)
    np.testing.assert_allclose(near, far, atol=2e-3)


@given(seed=st.integers(0, 1000), first=st.integers(46, 120), length=st.integers(1, 40))
def test_a_part_of_a_track_gives_what_the_whole_gives(seed: int, first: int, length: int) -> None:
    landmarks, box, times = wobbly(seed)
    end = first + length
    whole = features(landmarks, box, times, (first, end))
    # One measurement beyond the margin on each side: lines to it start within the margin.
    keep = (times >= first / RATE_HZ - MARGIN_S) & (times <= (end - 1) / RATE_HZ + MARGIN_S)
    part = features(landmarks[keep], box[keep], times[keep], (first, end))
    np.testing.assert_array_equal(part, whole)


def test_columns_are_those_of_the_whole_range() -> None:
    landmarks, box, times = wobbly(1)
    first, end = frame_range(times)
    whole = features(landmarks, box, times)
    assert whole.shape[1] == end - first
    np.testing.assert_array_equal(features(landmarks, box, times, (first + 20, first + 30)), whole[:, 20:30])


def test_gaps_are_not_filled() -> None:
    times = np.concatenate([np.arange(0, 2, 1 / 15), np.arange(3, 5, 1 / 15)])
    found = features(*person(times), times)
    inside = slice(31, 45)
    assert (found[:, inside] == 0).all()
    assert found[row("pose_known"), 50] == 1


def test_a_box_without_a_pose_still_tells_its_speed() -> None:
    times = np.arange(0, 4, 1 / 15)
    landmarks, box = person(times, speed_px_s=(50, 0))
    landmarks[20:40] = np.nan
    found = features(landmarks, box, times)
    assert (found[row("pose_known"), 22:38] == 0).all()
    assert (found[row("nose_y"), 22:38] == 0).all()
    assert (found[row("box_known")] == 1).all()
    assert (found[row("box_speed_near_x"), 22:38] > 0.3).all()


def test_never_a_pose() -> None:
    times = np.arange(0, 2, 1 / 15)
    landmarks, box = person(times)
    found = features(np.full_like(landmarks, np.nan), box, times)
    assert np.isfinite(found).all()
    assert (found[row("pose_known")] == 0).all()


def test_a_single_moment() -> None:
    landmarks, box = person(np.array([2.0]))
    assert features(landmarks, box, np.array([2.0])).shape == (NUM_FEATURES, 1)
    assert frame_range(np.array([2.01])) == (31, 31)
    assert features(landmarks, box, np.array([2.01])).shape == (NUM_FEATURES, 0)


def test_outliers_are_limited() -> None:
    times = np.arange(0, 3, 1 / 15)
    landmarks, box = person(times)
    landmarks[20, 5, :2] = 1e6
    found = features(landmarks, box, times)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 8


def test_wrong_input_is_named(unchecked_shapes: None) -> None:
    times = np.arange(5) / 15
    landmarks, box = person(times)
    with pytest.raises(ValueError, match=r"landmarks are \(4, 13, 3\) and boxes \(5, 4\) for 5 moments"):
        features(landmarks[:4], box, times)
    with pytest.raises(ValueError, match="times_s must rise"):
        features(landmarks, box, times[::-1])
    with pytest.raises(ValueError, match="at least one measurement"):
        frame_range(np.zeros(0))


def test_joints_are_those_of_the_body() -> None:
    assert preprocess.NUM_JOINTS == len(BODY_13) == 13
    assert len(set(FEATURE_NAMES)) == NUM_FEATURES == 80
