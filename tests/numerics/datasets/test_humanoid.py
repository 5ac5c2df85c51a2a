"""Forward kinematics and quaternions against scipy, one frame and one joint at a time."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from tubelet.datasets import humanoid
from tubelet.skeletons import HUMANOID_15


def random_rotations(seed: int, *shape: int) -> np.ndarray:
    q = np.random.default_rng(seed).normal(size=(*shape, 4))
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def scipy_rotation(q: np.ndarray) -> Rotation:
    return Rotation.from_quat(np.roll(q, -1, axis=-1))  # scipy wants x, y, z, w


def test_products_and_matrices() -> None:
    a, b = random_rotations(0, 50), random_rotations(1, 50)
    np.testing.assert_allclose(humanoid.matrices(a), scipy_rotation(a).as_matrix(), atol=1e-12)
    ours, theirs = humanoid.multiply(a, b), np.roll((scipy_rotation(a) * scipy_rotation(b)).as_quat(), 1, axis=-1)
    np.testing.assert_allclose(np.abs((ours * theirs).sum(axis=-1)), 1, atol=1e-12)  # q and -q are one rotation


def test_rotation_about_an_axis() -> None:
    for axis in "xyz":
        np.testing.assert_allclose(
            humanoid.matrices(humanoid.about(axis, np.array([0.7])))[0],
            Rotation.from_euler(axis, 0.7).as_matrix(),
            atol=1e-12,
        )


def test_heading_is_the_angle_that_turned_the_body() -> None:
    angles = np.linspace(-3, 3, 25)
    np.testing.assert_allclose(humanoid.heading_rad(humanoid.about("y", angles)), angles, atol=1e-12)


def test_joint_positions_against_a_chain_followed_by_hand() -> None:
    body = humanoid.Body(waist=0.25, thigh=0.45, forearm=0.2)
    rotations = random_rotations(2, 4, 13)
    root = np.random.default_rng(3).normal(size=(4, 3))
    joints = humanoid.joint_positions(root, rotations, body)
    place, joint = humanoid.ROTATIONS.index, HUMANOID_15.index
    for frame in range(4):
        turn = [scipy_rotation(rotations[frame, index]) for index in range(13)]
        pelvis = turn[place("root")]
        chest = pelvis * turn[place("chest")]
        chest_m = root[frame] + pelvis.apply([0, body.waist, 0])
        shoulder = chest_m + chest.apply(
            [body.shoulder_forward, body.chest - body.shoulder_drop, -body.shoulder_half_width]
        )
        upper = chest * turn[place("left_shoulder")]
        elbow = shoulder + upper.apply([0, -body.upper_arm, 0])
        wrist = elbow + (upper * turn[place("left_elbow")]).apply([0, -body.forearm, 0])
        hip = root[frame] + pelvis.apply([0, 0, body.hip_half_width])
        thigh = pelvis * turn[place("right_hip")]
        knee = hip + thigh.apply([0, -body.thigh, 0])
        ankle = knee + (thigh * turn[place("right_knee")]).apply([0, -body.shin, 0])
        neck = chest_m + chest.apply([0, body.chest, 0])
        nose = neck + (chest * turn[place("neck")]).apply([body.nose_forward, body.nose_up, 0])
        for name, expected in {
            "left_shoulder": shoulder, "left_elbow": elbow, "left_wrist": wrist, "right_hip": hip,
            "right_knee": knee, "right_ankle": ankle, "neck": neck, "nose": nose, "pelvis": root[frame],
        }.items():  # fmt: skip
            np.testing.assert_allclose(joints[frame, joint(name)], expected, atol=1e-12, err_msg=name)


def test_mirroring_a_motion_mirrors_its_joints() -> None:
    rotations, root = random_rotations(4, 5, 13), np.random.default_rng(5).normal(size=(5, 3))
    plain = humanoid.joint_positions(root, rotations)
    mirrored = humanoid.joint_positions(*humanoid.mirrored(root, rotations))
    np.testing.assert_allclose(mirrored, plain[:, list(HUMANOID_15.mirror)] * [1, 1, -1], atol=1e-12)


def test_blending_goes_the_shorter_way_from_one_end_to_the_other() -> None:
    a, b = random_rotations(6, 40), random_rotations(7, 40)
    np.testing.assert_allclose(np.abs((humanoid.blend(a, b, 0.0) * a).sum(-1)), 1, atol=1e-12)
    np.testing.assert_allclose(np.abs((humanoid.blend(a, b, 1.0) * b).sum(-1)), 1, atol=1e-12)
    whole = (scipy_rotation(a).inv() * scipy_rotation(b)).magnitude()
    half = (scipy_rotation(a).inv() * scipy_rotation(humanoid.blend(a, b, 0.5))).magnitude()
    np.testing.assert_allclose(half, whole / 2, atol=1e-9)
