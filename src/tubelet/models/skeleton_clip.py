"""Labels of whole clips from skeleton features: the temporal convolution with a read-out over time and people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.models.named_weights import classifier
from tubelet.models.skeleton import SkeletonTCN


class SkeletonClipTCN(nn.Module):
    """Labels clips of skeletons by a temporal convolution over the features of each person.

    Args:
        num_inputs: Features per person and frame.
        num_classes: Classes.
        channels: Width.
        dilations: One block each.
        dropout: Share of activations dropped in training.

    Attributes:
        num_features: Width before the last layer.
        num_layers: Layers for layer-wise learning rates: entry, blocks, head.

    Source: `SkeletonTCN`, which labels frames.
    Differs: mean and maximum over the frames and the mean over the people are labelled. People and frames that are not
        seen take no part, so a clip's logits do not depend on how much it was padded.
    """

    def __init__(
        self,
        num_inputs: int,
        num_classes: int,
        *,
        channels: int = 80,
        dilations: Sequence[int] = (1, 2, 4, 4, 8),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.frames = SkeletonTCN(num_inputs, num_classes, channels=channels, dilations=dilations, dropout=dropout)
        self.frames.head = nn.Identity()  # type: ignore[assignment]
        self.num_features = 2 * channels
        self.num_layers = len(dilations) + 2
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes)

    def features(
        self,
        tracks: Float[Tensor, "batch inputs time people"],
        is_seen: Bool[Tensor, "batch time people"] | None = None,
    ) -> Float[Tensor, "batch features"]:
        """Features of clips; see `forward`."""
        if tracks.shape[1] != self.frames.num_features:
            raise ValueError(
                f"the input has {tracks.shape[1]} features; this network reads {self.frames.num_features}, as "
                "(batch, features, time, people)"
            )
        return over_people(lambda x, weights: (self.frames.trunk(x, weights), weights), tracks.movedim(-1, 1), is_seen)

    def forward(
        self,
        tracks: Float[Tensor, "batch inputs time people"],
        is_seen: Bool[Tensor, "batch time people"] | None = None,
    ) -> Float[Tensor, "batch classes"]:
        """Logits of clips.

        Args:
            tracks: Features of each person in each frame.
            is_seen: Frames in which there is a person at all; everywhere where not given.
        """
        out: Tensor = self.head(self.dropout(self.features(tracks, is_seen)))
        return out

    def replace_head(self, num_classes: int) -> None:
        """A fresh last layer for another number of classes."""
        self.head = classifier(self.num_features, num_classes, std=0.02).to(self.head.weight)

    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter: 0 for the entry, `num_layers - 1` for the head."""
        part, *rest = parameter_name.split(".")
        if part == "head":
            return self.num_layers - 1
        kind, *rest = rest
        return {"entry": 0, "norm": self.num_layers - 2}[kind] if kind != "blocks" else 1 + int(rest[0])


DEFAULT_CLIP_NETWORK = SkeletonClipTCN
"""Of this network and `SkeletonGraph`, the one that labels more clips right after as much processor time in training,
and is faster: benchmarks/reports/skeleton_networks.json. After as many steps, which take the graph network several
times as long, the graph network is slightly ahead.
"""

Network = Callable[
    [Float[Tensor, "tracks *inputs"], Float[Tensor, "tracks 1 time"]],
    tuple[Float[Tensor, "tracks channels new_time"], Float[Tensor, "tracks 1 new_time"]],
]


def over_people(
    network: Network, tracks: Float[Tensor, "batch people *inputs"], is_seen: Bool[Tensor, "batch time people"] | None
) -> Float[Tensor, "batch features"]:
    """Run a network over every person that is seen at all, and pool what it says.

    Args:
        network: From tracks (channels, then time, then perhaps joints) and the frames that count, as ones, to channels
            over time, zeros where nothing is seen, and the frames of those that count.
        tracks: Of every person of every clip.
        is_seen: Frames in which there is a person; everywhere where None.

    Returns:
        Mean and maximum over the frames that count, then the mean over people. Zeros for a clip without anybody.
    """
    batch, people = tracks.shape[:2]
    seen = tracks.new_ones(batch, tracks.shape[3], people) if is_seen is None else is_seen.to(tracks.dtype)
    frames = seen.movedim(-1, 1).flatten(0, 1)[:, None]
    present = frames.amax(dim=(1, 2)) > 0
    x, weights = network(tracks.flatten(0, 1)[present], frames[present])
    count = weights.sum(dim=2).clamp(min=1)
    mean = (x * weights).sum(dim=2) / count
    highest = x.masked_fill(weights == 0, float("-inf")).amax(dim=2)
    # A stride may step over the few frames in which somebody is seen.
    highest = highest.masked_fill(weights.sum(dim=2) == 0, 0.0)
    pooled = torch.cat([mean, highest], dim=1)
    of_clip = torch.arange(batch, device=x.device).repeat_interleave(people)[present]
    sums = pooled.new_zeros(batch, pooled.shape[1]).index_add(0, of_clip, pooled)
    num_people = torch.bincount(of_clip, minlength=batch).clamp(min=1)
    return sums / num_people[:, None]
