"""Which times the sampling functions choose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.video import dense_times, multi_view_times, segment_times, uniform_times

durations = st.floats(0.04, 5000)
counts = st.integers(1, 64)


def test_uniform_times_are_the_middles_of_equal_parts() -> None:
    np.testing.assert_allclose(uniform_times(8.0, 4), [1, 3, 5, 7])
    np.testing.assert_allclose(uniform_times(3.0, 1), [1.5])


def test_dense_times_are_centred_and_begin_where_asked() -> None:
    np.testing.assert_allclose(dense_times(10.0, 4, step_s=1.0), [3, 4, 5, 6])
    np.testing.assert_allclose(dense_times(10.0, 3, step_s=0.5, start_s=2.0), [2, 2.5, 3])


def test_what_happens_beyond_the_end_is_named() -> None:
    np.testing.assert_allclose(dense_times(2.0, 4, step_s=0.75, edge="hold"), [0, 0.75, 1.5, 1.5])
    np.testing.assert_allclose(dense_times(2.0, 4, step_s=0.75, edge="wrap"), [0, 0.75, 1.5, 0.25])
    with pytest.raises(
        ValueError, match=r"the window reaches to 2\.25 s and the video lasts 2 s; take fewer or closer"
    ):
        dense_times(2.0, 4, step_s=0.75, edge="error")
    with pytest.raises(ValueError, match="edge is 'clip'; allowed: hold, wrap, error"):
        dense_times(2.0, 4, step_s=0.75, edge="clip")  # type: ignore[arg-type]


def test_segments_are_random_with_a_generator_and_middles_without() -> None:
    np.testing.assert_allclose(segment_times(8.0, 4), [1, 3, 5, 7])
    drawn = segment_times(8.0, 4, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, segment_times(8.0, 4, generator=np.random.default_rng(0)))
    assert np.all((drawn >= [0, 2, 4, 6]) & (drawn < [2, 4, 6, 8]))
    assert not np.allclose(drawn, [1, 3, 5, 7])


def test_views_are_spread_from_end_to_end() -> None:
    views = multi_view_times(10.0, 3, 2, step_s=1.0)
    np.testing.assert_allclose(views, [[0, 1], [4, 5], [8, 9]])
    np.testing.assert_allclose(multi_view_times(10.0, 1, 2, step_s=1.0), [[4, 5]])
    np.testing.assert_allclose(multi_view_times(1.0, 2, 3, step_s=0.6), [[0, 0.6, 0.6], [0, 0.6, 0.6]])


@given(durations, counts, st.floats(0.001, 10), st.sampled_from(["hold", "wrap"]))
def test_every_time_lies_in_the_video(duration_s: float, count: int, step_s: float, edge: str) -> None:
    chosen = [
        uniform_times(duration_s, count),
        segment_times(duration_s, count, generator=np.random.default_rng(count)),
        dense_times(duration_s, count, step_s=step_s, edge=edge),  # type: ignore[arg-type]
        multi_view_times(duration_s, 3, count, step_s=step_s, edge=edge).ravel(),  # type: ignore[arg-type]
    ]
    for times_s in chosen:
        assert np.all((times_s >= 0) & (times_s < duration_s))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniform_times(0.0, 4), "duration_s is 0; it must be positive and finite"),
        (lambda: uniform_times(float("inf"), 4), "duration_s is inf"),
        (lambda: uniform_times(1.0, 0), "num_frames is 0; it must be at least 1"),
        (lambda: segment_times(1.0, -1), "num_segments is -1"),
        (lambda: dense_times(1.0, 4, step_s=0.0), "step_s is 0; it must be positive and finite"),
        (lambda: dense_times(1.0, 4, step_s=0.1, start_s=1.0), r"start_s is 1; it must lie in \[0, 1\)"),
        (lambda: multi_view_times(1.0, 0, 4, step_s=0.1), "num_views is 0"),
    ],
)
def test_misuse_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
