"""Devices by name, and numbers of half the size: where they are used, and the scale that keeps fp16 from underflow."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Literal

import torch

from tubelet.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def find_device(name: str) -> torch.device:
    """The device of that name.

    Args:
        name: "cpu", "cuda", or "cuda:N".

    Raises:
        ConfigError: It is none of these, or this machine does not have it.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device is {name!r}; allowed: cpu, cuda, cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device is {name!r}; allowed: cpu, cuda, cuda:N")
    index: int | None = device.index
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            built = "is built for the CPU only" if torch.version.cuda is None else "finds no GPU"
            raise ConfigError(
                f"device is {name!r}, but PyTorch {torch.__version__} {built}; "
                "use --device cpu, or install a PyTorch for CUDA and its driver"
            )
        if index is not None and index >= count:
            raise ConfigError(f"device is {name!r}, but this machine has {count} GPUs, cuda:0 to cuda:{count - 1}")
    return device


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Where matrix products and convolutions run in half precision; losses and norms stay in fp32. Nothing for fp32.

    Raises:
        ConfigError: The GPU has no bf16.
    """
    if precision == "fp32":
        return contextlib.nullcontext()
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(f"precision is 'bf16', which {torch.cuda.get_device_name(device)} has not; use fp16 or fp32")
    return torch.autocast(device.type, dtype=_HALF[precision])


def gradient_scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler | None:
    """The scale of the loss that fp16 needs, or None; bf16 has the range of fp32."""
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None
