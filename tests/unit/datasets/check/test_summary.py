from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.datasets.check.summary import histogram, shown_name


@given(st.lists(st.floats(0.04, 5000), min_size=1, max_size=60))
def test_every_value_is_in_its_bin(values: list[float]) -> None:
    found = histogram(np.array(values, dtype=np.float64), unit="s")
    edges, counts = found["edges"], found["counts"]
    assert sum(counts) == len(values)
    assert len(edges) == len(counts) + 1 <= 40
    assert np.all(np.diff(edges) > 0)
    assert edges[0] <= min(values) + 1e-3
    if not found["is_cut"]:
        assert edges[-1] >= max(values) - 1e-3
    assert found["min"] == pytest.approx(min(values), abs=1e-3)
    assert found["max"] == pytest.approx(max(values), abs=1e-3)


def test_a_few_very_long_clips_do_not_squeeze_the_rest() -> None:
    found = histogram(np.array([2.0, 3.0, 4.0, 5.0] * 250 + [4000.0]), unit="s")
    assert found["is_cut"]
    assert found["edges"][-1] < 10
    assert sum(found["counts"]) == 1001


def test_equal_values_are_one_bin() -> None:
    found = histogram(np.full(7, 25.0), unit="fps")
    assert found["counts"] == [7]
    assert found["edges"] == [25.0, 26.0]


def test_no_values_are_an_empty_histogram() -> None:
    assert histogram(np.zeros(0), unit="s")["counts"] == []


def test_a_name_of_bytes_that_are_no_text_can_be_written() -> None:
    assert shown_name("a\udcff.mp4") == "a\\xff.mp4"
