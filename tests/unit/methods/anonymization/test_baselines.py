"""Baselines that hide by one token's attention, by merging, and by boxes."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from tubelet.methods.anonymization.baselines import (
    PrivacyOnlyPruning,
    blurred,
    box_mask,
    boxes_hidden,
    merging_mask,
    pruned_mask,
)
from tubelet.methods.anonymization.pruning import PruningConfig, attention_shares
from tubelet.models.token_merging import TokenMerging
from tubelet.models.vit import VideoViT

GRID = (4, 3, 4)
PLACES = math.prod(GRID)


def network(num_cls: int, depth: int = 3, attention: Literal["joint", "frame"] = "joint") -> VideoViT:
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
        attention=attention,
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


@torch.no_grad()
@pytest.mark.parametrize(
    ("attention", "keep", "in_each"),
    [("joint", 1.0, 0), ("joint", 0.8, 4), ("joint", 0.5, 8), ("frame", 0.8, 1), ("frame", 0.5, 2)],
)
def test_every_block_merges_as_many(
    attention: Literal["joint", "frame"], keep: float, in_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    merged = TokenMerging.num_merged

    def counted(self: TokenMerging, block: int, num_tokens: int, num_cls: int, num_places: int) -> int:
        counts.append(merged(self, block, num_tokens, num_cls, num_places))
        return counts[-1]

    monkeypatch.setattr(TokenMerging, "num_merged", counted)
    kept = merging_mask(network(1, attention=attention), clips(), keep=keep)
    assert counts == [in_each] * 3
    assert kept.flatten(1).sum(1).tolist() == [math.ceil(keep * PLACES)] * 3


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
