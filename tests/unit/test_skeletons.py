"""Joint sets and the maps between them."""

from __future__ import annotations

import numpy as np
import pytest

from tubelet.skeletons import BLAZEPOSE_33, BODY_13, COCO_17, HUMANOID_15, JointSet, convert

SETS = (BLAZEPOSE_33, COCO_17, BODY_13, HUMANOID_15)


@pytest.mark.parametrize("joints", SETS, ids=lambda joints: joints.name)
def test_sets_are_as_large_as_their_names_say_and_mirror_into_themselves(joints: JointSet) -> None:
    assert len(joints) == int(joints.name.rsplit("_", 1)[1])
    mirror = np.array(joints.mirror)
    assert (mirror[mirror] == np.arange(len(joints))).all()
    assert joints.mirror[joints.index("left_knee")] == joints.index("right_knee")
    assert joints.mirror[joints.index("nose")] == joints.index("nose")


@pytest.mark.parametrize("joints", SETS, ids=lambda joints: joints.name)
def test_bones_connect_all_limbs_and_are_mirrored_too(joints: JointSet) -> None:
    bones = {frozenset(bone) for bone in joints.bones}
    assert len(bones) == len(joints.bones) >= 12
    assert {frozenset(joints.mirror[end] for end in bone) for bone in bones} == bones
    assert frozenset((joints.index("left_elbow"), joints.index("left_wrist"))) in bones


def test_landmark_numbers_of_blazepose() -> None:
    # The numbers that BlazePose's documentation gives.
    known = {
        "nose": 0,
        "left_eye": 2,
        "right_ear": 8,
        "left_shoulder": 11,
        "right_wrist": 16,
        "left_hip": 23,
        "right_foot_index": 32,
    }
    assert {name: BLAZEPOSE_33.index(name) for name in known} == known


def test_coco_numbers() -> None:
    known = {
        "nose": 0,
        "left_eye": 1,
        "right_ear": 4,
        "left_shoulder": 5,
        "right_wrist": 10,
        "left_hip": 11,
        "right_ankle": 16,
    }
    assert {name: COCO_17.index(name) for name in known} == known


def test_convert_takes_joints_by_name() -> None:
    points = np.arange(2 * 33 * 3, dtype=np.float32).reshape(2, 33, 3)
    body = convert(points, BLAZEPOSE_33, BODY_13)
    assert body.shape == (2, 13, 3)
    assert body.dtype == np.float32
    for place, joint in enumerate(BODY_13.joints):
        np.testing.assert_array_equal(body[:, place], points[:, BLAZEPOSE_33.index(joint)])


def test_convert_computes_pelvis_and_neck() -> None:
    points = np.random.default_rng(0).normal(size=(13, 2))
    humanoid = convert(points, BODY_13, HUMANOID_15)
    hips = points[[BODY_13.index("left_hip"), BODY_13.index("right_hip")]]
    np.testing.assert_allclose(humanoid[HUMANOID_15.index("pelvis")], hips.mean(axis=0))
    np.testing.assert_array_equal(convert(humanoid, HUMANOID_15, BODY_13), points)


def test_convert_says_what_it_cannot_give() -> None:
    with pytest.raises(ValueError, match=r"body_13 cannot give 'left_eye', which coco_17 asks for"):
        convert(np.zeros((13, 2)), BODY_13, COCO_17)
    with pytest.raises(ValueError, match=r"points have 12 joints; joint set body_13 has 13"):
        convert(np.zeros((12, 2)), BODY_13, COCO_17)


def test_joint_sets_check_themselves() -> None:
    with pytest.raises(ValueError, match="names repeat"):
        JointSet(name="twice", joints=("nose", "nose"), bones=())
    with pytest.raises(ValueError, match="does not exist"):
        JointSet(name="open", joints=("nose",), bones=((0, 1),))
    with pytest.raises(ValueError, match=r"no joint 'tail'; it has: nose"):
        JointSet(name="short", joints=("nose",), bones=()).index("tail")
