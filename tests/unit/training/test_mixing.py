"""Clips are mixed alike in all their pictures, targets by the share that was mixed, and the same again each time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tubelet.training import step_generator
from tubelet.training.losses import soft_targets
from tubelet.training.mixing import MixingConfig, mix

MIXUP = MixingConfig(cutmix_alpha=0)
CUTMIX = MixingConfig(mixup_alpha=0)


def numbered(batch: int = 6, time: int = 3, size: int = 8) -> tuple[Tensor, Tensor]:
    """Clips in which each pixel says whose it is, and one-hot targets that say the same."""
    video = torch.arange(batch).float()[:, None, None, None, None].expand(batch, 3, time, size, size).clone()
    return video, soft_targets(torch.arange(batch), batch)


@pytest.mark.parametrize("config", [MIXUP, CUTMIX])
@pytest.mark.parametrize("step", range(5))
def test_targets_say_how_much_of_whom_a_clip_holds(config: MixingConfig, step: int) -> None:
    video, targets = numbered()
    mixed, soft = mix(video, targets, config=config, generator=step_generator(1, step))
    torch.testing.assert_close(soft.sum(1), torch.ones(6))
    # A clip's mean pixel is the mean of its owners' numbers, weighed by their shares.
    torch.testing.assert_close(mixed.mean((1, 2, 3, 4)), soft @ torch.arange(6).float(), atol=1e-5, rtol=1e-5)
    assert not torch.equal(soft, targets)
    assert torch.equal(mixed, mixed[:, :, :1].expand_as(mixed))  # every picture of a clip alike


def test_cutmix_replaces_a_box_and_nothing_else() -> None:
    video, targets = numbered(batch=40, size=16)
    mixed, soft = mix(video, targets, config=CUTMIX, generator=step_generator(1, 0))
    changed = 0
    for row in range(40):
        is_other = mixed[row, 0, 0] != row
        if not is_other.any():
            continue
        changed += 1
        rows, columns = is_other.any(1).nonzero().flatten(), is_other.any(0).nonzero().flatten()
        assert is_other[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # full inside
        assert float(soft[row, row]) == pytest.approx(1 - float(is_other.float().mean()))
        assert len(mixed[row, 0, 0][is_other].unique()) == 1
    assert changed > 20


def test_each_clip_has_a_share_of_its_own() -> None:
    video, targets = numbered(batch=20)
    _, soft = mix(video, targets, config=MIXUP, generator=step_generator(1, 0))
    assert len({round(float(share), 5) for share in soft.max(1).values}) > 10


def test_seed_and_step_decide_everything_and_the_device_nothing() -> None:
    video, targets = numbered()
    drawn = [
        mix(video, targets, config=MixingConfig(), generator=step_generator(seed, step))
        for seed, step in ((1, 5), (1, 5), (1, 6), (2, 5))
    ]
    assert torch.equal(drawn[0][0], drawn[1][0]) and torch.equal(drawn[0][1], drawn[1][1])
    assert not torch.equal(drawn[0][0], drawn[2][0])
    assert not torch.equal(drawn[0][0], drawn[3][0])


def test_the_setting_says_how_often() -> None:
    video, targets = numbered()
    kinds = {"none": 0, "cut": 0, "up": 0}
    config = MixingConfig(probability=0.75, cutmix_share=0.25)
    for step in range(400):
        mixed, _ = mix(video, targets, config=config, generator=step_generator(1, step))
        is_whole = bool((mixed == mixed.round()).all())
        kinds["none" if mixed is video else "cut" if is_whole else "up"] += 1
    assert kinds["none"] == pytest.approx(100, abs=30)
    assert kinds["cut"] == pytest.approx(75, abs=25)


@pytest.mark.parametrize("config", [MixingConfig(probability=0), MixingConfig(mixup_alpha=0, cutmix_alpha=0)])
def test_nothing_is_mixed_where_nothing_is_asked_for(config: MixingConfig) -> None:
    video, targets = numbered()
    mixed, soft = mix(video, targets, config=config, generator=np.random.default_rng(0))
    assert mixed is video
    assert soft is targets
    alone = numbered(batch=1)
    assert mix(*alone, config=MixingConfig(), generator=np.random.default_rng(0))[0] is alone[0]


def test_half_precision_stays_half_precision() -> None:
    video, targets = numbered()
    for config in (MIXUP, CUTMIX):
        mixed, _ = mix(video.bfloat16(), targets, config=config, generator=np.random.default_rng(0))
        assert mixed.dtype == torch.bfloat16


def test_wrong_settings_are_refused() -> None:
    for settings, said in (
        ({"mixup_alpha": -1.0}, "mixup_alpha is -1; allowed: 0 or more"),
        ({"probability": 1.5}, "probability is 1.5; allowed: 0 to 1"),
        ({"cutmix_share": -0.5}, "cutmix_share is -0.5; allowed: 0 to 1"),
    ):
        with pytest.raises(ValueError, match=said):
            MixingConfig(**settings)
