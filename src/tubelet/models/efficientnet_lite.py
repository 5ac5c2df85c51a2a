"""EfficientNet-lite: small convolutional networks for single pictures, pretrained on ImageNet, fast on a CPU."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tubelet.models.checkpoint_files import read_state
from tubelet.models.layers import DropPath
from tubelet.models.named_weights import load_named_weights

MEAN = (127 / 255,) * 3
"""Of inputs between 0 and 1: the published weights want (grey level - 127) / 128."""
STD = (128 / 255,) * 3

_TAIL_CHANNELS = 1280
_STEM_CHANNELS = 32
# Repeats, kernel size, stride, expansion and output channels of each stage of lite0.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_HEAD = ("head.weight", "head.bias")
# What the published files call the layers outside and inside of blocks.
_PUBLISHED = {"stem.conv": "_conv_stem", "stem.norm": "_bn0", "tail.conv": "_conv_head", "tail.norm": "_bn1"}
_PUBLISHED_IN_BLOCK = {
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
}


class _ConvNorm(nn.Module):
    """A convolution that keeps ceil(size / stride) places, a batch normalisation, and a ReLU6 where asked for."""

    def __init__(
        self,
        channels: tuple[int, int],
        kernel_size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        activates: bool = True,
    ) -> None:
        super().__init__()
        # An odd kernel at stride 1 is padded alike on all sides, which the convolution does without a copy.
        padding = kernel_size // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(*channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels[1], eps=1e-3, momentum=0.01)
        self.activates = activates

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out out_height out_width"]:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if stride > 1:
            across, down = (_missing(size, kernel, stride) for size in (x.shape[3], x.shape[2]))
            x = nn.functional.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        x = self.norm(self.conv(x))
        return nn.functional.relu6(x, inplace=True) if self.activates else x

    def fold(self) -> None:
        """Put the normalisation into the convolution; for a network that is not trained any more."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


def _missing(size: int, kernel: int, stride: int) -> int:
    """Places to add so that ceil(size / stride) come out; an odd one is added at the end, as TensorFlow does."""
    return max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)


class _Block(nn.Module):
    """Widen, filter each channel by itself, narrow; with a residual path where the shape stays."""

    def __init__(
        self, channels: tuple[int, int], *, kernel_size: int, stride: int, expansion: int, drop_path: float
    ) -> None:
        super().__init__()
        narrow, out = channels
        wide = narrow * expansion
        self.expand = _ConvNorm((narrow, wide)) if expansion != 1 else None
        self.depthwise = _ConvNorm((wide, wide), kernel_size, stride=stride, groups=wide)
        self.project = _ConvNorm((wide, out), activates=False)
        self.has_residual = stride == 1 and narrow == out
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out out_height out_width"]:
        inner = x if self.expand is None else self.expand(x)
        inner = self.project(self.depthwise(inner))
        out: Tensor = x + self.drop_path(inner) if self.has_residual else inner
        return out


