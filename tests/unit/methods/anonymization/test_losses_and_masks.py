"""Gradient reversal, losses, masks and what they leave visible."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tubelet.methods.anonymization.baselines import blurred, downsampled, motion_energy, rule_mask
from tubelet.methods.anonymization.losses import attribute_loss, dual_loss, reversal_weight, reverse_gradient
from tubelet.methods.anonymization.masks import (
    flicker,
    kept_fraction,
    masked,
    pixel_mask,
    share_kept_of,
    tubelet_mask,
    union_visibility,
)
from tubelet.methods.anonymization.model import DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import PruningConfig

TUBELET = (2, 8, 8)


def some_mask(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 4, 3, 5, generator=torch.Generator().manual_seed(seed)) < 0.4


def test_reversal_is_the_identity_forwards_and_minus_the_weight_backwards() -> None:
    values = torch.randn(3, 4, requires_grad=True)
    out = reverse_gradient(values, 0.7)
    assert torch.equal(out, values)
    gradient = torch.randn(3, 4)
    out.backward(gradient)
    assert values.grad is not None
    torch.testing.assert_close(values.grad, -0.7 * gradient, rtol=0, atol=0)


def test_the_weight_rises_from_zero_to_one() -> None:
    weights = [reversal_weight(step / 100) for step in range(101)]
    assert weights[0] == 0
    assert weights == sorted(weights)
    assert 0.999 < weights[-1] < 1
    with pytest.raises(ValueError, match=r"progress is 1\.5"):
        reversal_weight(1.5)


def test_the_privacy_head_learns_under_reversal_and_the_backbone_unlearns() -> None:
    """The head's own gradient is as without reversal, the backbone's is turned round; the action head sees nothing."""
    torch.manual_seed(0)
    shape = VitShape(
        num_frames=2, size_px=16, tubelet=TUBELET, channels=12, depth=2, num_heads=2, dropout=0.0,
        attention_dropout=0.0, drop_path=0.0,
    )  # fmt: skip
    network = DualTokenViT(3, 2, shape)
    video, private = torch.rand(4, 3, 2, 16, 16), torch.tensor([[0.0, 1.0]] * 4)
    gradients = {}
    for reversal in (None, 0.5):
        network.zero_grad()
        found = network(video, PruningConfig(blocks=(1,), keep_rate=1.0), reversal=reversal)
        attribute_loss(found.private, private).backward()
        gradients[reversal] = {name: each.grad for name, each in network.named_parameters()}
    head, kernel = "privacy_head.weight", "vit.patch_embed.weight"
    torch.testing.assert_close(gradients[0.5][head], gradients[None][head])
    torch.testing.assert_close(gradients[0.5][kernel], -0.5 * gradients[None][kernel])
    assert gradients[None]["vit.head.weight"] is None


def test_unknown_attributes_do_not_count() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    private = torch.tensor([[1.0, math.nan], [0.0, 1.0]])
    plain = nn.functional.binary_cross_entropy_with_logits(torch.tensor([2.0, 0.5, 3.0]), torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(attribute_loss(logits, private), plain)
    assert float(attribute_loss(logits, torch.full((2, 2), math.nan))) == 0


def test_the_loss_is_the_sum_of_its_parts() -> None:
    actions, private = torch.randn(2, 3), torch.randn(2, 2)
    found = dual_loss(actions, private, torch.tensor([0, 2]), torch.ones(2, 2), action_weight=0.5)
    torch.testing.assert_close(found["loss"], 0.5 * found["action_loss"] + found["private_loss"])


def test_a_mask_goes_to_pixels_and_back() -> None:
    kept = some_mask()
    pixels = pixel_mask(kept, TUBELET)
    assert pixels.shape == (2, 1, 8, 24, 40)
    assert int(pixels.sum()) == int(kept.sum()) * 2 * 8 * 8
    assert torch.equal(tubelet_mask(pixels, TUBELET), kept)
    pixels[0, 0, 0, 0, 0] = ~pixels[0, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="a part of a tubelet"):
        tubelet_mask(pixels, TUBELET)


def test_what_is_published_does_not_depend_on_what_was_removed() -> None:
    kept = some_mask()
    video = torch.rand(2, 3, 8, 24, 40)
    published = masked(video, kept, TUBELET)
    visible = pixel_mask(kept, TUBELET).expand_as(video)
    assert torch.equal(published[visible], video[visible])
    assert bool((published[~visible] == 0).all())
    other = torch.where(visible, video, torch.rand_like(video))
    assert torch.equal(masked(other, kept, TUBELET), published)
    coloured = masked(video, kept, TUBELET, fill=(0.25, 0.5, 0.75))
    assert bool((coloured[:, 1][~visible[:, 1]] == 0.5).all())


def test_what_masks_leave_visible() -> None:
    kept = torch.zeros(1, 4, 2, 2, dtype=torch.bool)
    kept[0, :, 0, 0] = True
    kept[0, 1, 1, 1] = True
    assert float(kept_fraction(kept)) == pytest.approx(5 / 16)
    assert float(union_visibility(kept)) == 0.5
    assert float(flicker(kept)) == pytest.approx(2 / 12)
    assert float(flicker(kept[:, :1])) == 0
    truth = torch.zeros(1, 8, 16, 16, dtype=torch.bool)
    truth[0, :, :8, :] = True
    assert float(share_kept_of(kept, truth, TUBELET)) == 0.5


@pytest.mark.parametrize("tube", [False, True])
@pytest.mark.parametrize("rule", ["random", "centre", "motion"])
def test_rules_keep_as_many_as_asked(rule: str, tube: bool) -> None:
    video = torch.rand(3, 3, 8, 32, 32)
    kept = rule_mask(rule, video, TUBELET, keep=0.3, tube=tube, seed=3)  # type: ignore[arg-type]
    expected = 4 * math.ceil(0.3 * 16) if tube else math.ceil(0.3 * 64)
    assert kept.flatten(1).sum(1).tolist() == [expected] * 3
    again = rule_mask(rule, video, TUBELET, keep=0.3, tube=tube, seed=3)  # type: ignore[arg-type]
    assert torch.equal(kept, again)


def test_motion_is_where_something_changes() -> None:
    video = torch.zeros(1, 3, 8, 32, 32)
    video[0, :, 3, 8:16, 16:24] = 1.0
    energy = motion_energy(video, TUBELET)
    assert energy.shape == (1, 4, 4, 4)
    assert int(energy.flatten().argmax()) in (1 * 16 + 1 * 4 + 2, 2 * 16 + 1 * 4 + 2)
    assert float(energy[0, 0].max()) == 0


def test_coarser_pictures() -> None:
    video = torch.rand(1, 3, 2, 8, 8)
    small = downsampled(video, 2)
    assert small.shape == video.shape
    torch.testing.assert_close(small[0, 0, 0, 0, 1], video[0, 0, 0, :2, :2].mean())
    flat = torch.full((1, 3, 2, 16, 16), 0.3)
    torch.testing.assert_close(blurred(flat, 3.0), flat)
    point = torch.zeros(1, 3, 1, 33, 33)
    point[0, :, 0, 16, 16] = 1.0
    soft = blurred(point, 2.0)[0, 0, 0].numpy()
    assert soft.sum() == pytest.approx(1.0, abs=1e-4)
    rows = np.arange(33) - 16
    assert (soft.sum(1) * rows**2).sum() == pytest.approx(4.0, rel=0.05)
