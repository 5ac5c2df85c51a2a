"""Moving shapes are what they say: where, when, what, and the same every time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tubelet.datasets.synthetic import MOTIONS, moving_shape, write_video
from tubelet.video import VideoReader


def centres(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def digest(frames: np.ndarray) -> str:
    return hashlib.sha256(frames.tobytes()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    digests = [digest(moving_shape(["left", "grow"], seed=seed).frames) for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_the_smallest_round_the_bright_pixels(seed: int) -> None:
    video = moving_shape(MOTIONS, seed=seed, noise=0.0, seconds_each=1.0)
    for frame, box in zip(video.frames, video.boxes_px, strict=True):
        bright = (frame >= 150).all(axis=-1)
        if not bright.any():
            assert np.isnan(box).all()
            continue
        rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert 0 <= box[0] < box[2] <= 96
        assert 0 <= box[1] < box[3] <= 72
        assert box[2] - box[0] > 5


@pytest.mark.parametrize(
    ("motion", "direction"),
    [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1)), ("still", (0, 0))],
)
def test_straight_motions_go_where_they_say(motion: str, direction: tuple[int, int]) -> None:
    moved = np.diff(centres(moving_shape([motion], seed=3, noise=0).boxes_px), axis=0)
    assert np.abs(np.sign(moved).astype(int) * (1 - np.abs(direction))).max() == 0
    assert np.sign(moved.sum(axis=0)).astype(int).tolist() == list(direction)
    assert (moved @ np.array(direction) >= 0).all()


def test_a_circle_comes_back_and_growing_grows_and_blinking_blinks() -> None:
    circle = centres(moving_shape(["circle"], seed=4, noise=0, seconds_each=4).boxes_px)
    assert np.abs(circle[0] - circle[-1]).max() < 5
    assert np.ptp(circle, axis=0).min() > 30
    boxes = moving_shape(["grow"], seed=4).boxes_px
    widths = boxes[:, 2] - boxes[:, 0]
    assert widths[-1] > 2 * widths[0]
    assert (np.diff(widths) >= 0).all()
    visible = moving_shape(["blink"], seed=4, seconds_each=2, fps=20).is_visible
    assert visible.tolist() == ([True] * 5 + [False] * 5) * 4


def test_segments_cover_the_whole_time_and_each_frame_lies_in_its_own() -> None:
    video = moving_shape(["left", "still", "up"], seed=5, seconds_each=0.7, fps=10, noise=0)
    assert [tuple(segment) for segment in video.segments] == [
        (0.0, 0.7, "left"),
        (0.7, 1.4, "still"),
        (1.4, pytest.approx(2.1), "up"),
    ]
    assert (len(video.frames), video.end_s) == (21, pytest.approx(2.1))
    moves = np.abs(np.diff(centres(video.boxes_px), axis=0)).sum(axis=1) > 0
    assert not moves[7:13].any()
    assert moves[:6].all()
    assert repr(video) == "SyntheticVideo(left, still, up; 21 frames, 2.1 s, seed=5)"


def test_a_written_file_has_the_same_pictures_and_times(tmp_path: Path) -> None:
    video = moving_shape(["right", "blink"], seed=6, seconds_each=1.0)
    write_video(video, tmp_path / "shape.mp4")
    with VideoReader(tmp_path / "shape.mp4") as reader:
        frames = list(reader.frames())
    assert len(frames) == len(video.frames)
    assert [frame.time_s for frame in frames] == pytest.approx(video.timestamps_s.tolist(), abs=1e-4)
    error = np.abs(np.stack([frame.image for frame in frames]).astype(int) - video.frames)
    assert error.mean() < 6


def test_it_passes_as_a_clip() -> None:
    clip = moving_shape(["left"], seed=7).clip()
    assert (clip.frames.shape, clip.source) == ((30, 72, 96, 3), "synthetic:7")


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"motions are \['jump'\]; allowed: one or more of still, left"):
        moving_shape(["jump"], seed=0)
    with pytest.raises(ValueError, match=r"motions are \[\]; allowed"):
        moving_shape([], seed=0)
    with pytest.raises(ValueError, match="size is 8 x 72 with 30 pictures per motion; allowed: 16 x 16 or more"):
        moving_shape(["left"], seed=0, width=8)
