"""Which times of a clip a network sees, in training and in evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.datasets.sampling import Sampling

durations = st.floats(0.02, 500)
counts = st.integers(1, 40)
steps = st.one_of(st.none(), st.floats(0.005, 3))


@given(duration_s=durations, num_frames=counts, step_s=steps, seed=st.integers(0, 1000))
def test_training_times_lie_in_the_clip_and_do_not_go_back(
    duration_s: float, num_frames: int, step_s: float | None, seed: int
) -> None:
    times_s = Sampling(num_frames=num_frames, step_s=step_s).training_times(duration_s, np.random.default_rng(seed))

    assert times_s.shape == (num_frames,)
    assert (times_s >= 0).all() and (times_s <= duration_s).all() and (np.diff(times_s) >= 0).all()


@given(duration_s=durations, num_frames=counts, step_s=steps, num_views=st.integers(1, 12))
def test_view_times_lie_in_the_clip_and_do_not_go_back(
    duration_s: float, num_frames: int, step_s: float | None, num_views: int
) -> None:
    times_s = Sampling(num_frames=num_frames, step_s=step_s).view_times(duration_s, num_views)

    assert times_s.shape == (num_views, num_frames)
    assert (times_s >= 0).all() and (times_s <= duration_s).all() and (np.diff(times_s, axis=1) >= 0).all()
    assert (np.diff(times_s, axis=0) >= 0).all()


def test_spread_over_the_clip_each_part_gives_one_moment() -> None:
    sampling = Sampling(num_frames=5)
    drawn = np.stack([sampling.training_times(10.0, np.random.default_rng(seed)) for seed in range(300)])

    assert (drawn // 2 == np.arange(5)).all()
    np.testing.assert_allclose(drawn.mean(axis=0), [1, 3, 5, 7, 9], atol=0.15)
    assert drawn.min() < 0.1 and drawn.max() > 9.9


def test_a_window_begins_anywhere_it_fits() -> None:
    sampling = Sampling(num_frames=4, step_s=0.5)
    generator = np.random.default_rng(0)
    drawn = np.stack([sampling.training_times(10.0, generator) for _ in range(1000)])

    np.testing.assert_allclose(np.diff(drawn, axis=1), 0.5)
    assert 0 <= drawn[:, 0].min() < 0.2 and 7.8 < drawn[:, 0].max() <= 8.0
    np.testing.assert_allclose(drawn[:, 0].mean(), 4.0, atol=0.4)


def test_a_window_that_does_not_fit_begins_at_the_beginning_and_holds_its_last_picture() -> None:
    sampling = Sampling(num_frames=6, step_s=0.5)
    np.testing.assert_allclose(sampling.training_times(1.2, np.random.default_rng(0)), [0, 0.5, 1, 1, 1, 1])
    np.testing.assert_allclose(sampling.view_times(1.2, 2), [[0, 0.5, 1, 1, 1, 1]] * 2)


def test_views_are_spread_evenly() -> None:
    np.testing.assert_allclose(Sampling(num_frames=2, step_s=1.0).view_times(10.0, 3), [[0, 1], [4, 5], [8, 9]])
    np.testing.assert_allclose(Sampling(num_frames=2).view_times(8.0, 1), [[2, 6]])
    # Two views of two parts of 4 s: the middles of the halves of each part.
    np.testing.assert_allclose(Sampling(num_frames=2).view_times(8.0, 2), [[1, 5], [3, 7]])


def test_the_same_generator_gives_the_same_times() -> None:
    for sampling in (Sampling(), Sampling(step_s=0.04)):
        first, again = (sampling.training_times(7.0, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(sampling.view_times(7.0, 3), sampling.view_times(7.0, 3))


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="num_frames is 0; allowed: 1 or more"):
        Sampling(num_frames=0)
    with pytest.raises(ValueError, match="size_px is 0; allowed: 1 or more"):
        Sampling(size_px=0)
    for step_s in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="step_s is .*; allowed: above 0, or none to spread over the clip"):
            Sampling(step_s=step_s)
