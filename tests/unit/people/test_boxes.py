"""Boxes and the suppression of duplicates."""

import numpy as np
import pytest

from tubelet.metrics import tracking
from tubelet.people.boxes import Boxes, iou_matrix, suppress


def boxes(*rows: tuple[float, float, float, float, float]) -> Boxes:
    array = np.array(rows, np.float32).reshape(-1, 5)
    return Boxes(array[:, :4], array[:, 4])


def test_overlaps_are_those_that_the_metrics_count() -> None:
    assert iou_matrix is tracking.iou_matrix


def test_a_box_without_area_is_on_nobody() -> None:
    assert len(suppress(boxes((0, 0, 10, 20, 0.9), (5, 5, 5, 5, 0.8), (9, 9, 2, 2, 0.7)))) == 3


def test_of_two_boxes_on_one_person_the_better_stays() -> None:
    kept = suppress(boxes((0, 0, 10, 20, 0.4), (1, 0, 11, 20, 0.9), (50, 0, 60, 20, 0.5)))
    assert kept.xyxy_px[:, 0].tolist() == [1, 50]
    assert kept.scores.tolist() == pytest.approx([0.9, 0.5])


def test_half_a_person_inside_a_whole_one_goes() -> None:
    whole, lower_half = (0, 0, 10, 40, 0.6), (0, 25, 10, 40, 0.5)
    assert len(suppress(boxes(whole, lower_half))) == 1
    assert len(suppress(boxes(whole, lower_half), max_contained=1.0)) == 2


def test_the_chain_of_suppression_is_greedy() -> None:
    # The middle box is suppressed by the first, so it must not suppress the third.
    kept = suppress(boxes((0, 0, 10, 10, 0.9), (3, 0, 13, 10, 0.8), (6, 0, 16, 10, 0.7)))
    assert kept.xyxy_px[:, 0].tolist() == [0, 6]


def test_nobody_is_nobody() -> None:
    assert len(suppress(Boxes.empty())) == 0
    assert Boxes.empty().heights_px.shape == (0,)


def test_boxes_refuse_scores_that_do_not_fit(unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=r"boxes are \(1, 4\) with scores \(2,\)"):
        Boxes(np.zeros((1, 4), np.float32), np.zeros(2, np.float32))
