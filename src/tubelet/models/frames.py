"""A network for pictures, frame by frame, and attention over time on top: what clips show, at little cost."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.models.efficientnet_lite import EfficientNetLite, efficientnet_lite0, efficientnet_lite2
from tubelet.models.named_weights import classifier
from tubelet.models.positions import sincos_positions

Temporal = Literal["attention", "single_frame"]

# About what the caches of a CPU core hold: more pictures at once are slower there.
_PIXELS_AT_ONCE = 4 * 224 * 224


class TemporalAttention(nn.Module):
    """Features of frames in order of time -> features of the clip, by a small transformer.

    A frame enters as its normalised features and their change since the frame before: a single frame does not tell in
    which direction things move. A learned query then reads out what matters of all frames.

    Args:
        num_inputs: Features of each frame.
        width: Of the transformer, and features of the clip.
        num_layers: Transformer layers.
        num_heads: Heads of each attention; must divide the width.
        dropout: Share of values dropped in training.
        sees_changes: Whether changes between neighbouring frames enter.

    Attributes:
        num_features: Features of the clip.

    Source: pre-norm encoder of Vaswani et al. 2017 (arXiv:1706.03762) and Xiong et al. 2020 (arXiv:2002.04745); frames
        read by a transformer as in the "factorised encoder" of ViViT (arXiv:2103.15691).
    Differs: changes between frames beside the frames, and a learned query instead of a class token.
    """

    def __init__(
        self,
        num_inputs: int,
        *,
        width: int = 192,
        num_layers: int = 2,
        num_heads: int = 4,
        dropout: float = 0.1,
        sees_changes: bool = True,
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width is {width} and num_heads {num_heads}; the heads must divide the width")
        self.num_features = width
        self.sees_changes = sees_changes
        self.entry_norm = nn.LayerNorm(num_inputs)
        self.entry = nn.Linear(num_inputs * (1 + sees_changes), width)
        layer = nn.TransformerEncoderLayer(
            width, num_heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, frames: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch features"]:
        """Features of each clip. Any number of frames."""
        x = self.entry_norm(frames)
        if self.sees_changes:
            x = torch.cat([x, x - torch.cat([x[:, :1], x[:, :-1]], dim=1)], dim=2)
        x = self.entry(x)
        x = self.layers(x + sincos_positions(x.shape[1], x.shape[2]).to(x))
        shares = (x @ self.query * self.num_features**-0.5).softmax(dim=1)
        return torch.einsum("btf,bt->bf", x, shares)


class SingleFrame(nn.Module):
    """The features of one frame, the middle one: what can be told without seeing any motion. A baseline.

    Args:
        num_inputs: Features of each frame.

    Attributes:
        num_features: Features of the clip: as many.
    """

    def __init__(self, num_inputs: int) -> None:
        super().__init__()
        self.num_features = num_inputs
        self.norm = nn.LayerNorm(num_inputs)

    def forward(self, frames: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch features"]:
        """The normalised features of the middle frame; of the later one where two are in the middle."""
        out: Tensor = self.norm(frames[:, frames.shape[1] // 2])
        return out


class FrameNetwork(nn.Module):
    """Labels clips: a backbone for pictures looks at every frame, a head over time at all of them.

    Args:
        backbone: Without a last layer.
        temporal: From features of frames to features of the clip; must take `frame_width(backbone, grid)` features.
        num_classes: Classes.
        grid: Besides features of the whole picture, averages over this many rows and columns of it are features of a
            frame, so that it can be told where in the picture things are; 0 for none.
        dropout: Share of features dropped before the last layer in training.

    Attributes:
        num_features: Width before the last layer.
        num_layers: Layers for layer-wise learning rates: stem, blocks and tail of the backbone, temporal part, head.
        mean, std: What inputs between 0 and 1 are normalised with.
    """

    def __init__(
        self,
        backbone: EfficientNetLite,
        temporal: TemporalAttention | SingleFrame,
        num_classes: int,
        *,
        grid: int = 0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.temporal = temporal
        self.grid = grid
        self.num_frame_features = frame_width(backbone, grid)
        self.num_features = temporal.num_features
        self.num_layers = backbone.num_blocks + 4
        self.mean, self.std = backbone.mean, backbone.std
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes)

    def frame_features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch time features"]:
        """Features of every frame of normalised clips; what a cache may keep where the backbone is frozen."""
        batch, _, time, height, width = video.shape
        images = video.transpose(1, 2).flatten(0, 1)
        at_once = len(images)
        if images.device.type == "cpu" and not self.backbone.training:
            at_once = max(1, _PIXELS_AT_ONCE // (height * width))
        parts = [self._of_images(part) for part in torch.split(images, at_once)]
        return torch.cat(parts).reshape(batch, time, -1)

    def _of_images(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        maps = self.backbone.maps(images)
        whole = self.backbone.pooled(maps)
        if self.grid == 0:
            return whole
        parts = nn.functional.adaptive_avg_pool2d(maps, self.grid).flatten(1)
        return torch.cat([whole, parts], dim=1)

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch features"]:
        """Features of normalised clips."""
        out: Tensor = self.temporal(self.frame_features(video))
        return out

    def head_forward(self, frame_features: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch classes"]:
        """Logits from what `frame_features` returned, for training on kept features."""
        out: Tensor = self.head(self.dropout(self.temporal(frame_features)))
        return out

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of normalised clips."""
        return self.head_forward(self.frame_features(video))

    def freeze_backbone(self) -> None:
        """Train temporal part and head only: the backbone takes no gradients and keeps its statistics."""
        self.backbone.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> FrameNetwork:
        """Training or evaluation mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def replace_head(self, num_classes: int) -> None:
        """A fresh last layer for another number of classes."""
        self.head = classifier(self.num_features, num_classes, std=0.02).to(self.head.weight)

    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter: 0 for the stem, `num_layers - 1` for the head.

        Raises:
            ValueError: There is no such parameter.
        """
        part, _, rest = parameter_name.partition(".")
        if part == "backbone" and rest.startswith("stem."):
            return 0
        if part == "backbone" and rest.startswith("blocks."):
            return 1 + int(rest.split(".")[1])
        from_end = {"backbone": 3, "temporal": 2, "head": 1}
        if part not in from_end:
            raise ValueError(f"there is no parameter {parameter_name!r}; see named_parameters()")
        return self.num_layers - from_end[part]

    def fused(self) -> FrameNetwork:
        """A copy for inference, faster and the same but for rounding; see `EfficientNetLite.fused`."""
        out = copy.deepcopy(self).eval().requires_grad_(False)
        out.backbone = self.backbone.fused()
        return out


