"""Baselines that hide by one token's attention, by merging, and by boxes."""

from __future__ import annotations

import math

import pytest
import torch
from tests.support.reductions import Merging
from torch import Tensor

from tubelet.methods.anonymization.baselines import (
    PrivacyOnlyPruning,
    TokenMerging,
    blurred,
    box_mask,
    boxes_hidden,
    merging_mask,
    pruned_mask,
)
from tubelet.methods.anonymization.pruning import PruningConfig, attention_shares
from tubelet.models.token_reduction import Attended, Tokens
from tubelet.models.vit import VideoViT

GRID = (4, 3, 4)
PLACES = math.prod(GRID)


def network(num_cls: int, depth: int = 3) -> VideoViT:
    torch.manual_seed(0)
    vit = VideoViT(
        3,
        num_frames=8,
        size_px=(24, 32),
        tubelet=(2, 8, 8),
        channels=24,
        depth=depth,
        num_heads=2,
        num_cls_tokens=num_cls,
        positions="learned",
        qkv_bias="all",
    ).eval()
    for parameter in vit.parameters():
        parameter.data.mul_(3)  # attention that is not flat
    return vit


def clips(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 8, 24, 32, generator=torch.Generator().manual_seed(1))


def highest(scores: Tensor, count: int) -> Tensor:
    rows = torch.zeros_like(scores, dtype=torch.bool)
    for row, values in zip(rows, scores.tolist(), strict=True):
        row[sorted(range(len(values)), key=lambda place: -values[place])[:count]] = True
    return rows.view(-1, *GRID)


@torch.no_grad()
def test_the_privacy_token_alone_decides_what_goes() -> None:
    vit, video = network(2), clips()
    weights = vit.encode(video, return_attention=(1,), attention_rows="cls").attention[1]
    action, privacy = attention_shares(weights, 2)
    config = PruningConfig(blocks=(1,), keep=0.4, privacy_weight=0.0)  # which is not used
    kept = pruned_mask(vit, video, config, by="privacy_only")
    assert torch.equal(kept, highest(-privacy, 20))
    assert not torch.equal(kept, highest(action - privacy, 20))


@torch.no_grad()
def test_privacy_only_counts_and_tubes_are_as_of_the_method() -> None:
    vit, video = network(2), clips()
    kept = pruned_mask(vit, video, PruningConfig(blocks=(0, 1, 2), keep=0.5, temporal="tube"), by="privacy_only")
    assert kept.flatten(1).sum(1).tolist() == [24] * 3
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    rate = PruningConfig(blocks=(0, 2), keep_rate=0.7, fuse=False)
    tokens = vit.encode(video, reduction=PrivacyOnlyPruning(GRID, rate, depth=3)).tokens
    assert tokens.ids.shape[1] == 2 + math.ceil(0.7 * math.ceil(0.7 * PLACES))


@torch.no_grad()
def test_a_single_token_keeps_what_it_looks_at() -> None:
    vit, video = network(1), clips()
    weights = vit.encode(video, return_attention=(1,), attention_rows="cls").attention[1]
    shares = weights.mean(1)[:, 0, 1:]
    kept = pruned_mask(vit, video, PruningConfig(blocks=(1,), keep=0.4, isolate_cls=True), by="single_token")
    assert torch.equal(kept, highest(shares, 20))
    with pytest.raises(ValueError, match="one CLS token and its attention are needed, got 2"):
        pruned_mask(network(2), video, PruningConfig(blocks=(1,)), by="single_token")


@torch.no_grad()
@pytest.mark.parametrize("num_cls", [0, 1])
def test_one_block_of_merging_is_that_of_the_reference(num_cls: int) -> None:
    video = clips()
    if num_cls == 0:
        vit = network(0, depth=1)
        ours, theirs = (vit.encode(video, reduction=each(7)).tokens.values for each in (TokenMerging, Merging))
        assert ours.shape == theirs.shape == (3, PLACES - 7, 24)
        for mine, other in zip(ours, theirs, strict=True):  # the same tokens in another order
            nearest = torch.cdist(mine, other, compute_mode="donot_use_mm_for_euclid_dist").min(1)
            assert float(nearest.values.max()) < 1e-4
            assert len(set(nearest.indices.tolist())) == PLACES - 7
    tokens = network(num_cls).encode(video, reduction=TokenMerging(7)).tokens
    assert tokens.ids.shape[1] == num_cls + PLACES - 3 * 7
    assert tokens.notes["sizes"].sum(1).tolist() == [PLACES] * 3
    for sizes, holders in zip(tokens.notes["sizes"], tokens.notes["holders"], strict=True):
        assert torch.equal(torch.bincount(holders, minlength=len(sizes)).float(), sizes)


