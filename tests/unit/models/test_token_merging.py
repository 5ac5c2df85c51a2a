"""Merged tokens: counts, means, and what a plain loop finds."""

from __future__ import annotations

import pytest
import torch
from tests.support.reductions import Merging
from torch import Tensor

from tubelet.models.token_merging import TokenMerging, _matched, hand_likeness, place_sizes
from tubelet.models.token_reduction import Attended, Tokens
from tubelet.models.vit import VideoViT


def network(attention: str, num_cls_tokens: int, depth: int = 4) -> VideoViT:
    torch.manual_seed(0)
    model = VideoViT(
        5,
        num_frames=4,
        size_px=24,
        tubelet=(1, 4, 4),
        channels=32,
        depth=depth,
        num_heads=4,
        attention=attention,  # type: ignore[arg-type]
        num_cls_tokens=num_cls_tokens,
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture
def video() -> Tensor:
    return torch.rand(2, 3, 4, 24, 24, generator=torch.Generator().manual_seed(1))


def one_by_one(keys: Tensor, count: int, num_cls: int) -> list[tuple[int, int]]:
    """Pairs of columns, from and to, by comparing every pair."""
    found = []
    for ours in range(num_cls, len(keys), 2):
        alike = {
            theirs: float(torch.nn.functional.cosine_similarity(keys[ours], keys[theirs], dim=0))
            for theirs in range(num_cls + 1, len(keys), 2)
        }
        best = max(alike, key=lambda theirs: alike[theirs])
        found.append((alike[best], ours, best))
    return [(ours, theirs) for _, ours, theirs in sorted(found, reverse=True)[:count]]


@pytest.mark.parametrize("num_cls", [0, 1, 2])
def test_the_most_similar_pairs_are_matched(num_cls: int) -> None:
    keys = torch.randn(3, 11, 8, generator=torch.Generator().manual_seed(2))
    into, stay = _matched(keys, 3, num_cls)
    for row in range(3):
        pairs = dict(one_by_one(keys[row], 3, num_cls))
        assert stay[row].tolist() == [column for column in range(11) if column not in pairs]
        for column in range(11):
            assert int(stay[row, into[row, column]]) == pairs.get(column, column)


@pytest.mark.parametrize("attention", ["frame", "joint"])
@pytest.mark.parametrize("num_cls_tokens", [0, 1])
@pytest.mark.parametrize("keep", [0.75, 0.5])
def test_as_many_are_left_as_asked_for(video: Tensor, attention: str, num_cls_tokens: int, keep: float) -> None:
    model = network(attention, num_cls_tokens)
    seen: list[int] = []

    class Watched(TokenMerging):
        def after_attention(self, block, tokens, attended):  # type: ignore[no-untyped-def]
            shorter = super().after_attention(block, tokens, attended)
            seen.append(shorter.ids.shape[1] - shorter.num_cls)
            return shorter

    encoded = model.encode(video, reduction=Watched(keep, 4), taps=[1])
    places = 36 if attention == "frame" else 144
    assert seen[-1] == keep * places
    assert seen == sorted(seen, reverse=True)
    assert encoded.tokens.ids.shape[1] == places + num_cls_tokens
    assert encoded.taps[1].ids.shape[1] == places + num_cls_tokens
    sizes = encoded.tokens.notes["sizes"]
    assert sizes.sum(1).unique().tolist() == [places + num_cls_tokens]


@torch.no_grad()
def test_one_block_is_that_of_the_reference(video: Tensor) -> None:
    model = network("joint", 0, depth=1)
    merged = model.encode(video, reduction=TokenMerging(1 - 30 / 144, 1)).tokens
    reference = model.encode(video, reduction=Merging(30)).tokens
    assert reference.values.shape == (2, 114, 32)
    for places, sizes, mine, theirs in zip(
        place_sizes(merged), reference.notes["sizes"], merged.values, reference.values, strict=True
    ):  # the same tokens in another order, and one of ours for every place
        nearest = torch.cdist(mine, theirs, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        assert float(nearest.values.max()) < 1e-5
        assert torch.equal(sizes[nearest.indices], places)
        assert torch.equal(torch.bincount(nearest.indices, minlength=114).float(), sizes)


def test_means_are_over_the_places_that_tokens_stand_for() -> None:
    """Places 0, 1 and 2 look the same way, place 3 another: in two steps the three become one token, their mean."""
    directions = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])[None, None]
    values = torch.tensor([[[1.0], [2.0], [6.0], [50.0]]])
    merging = TokenMerging(0.5, 2)
    tokens = merging.start(Tokens(values=values, ids=torch.arange(4)[None], clips=torch.zeros(1, 4, dtype=torch.int64)))
    assert place_sizes(tokens).tolist() == [[1, 1, 1, 1]]
    assert merging.attention_bias(0, tokens) is None
    once = merging.after_attention(0, tokens, Attended(keys=directions, weights=None))
    assert once.values.flatten().tolist() == [1.5, 6.0, 50.0]
    bias = merging.attention_bias(1, once)
    assert bias is not None
    assert bias.exp().flatten().tolist() == pytest.approx([2, 1, 1])
    twice = merging.after_attention(1, once, Attended(keys=directions[:, :, [1, 2, 3]], weights=None))
    assert twice.values.flatten().tolist() == [3.0, 50.0]
    assert twice.notes["sizes"].tolist() == [[3, 1]]
    assert place_sizes(twice).tolist() == [[3, 3, 3, 1]]
    restored = merging.after_block(1, twice)
    assert restored.values.flatten().tolist() == [3.0, 3.0, 3.0, 50.0]
    assert place_sizes(restored).tolist() == [[3, 3, 3, 1]]


def test_hands_are_dealt_by_turns_and_cls_tokens_to_none() -> None:
    keys = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(3))
    alike = hand_likeness(keys, 1)
    assert alike.shape == (2, 3, 2)
    for row, first, second in ((0, 0, 0), (1, 2, 1), (1, 0, 1)):
        expected = torch.nn.functional.cosine_similarity(keys[row, 1 + 2 * first], keys[row, 2 + 2 * second], dim=0)
        assert float(alike[row, first, second]) == pytest.approx(float(expected), abs=1e-6)


def test_equal_tokens_merge_without_loss() -> None:
    """Where all patches are the same, merging changes nothing: attention counts each as often as it stands for."""
    model = network("joint", 1)
    with torch.no_grad():
        model.positions.zero_()
    even = torch.ones(1, 3, 4, 24, 24) * 0.3
    torch.testing.assert_close(model(even, reduction=TokenMerging(0.3, 4)), model(even), atol=1e-5, rtol=1e-5)


def test_nothing_merges_where_all_is_kept(video: Tensor) -> None:
    model = network("joint", 0)
    assert bool((model(video, reduction=TokenMerging(1.0, 4)) == model(video)).all())


def test_gradients_reach_all_pixels(video: Tensor) -> None:
    video.requires_grad_()
    network("joint", 1)(video, reduction=TokenMerging(0.5, 4)).square().sum().backward()
    assert video.grad is not None
    assert float((video.grad != 0).float().mean()) > 0.99


@pytest.mark.parametrize("keep", [0.0, 1.5, -0.1])
def test_shares_that_are_none_are_refused(keep: float) -> None:
    with pytest.raises(ValueError, match=rf"keep is {keep:g}; allowed: more than 0, at most 1"):
        TokenMerging(keep, 4)
