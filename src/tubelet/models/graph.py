"""A graph network over the joints of a skeleton and over time, which labels a clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tubelet.models.named_weights import classifier
from tubelet.models.skeleton_clip import over_people

_PARTS = 3  # the joint itself, neighbours nearer to the centre, neighbours farther from it


class SkeletonGraph(nn.Module):
    """Labels clips of skeletons: joints exchange what they know along bones, and each looks back and ahead in time.

    Args:
        num_channels: Numbers per joint and frame (position, speed, visibility, ...).
        num_classes: Classes.
        num_joints: Joints of a skeleton.
        bones: Pairs of joints; joints that no bone reaches only learn whom to listen to.
        channels: Width of each block.
        strides: Of each block over time.
        kernel_size: Odd number of frames that a block looks at.
        dropout: Share of activations dropped in training.

    Attributes:
        num_features: Width before the last layer.
        num_layers: Layers for layer-wise learning rates: entry and each block, then the head.

    Source: ST-GCN (Yan et al. 2018, arXiv:1801.07455) with its spatial partition of neighbours; each block's learned
        addition to the graph as B_k of 2s-AGCN (Shi et al. 2019, arXiv:1805.07694, equation 3).
    Differs: four blocks of 48 to 64 channels instead of nine or ten of 64 to 256, for small sets of clips; no graph
        computed from the data (C_k); joints without a bone are allowed. People and frames that are not seen take no
        part in any sum, so a clip's logits do not depend on how much it was padded.
    """

    def __init__(
        self,
        num_channels: int,
        num_classes: int,
        *,
        num_joints: int,
        bones: Sequence[tuple[int, int]],
        channels: Sequence[int] = (48, 48, 64, 64),
        strides: Sequence[int] = (1, 2, 1, 2),
        kernel_size: int = 9,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; must be odd, so that a frame sees as far back as ahead")
        if len(channels) != len(strides) or not channels:
            raise ValueError(f"channels are {tuple(channels)} and strides {tuple(strides)}; give one of each per block")
        graph = spatial_graph(num_joints, bones)
        self.num_joints, self.num_channels = num_joints, num_channels
        self.norm = nn.BatchNorm1d(num_channels * num_joints)
        widths = [num_channels, *channels]
        self.blocks = nn.ModuleList(
            _Block((before, after), graph, kernel_size=kernel_size, stride=stride, dropout=dropout)
            for before, after, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.num_features = 2 * channels[-1]
        self.num_layers = len(self.blocks) + 1
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes)

    def features(
        self,
        joints: Float[Tensor, "batch channels time joints people"],
        is_seen: Bool[Tensor, "batch time people"] | None = None,
    ) -> Float[Tensor, "batch features"]:
        """Features of clips; see `forward`."""
        if joints.shape[1] != self.num_channels or joints.shape[3] != self.num_joints:
            raise ValueError(
                f"the input has {joints.shape[1]} channels of {joints.shape[3]} joints; this network reads "
                f"{self.num_channels} of {self.num_joints}, as (batch, channels, time, joints, people)"
            )
        return over_people(self._of_one_person, joints.movedim(-1, 1), is_seen)

    def _of_one_person(
        self, joints: Float[Tensor, "tracks channels time joints"], is_seen: Float[Tensor, "tracks 1 time"]
    ) -> tuple[Float[Tensor, "tracks out new_time"], Float[Tensor, "tracks 1 new_time"]]:
        flat = joints.transpose(2, 3).flatten(1, 2)
        x = self.norm(flat).unflatten(1, joints.shape[1:4:2]).transpose(2, 3)
        weights = is_seen[..., None]
        x = x * weights
        for block in self.blocks:
            x, weights = block(x, weights)
        return x.mean(dim=3), weights[..., 0]

    def forward(
        self,
        joints: Float[Tensor, "batch channels time joints people"],
        is_seen: Bool[Tensor, "batch time people"] | None = None,
    ) -> Float[Tensor, "batch classes"]:
        """Logits of clips.

        Args:
            joints: What is known of each joint of each person in each frame.
            is_seen: Frames in which there is a person at all; everywhere where not given.
        """
        out: Tensor = self.head(self.dropout(self.features(joints, is_seen)))
        return out

    def replace_head(self, num_classes: int) -> None:
        """A fresh last layer for another number of classes."""
        self.head = classifier(self.num_features, num_classes, std=0.02).to(self.head.weight)

    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter: 0 for the first block, `num_layers - 1` for the head."""
        part, *rest = parameter_name.split(".")
        if part == "blocks":
            return int(rest[0])
        return {"norm": 0, "head": self.num_layers - 1}[part]