def frame_width(backbone: EfficientNetLite, grid: int) -> int:
    """Features of a frame: those of the whole picture and those of each part of it."""
    return backbone.num_features + backbone.num_map_channels * grid**2


def frame_lite0(num_classes: int, *, temporal: Temporal = "attention", grid: int = 2) -> FrameNetwork:
    """A frame network over EfficientNet-lite0, with random weights; 160 to 224 px suit it.

    `load_efficientnet_lite_weights(network.backbone, path)` loads the backbone's published weights.

    Args:
        num_classes: Classes.
        temporal: "attention" over all frames, or the baseline that sees a "single_frame".
        grid: See `FrameNetwork`.
    """
    return _frame_network(efficientnet_lite0(None, drop_path_rate=0.0), num_classes, temporal, grid)


def frame_lite2(num_classes: int, *, temporal: Temporal = "attention", grid: int = 2) -> FrameNetwork:
    """A frame network over EfficientNet-lite2, slower and a little better, for 224 to 260 px; see `frame_lite0`."""
    return _frame_network(efficientnet_lite2(None, drop_path_rate=0.0), num_classes, temporal, grid)


def _frame_network(backbone: EfficientNetLite, num_classes: int, temporal: Temporal, grid: int) -> FrameNetwork:
    # Blocks left out of single frames would look like changes between frames: drop_path_rate is 0.
    kinds = {"attention": TemporalAttention, "single_frame": SingleFrame}
    if temporal not in kinds:
        raise ValueError(f"temporal is {temporal!r}; allowed: {', '.join(kinds)}")
    return FrameNetwork(backbone, kinds[temporal](frame_width(backbone, grid)), num_classes, grid=grid)
