"""Projection against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np

from tubelet.datasets.virtual_camera import draw_camera


def test_projection_against_opencv() -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform(-1, 1, (20, 15, 3)) + np.array([0, 1, 0])
    for azimuth in np.linspace(0, 6, 8):
        camera = draw_camera(rng, joints, float(azimuth))
        pixels, depth = camera.project(joints)
        intrinsics = np.array(
            [[camera.focal_px, 0, camera.width / 2], [0, camera.focal_px, camera.height / 2], [0, 0, 1]],
            dtype=np.float64,
        )
        turn, _ = cv2.Rodrigues(camera.axes)
        expected, _ = cv2.projectPoints(joints.reshape(-1, 3), turn, -camera.axes @ camera.position_m, intrinsics, None)
        front = depth.reshape(-1) > 0.1
        assert front.sum() > 100
        np.testing.assert_allclose(pixels.reshape(-1, 2)[front], expected[:, 0][front], rtol=1e-6, atol=1e-4)


def test_cameras_stand_upright_and_see_the_person_the_right_way_up() -> None:
    rng = np.random.default_rng(1)
    standing = np.zeros((1, 15, 3))
    standing[0, :, 1] = np.linspace(0, 1.7, 15)
    for _ in range(50):
        camera = draw_camera(rng, standing, float(rng.uniform(0, 6.28)))
        np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(camera.axes) > 0.999
        pixels, depth = camera.project(standing)
        assert (depth > 0).all()
        assert pixels[0, 0, 1] > pixels[0, -1, 1]  # feet lie below the head in the picture
