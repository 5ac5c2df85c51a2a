"""Which groups go, by hand and in general."""

from __future__ import annotations

import math

import pytest
import torch

from tubelet.methods.token_pruning.groups import group_of_patch, sums_over_groups
from tubelet.methods.token_pruning.selection import num_removed, score_bias, select
from tubelet.models.visual_connector import patch_groups


def test_groups_of_a_grid_that_is_divisible() -> None:
    groups = patch_groups(4, 6, 2)
    assert groups.shape == (6, 4)
    assert groups[0].tolist() == [0, 1, 6, 7]
    assert groups[5].tolist() == [16, 17, 22, 23]
    assert group_of_patch(groups)[[0, 7, 23]].tolist() == [0, 0, 5]


def test_groups_over_the_edge_hold_only_what_is_there() -> None:
    groups = patch_groups(3, 4, 3)
    assert groups.shape == (2, 9)
    assert sorted(groups[groups >= 0].tolist()) == list(range(12))
    assert groups[1].tolist() == [3, -1, -1, 7, -1, -1, 11, -1, -1]
    assert sums_over_groups(torch.ones(2, 12), groups).tolist() == [[9.0, 3.0]] * 2


@pytest.mark.parametrize("pool", [0, 5])
def test_groups_larger_than_the_grid_are_refused(pool: int) -> None:
    with pytest.raises(ValueError, match=rf"pool is {pool} .*allowed: 1 to 4"):
        patch_groups(4, 6, pool)


@pytest.mark.parametrize(
    ("remove", "frames", "start", "expected"), [(0.5, 8, 0, 36), (0.7, 10, 0, 63), (0.29, 100, 0, 261), (0.5, 8, 2, 27)]
)
def test_counts_are_those_of_the_formula(remove: float, frames: int, start: int, expected: int) -> None:
    assert num_removed(remove, 9, frames, prune_from_frame=start) == expected


def test_pictures_and_short_clips_stay_whole() -> None:
    assert num_removed(0.5, 9, 1) == 0
    assert num_removed(0.5, 9, 4, prune_from_frame=4) == 0


def test_more_than_the_later_frames_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"remove is 0.8 with 2 frames of 9 groups: 14 .* only 9 .* is 0.5"):
        num_removed(0.8, 9, 2)
    with pytest.raises(ValueError, match=r"remove is 1; allowed: at least 0 and less than 1"):
        num_removed(1.0, 9, 8)


def test_the_lowest_of_the_whole_clip_go_and_first_frames_stay() -> None:
    scores = torch.rand(12, 5, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([4, 8])
    keep = select(scores, lengths, 0.5)
    assert bool(keep[[0, 4]].all())
    for first, last in ((0, 4), (4, 12)):
        kept, later = keep[first + 1 : last], scores[first + 1 : last]
        assert int((~kept).sum()) == num_removed(0.5, 5, last - first)
        assert float(later[kept].min()) > float(later[~kept].max())
    assert len(set(keep[4:].sum(1).tolist())) > 1  # frames keep different numbers


def test_kept_sets_are_nested_in_the_share() -> None:
    scores = torch.rand(9, 6, generator=torch.Generator().manual_seed(1))
    before = torch.ones(9, 6, dtype=torch.bool)
    for remove in (0.0, 0.2, 0.4, 0.6, 0.8):
        keep = select(scores, torch.tensor([9]), remove)
        assert not bool((keep & ~before).any())
        before = keep


def test_of_equal_scores_the_earlier_goes() -> None:
    keep = select(torch.zeros(3, 4), torch.tensor([3]), 0.5)
    assert keep.tolist() == [[True] * 4, [False] * 4, [False] * 2 + [True] * 2]


def test_clips_that_may_not_be_pruned_stay_whole() -> None:
    keep = select(torch.rand(8, 4), torch.tensor([4, 4]), 0.5, prunable=torch.tensor([False, True]))
    assert bool(keep[:4].all())
    assert int((~keep[4:]).sum()) == 8


def test_scores_that_are_no_numbers_are_never_sorted() -> None:
    scores = torch.rand(8, 4)
    scores[5, 2] = math.nan
    with pytest.raises(FloatingPointError, match="clip 1 has a score .* in frame 5"):
        select(scores, torch.tensor([4, 4]), 0.5)


@pytest.mark.parametrize("lengths", [[4, 5], [9, -1], [7, 0]])
def test_lengths_that_do_not_add_up_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"together {sum(lengths)}, but there are 8 frames"):
        select(torch.rand(8, 4), torch.tensor(lengths), 0.5)


def test_the_bias_lies_between_minus_two_and_nothing() -> None:
    scores = torch.rand(4, 6, generator=torch.Generator().manual_seed(2))
    bias = score_bias(scores, torch.tensor([True, False, False, False]))
    assert bool((bias[0] == 0).all())
    assert bias[1:].amin(1).tolist() == pytest.approx([-2.0] * 3)
    assert bias[1:].amax(1).tolist() == pytest.approx([0.0] * 3, abs=1e-6)
    assert bool((bias[1:].argsort(1) == scores[1:].argsort(1)).all())


def test_a_bias_by_rows_reaches_its_ends_in_every_row() -> None:
    scores = torch.arange(6.0).reshape(1, 6) / 10
    bias = score_bias(scores, torch.tensor([False]), row_width=3).reshape(2, 3)
    assert bias[:, 0].tolist() == pytest.approx([-2.0, -2.0])
    assert bias[:, 2].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_equal_scores_give_an_equal_bias() -> None:
    bias = score_bias(torch.full((2, 6), 0.3), torch.tensor([False, False]))
    assert bool(bias.isfinite().all())
    assert float(bias.std()) == 0.0
