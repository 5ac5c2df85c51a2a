"""Performances: labels, transitions, and which clips they use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tubelet import weights
from tubelet.datasets import everyday, gait, humanoid
from tubelet.datasets.everyday import FPS, draw_stance
from tubelet.datasets.mocap import Motion, read_motion
from tubelet.datasets.performances import LABELS, NO_LABEL, Script, draw_body, join, perform_clip, trimmed
from tubelet.skeletons import HUMANOID_15


@pytest.fixture(scope="module")
def clips() -> list[Motion]:
    return [read_motion(weights.fetch(item)) for item in weights.MOTIONS]


def test_the_vocabulary() -> None:
    mocap = [
        "backflip",
        "cartwheel",
        "crawl",
        "dance",
        "getup",
        "jump",
        "kick",
        "punch",
        "roll",
        "run",
        "spin",
        "spinkick",
        "walk",
    ]
    assert list(LABELS[:13]) == mocap
    assert len(LABELS) == len(set(LABELS)) == 22


def test_joining_keeps_bones_and_moves_without_jumps() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        stance = draw_stance(rng)
        motions = [
            gait.walk(rng, stance, 2.0),
            everyday.wave(rng, stance, 2.0),
            gait.run(rng, stance, 2.0),
            everyday.fall(rng, stance, 1.0),
        ]
        body = draw_body(rng)
        done = join(rng, motions, body)
        assert len(done.joints_m) == len(done.labels) == len(done.near_change)
        assert list(dict.fromkeys(done.labels.tolist())) == [LABELS.index(m.label) for m in motions]
        knee, ankle = (done.joints_m[:, HUMANOID_15.index(f"left_{name}")] for name in ("knee", "ankle"))
        np.testing.assert_allclose(np.linalg.norm(knee - ankle, axis=1), body.shin, rtol=1e-9)
        assert np.linalg.norm(np.diff(done.joints_m, axis=0), axis=-1).max() < 0.8
        assert 0 < done.near_change.mean() < 0.5
        # Where the label changes, it is marked as being near a change.
        assert done.near_change[np.flatnonzero(np.diff(done.labels)) + 1].all()


def test_people_go_on_in_the_direction_they_had() -> None:
    rng = np.random.default_rng(1)
    stance = replace(draw_stance(rng))
    first, second = gait.walk(rng, stance, 3.0), gait.walk(rng, stance, 3.0)
    done = join(rng, [first, second], humanoid.DEFAULT_BODY)
    pelvis = done.joints_m[:, 0, [0, 2]]
    middle = len(first)
    before, after = pelvis[middle - 25] - pelvis[middle - 55], pelvis[middle + 20] - pelvis[middle - 10]
    assert before @ after > 0.6 * np.linalg.norm(before) * np.linalg.norm(after)


def test_sitting_and_lying_have_no_label() -> None:
    rng = np.random.default_rng(2)
    stance = draw_stance(rng)
    done = join(rng, [everyday.sit_down(rng, stance, 1.0), everyday.sitting(rng, stance, 2.0)], humanoid.DEFAULT_BODY)
    assert done.labels[0] == LABELS.index("sit_down")
    assert done.labels[-1] == NO_LABEL


def test_scripts_cover_the_vocabulary_and_mostly_stand_and_walk(clips: list[Motion]) -> None:
    script = Script(clips)
    counts = np.zeros(len(LABELS) + 1)
    for seed in range(90):
        done = script.draw(np.random.default_rng(seed), 8.0)
        assert len(done.joints_m) >= 6 * FPS
        assert np.isfinite(done.joints_m).all()
        counts += (
            np.bincount(done.labels, minlength=len(LABELS) + 1)
            if done.labels.min() >= 0
            else np.bincount(done.labels % (len(LABELS) + 1), minlength=len(LABELS) + 1)
        )
    shares = dict(zip((*LABELS, "none"), counts / counts.sum(), strict=True))
    assert min(shares.values()) > 0.001, shares
    assert shares["walk"] + shares["stand"] > 0.45
    assert 0.03 < shares["none"] < 0.3


def test_held_out_clips_do_not_occur(clips: list[Motion]) -> None:
    script = Script([clip for clip in clips if clip.source_clip != "humanoid3d_dance_a"])
    used = {name for seed in range(30) for name in script.draw(np.random.default_rng(seed), 8.0).clips}
    assert "humanoid3d_dance_b" in used
    assert "humanoid3d_dance_a" not in used


def test_the_same_seed_gives_the_same_performance(clips: list[Motion]) -> None:
    script = Script(clips)
    first, again = (script.draw(np.random.default_rng(5), 6.0) for _ in range(2))
    np.testing.assert_array_equal(first.joints_m, again.joints_m)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_waiting_is_cut_from_clips(clips: list[Motion]) -> None:
    roll = next(clip for clip in clips if clip.label == "roll")
    assert len(trimmed(roll)) < len(roll)
    walk = next(clip for clip in clips if clip.label == "walk")
    assert trimmed(walk) is walk


def test_clips_are_performed_at_other_speeds_and_never_alike(clips: list[Motion]) -> None:
    kick = trimmed(next(clip for clip in clips if clip.label == "kick"))
    lengths = [perform_clip(np.random.default_rng(seed), kick, 2.0).duration_s for seed in range(20)]
    assert min(lengths) < 0.85 * kick.duration_s
    assert max(lengths) > 1.15 * kick.duration_s
    walk = next(clip for clip in clips if clip.label == "walk")
    assert perform_clip(np.random.default_rng(0), walk, 5.0).duration_s > 4.5


def test_bodies_vary() -> None:
    legs = [draw_body(np.random.default_rng(seed)).leg for seed in range(30)]
    assert np.ptp(legs) > 0.15
