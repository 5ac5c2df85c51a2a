"""Procedural actions do what their names say, on the ground, in wide variation."""

from __future__ import annotations

import numpy as np
import pytest

from tubelet.datasets import everyday, gait
from tubelet.datasets.everyday import EVERYDAY_ACTIONS, FPS, draw_stance
from tubelet.datasets.mocap import Motion
from tubelet.datasets.puppet import keyframes, rotations, wander
from tubelet.skeletons import HUMANOID_15

ALL = {**EVERYDAY_ACTIONS, "walk": gait.walk, "run": gait.run}
OTHERS = {"sitting": everyday.sitting, "cycling": gait.cycling, "random_movement": gait.random_movement}


def perform(name: str, seed: int, seconds: float = 3.0) -> Motion:
    rng = np.random.default_rng(seed)
    return {**ALL, **OTHERS}[name](rng, draw_stance(rng), seconds)


def joint(motion: Motion, name: str) -> np.ndarray:
    return motion.joints_m[:, HUMANOID_15.index(name)]


def test_the_promised_classes() -> None:
    promised = ["stand", "wave", "jumping_jack", "squat", "sit_down", "stand_up", "bend_over", "raise_arms", "fall"]
    assert list(EVERYDAY_ACTIONS) == promised


@pytest.mark.parametrize("name", [*ALL, *OTHERS])
def test_every_performance_is_a_body_on_the_ground(name: str) -> None:
    for seed in range(8):
        motion = perform(name, seed, seconds=0.8 + seed * 0.6)
        assert motion.label == ("" if name in OTHERS else name)
        assert motion.fps == FPS
        assert np.isfinite(motion.joints_m).all()
        np.testing.assert_allclose(np.linalg.norm(motion.rotations, axis=-1), 1, atol=1e-9)
        lowest = motion.joints_m[..., 1].min(axis=1)
        assert (lowest > 0.07).all()
        assert (lowest < 0.6).all()
        step = np.linalg.norm(np.diff(motion.joints_m, axis=0), axis=-1).max()
        assert step < 0.8, "a joint jumps"


@pytest.mark.parametrize("name", [*ALL, *OTHERS])
def test_performances_differ_and_repeat_with_the_seed(name: str) -> None:
    first, again, other = perform(name, 1), perform(name, 1), perform(name, 2)
    np.testing.assert_array_equal(first.rotations, again.rotations)
    frames = min(len(first), len(other))
    assert np.abs(first.rotations[:frames] - other.rotations[:frames]).max() > 0.05


def several(name: str, seconds: float = 3.0) -> list[Motion]:
    return [perform(name, seed, seconds) for seed in range(12)]


def test_standing_people_stay_where_they_are() -> None:
    for motion in several("stand", 6.0):
        assert np.ptp(joint(motion, "pelvis")[:, [0, 2]], axis=0).max() < 1.0
        assert joint(motion, "nose")[:, 1].min() > 1.3


def test_walking_is_slower_than_running() -> None:
    def speed(motion: Motion) -> float:
        return float(np.linalg.norm(np.diff(joint(motion, "pelvis")[:, [0, 2]], axis=0), axis=1).mean() * FPS)

    walks, runs = [speed(m) for m in several("walk", 6.0)], [speed(m) for m in several("run", 6.0)]
    assert min(walks) > 0.3
    assert max(walks) < 2.6
    assert np.mean(runs) > 1.5 * np.mean(walks)


def test_legs_alternate_when_walking() -> None:
    for motion in several("walk", 6.0):
        apart = joint(motion, "left_ankle") - joint(motion, "right_ankle")
        heading = motion.root_m[-1] - motion.root_m[0]
        ahead = apart @ (heading / np.linalg.norm(heading))
        assert np.ptp(ahead) > 0.2


def test_a_waving_hand_is_high_and_goes_to_and_fro() -> None:
    for motion in several("wave", 4.0):
        middle = slice(len(motion) // 4, -len(motion) // 4)
        hands = [joint(motion, f"{side}_wrist")[middle] for side in ("left", "right")]
        hand = max(hands, key=lambda path: path[:, 1].mean())
        assert hand[:, 1].mean() > joint(motion, "left_elbow")[middle, 1].min()
        turns = np.abs(np.diff(np.sign(np.diff(hand - hand.mean(axis=0), axis=0)), axis=0)).max(axis=1) > 0
        assert turns.sum() >= 3


def test_arms_go_up_and_stay_up() -> None:
    raised = 0
    for motion in several("raise_arms", 4.0):
        middle = slice(len(motion) // 3, -len(motion) // 3)
        above = [
            (joint(motion, f"{side}_wrist")[middle, 1] > joint(motion, "nose")[middle, 1]).mean()
            for side in ("left", "right")
        ]
        raised += max(above) > 0.9
    assert raised >= 11


def test_jumping_jacks_open_arms_and_legs_together_again_and_again() -> None:
    for motion in several("jumping_jack", 5.0):
        hands = joint(motion, "left_wrist")[:, 1] + joint(motion, "right_wrist")[:, 1]
        feet = np.linalg.norm(joint(motion, "left_ankle") - joint(motion, "right_ankle"), axis=1)
        assert np.corrcoef(hands, feet)[0, 1] > 0.5
        assert ((hands[1:] > hands.mean()) & (hands[:-1] <= hands.mean())).sum() >= 2


def test_squatting_and_sitting_lower_the_pelvis() -> None:
    for motion in several("squat"):
        height = joint(motion, "pelvis")[:, 1]
        assert height.min() < 0.85 * height[0]
        assert height[-1] > 0.9 * height[0]
    for name, sign in (("sit_down", -1), ("stand_up", 1)):
        for motion in several(name):
            height = joint(motion, "pelvis")[:, 1]
            assert sign * (height[-1] - height[0]) > 0.2


def test_bending_over_brings_the_head_down_and_keeps_the_legs() -> None:
    for motion in several("bend_over"):
        head, pelvis = joint(motion, "nose")[:, 1], joint(motion, "pelvis")[:, 1]
        assert head.min() < head[0] - 0.3
        assert pelvis.min() > 0.55 * pelvis[0]


def test_a_fall_ends_lying() -> None:
    for motion in several("fall", 1.0):
        end = motion.joints_m[-1]
        assert np.ptp(end[:, 1]) < 0.55 * np.ptp(motion.joints_m[0, :, 1])
        assert joint(motion, "nose")[0, 1] > 1.3


def test_keyframes_pass_through_their_values() -> None:
    times = np.linspace(-1, 3, 41)
    values = keyframes(times, (0.0, 1.0, 2.0), (5.0, 7.0, 6.0))
    np.testing.assert_allclose(values[[0, 10, 20, 30, 40]], [5, 5, 7, 6, 6], atol=1e-9)


def test_wandering_has_the_asked_size() -> None:
    curve = wander(np.random.default_rng(0), 30_000, 30.0, 2.0, 0.5)
    assert 1.2 < curve.std() < 2.2
    assert abs(curve.mean()) < 0.2
    assert np.abs(np.diff(curve)).max() < 1.5


def test_unknown_angles_are_named() -> None:
    with pytest.raises(ValueError, match="no angle is called left_tail; known: chest_pitch"):
        rotations({"left_tail": 1.0}, 3)
