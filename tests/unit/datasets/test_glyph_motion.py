"""Glyph motion: the block moves as its class says, the digit stands still elsewhere, and splits share no digit."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tubelet import weights
from tubelet.datasets.glyph_motion import ACTIONS, Digits, draw_glyph_clip, load_digits
from tubelet.errors import DatasetError

DIGITS = Digits(images=np.random.default_rng(0).random((40, 8, 8)), values=np.arange(40) % 10)


@pytest.mark.parametrize("number", range(8))
def test_the_block_moves_as_its_class_says(number: int) -> None:
    clip = draw_glyph_clip(0, number, "train", DIGITS)
    assert ACTIONS[clip.action] == ACTIONS[number % 4]
    rows, columns = ACTIONS[clip.action] in ("up", "down"), ACTIONS[clip.action] in ("left", "right")
    changes = [np.argwhere(clip.block[t]) for t in range(len(clip.block))]
    is_same_row = all(set(a[:, 0]) == set(changes[0][:, 0]) for a in changes)
    is_same_column = all(set(a[:, 1]) == set(changes[0][:, 1]) for a in changes)
    assert is_same_row is columns
    assert is_same_column is rows
    # One step on, the block is where its class says: compare with the mask rolled within its quarter.
    step = {"left": (0, -2), "right": (0, 2), "up": (-2, 0), "down": (2, 0)}[ACTIONS[clip.action]]
    top, left = (int(place) // 16 * 16 for place in changes[0][0])
    quarter = clip.block[:, top : top + 16, left : left + 16]
    assert np.array_equal(quarter[1], np.roll(quarter[0], step, axis=(0, 1)))
    assert quarter.sum() == clip.block.sum() == 8 * 16


def test_block_and_digit_lie_in_different_places() -> None:
    for number in range(20):
        clip = draw_glyph_clip(1, number, "test", DIGITS)
        assert not (clip.block.any(axis=0) & clip.glyph).any()
        bright = clip.frames[clip.block].mean()
        assert bright > 190
        assert clip.digit == DIGITS.values[clip.digit_id]


def test_clips_repeat_and_splits_share_no_digit() -> None:
    one, two = (draw_glyph_clip(5, 7, "val", DIGITS) for _ in range(2))
    assert np.array_equal(one.frames, two.frames)
    ids = {s: {draw_glyph_clip(5, n, s, DIGITS).digit_id for n in range(200)} for s in ("train", "val", "test")}
    assert not ids["train"] & ids["test"]
    assert not ids["train"] & ids["val"]
    assert not ids["val"] & ids["test"]


def test_the_real_digits_are_read() -> None:
    digits = load_digits()
    assert digits.images.shape == (1797, 8, 8)
    assert sorted(set(digits.values.tolist())) == list(range(10))


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"1,2,3\n", mtime=0), gzip.compress(b"a,b\n", mtime=0)])
def test_a_damaged_file_of_digits_is_an_error(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits.csv.gz").write_bytes(content)
    monkeypatch.setattr(weights, "fetch", lambda item: tmp_path / "digits.csv.gz")
    with pytest.raises(DatasetError, match=r"digits\.csv\.gz"):
        load_digits()
