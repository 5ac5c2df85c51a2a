"""Where the detector looks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.people.tiles import MIN_OVERLAP, Tile, choose_tile_px, plan_tiles

SIZES = st.integers(1, 4000)


def test_a_wide_frame_gets_itself_and_three_squares() -> None:
    tiles = plan_tiles(1920, 1080)
    assert tiles[0] == Tile(0, 0, 1920, 1080)
    assert tiles[1:] == [Tile(0, 0, 1080, 1080), Tile(420, 0, 1500, 1080), Tile(840, 0, 1920, 1080)]


def test_a_tall_frame_gets_squares_one_above_the_other() -> None:
    assert [(t.x0, t.x1) for t in plan_tiles(1080, 1920)[1:]] == [(0, 1080)] * 3


@pytest.mark.parametrize(("size", "passes"), [((640, 480), 3), ((500, 500), 1), ((570, 500), 1), ((1768, 994), 4)])
def test_number_of_passes(size: tuple[int, int], passes: int) -> None:
    assert len(plan_tiles(*size)) == passes


def test_fast_is_one_pass() -> None:
    assert plan_tiles(1920, 1080, coarse=False) == [Tile(0, 0, 1920, 1080)]


@given(SIZES, SIZES, st.none() | st.integers(1000, 4000))
def test_tiles_lie_inside_and_cover_the_frame(width: int, height: int, tile_px: int | None) -> None:
    tiles = plan_tiles(width, height, tile_px)
    assert all(0 <= t.x0 < t.x1 <= width and 0 <= t.y0 < t.y1 <= height for t in tiles)
    for level in {t.x1 - t.x0 for t in tiles}:
        same = [t for t in tiles if t.x1 - t.x0 == level]
        assert (min(t.x0 for t in same), max(t.x1 for t in same)) == (0, width)
        assert (min(t.y0 for t in same), max(t.y1 for t in same)) == (0, height)


@given(st.integers(200, 4000), st.integers(200, 4000))
def test_neighbouring_squares_overlap_enough(width: int, height: int) -> None:
    squares = plan_tiles(width, height)[1:]
    side = min(width, height)
    for first, second in pairwise(squares):
        step = second.x0 - first.x0 + second.y0 - first.y0
        assert side - step >= MIN_OVERLAP * side - 1


def test_fine_squares_are_added() -> None:
    fine = plan_tiles(768, 576, 384)[3:]
    assert len(fine) == 6
    assert {t.x1 - t.x0 for t in fine} == {384}
    assert plan_tiles(768, 576, 576) == plan_tiles(768, 576)


@pytest.mark.parametrize("arguments", [(0, 10), (10, 0), (10, 10, 0)])
def test_sizes_must_be_positive(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sizes must be positive"):
        plan_tiles(*arguments)


def test_how_fine_to_search() -> None:
    assert choose_tile_px(1920, 1080, []) == 540  # nobody seen yet: look for small people
    assert choose_tile_px(1920, 1080, [400.0]) is None
    assert choose_tile_px(768, 576, [75.0]) is None  # 39 px in the network's input
    assert choose_tile_px(1920, 1080, [75.0]) == 592
    assert choose_tile_px(1920, 1080, [75.0, 400.0, 400.0]) == 592  # the small ones decide
    assert choose_tile_px(3840, 2160, [10.0]) == 720  # never finer than a third
    assert choose_tile_px(160, 120, []) is None  # nothing to enlarge