class EfficientNetLite(nn.Module):
    """Labels pictures, or turns them into features.

    Args:
        num_classes: Classes; None for a network without a last layer, which returns features.
        width: Factor on the channels of all stages.
        depth: Factor on the repeats of all stages but the first and the last.
        dropout: Share of features dropped before the last layer in training.
        drop_path_rate: Share of pictures for which the last residual block is skipped in training; earlier blocks less.

    Attributes:
        num_features: Width before the last layer.
        num_map_channels: Channels of what `maps` returns.
        num_blocks: How many blocks lie between stem and tail.
        mean, std: What inputs between 0 and 1 are normalised with.

    Source: Tan and Le, EfficientNet, 2019, arXiv:1905.11946, without squeeze-and-excitation, with ReLU6 and with stem
        and tail unscaled, as in "lite" of github.com/tensorflow/tpu (models/official/efficientnet/lite).
    Differs: padding follows the size of the input, as in TensorFlow; the PyTorch package that the weights come from
        keeps the padding of one size (224 px for lite0, 260 px for lite2) whatever it is given, and so shifts the
        pictures of some other sizes against its filters. lite0 is the same at 224 and at 160 px, lite2 at 260 px.
    """

    mean = MEAN
    std = STD

    def __init__(
        self,
        num_classes: int | None = 1000,
        *,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
        drop_path_rate: float = 0.2,
    ) -> None:
        super().__init__()
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; allowed: 1 or more, or None for features only")
        layout = list(_layout(width, depth))
        self.stem = _ConvNorm((3, _STEM_CHANNELS), 3, stride=2)
        self.blocks = nn.ModuleList(
            _Block(
                (narrow, out),
                kernel_size=kernel_size,
                stride=stride,
                expansion=expansion,
                drop_path=drop_path_rate * index / len(layout),
            )
            for index, (narrow, out, kernel_size, stride, expansion) in enumerate(layout)
        )
        self.tail = _ConvNorm((layout[-1][1], _TAIL_CHANNELS))
        self.dropout = nn.Dropout(dropout)
        self.num_features = _TAIL_CHANNELS
        self.num_map_channels = layout[-1][1]
        self.head: nn.Module = nn.Identity() if num_classes is None else nn.Linear(_TAIL_CHANNELS, num_classes)

    @property
    def num_blocks(self) -> int:
        """How many blocks lie between stem and tail."""
        return len(self.blocks)

    @property
    def is_fused(self) -> bool:
        """Whether normalisations are folded into convolutions."""
        return isinstance(self.stem.norm, nn.Identity)

    def maps(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """What the last block makes of normalised pictures: one place for each 32 pixels."""
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x)
        out: Tensor = x
        return out

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Features of normalised pictures."""
        return self.pooled(self.maps(images))

    def pooled(self, maps: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch features"]:
        """Features from what `maps` returned, averaged over all places."""
        out: Tensor = self.tail(maps).mean(dim=(2, 3))
        return out

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch out"]:
        """Logits of normalised pictures, or their features where there is no last layer."""
        out: Tensor = self.head(self.dropout(self.features(images)))
        return out

    def fused(self) -> EfficientNetLite:
        """A copy for inference whose normalisations are folded into its convolutions: the same but for rounding.

        The copy is in evaluation mode, its parameters take no gradients, and its weights lie in memory as convolutions
        on a CPU want them, so it is faster there (benchmarks/reports/frame_backbone.json).
        """
        out = copy.deepcopy(self).eval().requires_grad_(False)
        for module in out.modules():
            if isinstance(module, _ConvNorm):
                module.fold()
        return out.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _layout(width: float, depth: float) -> list[tuple[int, int, int, int, int]]:
    """Input and output channels, kernel size, stride and expansion of every block."""
    out = []
    narrow = _STEM_CHANNELS
    for stage, (repeats, kernel_size, stride, expansion, channels) in enumerate(_STAGES):
        wide = _rounded(channels * width)
        is_scaled = stage not in (0, len(_STAGES) - 1)
        for repeat in range(math.ceil(repeats * depth) if is_scaled else repeats):
            out.append((narrow, wide, kernel_size, stride if repeat == 0 else 1, expansion))
            narrow = wide
    return out


def _rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of 8, and never less than nine tenths of what was asked for."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def efficientnet_lite0(num_classes: int | None = 1000, *, drop_path_rate: float = 0.2) -> EfficientNetLite:
    """EfficientNet-lite0, made for 224 pixels: 4.7 million parameters, 0.4 billion multiplications a picture."""
    return EfficientNetLite(num_classes, drop_path_rate=drop_path_rate)


def efficientnet_lite2(num_classes: int | None = 1000, *, drop_path_rate: float = 0.2) -> EfficientNetLite:
    """EfficientNet-lite2, made for 260 pixels: 6.1 million parameters, 0.9 billion multiplications a picture."""
    return EfficientNetLite(num_classes, width=1.1, depth=1.2, dropout=0.3, drop_path_rate=drop_path_rate)


def published_name(name: str) -> str:
    """What the published files call a parameter or buffer of `EfficientNetLite`.

    Raises:
        KeyError: There is no such parameter.
    """
    parts = name.split(".")
    if parts[0] == "head":
        return ".".join(["_fc", *parts[1:]])
    if parts[0] == "blocks":
        return ".".join(["_blocks", parts[1], _PUBLISHED_IN_BLOCK[".".join(parts[2:4])], *parts[4:]])
    return ".".join([_PUBLISHED[".".join(parts[:2])], *parts[2:]])


def load_efficientnet_lite_weights(
    model: EfficientNetLite, source: str | os.PathLike[str] | Mapping[str, Tensor], *, new_head: bool = False
) -> None:
    """Load published weights, all of them or none.

    Args:
        model: Where to; not fused.
        source: A `.pth` file of the published format, or its content.
        new_head: Keep the model's own last layer, whatever its classes. A model without a last layer takes none.

    Raises:
        WeightsError: The file cannot be read, or has other parameters, shapes or classes than the model.
        ValueError: The model is fused.
    """
    if model.is_fused:
        raise ValueError("the model is fused; load the weights first and call fused() after that")
    own = {published_name(name): name for name in (*model.state_dict(), *_HEAD)}
    published = source if isinstance(source, Mapping) else read_state(source)
    state = {own.get(name, name): value for name, value in published.items()}
    has_head = isinstance(model.head, nn.Linear)
    load_named_weights(model, state, head=_HEAD, new_head=new_head or not has_head)
