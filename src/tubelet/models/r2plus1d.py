"""R(2+1)D-18 and R3D-18: residual networks of convolutions over space and time, with torchvision's parameter names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.models.convolution import channels_innermost, normalised
from tubelet.models.named_weights import classifier, load_named_weights

Kind = Literal["r2plus1d", "r3d"]
_WIDTHS = (64, 128, 256, 512)
_HEAD_STD = 0.01


class _Factorised(nn.Sequential):
    """A convolution over space, a norm, and a convolution over time; as costly as the 3D one it stands for."""

    def __init__(self, in_channels: int, out_channels: int, middle: int, stride: int) -> None:
        super().__init__(
            nn.Conv3d(in_channels, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, out_channels, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


def _conv_norm(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    if isinstance(conv, _Factorised):
        spatial, inner_norm, relu, temporal = conv
        return normalised(relu(normalised(x, spatial, inner_norm)), temporal, norm)
    return normalised(x, conv, norm)


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, kind: Kind, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        middle = (in_channels * channels * 27) // (in_channels * 9 + 3 * channels)

        def convolution(ins: int, stride: int) -> nn.Module:
            if kind == "r3d":
                return nn.Conv3d(ins, channels, 3, stride, 1, bias=False)
            return _Factorised(ins, channels, middle, stride)

        self.conv1 = nn.Sequential(convolution(in_channels, stride), nn.BatchNorm3d(channels), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(convolution(channels, 1), nn.BatchNorm3d(channels))
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm3d(channels)
            )

    def forward(self, x: Float[Tensor, "batch channels time height width"]) -> Tensor:
        conv, norm, relu = self.conv1
        out = _conv_norm(relu(_conv_norm(x, conv, norm)), *self.conv2)
        out += x if self.downsample is None else normalised(x, *self.downsample)
        return out.relu_()


class VideoResNet(nn.Module):
    """An 18-layer residual network over clips.

    Args:
        num_classes: Classes.
        kind: `r2plus1d` (each 3D convolution split into space and time) or `r3d`.
        dropout: Share of features dropped before the classifier in training; the published networks have none.

    Attributes:
        num_features: Width before the classifier.
        num_layers: Groups of `layer_of`: stem, eight blocks, classifier.
        mean: Mean of each colour, of values in 0 to 1, that the published weights expect to be taken off.
        std: What they expect to be divided by.

    Raises:
        ValueError: A kind that there is not, or fewer than one class.

    Source: Tran et al. 2018, arXiv:1711.11248; parameter names and shapes of torchvision's `VideoResNet`.
    Differs: without gradients, the video lies in memory with channels innermost and batch norms are folded into the
        convolutions before them (equal up to rounding).
    """

    mean = (0.43216, 0.394666, 0.37645)
    std = (0.22803, 0.22145, 0.216989)

    def __init__(self, num_classes: int = 400, *, kind: Kind = "r2plus1d", dropout: float = 0.0) -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise ValueError(f"kind is {kind!r}; allowed: {', '.join(get_args(Kind))}")
        if kind == "r3d":
            first: list[nn.Module] = [nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)]
        else:
            first = [
                nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
                nn.BatchNorm3d(45),
                nn.ReLU(inplace=True),
                nn.Conv3d(45, 64, (3, 1, 1), 1, (1, 0, 0), bias=False),
            ]
        self.stem = nn.Sequential(*first, nn.BatchNorm3d(64), nn.ReLU(inplace=True))
        channels = 64
        for number, width in enumerate(_WIDTHS, start=1):
            stride = 1 if number == 1 else 2
            self.add_module(
                f"layer{number}", nn.Sequential(_Block(kind, channels, width, stride), _Block(kind, width, width, 1))
            )
            channels = width
        self.num_features = channels
        self.dropout = nn.Dropout(dropout)
        self.fc = classifier(channels, num_classes, _HEAD_STD)
        self.num_layers = 2 + 2 * len(_WIDTHS)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def head(self) -> nn.Linear:
        """The classifier: `fc` by its published name."""
        return self.fc

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch features"]:
        """What the classifier sees: the last block's output, averaged over space and time."""
        # Measured on a CPU: with channels innermost it is quicker without gradients, and slower with them.
        x = video.contiguous() if torch.is_grad_enabled() else channels_innermost(video)
        layers = list(self.stem)
        for conv, norm, relu in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
            x = relu(normalised(x, conv, norm))
        for number in range(1, len(_WIDTHS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3, 4))

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of normalised clips of any length and size."""
        logits: Tensor = self.fc(self.dropout(self.features(video)))
        return logits

    def replace_head(self, num_classes: int) -> None:
        """Put a fresh classifier of `num_classes` classes in place of the present one."""
        self.fc = classifier(self.num_features, num_classes, _HEAD_STD).to(self.fc.weight)

    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter: 0 in the stem, `num_layers - 1` in the classifier.

        Args:
            parameter_name: As in `named_parameters`.

        Raises:
            ValueError: The network has no such part.
        """
        part, *rest = parameter_name.split(".")
        if part == "stem":
            return 0
        if part == "fc":
            return self.num_layers - 1
        if part in {f"layer{number}" for number in range(1, len(_WIDTHS) + 1)} and rest and rest[0] in {"0", "1"}:
            return 2 * int(part.removeprefix("layer")) - 1 + int(rest[0])
        raise ValueError(f"{parameter_name!r} is no parameter of {type(self).__name__}")


def r2plus1d_18(num_classes: int = 400, *, dropout: float = 0.0) -> VideoResNet:
    """R(2+1)D-18, published for clips of 16 frames of 112 x 112 pixels at 15 frames/s."""
    return VideoResNet(num_classes, kind="r2plus1d", dropout=dropout)


def r3d_18(num_classes: int = 400, *, dropout: float = 0.0) -> VideoResNet:
    """R3D-18, published for clips of 16 frames of 112 x 112 pixels at 15 frames/s."""
    return VideoResNet(num_classes, kind="r3d", dropout=dropout)


def load_r2plus1d_weights(
    model: VideoResNet, path_or_state: str | os.PathLike[str] | Mapping[str, torch.Tensor], *, new_head: bool = False
) -> None:
    """Load torchvision's `r2plus1d_18` or `r3d_18` weights, or our own.

    Args:
        model: The network of the same kind.
        path_or_state: A `.pth` or `.safetensors` file, or its tensors.
        new_head: Keep the model's own classifier, whatever the checkpoint's classes.

    Raises:
        WeightsError: They do not fit; the message names what.
    """
    load_named_weights(model, path_or_state, head=("fc.weight", "fc.bias"), new_head=new_head)
