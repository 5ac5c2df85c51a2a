"""Scores, their target and their loss, against plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tubelet.evaluation.clock import peak_bytes
from tubelet.methods.token_pruning.scorer import GroupScorer, novelty, temporal_loss
from tubelet.methods.token_pruning.selection import clip_starts
from tubelet.methods.token_pruning.untrained import PROTECTED, changed_from_reference, window_novelty
from tubelet.models.visual_connector import patch_groups

LENGTHS = torch.tensor([3, 5])
STARTS = clip_starts(LENGTHS, 8)


def patches(channels: int = 16, grid: int = 36) -> Tensor:
    return torch.randn(8, grid, channels, generator=torch.Generator().manual_seed(0))


def test_the_scorer_has_the_published_size() -> None:
    with torch.device("meta"):
        scorer = GroupScorer(1152, num_heads=16, hidden=4304)
    assert sum(parameter.numel() for parameter in scorer.parameters()) == 33_766_769


def test_clips_are_scored_as_if_alone() -> None:
    torch.manual_seed(0)
    scorer, groups = GroupScorer(16, num_heads=2), patch_groups(6, 6, 3)
    together = scorer(patches(), groups, STARTS)
    alone = scorer(patches()[3:], groups, clip_starts(torch.tensor([5]), 5))
    assert together.shape == (8, 4)
    torch.testing.assert_close(together[3:], alone)


def test_pooling_is_torch_attention_of_the_mean() -> None:
    torch.manual_seed(0)
    scorer, groups, values = GroupScorer(16, num_heads=2), patch_groups(6, 6, 3), patches()
    reference = nn.MultiheadAttention(16, 2, batch_first=True)
    layers = (scorer.query, scorer.key, scorer.value)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        reference.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        reference.out_proj.weight.copy_(scorer.out.weight)
        reference.out_proj.bias.copy_(scorer.out.bias)
    members = values[:, groups[2]]
    expected, _ = reference(members.mean(1, keepdim=True), members, members)
    torch.testing.assert_close(scorer._pooled(values, groups)[:, 2], expected[:, 0])


def test_places_outside_the_grid_take_no_part() -> None:
    torch.manual_seed(0)
    scorer, groups = GroupScorer(16, num_heads=2), patch_groups(4, 4, 3)
    values = patches(grid=16)
    pooled = scorer._pooled(values, groups)
    alone = scorer._pooled(values[:, [15]], torch.tensor([[0]]))  # the last group is one patch
    torch.testing.assert_close(pooled[:, 3], alone[:, 0])


def test_novelty_is_one_less_the_cosine_of_neighbours() -> None:
    values, groups = patches(), patch_groups(6, 6, 3)
    found = novelty(values, groups, STARTS)
    for frame in range(8):
        for group in range(4):
            if STARTS[frame]:
                expected = 1.0
            else:
                now, before = (values[at][groups[group]].flatten() for at in (frame, frame - 1))
                expected = float((1 - nn.functional.cosine_similarity(now, before, dim=0)).clamp(0, 1))
            assert float(found[frame, group]) == pytest.approx(expected, abs=1e-5)


def test_what_stands_still_is_not_new() -> None:
    still = patches()[:1].expand(8, -1, -1)
    assert float(novelty(still, patch_groups(6, 6, 3), STARTS)[~STARTS].abs().max()) < 1e-5


def test_the_loss_is_a_mean_over_frames_that_have_one_before_them() -> None:
    scores, target = torch.rand(8, 4), torch.rand(8, 4)
    counted = ~STARTS
    expected = sum(
        float((scores[frame, group] - target[frame, group]) ** 2)
        for frame in range(8)
        if counted[frame]
        for group in range(4)
    )
    assert float(temporal_loss(scores, target, counted)) == pytest.approx(expected / (6 * 4), rel=1e-5)
    assert float(temporal_loss(target, target, counted)) == 0.0
    assert float(temporal_loss(scores, target, torch.zeros(8, dtype=torch.bool))) == 0.0


def test_a_running_reference_changes_when_the_whole_picture_does() -> None:
    groups, generator = patch_groups(6, 6, 3), torch.Generator().manual_seed(0)
    one, other = torch.randn(36, 16, generator=generator), torch.randn(36, 16, generator=generator)
    clip = torch.stack([one, one, one, other, other])
    clip[2, groups[1]] += 3 * torch.randn(9, 16, generator=generator)  # one group of a frame that is otherwise the same
    scores = changed_from_reference(clip, groups, torch.tensor([5]), 0.2)
    assert scores[[0, 3]].unique().tolist() == [PROTECTED]
    assert float(scores[[1, 4]].max()) < 1e-5
    assert float(scores[2, 1]) > 0.5


def test_a_reference_threshold_falls_until_the_budget_can_be_met() -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(36, 16, generator=generator)
    clip = base + 0.5 * torch.randn(6, 36, 16, generator=generator)  # frames resemble each other at about 0.8
    groups = patch_groups(6, 6, 3)
    strict = changed_from_reference(clip, groups, torch.tensor([6]), 0.0)
    relaxed = changed_from_reference(clip, groups, torch.tensor([6]), 0.6)
    assert int((strict[:, 0] == PROTECTED).sum()) > int((relaxed[:, 0] == PROTECTED).sum())


def test_windows_of_four_compare_within_themselves() -> None:
    values, groups = patches(), patch_groups(6, 6, 3)
    found = window_novelty(values, groups, LENGTHS)
    assert found[[0, 3, 7]].unique().tolist() == [PROTECTED]  # first frames of windows: 0; 3 and, four later, 7
    never = torch.zeros(2, dtype=torch.bool)
    for frame, other in ((1, 0), (2, 0), (4, 3), (5, 3), (6, 5)):
        expected = novelty(values[[other, frame]], groups, never, torch.tensor([0, 0]))[1]
        torch.testing.assert_close(found[frame], expected)


def test_comparing_grows_with_the_frames_and_not_with_their_square() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for frames in (8, 16, 32):
        starts = clip_starts(torch.tensor([frames]), frames)
        with FlopCounterMode(display=False) as counter:
            novelty(torch.rand(frames, 36, 16), patch_groups(6, 6, 3), starts)
        counts.append(counter.get_total_flops())
    assert counts[1] < 2.2 * counts[0]
    assert counts[2] < 2.2 * counts[1]


def test_comparing_takes_memory_for_the_groups_and_not_for_all_pairs_of_them() -> None:
    values, groups = torch.rand(64, 36, 16), patch_groups(6, 6, 1)
    starts = clip_starts(torch.tensor([64]), 64)
    taken = peak_bytes(lambda: novelty(values, groups, starts), torch.device("cpu"))
    assert taken <= 4 * values.numel() * values.element_size()  # all pairs of groups would take 21 MB
