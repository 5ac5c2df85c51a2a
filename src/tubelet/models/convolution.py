"""What the convolutional clip networks share: convolutions with their norms, each computed in the quickest way.

Where a video's channels lie innermost in memory (`torch.channels_last_3d`), depthwise convolutions over space and time
run about three times as fast on a CPU, and what mixes channels only is a matrix product without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def channels_innermost(video: Float[Tensor, "batch channels time height width"]) -> Tensor:
    """The same video with channels innermost in memory."""
    return video.contiguous(memory_format=torch.channels_last_3d)


def convolved(video: Float[Tensor, "batch channels time height width"], conv: nn.Module) -> Tensor:
    """`conv(video)`, as matrix products or as a 2D convolution where that is the same and quicker.

    A layer that is no plain `Conv3d`, or that carries hooks, is called as it is.

    Args:
        video: Input.
        conv: The convolution.
    """
    if not isinstance(conv, nn.Conv3d) or not _is_plain(conv):
        out: Tensor = conv(video)
        return out
    return _convolve(video, conv, conv.weight, conv.bias)


def normalised(video: Float[Tensor, "batch channels time height width"], conv: nn.Module, norm: nn.Module) -> Tensor:
    """`norm(conv(video))`; without gradients and with fixed statistics the norm is folded into the convolution.

    The folded weights are made anew each time (it costs little beside the pass over the video that it saves), so
    nothing can go stale. Layers that are not plain ones, or that carry hooks, are called as they are.

    Args:
        video: Input.
        conv: Convolution without bias.
        norm: Batch normalisation of its output.
    """
    if (
        not isinstance(conv, nn.Conv3d)
        or not isinstance(norm, nn.BatchNorm3d)
        or norm.running_mean is None
        or norm.running_var is None
        or torch.is_grad_enabled()
        or norm.training
        or not (_is_plain(conv) and _is_plain(norm))
        or conv.weight.numel() > video.numel()
    ):
        out: Tensor = norm(convolved(video, conv))
        return out
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    bias = torch.addcmul(norm.bias, norm.running_mean, scale, value=-1)
    return _convolve(video, conv, conv.weight * scale.view(-1, 1, 1, 1, 1), bias)


def _is_plain(module: nn.Module) -> bool:
    """Whether calling it does what its class says and nothing more."""
    return type(module) in {nn.Conv3d, nn.BatchNorm3d} and not (module._forward_hooks or module._forward_pre_hooks)


def _convolve(video: Tensor, conv: nn.Conv3d, weight: Tensor, bias: Tensor | None) -> Tensor:
    length, *sides = conv.kernel_size
    is_over_time = sides == [1, 1] and conv.stride == (1, 1, 1) and conv.padding == (length // 2, 0, 0)
    is_mixing = is_over_time and conv.groups == 1
    if is_mixing and length == 1 and video.is_contiguous(memory_format=torch.channels_last_3d):
        return nn.functional.linear(video.permute(0, 2, 3, 4, 1), weight.flatten(1), bias).permute(0, 4, 1, 2, 3)
    # Measured on a CPU in single precision; libraries have kernels of their own for the other cases.
    if is_over_time and video.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
        if conv.groups == conv.in_channels:
            flat = nn.functional.conv2d(
                video.flatten(3), weight[..., 0], bias, padding=(length // 2, 0), groups=conv.groups
            )
            return flat.reshape(*flat.shape[:3], *video.shape[3:])
        num_places = video.numel() // conv.in_channels
        if is_mixing and num_places >= conv.out_channels:  # with fewer, the products are too small to be quick
            mixed: Tensor = _MixOverTime.apply(video.contiguous(), weight.flatten(2), bias)
            return mixed
    return nn.functional.conv3d(video, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


class _MixOverTime(torch.autograd.Function):
    """A convolution over time only: one matrix product for each tap, added up in place.

    A function of its own because the gradients of sums over parts of a tensor would be copies of the whole.
    """

    @staticmethod
    def forward(ctx: Any, video: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: D102
        ctx.save_for_backward(video, weight)
        ctx.has_bias = bias is not None
        places = video.flatten(2)
        out = places.new_zeros(()) if bias is None else bias[:, None]
        middle = weight.shape[2] // 2
        out = torch.baddbmm(out, _for_each(weight[..., middle], places), places)
        for tap, read, written in _reach(video, weight.shape[2]):
            if tap != middle:
                out[..., written].baddbmm_(_for_each(weight[..., tap], places), places[..., read])
        return out.reshape(out.shape[0], -1, *video.shape[2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:  # noqa: D102
        video, weight = ctx.saved_tensors
        places, grad_places = video.flatten(2), grad.contiguous().flatten(2)
        grad_video = torch.zeros_like(places)
        grad_taps = [torch.zeros_like(weight[..., 0])] * weight.shape[2]
        for tap, read, written in _reach(video, weight.shape[2]):
            part = grad_places[..., written]
            grad_video[..., read].baddbmm_(_for_each(weight[..., tap].t(), places), part)
            grad_taps[tap] = torch.bmm(part, places[..., read].transpose(1, 2)).sum(0)
        grad_bias = grad_places.sum((0, 2)) if ctx.has_bias else None
        return grad_video.view_as(video), torch.stack(grad_taps, dim=-1), grad_bias


def _for_each(matrix: Tensor, batch: Tensor) -> Tensor:
    return matrix.expand(batch.shape[0], *matrix.shape)


def _reach(video: Tensor, num_taps: int) -> Iterator[tuple[int, slice, slice]]:
    """For each tap that reaches into the clip: which places it reads, and which of the output it adds to."""
    time, per_time = video.shape[2], video.shape[3] * video.shape[4]
    for tap in range(num_taps):
        steps = tap - num_taps // 2
        first, last = max(-steps, 0), time - max(steps, 0)
        if first < last:
            yield (
                tap,
                slice((first + steps) * per_time, (last + steps) * per_time),
                slice(first * per_time, last * per_time),
            )
