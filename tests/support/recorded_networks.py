"""The clip and the checksum that scripts/record_reference_outputs.py and the tests of its record share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

RECORD = Path(__file__).resolve().parents[1] / "numerics" / "models" / "recorded" / "clip_networks.json"


def made_up_clip(num_frames: int, size_px: int, *, seed: int = 0) -> Tensor:
    """A batch of one normalised clip: coloured noise, so that every place and time differs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, num_frames, size_px // 16, size_px // 16, generator=generator)
    fine = torch.randn(1, 3, num_frames, size_px, size_px, generator=generator)
    return coarse.repeat_interleave(16, dim=3).repeat_interleave(16, dim=4) + 0.3 * fine


def state_checksum(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and shapes of a state, in the order of the names."""
    lines = [f"{name} {tuple(value.shape)}\n" for name, value in sorted(state.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
