"""What the convolutional clip networks share: convolutions with their normalisation, in the quickest order of memory.

Both networks keep a video with its channels innermost in memory (`torch.channels_last_3d`): depthwise convolutions run
about three times as fast on a CPU, and a convolution over space only is a 2D one over all frames, without a copy.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def channels_innermost(video: Float[Tensor, "batch channels time height width"]) -> Tensor:
    """The same video with channels innermost in memory."""
    return video.contiguous(memory_format=torch.channels_last_3d)


class SpatialConv3d(nn.Conv3d):
    """A convolution over height and width only, with the parameters of a `Conv3d`, run as a 2D one over all frames."""

    def forward(self, input: Float[Tensor, "batch channels time height width"]) -> Tensor:  # noqa: A002  torch's name
        """The convolution."""
        return self.convolve(input, self.weight, self.bias)

    def convolve(
        self,
        video: Float[Tensor, "batch channels time height width"],
        weight: Float[Tensor, "out in 1 rows columns"],
        bias: Float[Tensor, "out"] | None,
    ) -> Float[Tensor, "batch out time new_height new_width"]:
        """The convolution with other weights of the same shape."""
        batch, channels, time, height, width = video.shape
        frames = video.transpose(1, 2).reshape(batch * time, channels, height, width)
        out = nn.functional.conv2d(
            frames, weight[:, :, 0], bias, self.stride[1:], self.padding[1:], self.dilation[1:], self.groups
        )
        return out.reshape(batch, time, *out.shape[1:]).transpose(1, 2)


def normalised(
    video: Float[Tensor, "batch channels time height width"], conv: nn.Module, norm: nn.Module
) -> Float[Tensor, "batch out new_time new_height new_width"]:
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
        or torch.is_grad_enabled()
        or norm.training
        or norm.running_mean is None
        or norm.running_var is None
        or not (_is_plain(conv, (nn.Conv3d, SpatialConv3d)) and _is_plain(norm, (nn.BatchNorm3d,)))
        or conv.weight.numel() > video.numel()
    ):
        out: Tensor = norm(conv(video))
        return out
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = conv.weight * scale.view(-1, 1, 1, 1, 1)
    bias = torch.addcmul(norm.bias, norm.running_mean, scale, value=-1)
    if isinstance(conv, SpatialConv3d):
        return conv.convolve(video, weight, bias)
    return nn.functional.conv3d(video, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _is_plain(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether calling it does what its class says and nothing more."""
    return type(module) in kinds and not (module._forward_hooks or module._forward_pre_hooks)
