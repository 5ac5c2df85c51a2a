"""Which tubelets stay: counts, order, equivalence with masking, the fused token."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tubelet.methods.anonymization.model import DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import (
    ContrastPruning,
    PruningConfig,
    attention_shares,
    flops,
    removed,
    smoothed,
    top,
)
from tubelet.models.token_reduction import FUSED, Attended, TokenReduction, Tokens
from tubelet.models.vit import VideoViT

SHAPE = VitShape(
    num_frames=4, size_px=32, tubelet=(2, 8, 8), channels=24, depth=4, num_heads=3, dropout=0.0,
    attention_dropout=0.0, drop_path=0.0,
)  # fmt: skip
PRUNING = PruningConfig(blocks=(1, 2, 3), keep_rate=0.8)


def network(seed: int = 0) -> DualTokenViT:
    torch.manual_seed(seed)
    return DualTokenViT(5, 3, SHAPE).eval()


def clips(count: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, 4, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_with_nothing_removed_it_is_the_network_without_pruning() -> None:
    model, video = network(), clips()
    found = model(video, replace(PRUNING, keep_rate=1.0))
    plain = model.vit.encode(video)
    torch.testing.assert_close(found.actions, model.vit.head(plain.cls[:, 0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.private, model.privacy_head(plain.cls[:, 1]), rtol=0, atol=1e-6)
    assert bool(found.kept.all())


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("rate", [0.9, 0.5, 0.31])
def test_counts_follow_the_rate(rate: float, fuse: bool) -> None:
    found = network()(clips(), replace(PRUNING, keep_rate=rate, fuse=fuse))
    expected, present = 32, 32
    for _ in range(3):
        expected = math.ceil(rate * present - 1e-9)
        present = expected + int(fuse)
    ids = found.tokens.ids[:, 2:]
    assert ids.shape[1] == present
    for row in ids:
        places = row[row >= 0]
        assert len(places.unique()) == len(places)
        assert int((row == FUSED).sum()) <= (3 if fuse else 0)  # one of each block, where it was ranked among the best
        assert int(places.max()) < 32
        assert places.tolist() == sorted(places.tolist())


def test_the_published_counts() -> None:
    reduction, counts = ContrastPruning((8, 14, 14), PruningConfig(), depth=12), []
    ids = torch.cat([torch.tensor([-3, -4]), torch.arange(1568)])[None]
    tokens = Tokens(values=torch.rand(1, 1570, 4), ids=ids, clips=torch.zeros_like(ids), num_cls=2)
    for block in range(12):
        weights = torch.rand(1, 3, 2, tokens.ids.shape[1]).softmax(-1)
        attended = Attended(keys=torch.zeros(1, 3, tokens.ids.shape[1], 1), weights=weights)
        before = tokens.ids.shape[1]
        tokens = reduction.after_attention(block, tokens, attended)
        if tokens.ids.shape[1] != before:
            counts.append(tokens.ids.shape[1] - 3)  # less two CLS tokens and the newest fused one
    assert counts == [1412, 1272, 1146]


def test_the_published_operations() -> None:
    sizes = {"num_places": 1568, "channels": 768, "depth": 12, "mlp_ratio": 4.0, "patch_values": 0}  # blocks alone
    for rate, giga in ((1.0, 357.6), (0.9, 294.1), (0.8, 242.7), (0.7, 201.7), (0.5, 142.7)):
        assert flops(PruningConfig(keep_rate=rate), **sizes) / 1e9 == pytest.approx(giga, rel=0.01)


@pytest.mark.parametrize("temporal", ["none", "ema", "tube"])
@pytest.mark.parametrize("keep", [1.0, 0.5, 0.3])
def test_a_share_of_all_is_kept_exactly(keep: float, temporal: str) -> None:
    found = network()(clips(3), replace(PRUNING, keep=keep, temporal=temporal))  # type: ignore[arg-type]
    counts = found.kept.flatten(1).sum(1).tolist()
    if temporal == "tube":
        assert bool((found.kept == found.kept[:, :1]).all())
        assert counts == [2 * math.ceil(keep * 16 - 1e-9)] * 3
    else:
        assert counts == [math.ceil(keep * 32 - 1e-9)] * 3


class _Masking(TokenReduction):
    """Keeps every token, and lets nothing attend to those that pruning would have removed."""

    def __init__(self, pruning: ContrastPruning) -> None:
        self.pruning = pruning
        self.gone: torch.Tensor | None = None
        self.kept_ids: list[torch.Tensor] = []

    def attention_rows(self, block):  # type: ignore[no-untyped-def]
        return self.pruning.attention_rows(block)

    def attention_bias(self, block, tokens):  # type: ignore[no-untyped-def]
        if self.gone is None:
            return None
        return torch.zeros(tokens.ids.shape)[:, None].masked_fill(self.gone[:, None], -math.inf)

    def after_attention(self, block, tokens, attended):  # type: ignore[no-untyped-def]
        if block not in self.pruning.config.blocks:
            return tokens
        action, privacy = attention_shares(attended.weights, tokens.num_cls)
        scores = action - self.pruning.config.privacy_weight * privacy
        gone = torch.zeros(tokens.ids.shape, dtype=torch.bool) if self.gone is None else self.gone
        scores = scores.masked_fill(gone[:, 2:], -math.inf)
        count = math.ceil(self.pruning.config.keep_rate * int((~gone[0, 2:]).sum()) - 1e-9)
        kept = top(scores, count)
        self.gone = torch.cat([torch.zeros(len(kept), 2, dtype=torch.bool), ~kept], dim=1)
        return tokens


def test_dropping_is_masking() -> None:
    model, video = network(), clips()
    config = replace(PRUNING, fuse=False)
    reduction = ContrastPruning((2, 4, 4), config, depth=4)
    dropped = model.vit.encode(video, reduction=reduction)
    hidden = model.vit.encode(video, reduction=_Masking(reduction))
    torch.testing.assert_close(dropped.cls, hidden.cls, rtol=0, atol=1e-5)


def test_shares_and_their_contrast() -> None:
    weights = torch.rand(2, 3, 2, 12).softmax(-1)
    action, privacy = attention_shares(weights, 2)
    for shares in (action, privacy):
        assert bool((shares >= 0).all())
        torch.testing.assert_close(shares.sum(1), torch.ones(2))
    torch.testing.assert_close((action - 0.5 * privacy).sum(1), torch.full((2,), 0.5))
    # Where both look at the same, the action's order is left.
    assert ((action - 0.5 * action).argsort() == action.argsort()).all()


def test_weight_zero_looks_at_the_action_alone() -> None:
    model, video = network(), clips()
    with torch.no_grad():
        alone = model(video, replace(PRUNING, privacy_weight=0.0)).kept
        strong = model(video, replace(PRUNING, privacy_weight=4.0)).kept
    rows = model.vit.encode(video, return_attention=[1], attention_rows="cls").attention[1]
    action, _ = attention_shares(rows, 2)
    assert (alone.flatten(1) & ~top(action, math.ceil(0.8 * 32))).sum() == 0
    assert (alone != strong).any()


def test_the_fused_token_is_the_weighted_sum_of_what_went() -> None:
    values = torch.rand(2, 7, 4)
    tokens = Tokens(
        values=values,
        ids=torch.tensor([[-3, -4, 0, 1, 2, 3, 4]] * 2),
        clips=torch.tensor([[0] * 7, [1] * 7]),
        num_cls=2,
    )
    kept = torch.tensor([[True, False, True, False, True]] * 2)
    weights = torch.rand(2, 5)
    shorter = removed(tokens, kept, weights)
    for row in range(2):
        expected = weights[row, 1] * values[row, 3] + weights[row, 3] * values[row, 5]
        torch.testing.assert_close(shorter.values[row, -1], expected)
    assert shorter.ids.tolist() == [[-3, -4, 0, 2, 4, FUSED]] * 2
    order = torch.tensor([4, 1, 2, 3, 0])
    mixed = Tokens(
        values=torch.cat([values[:, :2], values[:, 2:][:, order]], 1), ids=tokens.ids, clips=tokens.clips, num_cls=2
    )
    again = removed(mixed, kept[:, order], weights[:, order])
    torch.testing.assert_close(again.values[:, -1], shorter.values[:, -1])


def test_without_fusion_no_removed_value_reaches_the_logits() -> None:
    """Tokens that the last pruning block removes could be anything."""
    model, video = network(), clips(1)
    config = PruningConfig(blocks=(3,), keep_rate=0.5, fuse=False)
    with torch.no_grad():
        kept = model(video, config).kept.flatten()

    class Disturbed(ContrastPruning):
        def after_attention(self, block, tokens, attended):  # type: ignore[no-untyped-def]
            if block == 3:
                noise = torch.zeros_like(tokens.values)
                noise[:, 2:][:, ~kept] = 100.0
                tokens = tokens.with_values(tokens.values + noise)
            return super().after_attention(block, tokens, attended)

    plain = model.vit.encode(video, reduction=ContrastPruning((2, 4, 4), config, depth=4))
    other = model.vit.encode(video, reduction=Disturbed((2, 4, 4), config, depth=4))
    torch.testing.assert_close(plain.cls, other.cls, rtol=0, atol=0)
    fused = model.vit.encode(video, reduction=Disturbed((2, 4, 4), replace(config, fuse=True), depth=4))
    assert fused.tokens.ids[0, -1] == FUSED


def test_clips_of_a_batch_do_not_meet() -> None:
    model, video = network(), clips(3)
    with torch.no_grad():
        together, alone = model(video, PRUNING), model(video[1:2], PRUNING)
    torch.testing.assert_close(together.actions[1:2], alone.actions, rtol=0, atol=1e-5)
    assert (together.kept[1:2] == alone.kept).all()


def test_ties_go_to_the_lower_place() -> None:
    assert top(torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0]]), 2).tolist() == [[False, True, True, False, False]]


def test_isolated_tokens_do_not_attend_to_each_other() -> None:
    model, video = network(), clips(1)
    config = replace(PRUNING, isolate_cls=True)
    reduction = ContrastPruning((2, 4, 4), config, depth=4)
    rows = model.vit.encode(video, reduction=reduction, return_attention=[0], attention_rows="cls").attention[0]
    assert rows[0, :, 0, 1].abs().max() == 0
    assert rows[0, :, 1, 0].abs().max() == 0
    assert rows[0, :, 0, 0].min() > 0


def test_smoothing_runs_along_time() -> None:
    scores = torch.tensor([[0.0, 1.0, 4.0, 3.0, 8.0]])
    ids = torch.tensor([[0, 1, 2, 4, FUSED]])  # a grid of 3 steps of one row and two columns; places 3 and 5 are gone
    expected = [0.0, 1.0, 2.0, 0.5 * 3 + 0.5 * 2.0, 8.0]
    assert smoothed(scores, ids, (3, 1, 2))[0].tolist() == pytest.approx(expected)


def test_a_flip_of_the_clip_flips_the_mask() -> None:
    """A network that knows no places: the same mask, turned round."""
    model = network()
    with torch.no_grad():
        model.vit.positions.zero_()
        model.vit.patch_embed.weight.copy_(
            model.vit.patch_embed.weight.mean((3, 4), keepdim=True).expand(-1, -1, -1, 8, 8)
        )
        kept = model(clips(), PRUNING).kept
        flipped = model(clips().flip(-1), PRUNING).kept
    assert (kept.flip(-1) == flipped).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keep_rate": 0.0}, "keep_rate is 0"),
        ({"keep": 1.5}, "keep is 1.5"),
        ({"privacy_weight": 5.0}, "privacy_weight is 5"),
        ({"blocks": (3, 1)}, "blocks are"),
    ],
)
def test_settings_that_are_not_allowed(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(PRUNING, **changes)


def test_a_block_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="block 8 is to prune, and the network has blocks 0 to 3"):
        network()(clips(), PruningConfig(blocks=(2, 8)))


def test_two_cls_tokens_are_needed() -> None:
    torch.manual_seed(0)
    vit = VideoViT(2, num_frames=4, size_px=32, tubelet=(2, 8, 8), channels=24, depth=4, num_heads=3, num_cls_tokens=1)
    with pytest.raises(ValueError, match="two CLS tokens"):
        vit(clips(), reduction=ContrastPruning((2, 4, 4), PRUNING, depth=4))


def test_where_tubelets_mix_by_place_nothing_wanders() -> None:
    """What stands at one place of the picture reaches no token of another: none carries it when it is removed."""
    model, video = network(), clips(1)
    config = replace(PRUNING, keep_rate=1.0, mixing="place", isolate_cls=True)
    other = video.clone()
    other[:, :, :, 8:16, 16:24] = torch.rand(1, 3, 4, 8, 8)  # the place in row 1, column 2
    with torch.no_grad():
        before, after = (model(each, config).tokens for each in (video, other))
    changed = (before.values != after.values).any(-1)[0, 2:].view(2, 4, 4)
    assert bool(changed[:, 1, 2].all())
    changed[:, 1, 2] = False
    assert not bool(changed.any())
    # The CLS tokens have seen it.
    assert bool((before.values != after.values).any(-1)[0, :2].all())


def test_mixing_by_place_is_attention_within_each_place() -> None:
    reduction = ContrastPruning((2, 4, 4), replace(PRUNING, mixing="place"), depth=4)
    ids = torch.tensor([[-3, -4, 0, 5, 16, FUSED]])  # place 0 at both time steps, place 5, and a fused token
    tokens = Tokens(values=torch.zeros(1, 6, 24), ids=ids, clips=torch.zeros_like(ids), num_cls=2)
    bias = reduction.attention_bias(0, tokens)
    assert bias is not None
    expected = torch.tensor(
        [
            [1, 1, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 1],
            [0, 0, 1, 0, 1, 0],
            [0, 0, 0, 1, 0, 0],
            [0, 0, 1, 0, 1, 0],
            [0, 0, 0, 0, 0, 1],
        ]
    )
    assert torch.equal(bias[0] == 0, expected.bool())
