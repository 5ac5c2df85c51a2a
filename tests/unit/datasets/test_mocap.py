"""Motion files: reading, refusing, looping."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tubelet import weights
from tubelet.datasets import humanoid
from tubelet.datasets.mocap import LABEL_OF_CLIP, looped, read_motion
from tubelet.errors import DatasetError
from tubelet.skeletons import HUMANOID_15


def write(path: Path, frames: list[list[float]], loop: str = "wrap") -> Path:
    path.write_text(json.dumps({"Loop": loop, "Frames": frames}), encoding="utf-8")
    return path


def still(dt: float = 0.05, x: float = 0.0) -> list[float]:
    identity = [1.0, 0, 0, 0]
    arm_or_leg = [*identity, 0.0, *identity]
    return [dt, x, 0.9, 0, *identity, *identity, *identity, *arm_or_leg, *identity, 0.0, *arm_or_leg, *identity, 0.0]


def test_a_file_of_a_body_at_rest(tmp_path: Path) -> None:
    motion = read_motion(write(tmp_path / "humanoid3d_walk.txt", [still(), still(x=0.1), still(x=0.2)]))
    assert (motion.label, motion.source_clip, motion.loops) == ("walk", "humanoid3d_walk", True)
    assert motion.fps == pytest.approx(20)
    assert motion.duration_s == pytest.approx(0.1)
    joints = motion.joints_m
    np.testing.assert_allclose(joints[1, HUMANOID_15.index("pelvis")], [0.1, 0.9, 0])
    np.testing.assert_allclose(joints[0, HUMANOID_15.index("right_ankle")], [0, 0.9 - 0.832, 0.085], atol=1e-9)
    np.testing.assert_allclose(joints[0, HUMANOID_15.index("left_wrist")][2], -0.183)


def test_all_clips_of_the_package() -> None:
    motions = [read_motion(weights.fetch(item)) for item in weights.MOTIONS]
    assert {motion.source_clip for motion in motions} == set(LABEL_OF_CLIP)
    assert len({motion.label for motion in motions}) == 13
    for motion in motions:
        np.testing.assert_allclose(np.linalg.norm(motion.rotations, axis=-1), 1, atol=1e-9)
        # Neighbouring frames lie close together: signs of quaternions are continuous.
        assert ((motion.rotations[1:] * motion.rotations[:-1]).sum(axis=-1) > 0).all()
        joints = motion.joints_m
        lowest = joints[..., 1].min(axis=1)
        assert -0.25 < lowest.min() < 0.25, f"{motion.name} is not on the ground"
        assert 0.25 < motion.duration_s < 6


def test_people_who_walk_and_run_go_where_they_look() -> None:
    for item in weights.MOTIONS:
        motion = read_motion(weights.fetch(item))
        if motion.label in ("walk", "run"):
            moved = motion.root_m[-1] - motion.root_m[0]
            heading = humanoid.heading_rad(motion.rotations[:, 0]).mean()
            forward = np.array([np.cos(heading), 0, -np.sin(heading)])
            assert moved @ forward > 0.9 * np.linalg.norm(moved[[0, 2]]), motion.name
            # Knees bend backwards: ankles are behind knees most of the time.
            joints = motion.joints_m
            bend = (joints[:, HUMANOID_15.index("left_knee")] - joints[:, HUMANOID_15.index("left_ankle")]) @ forward
            assert bend.mean() > 0, motion.name


def test_between_frames(tmp_path: Path) -> None:
    motion = read_motion(write(tmp_path / "humanoid3d_run.txt", [still(), still(x=0.1), still(x=0.2)]))
    root, rotations = motion.at(np.array([-1.0, 0.025, 0.05, 9.0]))
    np.testing.assert_allclose(root[:, 0], [0, 0.05, 0.1, 0.2])
    np.testing.assert_allclose(rotations, motion.rotations[:1].repeat(4, axis=0))


def test_looping_goes_on_where_the_round_ended(tmp_path: Path) -> None:
    motion = read_motion(write(tmp_path / "humanoid3d_run.txt", [still(), still(x=0.1), still(x=0.2)]))
    long = looped(motion, 1.0)
    assert long.duration_s == pytest.approx(1.0)
    np.testing.assert_allclose(np.diff(long.root_m[:, 0]), 0.1, atol=1e-9)


def test_looping_a_turn_walks_in_a_circle() -> None:
    item = next(item for item in weights.MOTIONS if item.name.endswith("turn_left0"))
    motion = read_motion(weights.fetch(item))
    long = looped(motion, 20.0)
    turned = np.unwrap(humanoid.heading_rad(long.rotations[:, 0]))
    assert abs(turned[-1] - turned[0]) > np.pi
    assert np.linalg.norm(np.diff(long.root_m, axis=0), axis=1).max() < 0.15  # no jump between rounds


def test_what_does_not_loop_is_refused(tmp_path: Path) -> None:
    motion = read_motion(write(tmp_path / "humanoid3d_kick.txt", [still(), still()], loop="none"))
    with pytest.raises(ValueError, match="humanoid3d_kick does not loop"):
        looped(motion, 2.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "not a motion file"),
        ("[]", "needs the keys Loop"),
        ('{"Loop": "maybe", "Frames": []}', "needs the keys Loop"),
        ('{"Loop": "wrap", "Frames": [[0.1, 2]]}', r"1 frames of \[2\] numbers; at least 2 frames of 44"),
        (json.dumps({"Loop": "wrap", "Frames": [still(dt=0.0)] * 2}), r"lasts 0.0 s; must be positive"),
        (json.dumps({"Loop": "wrap", "Frames": [still(x=float("nan"))] * 2}), "not finite"),
    ],
)
def test_damaged_files(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "humanoid3d_walk.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=said) as caught:
        read_motion(path)
    assert str(path) in str(caught.value)


def test_a_clip_of_unknown_action(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no action is known for a clip named 'laikago_walk'"):
        read_motion(write(tmp_path / "laikago_walk.txt", [still()] * 2))
