"""Operations: published limits, and what hooks count."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tubelet.methods.token_pruning.flops import (
    SO400M,
    DecoderSize,
    VitSize,
    decoder_flops,
    published_limit,
    scorer_flops,
    vit_flops,
)
from tubelet.methods.token_pruning.pruned import PrunedClassifier, wrap
from tubelet.methods.token_pruning.scorer import GroupScorer
from tubelet.models.language_decoder import LanguageDecoder
from tubelet.models.visual_connector import patch_groups
from tubelet.models.vit import VideoViT


@pytest.mark.parametrize(("frames", "remove", "limit"), [(64, 0.5, 1.69), (128, 0.3, 1.32), (128, 0.8, 2.87)])
def test_the_transformers_limit_is_the_known_one(frames: int, remove: float, limit: float) -> None:
    assert published_limit(frames, remove, "vit", causal=True) == pytest.approx(limit, abs=0.005)


def test_the_limit_of_the_whole_is_near_the_known_one_and_rises_with_frames() -> None:
    assert published_limit(128, 0.5, "whole", causal=False) == pytest.approx(2.12, rel=0.03)
    limits = [published_limit(frames, 0.5, "whole", causal=True) for frames in (32, 64, 128, 256)]
    assert limits == sorted(limits)


def test_a_frame_of_the_published_transformer() -> None:
    assert vit_flops(SO400M, num_frames=1) == pytest.approx(665e9, rel=0.01)


def test_formulas_are_what_hooks_count() -> None:
    torch.manual_seed(0)
    model = VideoViT(
        2, num_frames=8, size_px=24, tubelet=(1, 4, 4), channels=64, depth=4, num_heads=4, attention="frame"
    ).eval()
    size = VitSize(num_patches=36, channels=64, mlp_channels=256, depth=4)
    video = torch.rand(1, 3, 8, 24, 24)
    outside = 2 * 8 * 36 * 64 * 48 + 2 * 64 * 2  # embedding and head
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(video)
    assert counter.get_total_flops() - outside == pytest.approx(vit_flops(size, num_frames=8), rel=0.01)
    wrapped = wrap(model, "stts", 0.5, after_block=0, pool=2, backend="loop")
    assert isinstance(wrapped, PrunedClassifier)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        found = wrapped.run(video)
    scoring = scorer_flops(64, 128, num_patches=36, num_groups=9, num_frames=8)
    kept = [4 * count for count in found.stats.kept_per_frame]
    per_token = 2 * (4 * 64**2 + 2 * 64 * 256)
    pruned = 2 * sum(per_token * count + 4 * count**2 * 64 for count in kept)
    dense = vit_flops(size, num_frames=8) / 2
    assert counter.get_total_flops() - outside == pytest.approx(dense + pruned + scoring, rel=0.01)
    assert found.stats.flops == pytest.approx(dense + pruned)
    assert found.stats.dense_flops == pytest.approx(2 * dense)
    assert found.stats.token_bytes == sum(kept) * 64 * 4
    assert found.stats.backend == "loop"


def test_scoring_is_what_hooks_count() -> None:
    scorer = GroupScorer(64, num_heads=4)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        scorer(torch.rand(8, 36, 64), patch_groups(6, 6, 2), torch.tensor([True] + [False] * 7))
    expected = scorer_flops(64, 128, num_patches=36, num_groups=9, num_frames=8)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)


def test_a_prompt_of_the_language_model_is_what_hooks_count() -> None:
    size = DecoderSize(channels=64, num_heads=4, num_kv_heads=2, head_channels=16, mlp_channels=96, depth=3)
    decoder = LanguageDecoder(20, width=64, depth=3, num_heads=4, num_kv_heads=2, hidden=96)
    allowed, positions = torch.ones(1, 50, 50, dtype=torch.bool), torch.arange(50)[None]
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        decoder(torch.rand(1, 50, 64), allowed, positions)
    # The kernel computes all pairs, also those that a causal mask would hide.
    assert counter.get_total_flops() == pytest.approx(decoder_flops(size, num_tokens=50, causal=False), rel=0.01)