def test_means_are_over_the_places_that_tokens_stand_for() -> None:
    """Places 0, 1 and 2 look the same way, place 3 another: in two steps the three become one token, their mean."""
    directions = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])[None, None]
    values = torch.tensor([[[1.0], [2.0], [6.0], [50.0]]])
    tokens = Tokens(values=values, ids=torch.arange(4)[None], clips=torch.zeros(1, 4, dtype=torch.int64))
    merging = TokenMerging(1)
    once = merging.after_attention(0, tokens, Attended(keys=directions, weights=None))
    assert once.values.flatten().tolist() == [1.5, 6.0, 50.0]
    assert once.notes["holders"].tolist() == [[0, 0, 1, 2]]
    assert merging.attention_bias(1, once).exp().flatten().tolist() == pytest.approx([2, 1, 1])
    twice = merging.after_attention(1, once, Attended(keys=directions[:, :, [1, 2, 3]], weights=None))
    assert twice.values.flatten().tolist() == [3.0, 50.0]
    assert twice.notes["sizes"].tolist() == [[3, 1]]
    assert twice.notes["holders"].tolist() == [[0, 0, 0, 1]]
    with pytest.raises(ValueError, match="num_merged is -1; allowed: 0 or more"):
        TokenMerging(-1)


@torch.no_grad()
def test_what_is_there_many_times_over_is_hidden() -> None:
    vit, video = network(1), clips()
    vit.positions.zero_()
    video[:, :, :, :, 16:] = 0.3  # the right half is all alike
    kept = merging_mask(vit, video, keep=0.5)
    assert kept.flatten(1).sum(1).tolist() == [24] * 3
    assert float(kept[..., :2].float().mean()) > 0.8  # a half is that by chance
    tubes = merging_mask(vit, video, keep=0.5, tube=True)
    assert tubes.flatten(1).sum(1).tolist() == [24] * 3
    assert torch.equal(tubes, tubes[:, :1].expand_as(tubes))


def test_boxes_are_blackened_or_blurred_and_nothing_else() -> None:
    video = clips(2)
    nobody = torch.zeros(0, 4)
    boxes = [[nobody] * 8 for _ in range(2)]
    assert torch.equal(boxes_hidden(video, boxes), video)
    boxes[1][3] = torch.tensor([[3.2, 5.0, 6.0, 7.5], [-4.0, 20.0, 2.0, 40.0]])
    mask = box_mask(boxes, (24, 32))
    assert int(mask.sum()) == 3 * 3 + 2 * 4  # columns 3 to 5 of rows 5 to 7; columns 0 and 1 of rows 20 to 23
    assert bool(mask[1, 0, 3, 5:8, 3:6].all()) and bool(mask[1, 0, 3, 20:, :2].all())
    black, blur = (boxes_hidden(video, boxes, fill=fill, sigma_px=2.0) for fill in ("black", "blur"))
    for hidden, inside in ((black, torch.zeros_like(video)), (blur, blurred(video, 2.0))):
        assert torch.equal(hidden, torch.where(mask, inside, video))
    assert not torch.equal(blur, video)


def test_boxes_that_are_none_are_refused() -> None:
    nobody = torch.zeros(0, 4)
    with pytest.raises(ValueError, match=r"boxes are for 1 clips of 2 frames, and the clips are 3 of 8"):
        boxes_hidden(clips(), [[nobody] * 2])
    with pytest.raises(ValueError, match=r"clips have boxes for \[1, 2\] frames"):
        box_mask([[nobody], [nobody] * 2], (8, 8))
    for box in ([5.0, 1.0, 2.0, 3.0], [math.nan, 1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match=r"clip 0, frame 0: box is .*; needed: x0, y0, x1, y1"):
            box_mask([[torch.tensor([box])]], (8, 8))
