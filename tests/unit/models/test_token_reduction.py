"""The one argument through which methods reduce tokens carries each kind of method there is."""

from __future__ import annotations

import pytest
import torch
from reductions import (
    ContrastivePruning,
    FrameDropping,
    IsolatedCls,
    KeepAll,
    Merging,
    RandomPruning,
    ScoredPruning,
)
from torch import Tensor, nn

from tubelet.models import vit_layers
from tubelet.models.token_reduction import FIRST_CLS, FUSED, PADDING, TokenReduction, Tokens
from tubelet.models.vit import VideoViT

PLACES = 2 * 4 * 4


def network(**options: object) -> VideoViT:
    torch.manual_seed(0)
    sizes = {"num_frames": 4, "size_px": 32, "tubelet": (2, 8, 8), "channels": 32, "depth": 4, "num_heads": 4}
    return VideoViT(5, **(sizes | options)).eval()


@pytest.fixture
def video() -> Tensor:
    return torch.randn(3, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("num_cls_tokens", [0, 2])
@pytest.mark.parametrize("attention", ["joint", "frame"])
def test_the_reduction_that_does_nothing_changes_no_bit(video: Tensor, attention: str, num_cls_tokens: int) -> None:
    model = network(attention=attention, num_cls_tokens=num_cls_tokens)
    plain = model(video)
    assert torch.equal(model(video, reduction=TokenReduction()), plain)
    assert torch.equal(model(video, reduction=KeepAll()), plain)


def test_looking_at_cls_attention_changes_no_bit_and_whole_maps_only_rounding(video: Tensor) -> None:
    model = network(num_cls_tokens=2)
    plain = model(video)
    assert torch.equal(model(video, reduction=KeepAll("cls")), plain)
    torch.testing.assert_close(model(video, reduction=KeepAll("all")), plain, rtol=1e-6, atol=1e-6)


def test_attention_is_computed_openly_only_where_it_is_asked_for(
    video: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, fused = [], []
    weights, kernel = vit_layers._weights, nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(vit_layers, "_weights", lambda q, k, m: opened.append(q.shape[2]) or weights(q, k, m))
    monkeypatch.setattr(
        nn.functional, "scaled_dot_product_attention", lambda *a, **k: fused.append(1) or kernel(*a, **k)
    )
    network(num_cls_tokens=2)(video, reduction=ContrastivePruning({1, 2}, keep=0.7))
    assert opened == [2, 2]
    assert len(fused) == 4


@pytest.mark.parametrize("num_cls_tokens", [1, 2])
def test_dropping_tokens_equals_masking_their_keys(video: Tensor, num_cls_tokens: int) -> None:
    model = network(num_cls_tokens=num_cls_tokens)
    dropped = model(video, reduction=RandomPruning(11, after_block=1))
    masked = model(video, reduction=RandomPruning(11, after_block=1, mask=True))
    torch.testing.assert_close(dropped, masked, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(dropped, model(video), atol=1e-4)


def test_contrastive_pruning_keeps_the_counts_ids_and_shares_of_its_definition(video: Tensor) -> None:
    model = network(num_cls_tokens=2)
    encoded = model.encode(video, reduction=ContrastivePruning({0, 1, 2}, keep=0.7), return_attention=(0,))
    count, counts = PLACES, []
    for _ in range(3):
        count = -int(-0.7 * count // 1) + 1
        counts.append(count)
    assert encoded.tokens.values.shape[1] == 2 + counts[-1]
    for row in encoded.tokens.ids.tolist():
        assert row[:2] == [FIRST_CLS, FIRST_CLS - 1]
        places = [token_id for token_id in row if token_id >= 0]
        assert len(places) == len(set(places)) and max(places) < PLACES
        assert 1 <= row.count(FUSED) <= 3
    for scores in encoded.tokens.notes["scores"]:
        torch.testing.assert_close(scores.sum(1), torch.full((3,), 0.5))
    shares = encoded.attention[0].mean(1)[:, 0, 2:]
    contrast = encoded.attention[0].mean(1)[:, 1, 2:]
    expected = shares / shares.sum(1, keepdim=True) - 0.5 * contrast / contrast.sum(1, keepdim=True)
    torch.testing.assert_close(encoded.tokens.notes["scores"][0], expected)
    assert encoded.cls.shape == (3, 2, 32)


def test_without_fusing_no_removed_value_reaches_the_logits(video: Tensor) -> None:
    model = network(num_cls_tokens=2)
    kept = model.encode(video, reduction=ContrastivePruning({3}, keep=0.5, fuse=False)).tokens
    fused = model.encode(video, reduction=ContrastivePruning({3}, keep=0.5)).tokens
    torch.testing.assert_close(fused.values[:, :-1], kept.values)
    assert FUSED not in kept.ids and bool((fused.ids[:, -1] == FUSED).all())


def test_what_is_shown_to_the_caller_does_not_change_what_the_reduction_sees(video: Tensor) -> None:
    model, reduction = network(num_cls_tokens=2), ContrastivePruning({1}, keep=0.5)
    alone = model.encode(video, reduction=reduction)
    shown = model.encode(video, reduction=reduction, return_attention=(1, 2))
    assert torch.equal(alone.tokens.ids, shown.tokens.ids)
    assert shown.attention[1].shape == (3, 4, 34, 34)
    assert shown.attention[2].shape == (3, 4, 19, 19)


def test_isolated_cls_tokens_do_not_see_each_other(video: Tensor) -> None:
    model = network(num_cls_tokens=2)
    shown = model.encode(video, reduction=IsolatedCls(), return_attention=(0, 3))
    for weights in shown.attention.values():
        between = weights.detach()[:, :, :2, :2]
        assert torch.equal(between, between * torch.eye(2))
        assert float(between.diagonal(dim1=-2, dim2=-1).min()) > 0
    assert not torch.allclose(shown.pooled, model.encode(video).pooled, atol=1e-6)


def test_an_additive_key_bias_is_what_the_softmax_says(video: Tensor) -> None:
    model = network()
    bias = torch.randn(3, 1, PLACES, generator=torch.Generator().manual_seed(2))

    class Biased(TokenReduction):
        def attention_bias(self, block: int, tokens: Tokens) -> Tensor | None:
            return bias if block == 0 else None

    plain = model.encode(video, return_attention=(0,)).attention[0]
    biased = model.encode(video, reduction=Biased(), return_attention=(0,)).attention[0]
    torch.testing.assert_close(biased, (plain.log() + bias[:, None]).softmax(-1), rtol=1e-4, atol=1e-6)
    fused = model(video, reduction=Biased())
    torch.testing.assert_close(fused, model.head(model.encode(video, reduction=Biased(), return_attention=(0,)).pooled))

    class Constant(TokenReduction):
        def attention_bias(self, block: int, tokens: Tokens) -> Tensor:
            return torch.full((3, 1, PLACES), -1.5)

    torch.testing.assert_close(model(video, reduction=Constant()), model(video), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_removed", [0, 20, 41])
def test_scored_pruning_gives_the_same_however_frames_are_packed(video: Tensor, num_removed: int) -> None:
    model = network(attention="frame")
    results, gradients = [], []
    for pack in ("pad", "bins", "loop"):
        torch.manual_seed(5)
        reduction = ScoredPruning(32, after_block=1, num_removed=num_removed, pack=pack)
        encoded = model.encode(video, reduction=reduction, taps=(1, 3))
        there = encoded.tokens.ids != PADDING
        assert int(there.sum()) == 3 * PLACES - num_removed
        values, kept = encoded.taps[3].on_grid(3, PLACES)
        assert int(kept.sum()) == 3 * PLACES - num_removed and bool((values[~kept] == 0).all())
        model.zero_grad()
        model.head(encoded.pooled).square().sum().backward()
        results.append((encoded.pooled, values))
        gradients.append(reduction.score.weight.grad)
        assert float(reduction.score.weight.grad.abs().sum()) > 0
        if pack == "bins" and num_removed == 41:
            assert len(encoded.tokens.ids) < 6
    for other, gradient in zip(results[1:], gradients[1:], strict=True):
        torch.testing.assert_close(other, results[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-4, atol=1e-5)


def test_the_task_reaches_the_scorer_only_through_the_bias(video: Tensor) -> None:
    model = network(attention="frame")
    reduction = ScoredPruning(32, after_block=1, num_removed=10, bias=False)
    model(video, reduction=reduction).sum().backward()
    assert reduction.score.weight.grad is None


def test_all_kept_through_the_packed_path_is_the_dense_network(video: Tensor) -> None:
    model = network(attention="frame")
    for pack in ("pad", "bins", "loop"):
        reduction = ScoredPruning(32, after_block=0, num_removed=0, pack=pack, bias=False)
        torch.testing.assert_close(model(video, reduction=reduction), model(video), rtol=1e-5, atol=1e-5)


def test_a_clip_alone_gives_what_it_gives_in_a_batch(video: Tensor) -> None:
    model = network(attention="frame", num_cls_tokens=1)

    class PruneEvenPlaces(TokenReduction):
        def after_block(self, block: int, tokens: Tokens) -> Tokens:
            return tokens.compacted((tokens.ids < 0) | (tokens.ids % (2 + tokens.clips) != 0)) if block == 1 else tokens

    together = model(video, reduction=PruneEvenPlaces())
    torch.testing.assert_close(together[:1], model(video[:1], reduction=PruneEvenPlaces()), rtol=1e-5, atol=1e-5)


def test_merging_halves_tokens_and_counts_every_place_once(video: Tensor) -> None:
    model = network()
    tokens = model.encode(video, reduction=Merging(4)).tokens
    assert tokens.values.shape[1] == PLACES - 4 * 4
    torch.testing.assert_close(tokens.notes["sizes"].sum(1), torch.full((3,), float(PLACES)))
    torch.testing.assert_close(model(video, reduction=Merging(0))[0].shape, model(video)[0].shape)


def test_merging_equal_tokens_with_their_sizes_changes_nothing() -> None:
    model = network(depth=2)
    with torch.no_grad():
        model.positions.zero_()
    still = torch.randn(1, 3, 1, 8, 8).repeat(1, 1, 4, 4, 4)
    torch.testing.assert_close(model(still, reduction=Merging(7)), model(still), rtol=1e-5, atol=1e-5)


def test_dropping_frames_before_the_first_block_is_the_shorter_clip_at_the_same_positions(video: Tensor) -> None:
    model = network()
    dropped = model(video, reduction=FrameDropping([0], places_per_step=16))
    shorter = network(num_frames=2)
    shorter.load_state_dict(model.state_dict())
    shorter.positions = model.positions[:, :16]
    torch.testing.assert_close(dropped, shorter(video[:, :, :2]), rtol=1e-5, atol=1e-5)


def test_cls_attention_needs_cls_tokens(video: Tensor) -> None:
    with pytest.raises(
        ValueError, match="block 0: the attention of CLS tokens was asked for, but rows of tokens begin"
    ):
        network()(video, reduction=KeepAll("cls"))


def test_a_clip_with_no_token_left_is_an_error(video: Tensor) -> None:
    class EmptyFirstClip(TokenReduction):
        def after_block(self, block: int, tokens: Tokens) -> Tokens:
            return tokens.compacted(tokens.clips > 0)

    with pytest.raises(ValueError, match="no token of clip 0 is left to read out"):
        network()(video, reduction=EmptyFirstClip())


def test_padding_is_neither_attended_to_nor_read_out(video: Tensor) -> None:
    model = network()

    class Ragged(TokenReduction):
        def after_block(self, block: int, tokens: Tokens) -> Tokens:
            return tokens.compacted(tokens.ids < 10 + 6 * tokens.clips) if block == 1 else tokens

    encoded = model.encode(video, reduction=Ragged())
    assert encoded.tokens.ids.shape == (3, 22)
    assert (encoded.tokens.ids != PADDING).sum(1).tolist() == [10, 16, 22]
    alone = torch.cat(
        [model.encode(video[index : index + 1], reduction=Cut(10 + 6 * index)).pooled for index in range(3)]
    )
    torch.testing.assert_close(encoded.pooled, alone, rtol=1e-5, atol=1e-5)


class Cut(TokenReduction):
    """Keeps the first places after block 1."""

    def __init__(self, count: int) -> None:
        self.count = count

    def after_block(self, block: int, tokens: Tokens) -> Tokens:
        return tokens.gathered(torch.arange(self.count).expand(len(tokens.ids), -1)) if block == 1 else tokens
