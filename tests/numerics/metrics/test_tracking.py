"""Outside truth: boxes painted on a pixel grid, matchings by trying all, worked examples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.metrics.tracking import (
    BoxCounts,
    containment_matrix,
    identity_switches,
    iou_matrix,
    match_boxes,
    match_boxes_greedily,
    match_over_time,
)


def boxes(generator: np.random.Generator, number: int) -> np.ndarray:
    corner, size = generator.integers(0, 12, (number, 2)), generator.integers(0, 9, (number, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def painted(box: np.ndarray) -> np.ndarray:
    grid = np.zeros((24, 24), dtype=bool)
    x0, y0, x1, y1 = box.astype(int)
    grid[y0:y1, x0:x1] = True
    return grid


@given(st.integers(0, 2**32), st.integers(0, 4), st.integers(0, 4))
def test_overlap_against_painted_pixels(seed: int, num_first: int, num_second: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = boxes(generator, num_first), boxes(generator, num_second)
    iou, inside = iou_matrix(first, second), containment_matrix(first, second)
    assert iou.shape == inside.shape == (num_first, num_second)
    for row, column in itertools.product(range(num_first), range(num_second)):
        one, other = painted(first[row]), painted(second[column])
        shared, union = (one & other).sum(), (one | other).sum()
        assert iou[row, column] == pytest.approx(shared / union if union else 0.0)
        assert inside[row, column] == pytest.approx(shared / one.sum() if one.sum() else 0.0)


@given(st.integers(0, 2**32), st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.1, 0.4, 0.5, 1.0]))
def test_the_best_matching_against_trying_all(seed: int, rows: int, columns: int, least: float) -> None:
    iou = np.random.default_rng(seed).integers(0, 11, (rows, columns)) / 10
    pairs = match_boxes(iou, least)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    assert all(iou[row, column] >= least for row, column in pairs)
    best = (0, 0.0)
    for size in range(min(rows, columns) + 1):
        for chosen in itertools.combinations(range(rows), size):
            for partners in itertools.permutations(range(columns), size):
                values = [iou[row, column] for row, column in zip(chosen, partners, strict=True)]
                if all(value >= least for value in values):
                    best = max(best, (size, round(sum(values), 9)))
    assert (len(pairs), round(float(iou[pairs[:, 0], pairs[:, 1]].sum()), 9)) == best


def test_greedy_takes_the_best_that_is_left_in_order() -> None:
    iou = np.array([[0.5, 0.6], [0.0, 0.9], [0.9, 0.0]])
    assert match_boxes_greedily(iou, 0.5).tolist() == [[0, 1], [2, 0]]
    assert match_boxes(iou, 0.5).tolist() == [[1, 1], [2, 0]]
    assert match_boxes_greedily(np.zeros((2, 0)), 0.5).shape == (0, 2)
    for match in (match_boxes, match_boxes_greedily):
        with pytest.raises(ValueError, match="least_iou is 0; allowed: above 0, at most 1"):
            match(iou, 0)


def test_switches_are_counted_across_gaps() -> None:
    assert identity_switches([{"a": "1", "b": "2"}, {"a": "1"}, {"a": "2", "b": "2"}, {}, {"a": "1", "b": "3"}]) == 3
    assert identity_switches([]) == 0


def test_a_pair_that_still_fits_is_kept() -> None:
    person = {"a": (0, 0, 10, 10)}
    near, exact = (0, 0, 10, 7), (0, 0, 10, 10)
    moments = [{"1": near}, {"1": near, "2": exact}, {"2": exact}]
    matches = match_over_time([person] * 3, moments, 0.5)
    assert [dict(now) for now in matches.track_of] == [{"a": "1"}, {"a": "1"}, {"a": "2"}]
    assert identity_switches(matches.track_of) == 1
    assert matches.counts == BoxCounts(num_truth=3, num_predicted=4, num_matched=3)
    assert (matches.counts.recall, matches.counts.precision) == (1.0, 0.75)


def test_two_people_who_swap_tracks_switch_twice() -> None:
    left, right = (0, 0, 10, 10), (20, 0, 30, 10)
    people = [{"a": left, "b": right}, {"a": right, "b": left}]
    matches = match_over_time(people, [{"1": left, "2": right}, {"1": left, "2": right}], 0.5)
    assert identity_switches(matches.track_of) == 2
    assert matches.counts.num_matched == 4


def test_nothing_to_measure_is_nan() -> None:
    counts = match_over_time([{}], [{}], 0.5).counts
    assert math.isnan(counts.recall)
    assert math.isnan(counts.precision)
