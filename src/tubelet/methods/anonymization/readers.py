"""Networks that read actions or attributes from masked clips: the utility model and the attackers."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.methods.anonymization.recipes import ReaderName
from tubelet.models.vit import VideoViT


class FrameCnn(nn.Module):
    """Three strided convolutions on every picture by itself; logits are averaged over the pictures.

    Args:
        num_outputs: Logits.
    """

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.features = _convolutions((3, 16, 32, 64))
        self.head = nn.Linear(64, num_outputs)

    def forward(self, video: Float[Tensor, "clips 3 time height width"]) -> Float[Tensor, "clips outputs"]:
        """Logits from clips of 0 to 1."""
        pictures = (video - 0.5).transpose(1, 2).flatten(0, 1)
        logits: Tensor = self.head(self.features(pictures).amax((2, 3)))
        return logits.view(len(video), video.shape[2], -1).mean(1)


class PairCnn(nn.Module):
    """Three strided convolutions on every two pictures that follow each other, so that they see change.

    Features are maxima over the places of a pair and averages over pairs.

    Args:
        num_outputs: Logits.
    """

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.features = _convolutions((6, 24, 32, 64))
        self.head = nn.Linear(64, num_outputs)

    def forward(self, video: Float[Tensor, "clips 3 time height width"]) -> Float[Tensor, "clips outputs"]:
        """Logits from clips of 0 to 1."""
        now, change = video[:, :, 1:] - 0.5, 4 * (video[:, :, 1:] - video[:, :, :-1])
        pairs = torch.cat([now, change], dim=1).transpose(1, 2).flatten(0, 1)
        features = self.features(pairs).amax((2, 3)).view(len(video), video.shape[2] - 1, -1)
        logits: Tensor = self.head(features.mean(1))
        return logits


class StillCnn(nn.Module):
    """Convolutions on the mean and the brightest of all pictures: whoever is shown piece by piece is put together.

    Args:
        num_outputs: Logits.
    """

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.features = _convolutions((6, 32, 64, 96))
        self.head = nn.Linear(96, num_outputs)

    def forward(self, video: Float[Tensor, "clips 3 time height width"]) -> Float[Tensor, "clips outputs"]:
        """Logits from clips of 0 to 1."""
        still = torch.cat([video.mean(2), video.amax(2)], dim=1) - 0.5
        logits: Tensor = self.head(self.features(still).amax((2, 3)))
        return logits


class TinyViT(nn.Module):
    """A small video transformer with full attention.

    Args:
        num_outputs: Logits.
        num_frames: Frames of a clip.
        size_px: Side of the pictures.
    """

    def __init__(self, num_outputs: int, *, num_frames: int, size_px: int) -> None:
        super().__init__()
        self.vit = VideoViT(
            num_outputs,
            num_frames=num_frames,
            size_px=size_px,
            tubelet=(2, size_px // 4, size_px // 4),
            channels=64,
            depth=3,
            num_heads=4,
            num_cls_tokens=1,
            positions="learned",
            qkv_bias="all",
        )

    def forward(self, video: Float[Tensor, "clips 3 time height width"]) -> Float[Tensor, "clips outputs"]:
        """Logits from clips of 0 to 1."""
        logits: Tensor = self.vit(video - 0.5)
        return logits


class _Normalised(nn.Module):
    """A network of the toolkit behind the normalisation that it expects."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = mean, std

    def forward(self, video: Float[Tensor, "clips 3 time height width"]) -> Float[Tensor, "clips outputs"]:
        mean, std = (video.new_tensor(each)[None, :, None, None, None] for each in (self.mean, self.std))
        logits: Tensor = self.network((video - mean) / std)
        return logits


def build_reader(
    name: ReaderName, num_outputs: int, *, num_frames: int, size_px: int, weights: str | None = None
) -> nn.Module:
    """A network by name.

    Args:
        name: "frame_cnn", "pair_cnn", "still_cnn" and "tiny_vit" are for small pictures, the others for those of 112
            pixels and more.
        num_outputs: Logits.
        num_frames: Frames of a clip.
        size_px: Side of the pictures.
        weights: See `ReaderWeights`; None for random numbers. The last layer is new in any case.

    Raises:
        WeightsError: The weights cannot be read or fetched, or belong to another network.
    """
    if weights is not None and name in ("frame_cnn", "pair_cnn", "still_cnn", "tiny_vit"):
        raise WeightsError(f"{name} is an attacker of this toolkit and has no published weights; leave them away")
    if name == "frame_cnn":
        return FrameCnn(num_outputs)
    if name == "pair_cnn":
        return PairCnn(num_outputs)
    if name == "still_cnn":
        return StillCnn(num_outputs)
    if name == "tiny_vit":
        return TinyViT(num_outputs, num_frames=num_frames, size_px=size_px)
    network = _published(name, num_outputs, num_frames, size_px, weights)
    return _Normalised(network, network.mean, network.std)  # type: ignore[arg-type]


def _published(name: ReaderName, num_outputs: int, num_frames: int, size_px: int, weights: str | None) -> nn.Module:
    """A network that others trained before, with their weights where a file of them is named."""
    from tubelet.models import efficientnet_lite, frames, mvit, r2plus1d, vit, vit_weights

    if name == "frame_lite0":
        frame_network = frames.frame_lite0(num_outputs)
        if weights == "imagenet":
            from tubelet import weights as published

            weights = str(published.fetch(published.EFFICIENTNET_LITE0))
        if weights is not None:
            efficientnet_lite.load_efficientnet_lite_weights(frame_network.backbone, weights)
        return frame_network
    if name == "r3d_18":
        resnet = r2plus1d.r3d_18(num_outputs)
        if weights is not None:
            r2plus1d.load_r2plus1d_weights(resnet, weights, new_head=True)
        return resnet
    if name == "mvit_b_16x4":
        multiscale = mvit.mvit_b_16x4(num_outputs, num_frames=num_frames, size_px=size_px)
        if weights is not None:
            mvit.load_mvit_weights(multiscale, weights, new_head=True)
        return multiscale
    transformer = vit.vit_base(num_outputs, num_frames=num_frames, size_px=size_px)
    if weights is not None:
        vit_weights.load_vit_weights(transformer, weights, head="keep")
    return transformer


def _convolutions(channels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
