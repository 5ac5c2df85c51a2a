"""Nothing that validation holds out gets into training: clips, time spans, sides, bodies."""

from __future__ import annotations

import numpy as np
import pytest

from tubelet.datasets.everyday import draw_stance
from tubelet.datasets.gait import walk
from tubelet.datasets.mocap import LABEL_OF_CLIP, Motion
from tubelet.datasets.performances import Script, leg_share, split_in_time
from tubelet.methods.recognition import mocap_train, recipes, split
from tubelet.methods.recognition.examples import Drawing, allowed_views, draw_examples, view_deg

HELD_OUT = recipes.mocap_skeleton_held_out()


@pytest.fixture(scope="module")
def clips() -> list[Motion]:
    return mocap_train.load_motions()


def drawn(clips: list[Motion], drawing: Drawing) -> set[str]:
    script = Script(clips, drawing.leg_shares)
    return {name for seed in range(100) for name in script.draw(np.random.default_rng(seed), 2.0).clips}


def test_held_out_clips_and_spans_are_validated_on_and_not_trained_on(clips: list[Motion]) -> None:
    training, validation = split.split_clips(clips, HELD_OUT)
    trained, validated = ({clip.source_clip for clip in side} for side in (training, validation))
    assert set(HELD_OUT.held_out_clips) <= validated - trained
    for name in HELD_OUT.held_out_spans:
        assert name not in trained | validated
        assert f"{name}:first" in trained - validated
        assert f"{name}:last" in validated - trained
    assert {clip.label for clip in training} == {clip.label for clip in validation}
    assert "humanoid3d_dance_a" in trained - validated
    assert "humanoid3d_kick" in trained & validated


def test_performances_show_nothing_of_what_is_held_out(clips: list[Motion]) -> None:
    training, validation = split.split_clips(clips, HELD_OUT)
    trained = drawn(training, split.training_drawing(HELD_OUT))
    validated = drawn(validation, split.validation_drawing(HELD_OUT, 2))
    spans = {f"{name}:last" for name in HELD_OUT.held_out_spans}
    assert not trained & (set(HELD_OUT.held_out_clips) | spans)
    assert validated >= spans
    common = {name for name in trained & validated if not name.startswith("procedural")}
    labels = {LABEL_OF_CLIP[name] for name in common}
    assert labels <= {label for label, kind in split.hold_outs(HELD_OUT).items() if "only" in kind}
    assert len(labels) > 5


@pytest.mark.parametrize("name", HELD_OUT.held_out_spans)
def test_the_parts_of_a_clip_have_no_frame_in_common(clips: list[Motion], name: str) -> None:
    clip = next(clip for clip in clips if clip.source_clip == name)
    first, last = split_in_time(clip, 0.3)
    assert len(last) / (len(first) + len(last)) == pytest.approx(0.3, abs=0.03)
    assert not (first.loops or last.loops)

    def places(part: Motion) -> set[int]:
        same = (clip.rotations[None] == part.rotations[:, None]).all(axis=(2, 3))
        same &= (clip.root_m[None] == part.root_m[:, None]).all(axis=2)
        assert same.any(axis=1).all()
        return {int(place) for place in np.flatnonzero(same.any(axis=0))}

    assert max(places(first)) + 0.1 * clip.fps <= min(places(last)) + 1
    # No pose of the last part, not even one that the clip comes back to, is one that training has.
    apart = np.linalg.norm(first.rotations[:, None] - last.rotations[None], axis=-1).max(axis=-1)
    assert apart.min() > 0.01


def test_no_moment_that_counts_is_seen_from_the_other_hemisphere(clips: list[Motion]) -> None:
    """Half of the circle is from behind; mirroring a view keeps it there."""
    assert HELD_OUT.held_out_azimuth_deg == (0.0, 90.0)
    joints = Script(clips).draw(np.random.default_rng(0), 6.0).joints_m
    for azimuth in np.linspace(0, 6, 20):
        seen = view_deg(joints, azimuth)
        mirrored = view_deg(joints * [1, 1, -1], -azimuth)  # left and right swap names too: it faces the other way
        np.testing.assert_allclose(mirrored, 180 - seen, atol=1e-6)
        trained = allowed_views(split.training_drawing(HELD_OUT), joints, azimuth)
        validated = allowed_views(split.validation_drawing(HELD_OUT, 1), joints, azimuth)
        np.testing.assert_array_equal(trained, seen >= 90)
        np.testing.assert_array_equal(validated, ~trained)
        assert allowed_views(Drawing(seed=0), joints, azimuth).all()


def test_a_walker_is_seen_from_behind_by_a_camera_that_looks_along() -> None:
    rng = np.random.default_rng(0)
    joints = walk(rng, draw_stance(rng), 4.0).joints_m
    way = joints[-1, 0] - joints[0, 0]
    along = float(np.arctan2(way[2], way[0]))
    assert np.median(view_deg(joints, along)) < 30
    assert np.median(view_deg(joints, along + np.pi)) > 150


def test_examples_leave_out_moments_that_the_drawing_does_not_allow(clips: list[Motion]) -> None:
    everything = Drawing(seed=1, seconds=4.0, views=1, clutter=0.0)
    behind = Drawing(seed=1, seconds=4.0, views=1, clutter=0.0, azimuth_deg=(0.0, 90.0))
    counted = []
    for drawing in (everything, behind):
        examples = draw_examples(clips, drawing, 16, num_workers=1)
        is_boxed = examples.features[:, -1] > 0
        counted.append((examples.weights[is_boxed] > 0).mean())
    assert counted[0] == 1
    assert 0.6 < counted[1] < 1


def test_bodies_of_validation_have_longer_legs_than_any_of_training() -> None:
    training = Script([], split.training_drawing(HELD_OUT).leg_shares)
    validation = Script([], split.validation_drawing(HELD_OUT, 1).leg_shares)
    short, long = (
        [leg_share(script._body(np.random.default_rng(seed))) for seed in range(60)]
        for script in (training, validation)
    )
    assert max(short) < 0.59 <= min(long)
    assert split.training_drawing(recipes.mocap_skeleton()).leg_shares == (0.0, 1.0)
    assert split.validation_drawing(recipes.mocap_skeleton(), 1).leg_shares == (0.0, 1.0)


def test_streams_of_validation_are_independent() -> None:
    assert split.validation_drawing(HELD_OUT, 1).seed != split.validation_drawing(HELD_OUT, 2).seed


def test_the_report_says_of_each_class_what_was_held_out() -> None:
    kinds = split.hold_outs(HELD_OUT)
    assert kinds["dance"] == kinds["getup"] == "other clip"
    assert kinds["walk"] == "other clip; procedural animation drawn anew"
    assert kinds["crawl"] == kinds["spin"] == "other time span"
    assert kinds["backflip"] == "other camera hemisphere and body only"
    assert kinds["wave"] == "other camera hemisphere and body only; procedural animation drawn anew"
    assert split.hold_outs(recipes.mocap_skeleton())["dance"] == "none: the same clips, other random cameras and bodies"
