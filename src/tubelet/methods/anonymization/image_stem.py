"""What a network trained on pictures sees in clips: where a small transformer with few clips to learn from starts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet import weights
from tubelet.models.efficientnet_lite import MEAN, STD, efficientnet_lite0, load_efficientnet_lite_weights
from tubelet.models.positions import Grid

TUBELET: Grid = (2, 16, 16)
_FINE_BLOCK, _FINE_CHANNELS = 4, 40  # the last that sees a place for each 8 pixels
_COARSE_BLOCK, _COARSE_CHANNELS = 7, 80  # the last of the first stage with one for each 16
_COLOURS = 4  # squares of colour along each side of a tubelet
NUM_FEATURES = 2 * (4 * _FINE_CHANNELS + _COARSE_CHANNELS + 3 * _COLOURS**2)
_FRAMES_AT_ONCE = 64
_BOUND = 5.0  # standard deviations


class ImageFeatures(nn.Module):
    """Features of tubelets of 2 x 16 x 16: the means of their two frames, and what changes from one to the other.

    Of a frame: what the first stages of EfficientNet-lite0 see at 8 and at 16 pixels, and the colours of 4 x 4 squares,
    which those stages blur. The weights are ImageNet's, fetched by `tubelet.weights`; they are not trained here.

    Raises:
        WeightsError: The weights are not there and cannot be fetched.
    """

    def __init__(self) -> None:
        super().__init__()
        whole = efficientnet_lite0(None)
        load_efficientnet_lite_weights(whole, weights.fetch(weights.EFFICIENTNET_LITE0))
        fused = whole.fused()
        self.stem, self.blocks = fused.stem, fused.blocks[: _COARSE_BLOCK + 1]

    @torch.no_grad()
    def forward(
        self, video: Float[Tensor, "clips 3 time height width"]
    ) -> Float[Tensor, "clips features steps rows columns"]:
        """Features of clips of 0 to 1, whose sides are multiples of 16."""
        frames = video.transpose(1, 2).flatten(0, 1)
        seen = torch.cat([self._of_frames(some) for some in torch.split(frames, _FRAMES_AT_ONCE)])
        first, second = seen.view(len(video), -1, TUBELET[0], *seen.shape[1:]).transpose(1, 3).unbind(2)
        return torch.cat([(first + second) / 2, second - first], dim=1)

    def _of_frames(
        self, frames: Float[Tensor, "frames 3 height width"]
    ) -> Float[Tensor, "frames channels rows columns"]:
        mean, std = (frames.new_tensor(each)[:, None, None] for each in (MEAN, STD))
        x = self.stem(((frames - mean) / std).contiguous(memory_format=torch.channels_last))
        fine = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == _FINE_BLOCK:
                fine = x
        colours = nn.functional.avg_pool2d(frames, TUBELET[1] // _COLOURS)
        unshuffle = nn.functional.pixel_unshuffle
        return torch.cat([unshuffle(fine.contiguous(), 2), x.contiguous(), unshuffle(colours, _COLOURS)], dim=1)


class FeatureEmbedding(nn.Module):
    """One token for each tubelet from its features.

    Args:
        channels: Width of the tokens.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Features differ a hundredfold in size; statistics of the training bring them to one.
        self.scale = nn.BatchNorm1d(NUM_FEATURES, affine=False)
        self.norm = nn.LayerNorm(NUM_FEATURES)
        self.project = nn.Linear(NUM_FEATURES, channels)
        nn.init.trunc_normal_(self.project.weight, std=NUM_FEATURES**-0.5)
        nn.init.zeros_(self.project.bias)

    def forward(
        self, features: Float[Tensor, "clips features steps rows columns"]
    ) -> Float[Tensor, "clips tokens channels"]:
        """Tokens, counted along width, then height, then time."""
        scaled = self.scale(features.flatten(2)).clamp(-_BOUND, _BOUND)
        tokens: Tensor = self.project(self.norm(scaled.transpose(1, 2)))
        return tokens
