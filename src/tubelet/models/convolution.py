"""What the convolutional clip networks share: convolutions with their norms, each computed in the quickest way.

Where a video's channels lie innermost in memory (`torch.channels_last_3d`), depthwise convolutions over space and time
run about three times as fast on a CPU, and what mixes channels only is a matrix product without a copy.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def channels_innermost(video: Float[Tensor, "batch channels time height width"]) -> Tensor:
    """The same video with channels innermost in memory."""
    return video.contiguous(memory_format=torch.channels_last_3d)


def convolved(video: Float[Tensor, "batch channels time height width"], conv: nn.Module) -> Tensor:
    """`conv(video)`, as a matrix product or as a 2D convolution where that is the same and quicker.

    A layer that is no plain `Conv3d`, or that carries hooks, is called as it is.

    Args:
        video: Input.
        conv: The convolution.
    """
    if not isinstance(conv, nn.Conv3d) or not _is_plain(conv) or set(conv.dilation) != {1}:
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
        or set(conv.dilation) != {1}
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
    is_innermost = video.is_contiguous(memory_format=torch.channels_last_3d)
    if is_over_time and conv.groups == 1 and length == 1 and is_innermost:
        return nn.functional.linear(video.permute(0, 2, 3, 4, 1), weight.flatten(1), bias).permute(0, 4, 1, 2, 3)
    if is_over_time and conv.groups == conv.in_channels:
        # Depthwise over time: of the kernels for 2D and 3D, those for 2D are the quicker ones.
        flat = nn.functional.conv2d(
            video.reshape(*video.shape[:3], -1), weight[..., 0], bias, padding=(length // 2, 0), groups=conv.groups
        )
        return flat.reshape(*flat.shape[:3], *video.shape[3:])
    return nn.functional.conv3d(video, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