class _Block(nn.Module):
    """A sum over neighbours by kind of neighbour, then a convolution over time, round a residual path."""

    def __init__(
        self,
        channels: tuple[int, int],
        graph: Float[Tensor, "parts joints joints"],
        *,
        kernel_size: int,
        stride: int,
        dropout: float,
    ) -> None:
        super().__init__()
        before, after = channels
        self.register_buffer("graph", graph, persistent=False)
        self.graph: Tensor
        self.learned_graph = nn.Parameter(torch.zeros_like(graph))
        self.gather = nn.Conv2d(before, after * len(graph), 1)
        self.gather_norm = nn.BatchNorm2d(after)
        self.over_time = nn.Conv2d(after, after, (kernel_size, 1), (stride, 1), (kernel_size // 2, 0))
        self.time_norm = nn.BatchNorm2d(after)
        self.dropout = nn.Dropout(dropout)
        self.stride = stride
        is_same = before == after and stride == 1
        self.skip = nn.Identity() if is_same else nn.Conv2d(before, after, 1, (stride, 1))

    def forward(
        self, x: Float[Tensor, "tracks before time joints"], is_seen: Float[Tensor, "tracks 1 time 1"]
    ) -> tuple[Float[Tensor, "tracks after new_time joints"], Float[Tensor, "tracks 1 new_time 1"]]:
        by_part = self.gather(x).unflatten(1, (len(self.graph), -1))
        inner = torch.einsum("npctv,pvw->nctw", by_part, self.graph + self.learned_graph)
        # Frames without a person stay zero, so that they are to their neighbours what frames beyond the ends are.
        inner = nn.functional.relu(self.gather_norm(inner)) * is_seen
        is_seen = is_seen[:, :, :: self.stride]
        out = self.dropout(self.time_norm(self.over_time(inner))) + self.skip(x)
        return nn.functional.relu(out) * is_seen, is_seen


def spatial_graph(num_joints: int, bones: Sequence[tuple[int, int]]) -> Float[Tensor, "3 joints joints"]:
    """Who hears whom, by kind: itself, neighbours nearer to the centre (or as near), neighbours farther from it.

    The centre is the joint, or the joints, from which the farthest joint is fewest bones away. Column j of each matrix
    weighs what joint j hears, evenly among all its neighbours and itself.

    Args:
        num_joints: Joints of a skeleton.
        bones: Pairs of joints.

    Raises:
        ValueError: A bone ends at a joint that does not exist.

    Source: the spatial configuration partitioning of ST-GCN (arXiv:1801.07455, section 3.3).
    """
    if any(not 0 <= end < num_joints for bone in bones for end in bone):
        raise ValueError(f"bones are {list(bones)}; their ends must be 0 to {num_joints - 1}")
    near = torch.eye(num_joints, dtype=torch.bool)
    for a, b in bones:
        near[a, b] = near[b, a] = True
    distance = _bones_between(near)
    reached = distance < num_joints
    # Joints that no bone reaches are no centre of anything.
    eccentricity = torch.where(reached, distance, 0).amax(dim=1) + num_joints * (reached.sum(dim=1) == 1)
    centre = distance[eccentricity == eccentricity.min()].amin(dim=0)
    share = near / near.sum(dim=0, keepdim=True)
    itself = torch.eye(num_joints, dtype=torch.bool)
    inward = near & ~itself & (centre[:, None] <= centre[None, :])
    outward = near & (centre[:, None] > centre[None, :])
    return torch.stack([share * part for part in (itself, inward, outward)])


def _bones_between(near: Bool[Tensor, "joints joints"]) -> Int[Tensor, "joints joints"]:
    """Bones on the shortest way between two joints; as many as there are joints where there is none."""
    num_joints = len(near)
    distance = torch.full((num_joints, num_joints), num_joints)
    reached = torch.eye(num_joints, dtype=torch.bool)
    for step in range(num_joints):
        distance[reached & (distance == num_joints)] = step
        reached = (reached.float() @ near.float()) > 0
    return distance
