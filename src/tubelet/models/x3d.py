"""X3D-XS, S and M: small networks of depthwise convolutions, with the parameter names of pytorchvideo's checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.models.convolution import channels_innermost, convolved, normalised
from tubelet.models.named_weights import classifier, load_named_weights

_STEM_WIDTH = 24
_WIDTHS = (24, 48, 96, 192)
_DEPTHS = (3, 5, 11, 7)
_EXPANSION = 2.25
_NUM_FEATURES = 2048
_HEAD_STD = 0.01


def _squeezed_width(channels: int) -> int:
    """A sixteenth of the channels in steps of 8, at least 8 and not more than a tenth below it."""
    wanted = channels / 16
    width = max(8, int(wanted + 4) // 8 * 8)
    return width + 8 if width < 0.9 * wanted else width


class _SqueezeExcitation(nn.Module):
    """Scales each channel by what all channels are on average."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _squeezed_width(channels)
        self.block = nn.Sequential(
            nn.Conv3d(channels, squeezed, 1), nn.ReLU(inplace=True), nn.Conv3d(squeezed, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Float[Tensor, "batch channels time height width"]) -> Tensor:
        gates: Tensor = self.block(x.mean(dim=(2, 3, 4), keepdim=True))
        return x * gates if torch.is_grad_enabled() else x.mul_(gates)


class _Bottleneck(nn.Module):
    """Widen, convolve each channel over space and time, gate, narrow."""

    def __init__(self, in_channels: int, inner: int, out_channels: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(in_channels, inner, 1, bias=False)
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = nn.Conv3d(inner, inner, 3, (1, stride, stride), 1, groups=inner, bias=False)
        self.norm_b = nn.Sequential(nn.BatchNorm3d(inner), _SqueezeExcitation(inner) if squeeze else nn.Identity())
        self.conv_c = nn.Conv3d(inner, out_channels, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(out_channels)

    def forward(self, x: Float[Tensor, "batch channels time height width"]) -> Tensor:
        x = normalised(x, self.conv_a, self.norm_a).relu_()
        norm, gate = self.norm_b
        x = gate(normalised(x, self.conv_b, norm))
        # The gradient of SiLU needs its input; without gradients the input may be overwritten.
        x = nn.functional.silu(x, inplace=not torch.is_grad_enabled())
        return normalised(x, self.conv_c, self.norm_c)


class _Block(nn.Module):
    """A bottleneck beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.branch1_conv: nn.Module | None = None
        self.branch1_norm: nn.Module | None = None
        if in_channels != out_channels or stride != 1:
            self.branch1_conv = nn.Conv3d(in_channels, out_channels, 1, (1, stride, stride), bias=False)
        if in_channels != out_channels:
            self.branch1_norm = nn.BatchNorm3d(out_channels)
        self.branch2 = _Bottleneck(in_channels, int(_EXPANSION * out_channels), out_channels, stride, squeeze)

    def forward(self, x: Float[Tensor, "batch channels time height width"]) -> Tensor:
        shortcut = x
        if self.branch1_conv is not None and self.branch1_norm is not None:
            shortcut = normalised(x, self.branch1_conv, self.branch1_norm)
        elif self.branch1_conv is not None:
            shortcut = convolved(x, self.branch1_conv)
        out: Tensor = self.branch2(x)
        out += shortcut
        return out.relu_()


class _Stage(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, depth: int) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            _Block(in_channels if index == 0 else out_channels, out_channels, 2 if index == 0 else 1, index % 2 == 0)
            for index in range(depth)
        )

    def forward(self, x: Float[Tensor, "batch channels time height width"]) -> Tensor:
        for block in self.res_blocks:
            x = block(x)
        return x


class _StemConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # The published names of the two are swapped: conv_t is the one over space.
        self.conv_t = nn.Conv3d(3, _STEM_WIDTH, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv_xy = nn.Conv3d(_STEM_WIDTH, _STEM_WIDTH, (5, 1, 1), 1, (2, 0, 0), groups=_STEM_WIDTH, bias=False)


class _Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = _StemConvolution()
        self.norm = nn.BatchNorm3d(_STEM_WIDTH)

    def forward(self, x: Float[Tensor, "batch channels time height width"]) -> Tensor:
        return normalised(convolved(x, self.conv.conv_t), self.conv.conv_xy, self.norm).relu_()


class _PooledProjection(nn.Module):
    def __init__(self, in_channels: int, inner: int) -> None:
        super().__init__()
        self.pre_conv = nn.Conv3d(in_channels, inner, 1, bias=False)
        self.pre_norm = nn.BatchNorm3d(inner)
        self.post_conv = nn.Conv3d(inner, _NUM_FEATURES, 1, bias=False)

    def forward(self, x: Float[Tensor, "batch channels time height width"]) -> Float[Tensor, "batch features"]:
        x = normalised(x, self.pre_conv, self.pre_norm).relu_()
        x = self.post_conv(x.mean(dim=(2, 3, 4), keepdim=True))
        return x.flatten(1).relu_()


class _Head(nn.Module):
    def __init__(self, in_channels: int, inner: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.pool = _PooledProjection(in_channels, inner)
        self.dropout = nn.Dropout(dropout)
        self.proj = classifier(_NUM_FEATURES, num_classes, _HEAD_STD)


class X3D(nn.Module):
    """A network grown along width, depth, length and size for few operations.

    Args:
        num_classes: Classes.
        num_frames: Frames of the clips that it is meant for; others work.
        size_px: Their height and width; others work.
        dropout: Share of features dropped before the classifier in training.

    Attributes:
        num_features: Width before the classifier.
        num_layers: Groups of `layer_of`: stem, 26 blocks, and the classifier with the projection before it.
        mean: Mean of each colour, of values in 0 to 1, that the published weights expect to be taken off.
        std: What they expect to be divided by.

    Raises:
        ValueError: Fewer than one class.

    Source: Feichtenhofer 2020, arXiv:2004.04730; parameter names and shapes of pytorchvideo's `create_x3d`. XS, S and M
        are one network for clips of different length and size.
    Differs: returns logits (the published network applies a softmax in itself), and averages over the whole clip before
        the classifier whatever its size (the published one averages windows of the intended size and then their
        probabilities: the same for clips of that size). The video lies in memory with channels innermost, convolutions
        that only mix channels run as matrix products, and without gradients batch norms are folded into the
        convolutions before them (equal up to rounding).
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def __init__(
        self, num_classes: int = 400, *, num_frames: int = 13, size_px: int = 160, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.size_px = size_px
        self.num_features = _NUM_FEATURES
        channels = _STEM_WIDTH
        self.blocks = nn.ModuleList([_Stem()])
        for width, depth in zip(_WIDTHS, _DEPTHS, strict=True):
            self.blocks.append(_Stage(channels, width, depth))
            channels = width
        self.blocks.append(_Head(channels, int(_EXPANSION * channels), num_classes, dropout))
        self.num_layers = 2 + sum(_DEPTHS)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif name.endswith("norm_c") and isinstance(module, nn.BatchNorm3d):
                nn.init.zeros_(module.weight)  # each block starts as its shortcut

    @property
    def head(self) -> nn.Linear:
        """The classifier: `blocks.5.proj` by its published name."""
        proj: nn.Linear = self.blocks[-1].proj  # type: ignore[assignment]
        return proj

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch features"]:
        """What the classifier sees."""
        x = channels_innermost(video)
        for block in self.blocks[:-1]:
            x = block(x)
        pooled: Tensor = self.blocks[-1].pool(x)  # type: ignore[operator]
        return pooled

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of normalised clips."""
        logits: Tensor = self.head(self.blocks[-1].dropout(self.features(video)))  # type: ignore[operator]
        return logits

    def replace_head(self, num_classes: int) -> None:
        """Put a fresh classifier of `num_classes` classes in place of the present one."""
        self.blocks[-1].proj = classifier(_NUM_FEATURES, num_classes, _HEAD_STD).to(self.head.weight)

    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter: 0 in the stem, `num_layers - 1` in the classifier and the projection before it.

        Args:
            parameter_name: As in `named_parameters`.

        Raises:
            ValueError: The network has no such part.
        """
        parts = parameter_name.split(".")
        last = len(_DEPTHS) + 1
        if parts[0] == "blocks" and len(parts) > 2 and parts[1].isdigit() and int(parts[1]) <= last:
            stage = int(parts[1])
            if stage == 0:
                return 0
            if stage == last:
                return self.num_layers - 1
            if parts[2] == "res_blocks" and parts[3].isdigit() and int(parts[3]) < _DEPTHS[stage - 1]:
                return 1 + sum(_DEPTHS[: stage - 1]) + int(parts[3])
        raise ValueError(f"{parameter_name!r} is no parameter of {type(self).__name__}")


def x3d_xs(num_classes: int = 400, *, dropout: float = 0.5) -> X3D:
    """X3D-XS: 4 frames of 160 x 160 pixels, published for every 12th frame at 30 frames/s."""
    return X3D(num_classes, num_frames=4, size_px=160, dropout=dropout)


def x3d_s(num_classes: int = 400, *, dropout: float = 0.5) -> X3D:
    """X3D-S: 13 frames of 160 x 160 pixels, published for every 6th frame at 30 frames/s."""
    return X3D(num_classes, num_frames=13, size_px=160, dropout=dropout)


def x3d_m(num_classes: int = 400, *, dropout: float = 0.5) -> X3D:
    """X3D-M: 16 frames of 224 x 224 pixels, published for every 5th frame at 30 frames/s."""
    return X3D(num_classes, num_frames=16, size_px=224, dropout=dropout)


def load_x3d_weights(
    model: X3D, path_or_state: str | os.PathLike[str] | Mapping[str, torch.Tensor], *, new_head: bool = False
) -> None:
    """Load a pytorchvideo hub checkpoint (`X3D_XS.pyth` and its like), or our own weights.

    Args:
        model: The network.
        path_or_state: A `.pyth` or `.safetensors` file, or its tensors.
        new_head: Keep the model's own classifier, whatever the checkpoint's classes.

    Raises:
        WeightsError: They do not fit; the message names what.
    """
    load_named_weights(model, path_or_state, head=("blocks.5.proj.weight", "blocks.5.proj.bias"), new_head=new_head)
