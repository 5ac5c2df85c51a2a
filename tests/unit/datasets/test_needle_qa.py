"""Needle questions: the evidence is where the maps say, and neither questions nor splits give answers away."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tubelet.datasets.glyph_motion import Digits
from tubelet.datasets.needle_qa import STRATA, NeedleClip, NeedleStyle, Stratum, draw_needle_clip

DIGITS = Digits(images=np.random.default_rng(0).random((200, 8, 8)), values=np.arange(200) % 10)
STYLES = {
    "small": NeedleStyle(),
    "large": NeedleStyle(num_frames=16, size_px=48, cell_px=12, num_flicker=4),
    "sampled": NeedleStyle(timeline=32),
}


def clip_of(number: int, stratum: Stratum, style: NeedleStyle = STYLES["small"], digits: Digits = DIGITS) -> NeedleClip:
    return draw_needle_clip(0, number, "train", digits, style, strata=(stratum,))


@pytest.mark.parametrize("stratum", STRATA)
@pytest.mark.parametrize("style", STYLES)
def test_shapes_and_the_same_clip_again(stratum: Stratum, style: str) -> None:
    one, two = clip_of(3, stratum, STYLES[style]), clip_of(3, stratum, STYLES[style])
    side, frames = STYLES[style].size_px, STYLES[style].num_frames
    assert one.frames.shape == (frames, side, side, 3) and len(one.times) == frames
    assert np.array_equal(one.frames, two.frames) and replace(one, frames=two.frames).question == two.question
    assert not np.array_equal(one.frames, clip_of(4, stratum, STYLES[style]).frames)
    group_px = STYLES[style].cell_px
    assert (
        one.evidence_groups(group_px).shape == one.flicker_groups(group_px).shape == (frames, *(side // group_px,) * 2)
    )
    assert one.stratum == stratum and 0 <= one.answer < len(one.choices)


@pytest.mark.parametrize("stratum", STRATA)
def test_only_the_evidence_depends_on_the_digit_that_is_asked_for(stratum: Stratum) -> None:
    for number in range(24):
        clip = clip_of(number, stratum)
        images = DIGITS.images.copy()
        images[clip.digit_ids[0]] = 0
        blank = clip_of(number, stratum, digits=Digits(images=images, values=DIGITS.values))
        differs = (clip.frames != blank.frames).any(-1)
        assert not (differs & ~clip.evidence).any()
        cells = clip.evidence_groups(8)
        assert np.array_equal(replace(clip, evidence=differs).evidence_groups(8), cells)
        assert cells.sum((1, 2)).max() == 1 and cells.any()
        assert not (clip.evidence & clip.flicker).any()


def test_what_moves_hops_three_times_and_what_else_is_there_stands() -> None:
    for number in range(40):
        clip = clip_of(number, "moving")
        places = np.array([np.argwhere(cells)[0] for cells in clip.evidence_groups(8)])
        assert int((np.diff(places, axis=0) != 0).any(1).sum()) == 3
        assert str(DIGITS.values[clip.digit_ids[0]]) == clip.choices[clip.answer]
        assert DIGITS.values[clip.digit_ids[0]] != DIGITS.values[clip.digit_ids[1]]


def test_when_the_evidence_is_there() -> None:
    whole = 0
    for number in range(60):
        seen = clip_of(number, "entering").evidence.any((1, 2))
        assert not seen[0] and seen[-1] and (np.diff(seen.astype(int)) == 1).sum() == 1
        assert clip_of(number, "flashing").evidence.any((1, 2)).sum() == 1
        assert not clip_of(number, "flashing").evidence[0].any()
        first = clip_of(number, "standing").evidence.any((1, 2))
        assert first[0] and first[1:].sum() in (0, 7)
        whole += bool(first[-1])
    assert 15 < whole < 45


def test_flicker_is_noise_and_the_background_stands_still() -> None:
    style = NeedleStyle(noise=0, num_flicker=3)
    for stratum in ("entering", "flashing"):
        clip = clip_of(1, stratum, style)
        assert clip.flicker_groups(8)[0].sum() == 3
        changes = np.abs(np.diff(clip.frames.astype(int), axis=0)).mean(-1)
        assert changes[:, clip.flicker].mean() > 50
        rest = ~clip.flicker & ~clip.evidence.any(0)
        assert changes[:, rest].max() == 0
    assert not clip_of(1, "standing", style).flicker.any() and not clip_of(1, "moving", style).flicker.any()


def test_splits_share_no_digit_and_have_all_kinds() -> None:
    used: dict[str, set[int]] = {}
    for split in ("train", "val", "test"):
        clips = [draw_needle_clip(5, number, split, DIGITS, strata=STRATA) for number in range(300)]
        used[split] = {each for clip in clips for each in clip.digit_ids}
        assert {int(DIGITS.values[each]) for each in used[split]} == set(NeedleStyle().kinds)
    assert not used["train"] & used["val"] and not used["train"] & used["test"] and not used["val"] & used["test"]


def test_answers_are_balanced_and_questions_do_not_tell_them() -> None:
    clips = [draw_needle_clip(1, number, "train", DIGITS, strata=STRATA) for number in range(1600)]
    answers: dict[str, Counter[str]] = {}
    for clip in clips:
        answers.setdefault(clip.question, Counter())[clip.choices[clip.answer]] += 1
    assert len(answers) == 4
    for question, counts in answers.items():
        assert dict.fromkeys("0147", 100) == counts, question


def test_a_flash_may_fall_between_sampled_frames() -> None:
    style = NeedleStyle(timeline=32, is_needle_sampled=False)
    seen = [clip_of(number, "flashing", style).evidence.any() for number in range(400)]
    assert 0.17 < np.mean(seen) < 0.33
    assert all(
        clip_of(number, "flashing", replace(style, is_needle_sampled=True)).evidence.any() for number in range(50)
    )
    times = np.array([clip_of(number, "flashing", style).times for number in range(200)])
    assert (times[:, 0] == 0).all()
    assert (times[:, 1:] // 4 == np.arange(1, 8)).all() and set(times[:, 5].tolist()) == {20, 21, 22, 23}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_frames": 1}, "num_frames is 1; allowed: 2 or more"),
        ({"timeline": 4}, "timeline is 4; allowed: num_frames, which is 8, or more"),
        ({"size_px": 20}, "size_px is 20 and cell_px 8"),
        ({"size_px": 16}, "size_px is 16 and cell_px 8"),
        ({"kinds": (3,)}, r"kinds is \(3,\); allowed: two or more"),
        ({"kinds": (3, 1)}, "kinds is"),
        ({"kinds": (3, 10)}, "kinds is"),
        ({"num_flicker": 8}, "num_flicker is 8; allowed: 0 to 7"),
        ({"noise": -1}, "noise is -1; allowed: 0 to 255"),
    ],
)
def test_styles_that_are_not_allowed(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NeedleStyle(**options)


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(ValueError, match="strata is .*; allowed: one or more of moving, entering, standing, flashing"):
        draw_needle_clip(0, 0, "train", DIGITS, strata=("other",))
    few = Digits(images=DIGITS.images[:20], values=DIGITS.values[:20])
    with pytest.raises(ValueError, match="there is no image of the digit 0 for val; give more digits, or other kinds"):
        draw_needle_clip(0, 0, "val", few)
    with pytest.raises(ValueError, match="group_px is 0; allowed: 1 or more"):
        clip_of(0, "moving").evidence_groups(0)
