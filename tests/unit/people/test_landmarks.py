"""Crops, coordinates, and the boxes drawn round landmarks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.people.landmarks import (
    INPUT_SIZE_PX,
    Crop,
    body_angle,
    box_from_landmarks,
    decode_landmarks,
    roi_from_landmarks,
    square_crop,
)

COORDINATES = st.floats(-2000, 2000)


def standing(centre_x: float = 200.0, top: float = 100.0, height: float = 180.0) -> np.ndarray:
    """Landmarks of somebody who stands upright and faces the camera, 180 px from sole to ear line and a bit."""
    points = np.zeros((33, 3), np.float32)
    points[:, 2] = 1
    at = {  # side, down, as parts of the height
        7: (0.03, 0.09), 8: (-0.03, 0.09), 11: (0.11, 0.2), 12: (-0.11, 0.2), 13: (0.14, 0.36), 14: (-0.14, 0.36),
        15: (0.15, 0.5), 16: (-0.15, 0.5), 23: (0.06, 0.52), 24: (-0.06, 0.52), 25: (0.06, 0.74), 26: (-0.06, 0.74),
        27: (0.06, 0.95), 28: (-0.06, 0.95), 31: (0.07, 0.99), 32: (-0.07, 0.99),
    }  # fmt: skip
    for index in range(33):
        side, down = at.get(index, (0.0, 0.1) if index < 11 else (0.0, 0.5) if index < 23 else (0.0, 0.95))
        points[index, :2] = centre_x + side * height, top + down * height
    return points


def turned(points: np.ndarray, angle_rad: float, about: tuple[float, float] = (200.0, 200.0)) -> np.ndarray:
    """The points turned clockwise on the screen."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    result = points.copy()
    result[:, :2] = (points[:, :2] - about) @ np.array([[cos, sin], [-sin, cos]]) + about
    return result


def test_a_crop_is_a_square_round_the_middle_of_the_box() -> None:
    crop = square_crop([10, 20, 50, 100], 1.25)
    assert crop == Crop((30.0, 60.0), 100.0)
    corners = np.array([[0, 0, 1], [INPUT_SIZE_PX, INPUT_SIZE_PX, 1]]) @ crop.to_image().T
    np.testing.assert_allclose(corners, [[-20, 10], [80, 110]])


def test_up_in_a_turned_crop_points_where_the_head_points() -> None:
    to_image = Crop((100.0, 100.0), 64.0, np.pi / 2).to_image()  # head to the right
    top, bottom = np.array([[128, 0, 1], [128, 256, 1]]) @ to_image.T
    np.testing.assert_allclose(top, [132, 100], atol=1e-9)
    np.testing.assert_allclose(bottom, [68, 100], atol=1e-9)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 5, 5, 9], [0, 0, float("nan"), 1]])
def test_an_empty_box_is_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match="is empty; wanted x0 < x1 and y0 < y1"):
        square_crop(box, 1.25)


@given(COORDINATES, COORDINATES, st.floats(1, 3000), st.floats(-7, 7))
def test_landmarks_come_back_to_where_they_were(x: float, y: float, side: float, angle: float) -> None:
    to_image = Crop((x, y), side, angle).to_image()
    points = standing(x, y, side / 2)
    to_crop = np.linalg.inv(np.vstack([to_image, [0, 0, 1]]))[:2]
    values = np.zeros((39, 5), np.float32)
    values[:33, :2] = points[:, :2] @ to_crop[:, :2].T + to_crop[:, 2]
    values[:33, 3] = np.linspace(-80, 80, 33)
    decoded = decode_landmarks(values.reshape(-1), to_image)
    np.testing.assert_allclose(decoded[:, :2], points[:, :2], atol=side * 1e-4)
    np.testing.assert_allclose(decoded[:, 2], 1 / (1 + np.exp(-np.linspace(-80, 80, 33))), atol=1e-6)


def test_the_box_reaches_a_little_beyond_the_landmarks() -> None:
    x0, y0, x1, y1 = box_from_landmarks(standing())
    assert 92 <= y0 <= 102
    assert 278 <= y1 <= 286
    assert 160 <= x0 <= 168
    assert 232 <= x1 <= 240


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_box_turns_with_the_person(quarters: int) -> None:
    upright = box_from_landmarks(standing())
    corners = turned(np.array([upright[:2], upright[2:]]), quarters * np.pi / 2)
    expected = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    np.testing.assert_allclose(box_from_landmarks(turned(standing(), quarters * np.pi / 2)), expected, atol=1e-3)


def test_the_region_to_follow_a_person_in_is_a_square_round_the_hips() -> None:
    x0, y0, x1, y1 = roi_from_landmarks(standing())
    assert (x0 + x1) / 2 == pytest.approx(200)
    assert (y0 + y1) / 2 == pytest.approx(100 + 0.52 * 180)
    assert x1 - x0 == pytest.approx(y1 - y0)
    box = box_from_landmarks(standing())
    assert y0 <= box[1] + 8
    assert y1 >= box[3] - 8


@given(st.floats(-3.1, 3.1))
def test_the_body_angle_is_where_the_head_points(angle: float) -> None:
    assert body_angle(turned(standing(), angle)) == pytest.approx(angle, abs=1e-4)


def test_a_body_of_no_extent_counts_as_upright() -> None:
    assert body_angle(np.zeros((33, 3), np.float32)) == 0
